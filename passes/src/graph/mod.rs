//! Graph → Graph: normal forms, constant folding, data layout, equality saturation, dead code.
//!
//! Purpose   makes the graph small and its layout fit the machine, so that one op is one kernel.
//! In → Out  Graph → Graph of the same meaning (floats reordered within `docs/numerics.md`).
//! Owns      normal forms of tensor ops and the channels-last decision.
//! Never     edits `ops` in place: every pass goes through `rebuild`.
//! To add    a pass: one file with a `PASS` and one row in `PASSES`.
//! Tests     `mod tests` in each file; `tests/passes/<pass>`.

pub mod bodies;
pub mod canonicalize;
pub mod centre;
pub mod dce;
mod distances;
pub mod fold_constants;
pub mod halves;
pub mod layout;
mod operands;
pub(crate) mod perm;
pub mod quant;
pub(crate) mod rebuild;
pub mod signs;
pub(crate) mod simplify;
pub mod singles;
pub mod tables;
pub mod zero_points;

use crate::eqsat;
use crate::manager::{Level, Pass};
use edgecc_ir::graph::Graph;
use edgecc_ir::graph::verify::verify;
use std::hash::{DefaultHasher, Hash, Hasher};

/// The graph passes in pipeline order.
///
/// Canonical forms come first since every later pass matches them only. Bodies come after folding,
/// which finds the constants that move into them. Layout and saturation leave constant expressions
/// behind (permuted weights, scaled filters) for the second folding; the first one leaves quantised
/// constants alone, as saturation looks at their codes, and remarks do.
pub const PASSES: &[Pass<Graph>] = &[
    canonicalize::PASS,
    singles::PASS,
    fold_constants::EXCEPT_CODES,
    bodies::PASS,
    layout::PASS,
    eqsat::PASS,
    quant::PASS,
    fold_constants::PASS,
    tables::PASS,
    centre::PASS,
    halves::PASS,
    signs::PASS,
    zero_points::PASS,
    dce::PASS,
];

impl Level for Graph {
    fn verify(&self) -> Result<(), String> {
        verify(self)
            .map_err(|broken| broken.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    }

    fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.consts.len().hash(&mut hasher);
        self.outputs.hash(&mut hasher);
        for &id in &self.order {
            let data = &self.ops[id];
            (id, &data.op, &data.args).hash(&mut hasher);
        }
        hasher.finish()
    }
}
