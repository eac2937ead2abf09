//! What the processor that runs this code can do.
//!
//! **In → Out** nothing → a mask of [`crate::feature`] bits. **Never** reports a feature that the
//! operating system has not enabled: a reported feature does not trap. It may report too little,
//! where there is no way to ask. **To add** one row in `x86.rs` or `arm.rs`.

// Only one of the two talks to a processor; both translate words to masks and are tested anywhere.
#[cfg(any(test, target_arch = "aarch64"))]
mod arm;
#[cfg(target_arch = "x86_64")]
mod tiles;
#[cfg(any(test, target_arch = "x86_64"))]
mod x86;

use crate::feature;

/// The features of this machine that a compiled model may use.
///
/// On AArch64 the answer comes from the operating system: all features on Linux with `std`, else
/// only those that every such processor has.
pub fn host_features() -> u64 {
    #[cfg(target_arch = "x86_64")]
    return x86::detect();
    #[cfg(target_arch = "aarch64")]
    return arm::detect();
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    0
}

/// Asks the operating system for matrix tiles (AMX), for all threads of this process; says whether
/// they are there. Without it they are none of the features of this machine: Linux gives their
/// registers only to a process that asks for them. It is enough to ask once.
///
/// Signals then need larger frames: alternate stacks must have the size that `AT_MINSIGSTKSZ` says.
pub fn enable_tiles() -> bool {
    #[cfg(target_arch = "x86_64")]
    return x86::enable_tiles();
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// The name of this machine's core, as CPU tables know it, where features do not tell its speed.
pub fn host_core() -> Option<&'static str> {
    #[cfg(target_arch = "x86_64")]
    return x86::core();
    #[cfg(not(target_arch = "x86_64"))]
    None
}

/// The names of the features in `needed` that are not in `have`.
pub fn missing(needed: u64, have: u64) -> impl Iterator<Item = &'static str> {
    feature::names(needed & !have)
}

#[cfg(test)]
mod tests {
    use super::missing;
    use crate::feature::{X86_AVX2, X86_FMA, X86_SSE41};

    #[test]
    fn missing_features_have_names() {
        let names: Vec<_> = missing(X86_SSE41 | X86_AVX2 | X86_FMA, X86_AVX2).collect();
        assert_eq!(names, ["sse4.1", "fma"]);
    }
}
