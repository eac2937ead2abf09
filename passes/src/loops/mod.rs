//! LoopFn → LoopFn: legal operations, less work, the target's addressing.
//!
//! Each pass keeps L1 and L2 and the values stored to memory, up to the accuracy classes of
//! expanded functions.

mod expand;
pub mod interleave;
pub mod lane_broadcast;
pub mod legalize;
pub mod load_ahead;
mod pressure;
pub mod simplify;
#[cfg(test)]
mod testing;

use edgecc_ir::diag::Diagnostic;
use edgecc_ir::loops::{LoopFn, Loops};
use edgecc_ir::target::Target;

/// One row of the table of passes.
#[derive(Debug)]
pub struct LoopPass {
    /// Name for reports and for running it alone.
    pub name: &'static str,
    /// One line for the documentation.
    pub doc: &'static str,
    /// The pass; errors say what the target cannot do.
    pub run: fn(LoopFn, &Target) -> (LoopFn, Vec<Diagnostic>),
}

/// Every pass, in the order in which they run.
pub const PASSES: &[LoopPass] = &[
    LoopPass {
        name: "legalize",
        doc: "replaces scalar functions by sequences of the target's operations",
        run: legalize::legalize,
    },
    LoopPass {
        name: "lane-broadcast",
        doc: "loads neighbouring broadcast scalars as one vector where arithmetic takes a lane",
        run: |func, target| (lane_broadcast::group_broadcasts(func, target), Vec::new()),
    },
    LoopPass {
        name: "simplify",
        doc: "hoists invariant values, shares equal ones and removes dead ones",
        run: |func, target| (simplify::simplify(func, target), Vec::new()),
    },
    LoopPass {
        name: "load-ahead",
        doc: "loads some arithmetic ahead of the use where a core runs instructions in order",
        run: |func, target| (load_ahead::load_ahead(func, target), Vec::new()),
    },
    LoopPass {
        name: "interleave",
        doc: "lets independent arithmetic pass what waits where a core runs instructions in order",
        run: |func, target| (interleave::interleave(func, target), Vec::new()),
    },
];

/// Runs all passes on every function.
#[must_use]
pub fn run_all(loops: &mut Loops, target: &Target) -> Vec<Diagnostic> {
    loops.funcs.values_mut().flat_map(|func| run_on(func, target)).collect()
}

fn run_on(func: &mut LoopFn, target: &Target) -> Vec<Diagnostic> {
    PASSES
        .iter()
        .flat_map(|pass| {
            let (done, errors) = (pass.run)(func.clone(), target);
            *func = done;
            errors
        })
        .collect()
}
