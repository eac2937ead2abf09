//! The registers of matrix tiles (AMX), which Linux gives to a process that asks for them.

#![allow(unsafe_code, reason = "a system call without a C library")]

/// The part of the extended state that needs a permission, by its bit in `xcr0`.
pub(super) const TILE_DATA: u32 = 18;

/// Asks for the tiles, for all threads of the process. Whether it may use them then.
pub(super) fn request() -> bool {
    system::request() && is_permitted()
}

/// Whether the process may use the tiles.
pub(super) fn is_permitted() -> bool {
    system::permitted() >> TILE_DATA & 1 == 1
}

/// `arch_prctl(2)` with the codes of `asm/prctl.h`.
#[cfg(target_os = "linux")]
mod system {
    use super::TILE_DATA;

    const ARCH_PRCTL: i64 = 158;
    const ARCH_GET_XCOMP_PERM: u64 = 0x1022;
    const ARCH_REQ_XCOMP_PERM: u64 = 0x1023;

    pub(super) fn request() -> bool {
        // SAFETY: the request takes a number.
        unsafe { arch_prctl(ARCH_REQ_XCOMP_PERM, TILE_DATA.into()) == 0 }
    }

    /// The parts of the state that the process may use; none on a system that does not know them.
    pub(super) fn permitted() -> u64 {
        let mut parts = 0_u64;
        // SAFETY: the question takes the place of a `u64`, which it fills.
        let status = unsafe { arch_prctl(ARCH_GET_XCOMP_PERM, (&raw mut parts) as u64) };
        if status == 0 { parts } else { 0 }
    }

    /// # Safety
    ///
    /// `argument` is what `code` wants.
    unsafe fn arch_prctl(code: u64, argument: u64) -> i64 {
        let status: i64;
        // SAFETY: the system keeps all registers but these three, and touches no memory but what
        // the argument, promised by the caller, points to.
        unsafe {
            core::arch::asm!(
                "syscall",
                inlateout("rax") ARCH_PRCTL => status,
                in("rdi") code,
                in("rsi") argument,
                lateout("rcx") _,
                lateout("r11") _,
                options(nostack)
            );
        }
        status
    }
}

/// Other systems are not asked.
#[cfg(not(target_os = "linux"))]
mod system {
    pub(super) fn request() -> bool {
        false
    }

    pub(super) fn permitted() -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::{is_permitted, request};

    #[test]
    fn what_was_asked_for_is_permitted() {
        let granted = request();
        assert_eq!(granted, is_permitted());
    }
}
