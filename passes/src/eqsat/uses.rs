//! Which values of the source graph need memory of their own.

use cranelift_entity::SecondaryMap;
use edgecc_ir::graph::ops::Op;
use edgecc_ir::graph::{Graph, OpId};

/// How a value is used.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Use {
    /// All uses end up in one op, through element-wise ops and views that may be fused into it.
    pub(crate) inline: bool,
    /// Several ops need it in memory.
    pub(crate) shared: bool,
}

/// The use of each op in `live`, which is in topological order.
pub(crate) fn uses(graph: &Graph, live: &[OpId]) -> SecondaryMap<OpId, Use> {
    let mut users: SecondaryMap<OpId, Vec<OpId>> = SecondaryMap::new();
    for &id in live {
        graph.ops[id].args.iter().for_each(|&a| users[a].push(id));
    }
    let mut ends: SecondaryMap<OpId, Option<OpId>> = SecondaryMap::new();
    let mut uses: SecondaryMap<OpId, Use> = SecondaryMap::new();
    for &id in live.iter().rev() {
        let output = graph.outputs.iter().any(|o| o.value == id);
        let joint = common_end(graph, &users[id], &ends).filter(|_| !output);
        ends[id] = joint.or(Some(id));
        let several = users[id].iter().any(|u| *u != users[id][0]) || output;
        uses[id] = Use { inline: joint.is_some(), shared: joint.is_none() && several };
    }
    uses
}

/// The op in which the work of all users ends up, when it is one and they may all be fused.
fn common_end(
    graph: &Graph,
    users: &[OpId],
    ends: &SecondaryMap<OpId, Option<OpId>>,
) -> Option<OpId> {
    let first = ends[*users.first()?];
    let joins = |&u: &OpId| is_fusible(&graph.ops[u].op) && ends[u] == first;
    users.iter().all(joins).then_some(first).flatten()
}

/// Ops that compute each element from the same element, or move elements.
fn is_fusible(op: &Op) -> bool {
    match op {
        Op::Map(_)
        | Op::Quantize(_)
        | Op::Dequantize(_)
        | Op::Requantize(_)
        | Op::Reshape(_)
        | Op::Transpose(_) => true,
        Op::Broadcast(_)
        | Op::Concat(_)
        | Op::Const(_)
        | Op::Conv(_)
        | Op::Gather(_)
        | Op::If(_)
        | Op::Input(_)
        | Op::MatMul(_)
        | Op::NonMaxSuppression(_)
        | Op::NonZero(_)
        | Op::Pad(_)
        | Op::Pool(_)
        | Op::Reduce(_)
        | Op::Repeat(_)
        | Op::Scatter(_)
        | Op::Slice(_)
        | Op::TopK(_) => false,
    }
}
