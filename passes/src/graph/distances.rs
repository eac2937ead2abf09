//! How far signed codes move when they are stored unsigned: by what makes the lowest code 0. What a
//! clamp bounds at the code of zero then has zero there, and pads of zeros need no copies.
//!
//! Values that are moved to a common place move by the same distance.

use super::rebuild::live_ops;
use crate::codes::{Code, tables};
use cranelift_entity::SecondaryMap;
use edgecc_ir::graph::ops::Op;
use edgecc_ir::graph::{Graph, OpData, OpId};
use edgecc_ir::scalar::ScalarExpr;
use edgecc_ir::types::ElemType;

/// What moves every code of eight bits into the unsigned ones.
const MOST: i32 = 128;

/// The distance of each value of signed codes.
pub(super) fn distances(graph: &Graph) -> SecondaryMap<OpId, i32> {
    let live = live_ops(graph);
    let mut distances = SecondaryMap::with_default(MOST);
    for &id in &live {
        distances[id] = own(graph, id).clamp(-MOST, MOST);
        for (arg, zero) in zeros(&graph.ops[id]) {
            distances[arg] = distances[arg].max(-zero).min(MOST);
        }
    }
    let mut is_final = false;
    while !is_final {
        let smaller = live.iter().filter(|&&id| join(graph, id, &mut distances));
        is_final = smaller.count() == 0;
    }
    distances
}

/// The least distance for what an op itself states; any for what it moves.
fn own(graph: &Graph, id: OpId) -> i32 {
    let lowest = |expr: &ScalarExpr| {
        let code = Code::of_codes(expr.nodes(), expr.root());
        let clamped = code.filter(|code| code.fits(ElemType::I8)).map(Code::lowest);
        clamped.or_else(|| tables::lowest(expr)).unwrap_or(-MOST)
    };
    -match &graph.ops[id].op {
        Op::Quantize(op) => op.lo.min(op.zero_point),
        Op::Requantize(op) => op.to.lo.min(op.to.zero_point),
        Op::Map(op) => lowest(&op.body),
        Op::Conv(op) => lowest(&op.epilogue),
        Op::MatMul(op) => lowest(&op.epilogue),
        Op::Pad(op) => op.value.as_i64().clamp(-128, 128) as i32,
        Op::Pool(op) if op.window.is_padded() => -MOST,
        op if moved(op, &graph.ops[id].args).is_some() => MOST,
        _ => -MOST,
    }
}

/// The operands whose codes of zero an op states, which stay codes.
fn zeros(data: &OpData) -> Vec<(OpId, i32)> {
    let args = &data.args;
    match &data.op {
        Op::Conv(op) => vec![(args[0], op.zeros.x), (args[1], op.zeros.w)],
        Op::MatMul(op) => vec![(args[0], op.zeros.x), (args[1], op.zeros.w)],
        Op::Dequantize(op) => vec![(args[0], op.zero_point)],
        Op::Requantize(op) => vec![(args[0], op.from_zero_point)],
        _ => Vec::new(),
    }
}

/// The operands that an op moves codes from.
fn moved<'a>(op: &Op, args: &'a [OpId]) -> Option<&'a [OpId]> {
    match op {
        Op::Reshape(_) | Op::Transpose(_) | Op::Slice(_) | Op::Broadcast(_) | Op::Concat(_) => {
            Some(args)
        }
        Op::Pool(_) | Op::Pad(_) | Op::Gather(_) => Some(&args[..1]),
        _ => None,
    }
}

/// Raises the distances of an op and of what it moves to the largest of them; tells whether any was
/// smaller.
fn join(graph: &Graph, id: OpId, distances: &mut SecondaryMap<OpId, i32>) -> bool {
    let OpData { op, args, .. } = &graph.ops[id];
    let Some(args) = moved(op, args) else { return false };
    let values = || args.iter().copied().chain([id]);
    let most = values().map(|value| distances[value]).max().unwrap_or(MOST);
    let smaller = values().any(|value| distances[value] < most);
    values().for_each(|value| distances[value] = most);
    smaller
}
