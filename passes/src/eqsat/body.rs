//! Composition of scalar bodies over classes.

use super::rule::Rewriter;
use crate::graph::simplify::simplify;
use edgecc_ir::scalar::{ExprBuilder, NodeId, ScalarExpr, ScalarNode};
use edgecc_ir::types::ElemType;
use egg::Id;
use indexmap::IndexSet;

/// What a parameter of a body stands for.
pub(crate) enum Source<'a> {
    /// The accumulator of the contraction whose epilogue is made.
    Acc(ElemType),
    /// An operand.
    Value(Id),
    /// The result of another body.
    Body(&'a ScalarExpr, Vec<Source<'a>>),
}

/// The sources of operands in order.
pub(crate) fn values<'a>(args: &[Id]) -> Vec<Source<'a>> {
    args.iter().map(|&a| Source::Value(a)).collect()
}

/// One simplified body for a tree of them, with its operands: each once, all used, constants last.
/// An accumulator is parameter 0, kept even when unused.
pub(crate) fn compose(rw: &Rewriter<'_>, top: &Source<'_>) -> (ScalarExpr, Vec<Id>) {
    let (mut operands, mut acc) = (IndexSet::new(), None);
    collect(top, &mut operands, &mut acc);
    let whole = build(rw, top, acc, &operands);
    let first = usize::from(acc.is_some());
    let used = |at: usize| whole.nodes().contains(&ScalarNode::Param((at + first) as u32));
    let mut kept: Vec<usize> = (0..operands.len()).filter(|&at| used(at)).collect();
    kept.sort_by_key(|&at| (rw.is_constant(operands[at]), at));
    let kept: IndexSet<Id> = kept.into_iter().map(|at| operands[at]).collect();
    let body = build(rw, top, acc, &kept);
    (body, kept.into_iter().collect())
}

fn collect(source: &Source<'_>, operands: &mut IndexSet<Id>, acc: &mut Option<ElemType>) {
    match source {
        Source::Acc(elem) => *acc = Some(*elem),
        Source::Value(id) => drop(operands.insert(*id)),
        Source::Body(_, inner) => inner.iter().for_each(|s| collect(s, operands, acc)),
    }
}

/// The composed body with `operands` as parameters; others are unused and stand for anything.
fn build(
    rw: &Rewriter<'_>,
    top: &Source<'_>,
    acc: Option<ElemType>,
    operands: &IndexSet<Id>,
) -> ScalarExpr {
    let types: Vec<ElemType> =
        acc.into_iter().chain(operands.iter().map(|&id| rw.ty(id).elem)).collect();
    let first = types.len() - operands.len();
    let expr = ScalarExpr::build(types.len() as u32, |b| inline(b, top, first, operands));
    simplify(&expr, &types)
}

fn inline(
    b: &mut ExprBuilder,
    source: &Source<'_>,
    first: usize,
    operands: &IndexSet<Id>,
) -> NodeId {
    match source {
        Source::Acc(_) => b.param(0),
        Source::Value(id) => {
            b.param((first + operands.get_index_of(id).unwrap_or_default()) as u32)
        }
        Source::Body(expr, inner) => {
            b.inline(expr, |b, p| inline(b, &inner[p as usize], first, operands))
        }
    }
}

/// `expr` from `root` upwards with some nodes replaced by what `with` builds.
pub(crate) fn replaced(
    expr: &ScalarExpr,
    root: NodeId,
    params: u32,
    mut with: impl FnMut(&mut ExprBuilder, NodeId) -> Option<NodeId>,
) -> ScalarExpr {
    ScalarExpr::build(params, |b| {
        let mut map: Vec<NodeId> = Vec::new();
        for (id, node) in expr.nodes().iter().enumerate() {
            let new = with(b, id as NodeId).unwrap_or_else(|| b.copy(node, &map));
            map.push(new);
        }
        map[root as usize]
    })
}
