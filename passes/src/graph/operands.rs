//! Normal form of a scalar body with its operands: uniform constants are literals, no operand
//! occurs twice or unused, constants come last.

use super::rebuild::Rebuild;
use super::simplify::simplify;
use edgecc_ir::graph::OpId;
use edgecc_ir::graph::ops::Op;
use edgecc_ir::scalar::{ScalarExpr, ScalarNode};
use edgecc_ir::tensor::Scalar;
use edgecc_ir::types::ElemType;
use indexmap::IndexSet;

/// A body and its operands.
pub(crate) struct Body {
    /// One parameter per leading value and operand.
    pub(crate) expr: ScalarExpr,
    /// The operands.
    pub(crate) args: Vec<OpId>,
}

/// The normal form of `expr`, whose first parameters have the types `leading` (an accumulator) and
/// whose others are `args`.
pub(crate) fn normalize(
    new: &Rebuild,
    expr: &ScalarExpr,
    leading: &[ElemType],
    args: &[OpId],
) -> Body {
    let expr = with_literals(new, expr, leading.len(), args);
    let types = leading.iter().copied().chain(args.iter().map(|&a| new.ty(a).elem));
    let expr = simplify(&expr, &types.collect::<Vec<_>>());
    let mut kept: Vec<usize> = used_params(&expr).filter(|&p| p >= leading.len()).collect();
    kept.sort_by_key(|&p| (is_constant(new, args[p - leading.len()]), p));
    let kept: IndexSet<OpId> = kept.into_iter().map(|p| args[p - leading.len()]).collect();
    let expr = expr.substitute((leading.len() + kept.len()) as u32, |b, p| {
        let place = (p as usize).checked_sub(leading.len());
        b.param(place.map_or(p, |at| {
            let slot = kept.get_index_of(&args[at]).expect("used parameters are kept");
            (leading.len() + slot) as u32
        }))
    });
    let expr = simplify(&expr, &kept_types(new, leading, &kept));
    Body { expr, args: kept.into_iter().collect() }
}

/// The value of every element, when they are known to be equal.
pub(crate) fn uniform(new: &Rebuild, id: OpId) -> Option<Scalar> {
    match new.op(id) {
        Op::Const(_) => new.graph().as_const(id)?.uniform(),
        Op::Broadcast(_) | Op::Reshape(_) | Op::Transpose(_) | Op::Slice(_) => {
            uniform(new, new.arg(id, 0))
        }
        _ => None,
    }
}

/// Whether the value depends on constants alone, seen through ops that move
/// or dequantise elements.
pub(crate) fn is_constant(new: &Rebuild, id: OpId) -> bool {
    match new.op(id) {
        Op::Const(_) => true,
        Op::Broadcast(_) | Op::Dequantize(_) | Op::Reshape(_) | Op::Transpose(_) | Op::Slice(_) => {
            is_constant(new, new.arg(id, 0))
        }
        _ => false,
    }
}

fn kept_types(new: &Rebuild, leading: &[ElemType], kept: &IndexSet<OpId>) -> Vec<ElemType> {
    leading.iter().copied().chain(kept.iter().map(|&a| new.ty(a).elem)).collect()
}

fn with_literals(new: &Rebuild, expr: &ScalarExpr, leading: usize, args: &[OpId]) -> ScalarExpr {
    expr.substitute(expr.params(), |b, p| {
        let literal = (p as usize).checked_sub(leading).and_then(|at| uniform(new, args[at]));
        match literal {
            Some(value) => b.constant(value),
            None => b.param(p),
        }
    })
}

fn used_params(expr: &ScalarExpr) -> impl Iterator<Item = usize> + '_ {
    expr.nodes().iter().filter_map(|node| match node {
        ScalarNode::Param(p) => Some(*p as usize),
        ScalarNode::Const(_)
        | ScalarNode::Cast(..)
        | ScalarNode::Call(..)
        | ScalarNode::Lookup(..) => None,
    })
}
