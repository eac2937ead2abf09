//! Means of numbers as sums of their codes, exact in `i32`.
//!
//! A mean ends in the middle between two codes whenever its sum is an odd multiple of half the
//! count, so that the rounding of a float sum would decide often. The operations are those of
//! `docs/numerics.md`, Quantisation.

use super::codes::dequantized;
use crate::eqsat::body::{Source, compose};
use crate::eqsat::node::Node;
use crate::eqsat::rule::{Class, Rewriter, Rule};
use crate::eqsat::sample::Sample;
use edgecc_ir::graph::OpId;
use edgecc_ir::graph::ops::{
    Dequantize, Layout, Map, Op, OpTag, Pool, Reduce, Requantize, Window, is_code,
};
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::scalar::{ScalarExpr, ScalarNode};
use edgecc_ir::tensor::Scalar;
use edgecc_ir::types::ElemType;
use egg::Id;

pub(crate) const RULES: &[Rule] = &[
    Rule {
        name: "quantize-of-mean",
        class: Class::Quant,
        doc: "quantize (reduce add (dequantize (q, s)) · c, u) = requantize (reduce add (q − z), s/u·c)",
        root: OpTag::Quantize,
        apply: |rw, root| quantize_of_mean(rw, root, OpTag::Reduce),
        example: |s| {
            let x = numbers(s, &[3, 4]);
            let sum = s.add(Reduce { func: ScalarFn::Add, dims: vec![1] }, &[x]);
            let mean = s.call_with(ScalarFn::Mul, 0.25, sum);
            let scale = s.scale(&[3, 1]);
            s.quantize(mean, scale, -3)
        },
    },
    Rule {
        name: "quantize-of-mean-pool",
        class: Class::Quant,
        doc: "quantize (pool add (dequantize (q, s)) · c, u) = requantize (pool add (q − z), s/u·c)",
        root: OpTag::Quantize,
        apply: |rw, root| quantize_of_mean(rw, root, OpTag::Pool),
        example: |s| {
            let x = numbers(s, &[1, 4, 3, 2]);
            let window = Window { pads_begin: vec![1, 0], ..Window::unit(2) };
            let (kernel, layout) = (vec![2, 3], Layout::ChannelsLast);
            let sum = s.add(Pool { func: ScalarFn::Add, kernel, window, layout }, &[x]);
            let dims = s.dims(sum);
            let parts = s.scales(&dims);
            let mean = s.call(ScalarFn::Mul, &[sum, parts]);
            let scale = s.scale(&dims);
            s.quantize(mean, scale, 5)
        },
    },
];

/// What a sum is multiplied with.
enum Factor {
    Literal(f32),
    Constant(Id),
}

fn quantize_of_mean(rw: &mut Rewriter<'_>, root: &Node, tag: OpTag) -> Option<Id> {
    let Op::Quantize(to) = &root.op else { return None };
    let unit = rw.uniform(root.args[1])?.as_f32();
    let maps = rw.nodes(root.args[0], OpTag::Map);
    let (sum, factor) = maps.iter().find_map(|map| scaled(rw, map))?;
    let results = rw.ty(sum).shape.numel();
    let sums = rw.nodes(sum, tag);
    let (node, (codes, zero_point, scale)) =
        sums.iter().find_map(|node| Some((node, summed(rw, node, results)?)))?;
    let ratio = rw.uniform(scale)?.as_f32() / unit;
    let centred = centred(rw, codes, zero_point);
    let sum = rw.add(node.op.clone(), &[centred]);
    let factor = match factor {
        Factor::Literal(factor) => (ScalarExpr::build(0, |b| b.f32(ratio * factor)), vec![]),
        Factor::Constant(id) => (times(ratio), vec![Source::Value(id)]),
    };
    let requantize = Requantize { from_zero_point: 0, to: to.clone() }.body();
    let sources = vec![Source::Value(sum), Source::Body(&factor.0, factor.1)];
    let (body, args) = compose(rw, &Source::Body(&requantize, sources));
    Some(rw.add(Map { body }, &args))
}

/// The operand and the constant factor of a map that is a product.
fn scaled(rw: &Rewriter<'_>, map: &Node) -> Option<(Id, Factor)> {
    let Op::Map(op) = &map.op else { return None };
    let [nodes @ .., ScalarNode::Call(ScalarFn::Mul, args)] = op.body.nodes() else { return None };
    let [a, b] = [0, 1].map(|at| &nodes[args[at] as usize]);
    match (a, b) {
        (ScalarNode::Param(_), ScalarNode::Const(c))
        | (ScalarNode::Const(c), ScalarNode::Param(_)) => {
            Some((map.args[0], Factor::Literal(c.as_f32())))
        }
        (ScalarNode::Param(a), ScalarNode::Param(b)) => {
            let [a, b] = [a, b].map(|&at| map.args[at as usize]);
            let pair = if rw.is_constant(a) { (b, a) } else { (a, b) };
            rw.is_constant(pair.1).then_some((pair.0, Factor::Constant(pair.1)))
        }
        _ => None,
    }
}

/// The function of a reduction, and how many elements it takes for each of its `results`.
fn reducer(op: &Op, operand: usize, results: usize) -> Option<(ScalarFn, usize)> {
    match op {
        Op::Reduce(reduce) => Some((reduce.func, operand / results.max(1))),
        Op::Pool(pool) => Some((pool.func, pool.kernel.iter().map(|&k| k as usize).product())),
        _ => None,
    }
}

/// The operand of a reduction that adds so few codes that no sum leaves `i32`.
fn summed(rw: &mut Rewriter<'_>, sum: &Node, results: usize) -> Option<(Id, i32, Id)> {
    let (codes, zero_point, scale) = dequantized(rw, sum.args[0])?;
    let ty = rw.ty(codes);
    let (func, terms) = reducer(&sum.op, ty.shape.numel(), results)?;
    let (lo, hi) = ty.elem.int_range().filter(|_| is_code(ty.elem))?;
    let largest = i128::from(hi) - i128::from(lo);
    let fits = largest * terms as i128 <= i128::from(i32::MAX);
    (func == ScalarFn::Add && fits).then_some((codes, zero_point, scale))
}

/// `i32(q) − z`.
fn centred(rw: &mut Rewriter<'_>, codes: Id, zero_point: i32) -> Id {
    let centred = ScalarExpr::build(1, |b| {
        let code = b.param(0);
        let wide = b.cast(ElemType::I32, code);
        let zero = b.constant(Scalar::from_i64(ElemType::I32, i64::from(zero_point)));
        b.call(ScalarFn::Sub, &[wide, zero])
    });
    let (body, args) = compose(rw, &Source::Body(&centred, vec![Source::Value(codes)]));
    rw.add(Map { body }, &args)
}

fn times(literal: f32) -> ScalarExpr {
    ScalarExpr::build(1, |b| {
        let (literal, x) = (b.f32(literal), b.param(0));
        b.call(ScalarFn::Mul, &[literal, x])
    })
}

fn numbers(s: &mut Sample, dims: &[usize]) -> OpId {
    let (q, scale) = (s.typed_input(ElemType::I8, dims), s.scale(dims));
    s.add(Dequantize { zero_point: 7 }, &[q, scale])
}
