//! Checks the numbered invariants of `Loops`; each file of this folder holds one group of them.

mod bounds;
pub mod legal;
mod matrix;
mod program;
mod scope;

use super::{LoopFn, Loops};
use crate::diag::Violation;
use crate::target::Target;

/// Checks L1 to L6; L3 and L4 only for a target, that is after `legalize`.
///
/// # Errors
/// Every violation found.
pub fn verify(loops: &Loops, target: Option<&Target>) -> Result<(), Vec<Violation>> {
    let funcs = loops.funcs.values().flat_map(|func| violations(func, target));
    result(funcs.chain(program::check(loops)).collect())
}

/// Checks L1 to L4 and L6 of one function; L3 and L4 only for a target.
///
/// # Errors
/// Every violation found.
pub fn verify_fn(func: &LoopFn, target: Option<&Target>) -> Result<(), Vec<Violation>> {
    result(violations(func, target))
}

fn result(found: Vec<Violation>) -> Result<(), Vec<Violation>> {
    if found.is_empty() { Ok(()) } else { Err(found) }
}

/// L2 to L4 and L6 rely on L1, so they are checked only where it holds.
fn violations(func: &LoopFn, target: Option<&Target>) -> Vec<Violation> {
    let mut found = scope::check(func);
    if found.is_empty() {
        found = bounds::check(func);
        found.extend(matrix::check(func));
        found.extend(target.into_iter().flat_map(|target| legal::check(func, target)));
    }
    found
}
