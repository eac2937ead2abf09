//! Literal factors moved to where they cost nothing: into other literals, and through clamps into a
//! sum with a literal, which a multiplication-and-addition computes as fast as the sum alone. The
//! hard swish `x · min(max(x + 3, 0), 6) / 6` and a factor behind it are four operations then.

use crate::eqsat::body::replaced;
use crate::eqsat::node::Node;
use crate::eqsat::rule::{Class, Rewriter, Rule};
use crate::eqsat::sample::Sample;
use crate::graph::simplify::simplify;
use edgecc_ir::graph::OpId;
use edgecc_ir::graph::ops::{Conv, Layout, Map, MatMul, Op, OpTag, Window, sum_elem};
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::scalar::{ExprBuilder, NodeId, ScalarExpr, ScalarNode};
use edgecc_ir::tensor::Scalar;
use edgecc_ir::types::ElemType;
use egg::Id;

pub(crate) const RULES: &[Rule] = &[
    Rule {
        name: "factor-into-map",
        class: Class::Reassoc,
        doc: "k (x clamp (y + c, lo, hi)) = x clamp (k y + k c, k lo, k hi), k, c, lo, hi literals",
        root: OpTag::Map,
        apply: |rw, root| {
            let Op::Map(op) = &root.op else { return None };
            let types = elems(rw, &root.args);
            let body = factors_inside(&op.body, &types)?;
            Some(rw.add(Map { body }, &root.args))
        },
        example: |s| {
            let x = s.input(&[3, 4]);
            let body = swish(s);
            s.add(Map { body }, &[x])
        },
    },
    Rule {
        name: "factor-into-conv",
        class: Class::Reassoc,
        doc: "the same in what a convolution does to its sums",
        root: OpTag::Conv,
        apply: |rw, root| {
            let Op::Conv(op) = &root.op else { return None };
            let epilogue = factors_inside(&op.epilogue, &epilogue_elems(rw, root))?;
            Some(rw.add(Conv { epilogue, ..op.clone() }, &root.args))
        },
        example: conv_example,
    },
    Rule {
        name: "factor-into-matmul",
        class: Class::Reassoc,
        doc: "the same in what a product of matrices does to its sums",
        root: OpTag::MatMul,
        apply: |rw, root| {
            let Op::MatMul(op) = &root.op else { return None };
            let epilogue = factors_inside(&op.epilogue, &epilogue_elems(rw, root))?;
            Some(rw.add(MatMul { epilogue, ..op.clone() }, &root.args))
        },
        example: |s| {
            let (a, w) = (s.input(&[3, 5]), s.constant(&[5, 4]));
            let epilogue = swish(s);
            s.add(MatMul { epilogue, ..MatMul::plain() }, &[a, w])
        },
    },
];

fn elems(rw: &Rewriter<'_>, args: &[Id]) -> Vec<ElemType> {
    args.iter().map(|&arg| rw.ty(arg).elem).collect()
}

/// The types of an epilogue's parameters.
fn epilogue_elems(rw: &Rewriter<'_>, root: &Node) -> Vec<ElemType> {
    let acc = sum_elem(rw.ty(root.args[0]).elem);
    [acc].into_iter().chain(elems(rw, &root.args[2..])).collect()
}

/// The expression with the first literal factor that disappears in what it multiplies.
fn factors_inside(expr: &ScalarExpr, params: &[ElemType]) -> Option<ScalarExpr> {
    let mut moved = false;
    let whole = replaced(expr, expr.root(), expr.params(), |b, id| {
        let (x, factor) = literal_factor(expr, id).filter(|_| !moved)?;
        let product = scaled(b, expr, x, factor, Sums::Stay)?;
        moved = true;
        Some(product)
    });
    (moved && !expr.rounds()).then(|| simplify(&whole, params))
}

/// The other operand and the factor of a product with an `f32` literal.
fn literal_factor(expr: &ScalarExpr, id: NodeId) -> Option<(NodeId, f32)> {
    let ScalarNode::Call(ScalarFn::Mul, factors) = &expr.nodes()[id as usize] else { return None };
    let (x, factor) = beside_literal(expr, factors)?;
    let is_normal = factor.elem() == ElemType::F32 && factor.as_f32().is_normal();
    is_normal.then(|| (x, factor.as_f32()))
}

/// The operand that is no literal, and the literal, if one of two is.
fn beside_literal(expr: &ScalarExpr, operands: &[NodeId]) -> Option<(NodeId, Scalar)> {
    let literal = |id: NodeId| match expr.nodes()[id as usize] {
        ScalarNode::Const(c) => Some(c),
        _ => None,
    };
    let &[a, b] = operands else { return None };
    match (literal(a), literal(b)) {
        (None, Some(c)) => Some((a, c)),
        (Some(c), None) => Some((b, c)),
        (None, None) | (Some(_), Some(_)) => None,
    }
}

/// Whether a sum may absorb a factor. Only inside a clamp, which would hide it from the factor
/// otherwise: a difference of neighbours keeps its digits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sums {
    Stay,
    Absorb,
}

/// `factor` times a node that nothing else uses, in no more operations than the node has itself.
fn scaled(
    b: &mut ExprBuilder,
    expr: &ScalarExpr,
    id: NodeId,
    factor: f32,
    sums: Sums,
) -> Option<NodeId> {
    let whole = |b: &mut ExprBuilder, id| b.inline(&expr.subexpression(id), |b, p| b.param(p));
    let (func, args) = match &expr.nodes()[id as usize] {
        ScalarNode::Const(c) => return Some(b.constant(scaled_literal(*c, factor)?)),
        ScalarNode::Call(func, args) if expr.uses(id) == 1 => (*func, args),
        ScalarNode::Call(..)
        | ScalarNode::Cast(..)
        | ScalarNode::Lookup(..)
        | ScalarNode::Param(_) => return None,
    };
    match func {
        ScalarFn::Mul => {
            let pairs = [(args[0], args[1]), (args[1], args[0])];
            let (product, other) = pairs
                .into_iter()
                .find_map(|(x, y)| Some((scaled(b, expr, x, factor, Sums::Stay)?, y)))?;
            let other = whole(b, other);
            Some(b.call(func, &[other, product]))
        }
        ScalarFn::Min | ScalarFn::Max => {
            let args = [args[0], args[1]].map(|x| scaled(b, expr, x, factor, Sums::Absorb));
            let args = [args[0]?, args[1]?];
            Some(b.call(if factor < 0.0 { opposite(func) } else { func }, &args))
        }
        ScalarFn::Add if sums == Sums::Absorb => {
            let (x, literal) = beside_literal(expr, args)?;
            let (x, literal) = (whole(b, x), b.constant(scaled_literal(literal, factor)?));
            let factor = b.f32(factor);
            let product = b.call(ScalarFn::Mul, &[x, factor]);
            Some(b.call(ScalarFn::Add, &[product, literal]))
        }
        _ => None,
    }
}

/// The comparison of negated numbers.
fn opposite(func: ScalarFn) -> ScalarFn {
    if func == ScalarFn::Min { ScalarFn::Max } else { ScalarFn::Min }
}

/// The product, unless it leaves the range in which `f32` has all its digits.
fn scaled_literal(literal: Scalar, factor: f32) -> Option<Scalar> {
    let value = (literal.elem() == ElemType::F32).then(|| literal.as_f32())?;
    let product = value * factor;
    let keeps_digits = product.is_normal() || !value.is_finite() || value == 0.0;
    keeps_digits.then(|| Scalar::f32(product))
}

/// `x · min(6, max(0, x + 3))` times two literals.
fn swish(s: &mut Sample) -> ScalarExpr {
    let scale = if s.below(2) == 0 { -1.25 } else { 1.5 };
    ScalarExpr::build(1, |b| {
        let (x, three, zero, six) = (b.param(0), b.f32(3.0), b.f32(0.0), b.f32(6.0));
        let shifted = b.call(ScalarFn::Add, &[x, three]);
        let positive = b.call(ScalarFn::Max, &[zero, shifted]);
        let gate = b.call(ScalarFn::Min, &[six, positive]);
        let product = b.call(ScalarFn::Mul, &[x, gate]);
        let (sixth, scale) = (b.f32(1.0 / 6.0), b.f32(scale));
        let swish = b.call(ScalarFn::Mul, &[product, sixth]);
        b.call(ScalarFn::Mul, &[swish, scale])
    })
}

fn conv_example(s: &mut Sample) -> OpId {
    let (x, w) = (s.input(&[1, 4, 3, 2]), s.constant(&[3, 2, 2, 2]));
    let plain = Conv::plain(Window::unit(2), 1, Layout::ChannelsLast);
    let epilogue = swish(s);
    s.add(Conv { epilogue, ..plain }, &[x, w])
}

#[cfg(test)]
mod tests {
    use super::factors_inside;
    use edgecc_ir::scalar::func::ScalarFn;
    use edgecc_ir::scalar::{ExprBuilder, NodeId, ScalarExpr};
    use edgecc_ir::types::ElemType;

    /// `factor · body (x)` with the factor inside.
    fn moved(factor: f32, body: impl Fn(&mut ExprBuilder, NodeId) -> NodeId) -> Option<ScalarExpr> {
        let expr = ScalarExpr::build(1, |b| {
            let x = b.param(0);
            let (body, factor) = (body(b, x), b.f32(factor));
            b.call(ScalarFn::Mul, &[body, factor])
        });
        factors_inside(&expr, &[ElemType::F32])
    }

    fn with(b: &mut ExprBuilder, func: ScalarFn, x: NodeId, literal: f32) -> NodeId {
        let literal = b.f32(literal);
        b.call(func, &[x, literal])
    }

    #[test]
    fn factors_of_literals_are_one() {
        let tripled = moved(2.0, |b, x| with(b, ScalarFn::Mul, x, 1.5)).expect("it moves");
        let three = ScalarExpr::build(1, |b| {
            let x = b.param(0);
            with(b, ScalarFn::Mul, x, 3.0)
        });
        assert_eq!(tripled, three);
    }

    #[test]
    fn negative_factors_exchange_bounds() {
        let clamp = |b: &mut ExprBuilder, x| {
            let sum = with(b, ScalarFn::Add, x, 1.0);
            with(b, ScalarFn::Max, sum, 0.5)
        };
        let turned = ScalarExpr::build(1, |b| {
            let x = b.param(0);
            let product = with(b, ScalarFn::Mul, x, -2.0);
            let sum = with(b, ScalarFn::Add, product, -2.0);
            with(b, ScalarFn::Min, sum, -1.0)
        });
        assert_eq!(moved(-2.0, clamp), Some(turned));
    }

    #[test]
    fn factors_stay_before_sums_and_results_that_others_use() {
        assert_eq!(moved(2.0, |b, x| with(b, ScalarFn::Add, x, 1.0)), None);
        let twice = |b: &mut ExprBuilder, x| {
            let product = with(b, ScalarFn::Mul, x, 3.0);
            b.call(ScalarFn::Sub, &[product, product])
        };
        assert_eq!(moved(2.0, twice), None);
    }
}
