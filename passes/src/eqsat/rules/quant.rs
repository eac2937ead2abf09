//! Quantised values: conversions that cancel, clamps that become bounds.

use crate::eqsat::body::{Source, compose, values};
use crate::eqsat::node::Node;
use crate::eqsat::rule::{Class, Rewriter, Rule};
use crate::eqsat::sample::Sample;
use edgecc_ir::graph::OpId;
use edgecc_ir::graph::ops::{
    Broadcast, Concat, Dequantize, Layout, Map, Op, OpTag, Pool, Quantize, Window,
};
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::scalar::{NodeId, ScalarExpr, ScalarNode};
use edgecc_ir::tensor::Scalar;
use edgecc_ir::types::{ElemType, Shape};
use egg::Id;

pub(crate) const RULES: &[Rule] = &[
    Rule {
        name: "quantize-of-dequantize",
        class: Class::Exact,
        doc: "quantize (dequantize (q, s), s) = clamp q for equal zero points, q itself for full bounds",
        root: OpTag::Quantize,
        apply: quantize_of_dequantize,
        example: |s| {
            let x = codes(s);
            let scale = s.scale(&[3, 4]);
            let real = s.add(Dequantize { zero_point: 5 }, &[x, scale]);
            s.quantize(real, scale, 5)
        },
    },
    Rule {
        name: "clamp-into-bounds",
        class: Class::Quant,
        doc: "quantize (max (c, x), s) = quantize with lo = code of c (x, s); so for min and hi",
        root: OpTag::Quantize,
        apply: clamp_into_bounds,
        example: |s| {
            let x = s.input(&[3, 4]);
            let x = s.call_with(ScalarFn::Max, 0.0, x);
            let scale = s.scale(&[3, 4]);
            s.quantize(x, scale, -7)
        },
    },
    Rule {
        name: "max-pool-of-dequantize",
        class: Class::Exact,
        doc: "pool max (dequantize (q, s)) = dequantize (pool max q, s) for one scale",
        root: OpTag::Pool,
        apply: pool_of_dequantize,
        example: pool_of_dequantize_example,
    },
    Rule {
        name: "concat-of-dequantize",
        class: Class::Exact,
        doc: "concat (dequantize (p, s), dequantize (q, s)) = dequantize (concat (p, q), s)",
        root: OpTag::Concat,
        apply: concat_of_dequantize,
        example: |s| {
            let scale = s.scale(&[3, 4]);
            let parts = [(); 2].map(|()| {
                let q = codes(s);
                s.add(Dequantize { zero_point: 2 }, &[q, scale])
            });
            s.add(Concat { dim: 1 }, &parts)
        },
    },
];

/// A dequantisation with its codes and scales.
pub(super) fn dequantized(rw: &mut Rewriter<'_>, id: Id) -> Option<(Dequantize, Id, Id)> {
    let node = rw.node(id, OpTag::Dequantize)?;
    match &node.op {
        Op::Dequantize(op) => Some((op.clone(), node.args[0], node.args[1])),
        _ => None,
    }
}

fn quantize_of_dequantize(rw: &mut Rewriter<'_>, root: &Node) -> Option<Id> {
    let Op::Quantize(to) = &root.op else { return None };
    let (from, codes, scale) = dequantized(rw, root.args[0])?;
    let same = rw.ty(codes).elem == to.to && to.zero_point == from.zero_point;
    if !same || !rw.same(scale, root.args[1]) {
        return None;
    }
    if *to == Quantize::full(to.to, to.zero_point) {
        return Some(codes);
    }
    let body = ScalarExpr::build(1, |b| {
        let bounds = [(ScalarFn::Max, to.lo), (ScalarFn::Min, to.hi)];
        bounds.into_iter().fold(b.param(0), |code, (func, bound)| {
            let bound = b.constant(Scalar::from_i64(to.to, i64::from(bound)));
            b.call(func, &[code, bound])
        })
    });
    Some(rw.add(Map { body }, &[codes]))
}

/// Takes the outermost clamp of the map that makes the operand.
fn clamp_into_bounds(rw: &mut Rewriter<'_>, root: &Node) -> Option<Id> {
    let Op::Quantize(to) = &root.op else { return None };
    let scale = rw.uniform(root.args[1])?.as_f32();
    let map = rw.node(root.args[0], OpTag::Map)?;
    let Op::Map(op) = &map.op else { return None };
    let (func, literal, x) = outer_clamp(&op.body)?;
    let code = (literal / scale).round_ties_even() + to.zero_point as f32;
    let code = code.clamp(to.lo as f32, to.hi as f32) as i32;
    let bounded = match func {
        ScalarFn::Max => Quantize { lo: code, ..to.clone() },
        _ => Quantize { hi: code, ..to.clone() },
    };
    let body = op.body.subexpression(x);
    let sources = values(&map.args);
    let top = Source::Body(&body, sources);
    let (body, args) = compose(rw, &top);
    let x = match body.is_identity() {
        true => args[0],
        false if args.is_empty() => return None,
        false => rw.add(Map { body }, &args),
    };
    Some(rw.add(bounded, &[x, root.args[1]]))
}

/// `max (c, x)` or `min (c, x)` at the root: the function, the literal and the other operand.
fn outer_clamp(body: &ScalarExpr) -> Option<(ScalarFn, f32, NodeId)> {
    let ScalarNode::Call(func @ (ScalarFn::Max | ScalarFn::Min), args) = body.nodes().last()?
    else {
        return None;
    };
    let literal = |at: usize| match &body.nodes()[args[at] as usize] {
        ScalarNode::Const(value) if value.elem() == ElemType::F32 => Some(value.as_f32()),
        _ => None,
    };
    match (literal(0), literal(1)) {
        (Some(c), None) if !c.is_nan() => Some((*func, c, args[1])),
        (None, Some(c)) if !c.is_nan() => Some((*func, c, args[0])),
        _ => None,
    }
}

/// The largest code is the largest number since scales are positive. Each window must see an
/// element, as the neutral element of codes stands for a finite number.
fn pool_of_dequantize(rw: &mut Rewriter<'_>, root: &Node) -> Option<Id> {
    let Op::Pool(pool) = &root.op else { return None };
    let (op, codes, scale) = dequantized(rw, root.args[0])?;
    let pads = pool.window.pads_begin.iter().zip(&pool.window.pads_end).zip(&pool.kernel);
    let small = pads.into_iter().all(|((&low, &high), &k)| low < k && high < k);
    if pool.func != ScalarFn::Max || !small || pool.window.dilations.iter().any(|&d| d != 1) {
        return None;
    }
    let pooled = rw.add(pool.clone(), &[codes]);
    let shape = rw.ty(pooled).shape.clone();
    let scale = one_scale(rw, scale, &shape)?;
    Some(rw.add(op, &[pooled, scale]))
}

fn concat_of_dequantize(rw: &mut Rewriter<'_>, root: &Node) -> Option<Id> {
    let Op::Concat(concat) = &root.op else { return None };
    let parts: Vec<_> =
        root.args.iter().map(|&a| dequantized(rw, a)).collect::<Option<Vec<_>>>()?;
    let (op, codes, scale) = parts.first()?.clone();
    let elem = rw.ty(codes).elem;
    let value = rw.uniform(scale)?;
    let alike = parts.iter().all(|(other, q, s)| {
        *other == op && rw.ty(*q).elem == elem && rw.uniform(*s) == Some(value)
    });
    if !alike {
        return None;
    }
    let codes: Vec<Id> = parts.iter().map(|(_, q, _)| *q).collect();
    let joined = rw.add(concat.clone(), &codes);
    let shape = rw.ty(joined).shape.clone();
    let scale = one_scale(rw, scale, &shape)?;
    Some(rw.add(op, &[joined, scale]))
}

/// A scale that is the same everywhere, for another shape.
pub(super) fn one_scale(rw: &mut Rewriter<'_>, scale: Id, shape: &Shape) -> Option<Id> {
    let node = rw.node(scale, OpTag::Broadcast)?;
    let scalar = rw.ty(node.args[0]).shape.rank() == 0;
    scalar.then(|| rw.add(Broadcast { dims: vec![], shape: shape.clone() }, &node.args))
}

fn codes(s: &mut Sample) -> OpId {
    s.typed_input(ElemType::I8, &[3, 4])
}

fn pool_of_dequantize_example(s: &mut Sample) -> OpId {
    let q = s.typed_input(ElemType::I8, &[1, 4, 3, 2]);
    let scale = s.scale(&[1, 4, 3, 2]);
    let real = s.add(Dequantize { zero_point: -1 }, &[q, scale]);
    let window = Window { pads_begin: vec![1, 0], ..Window::unit(2) };
    let layout = Layout::ChannelsLast;
    s.add(Pool { func: ScalarFn::Max, kernel: vec![2, 3], window, layout }, &[real])
}
