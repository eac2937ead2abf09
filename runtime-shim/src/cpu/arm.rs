//! AArch64: the kernel's `AT_HWCAP` words to feature bits.

#![cfg_attr(target_arch = "aarch64", allow(unsafe_code, reason = "getauxval is a C function"))]

use crate::feature;

/// What every AArch64 application processor has.
const BASELINE: u64 = feature::ARM_NEON;

/// The features of this machine, from the auxiliary vector.
#[cfg(all(target_arch = "aarch64", target_os = "linux", feature = "std"))]
pub(super) fn detect() -> u64 {
    const AT_HWCAP: core::ffi::c_ulong = 16;
    const AT_HWCAP2: core::ffi::c_ulong = 26;

    unsafe extern "C" {
        safe fn getauxval(kind: core::ffi::c_ulong) -> core::ffi::c_ulong;
    }

    BASELINE | from_words(getauxval(AT_HWCAP), getauxval(AT_HWCAP2))
}

/// The features that need no asking.
#[cfg(all(target_arch = "aarch64", not(all(target_os = "linux", feature = "std"))))]
pub(super) fn detect() -> u64 {
    BASELINE
}

/// The features that the two words announce.
#[cfg(any(test, all(target_os = "linux", feature = "std")))]
fn from_words(hwcap: u64, hwcap2: u64) -> u64 {
    let has = |&&(_, first, second): &&(u64, u64, u64)| {
        hwcap & first == first && hwcap2 & second == second
    };
    ROWS.iter().filter(has).fold(0, |mask, row| mask | row.0)
}

/// A feature and the bits that must all be set in `AT_HWCAP` and `AT_HWCAP2`.
#[cfg(any(test, all(target_os = "linux", feature = "std")))]
const ROWS: &[(u64, u64, u64)] = &[
    (feature::ARM_NEON, 1 << 1, 0),
    (feature::ARM_LSE, 1 << 8, 0),
    (feature::ARM_FP16, 1 << 9 | 1 << 10, 0),
    (feature::ARM_RDM, 1 << 12, 0),
    (feature::ARM_DOTPROD, 1 << 20, 0),
    (feature::ARM_SVE, 1 << 22, 0),
    (feature::ARM_FHM, 1 << 23, 0),
    (feature::ARM_SVE2, 0, 1 << 1),
    (feature::ARM_I8MM, 0, 1 << 13),
    (feature::ARM_BF16, 0, 1 << 14),
];

#[cfg(test)]
mod tests {
    use super::{BASELINE, ROWS, from_words};
    use crate::abi::Arch;
    use crate::feature::{ARM_DOTPROD, ARM_FP16, ARM_I8MM, ARM_LSE, ARM_NEON, ARM_RDM, FEATURES};

    /// `AT_HWCAP` of a Cortex-A76, as Linux reports it.
    const CORTEX_A76: u64 = 0x0010_7fff;

    #[test]
    fn a_cortex_a76_has_dot_products() {
        let mask = from_words(CORTEX_A76, 0);
        assert_eq!(mask, BASELINE | ARM_LSE | ARM_FP16 | ARM_RDM | ARM_DOTPROD);
        assert_eq!(from_words(CORTEX_A76, 1 << 13) & !mask, ARM_I8MM);
    }

    #[test]
    fn half_of_fp16_is_none() {
        assert_eq!(from_words(1 << 1 | 1 << 9, 0), ARM_NEON);
    }

    #[test]
    fn every_feature_is_looked_for() {
        let all = FEATURES.iter().filter(|row| row.arch() == Arch::Aarch64);
        assert_eq!(all.map(|row| row.mask()).sum::<u64>(), ROWS.iter().map(|row| row.0).sum());
    }
}
