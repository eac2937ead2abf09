//! What of a body is needed for some of its results.

use edgecc_ir::graph::ops::{Op, Repeat};
use edgecc_ir::graph::{Graph, OpId};
use std::collections::BTreeSet;

/// The needed part of a body.
pub(super) struct Live {
    /// Ops in order.
    pub(super) ops: Vec<OpId>,
    /// Positions of parameters.
    pub(super) params: BTreeSet<usize>,
    /// Positions of results.
    pub(super) results: BTreeSet<usize>,
}

/// What computes these results.
pub(super) fn of_results(graph: &Graph, results: &BTreeSet<usize>) -> Live {
    let mut needed: BTreeSet<OpId> = results.iter().map(|&n| graph.outputs[n].value).collect();
    for &op in graph.order.iter().rev() {
        if needed.contains(&op) {
            needed.extend(&graph.ops[op].args);
        }
    }
    let ops: Vec<OpId> = graph.order.iter().copied().filter(|op| needed.contains(op)).collect();
    let param = |&op: &OpId| match &graph.ops[op].op {
        Op::Input(input) => Some(input.index as usize),
        _ => None,
    };
    let params = ops.iter().filter_map(param).collect();
    Live { ops, params, results: results.clone() }
}

/// What computes these results of a repetition: with its condition and all carried values that
/// they depend on.
pub(super) fn of_repeat(op: &Repeat, wanted: &BTreeSet<usize>) -> Live {
    let mut results = wanted.clone();
    results.extend(op.conditional.then_some(0));
    loop {
        let live = of_results(op.body.graph(), &results);
        let read = live.params.iter().copied().filter(|&n| n < op.carried as usize);
        results.extend(read);
        if results == live.results {
            return live;
        }
    }
}
