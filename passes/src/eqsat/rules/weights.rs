//! Constant factors per channel moved into constant weights, and constant terms into one: batch
//! normalisation disappears.

use crate::eqsat::body::{Source, compose, replaced};
use crate::eqsat::node::Node;
use crate::eqsat::rule::{Class, Rewriter, Rule};
use crate::eqsat::sample::Sample;
use edgecc_ir::graph::OpId;
use edgecc_ir::graph::ops::{Broadcast, Conv, Layout, Map, MatMul, Op, OpTag, Window};
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::scalar::{NodeId, ScalarExpr, ScalarNode};
use edgecc_ir::types::{ElemType, TensorType};
use egg::Id;
use smallvec::SmallVec;

pub(crate) const RULES: &[Rule] = &[
    Rule {
        name: "conv-scale-into-weights",
        class: Class::Reassoc,
        doc: "conv (acc, s, b) -> f(acc·s + b) (x, w, s, b) = conv (acc, b) -> f(acc + b) (x, w·s, b)",
        root: OpTag::Conv,
        apply: |rw, root| conv_affine(rw, root, last_factor),
        example: |s| conv_affine_example(s, normalisation()),
    },
    Rule {
        name: "matmul-scale-into-weights",
        class: Class::Reassoc,
        doc: "matmul (acc, s, b) -> f(acc·s + b) (a, w, s, b) = matmul (acc, b) -> f(acc + b) (a, w·s, b)",
        root: OpTag::MatMul,
        apply: |rw, root| matmul_affine(rw, root, last_factor),
        example: |s| matmul_affine_example(s, normalisation()),
    },
    Rule {
        name: "offsets-of-conv",
        class: Class::Reassoc,
        doc: "conv (acc, b) -> f(acc + b + c) = conv (acc, d) -> f(acc + d), d = b + c per channel",
        root: OpTag::Conv,
        apply: |rw, root| conv_affine(rw, root, several_offsets),
        example: |s| conv_affine_example(s, offsets()),
    },
    Rule {
        name: "offsets-of-matmul",
        class: Class::Reassoc,
        doc: "matmul (acc, b) -> f(acc + b + c) = matmul (acc, d) -> f(acc + d), d = b + c per channel",
        root: OpTag::MatMul,
        apply: |rw, root| matmul_affine(rw, root, several_offsets),
        example: |s| matmul_affine_example(s, offsets()),
    },
    Rule {
        name: "input-scale-into-weights",
        class: Class::Reassoc,
        doc: "conv (map mul (x, s), w) = conv (x, w·s), s constant per input channel",
        root: OpTag::Conv,
        apply: input_scale,
        example: input_scale_example,
    },
];

/// How many of the steps from the sum to absorb.
type Absorbed = fn(&[Step]) -> Option<usize>;

fn conv_affine(rw: &mut Rewriter<'_>, root: &Node, absorbed: Absorbed) -> Option<Id> {
    let Op::Conv(conv) = &root.op else { return None };
    let rank = rw.ty(root.args[0]).shape.rank();
    let place = Channel { result: channel_dim(conv.layout, rank), weights: 0 };
    let (epilogue, args) = absorb_affine(rw, root, &conv.epilogue, (place, absorbed))?;
    Some(rw.add(Conv { epilogue, ..conv.clone() }, &args))
}

fn matmul_affine(rw: &mut Rewriter<'_>, root: &Node, absorbed: Absorbed) -> Option<Id> {
    let Op::MatMul(matmul) = &root.op else { return None };
    let last = rw.ty(root.args[1]).shape.rank() as u32 - 1;
    let place = Channel { result: last, weights: last - u32::from(matmul.transpose_b) };
    let (epilogue, args) = absorb_affine(rw, root, &matmul.epilogue, (place, absorbed))?;
    Some(rw.add(MatMul { epilogue, ..matmul.clone() }, &args))
}

pub(super) fn channel_dim(layout: Layout, rank: usize) -> u32 {
    match layout {
        Layout::ChannelsFirst => 1,
        Layout::ChannelsLast => rank as u32 - 1,
    }
}

/// The dimension of output channels.
#[derive(Clone, Copy)]
pub(super) struct Channel {
    pub(super) result: u32,
    pub(super) weights: u32,
}

/// One step `f(acc, k)` or `f(k, acc)`.
struct Step {
    func: ScalarFn,
    constant: NodeId,
    acc_first: bool,
    node: NodeId,
}

/// Rewrites an epilogue that starts with an affine function of the sum, constant per channel.
fn absorb_affine(
    rw: &mut Rewriter<'_>,
    root: &Node,
    epilogue: &ScalarExpr,
    (place, absorbed): (Channel, Absorbed),
) -> Option<(ScalarExpr, Vec<Id>)> {
    let weights = root.args[1];
    if rw.ty(weights).elem != ElemType::F32 || !rw.is_constant(weights) {
        return None;
    }
    let extras = &root.args[2..];
    let vectors: Vec<Option<Id>> =
        extras.iter().map(|&e| channel_vector(rw, e, place.result)).collect();
    let steps = affine_prefix(epilogue, &vectors);
    let steps = &steps[..absorbed(&steps)?];
    let (factor, offset) = affine_parts(epilogue, steps);
    let scaled = scale_weights(rw, weights, place.weights, &factor, &vectors);
    let offset = offset.map(|offset| channel_value(rw, &offset, &vectors, extras, place.result));
    let rest = continue_after(epilogue, steps.last()?.node, offset.is_some());
    let acc = || Source::Acc(ElemType::F32);
    let mut sources: Vec<Source<'_>> =
        [acc()].into_iter().chain(extras.iter().map(|&e| Source::Value(e))).collect();
    sources.extend(offset.as_ref().map(ChannelValue::source));
    let (expr, extras) = compose(rw, &Source::Body(&rest, sources));
    let args = [root.args[0], scaled].into_iter().chain(extras).collect();
    Some((expr, args))
}

/// Up to the last factor; the steps after it are additions, which stay.
fn last_factor(steps: &[Step]) -> Option<usize> {
    Some(steps.iter().rposition(scales)? + 1)
}

/// All steps, if they are several additions.
fn several_offsets(steps: &[Step]) -> Option<usize> {
    (steps.len() > 1 && !steps.iter().any(scales)).then_some(steps.len())
}

fn scales(step: &Step) -> bool {
    matches!(step.func, ScalarFn::Mul | ScalarFn::Div) || !step.acc_first
}

/// The constant with one element per channel that an operand repeats.
pub(super) fn channel_vector(rw: &mut Rewriter<'_>, id: Id, channel: u32) -> Option<Id> {
    if !rw.is_constant(id) {
        return None;
    }
    let node = rw.node(id, OpTag::Broadcast)?;
    match &node.op {
        Op::Broadcast(op) if op.dims == [channel] => Some(node.args[0]),
        _ => None,
    }
}

/// The longest chain of affine steps from the sum, each the only use of the one before.
fn affine_prefix(epilogue: &ScalarExpr, vectors: &[Option<Id>]) -> Vec<Step> {
    let mut steps = Vec::new();
    let acc = epilogue.nodes().iter().position(|n| *n == ScalarNode::Param(0));
    let mut current = acc.map(|at| at as NodeId);
    while let Some(step) = current.and_then(|at| affine_step(epilogue, at, vectors)) {
        current = Some(step.node);
        steps.push(step);
    }
    steps
}

fn affine_step(epilogue: &ScalarExpr, value: NodeId, vectors: &[Option<Id>]) -> Option<Step> {
    let uses = epilogue.nodes().iter().enumerate().filter_map(|(at, node)| match node {
        ScalarNode::Call(func, args) if args.contains(&value) => Some(Some((at, *func, args))),
        ScalarNode::Cast(_, arg) | ScalarNode::Lookup(_, arg) if *arg == value => Some(None),
        ScalarNode::Call(..) | ScalarNode::Cast(..) | ScalarNode::Lookup(..) => None,
        ScalarNode::Param(_) | ScalarNode::Const(_) => None,
    });
    let [Some((at, func, args))] = uses.collect::<SmallVec<[_; 2]>>()[..] else { return None };
    let &[a, b] = args.as_slice() else { return None };
    let (constant, acc_first) = if a == value { (b, true) } else { (a, false) };
    let known = match func {
        ScalarFn::Add | ScalarFn::Sub | ScalarFn::Mul => true,
        ScalarFn::Div => acc_first,
        _ => false,
    };
    let commutes = matches!(func, ScalarFn::Add | ScalarFn::Mul);
    let fits = known && a != b && is_channel_constant(epilogue, constant, vectors);
    let step = Step { func, constant, acc_first: acc_first || commutes, node: at as NodeId };
    fits.then_some(step)
}

fn is_channel_constant(epilogue: &ScalarExpr, id: NodeId, vectors: &[Option<Id>]) -> bool {
    match &epilogue.nodes()[id as usize] {
        ScalarNode::Param(0) => false,
        ScalarNode::Param(p) => vectors[*p as usize - 1].is_some(),
        ScalarNode::Const(_) => true,
        ScalarNode::Cast(_, a) | ScalarNode::Lookup(_, a) => {
            is_channel_constant(epilogue, *a, vectors)
        }
        ScalarNode::Call(_, args) => {
            args.iter().all(|&a| is_channel_constant(epilogue, a, vectors))
        }
    }
}

/// The factor and the offset of the steps as functions of the epilogue's parameters.
fn affine_parts(epilogue: &ScalarExpr, steps: &[Step]) -> (ScalarExpr, Option<ScalarExpr>) {
    let factor = ScalarExpr::build(epilogue.params(), |b| {
        let one = b.f32(1.0);
        steps.iter().fold(one, |factor, step| {
            let k = b.inline(&epilogue.subexpression(step.constant), |b, p| b.param(p));
            match step.func {
                ScalarFn::Mul | ScalarFn::Div => b.call(step.func, &[factor, k]),
                ScalarFn::Sub if !step.acc_first => b.call(ScalarFn::Neg, &[factor]),
                _ => factor,
            }
        })
    });
    let adds = |s: &Step| matches!(s.func, ScalarFn::Add | ScalarFn::Sub);
    let offset = steps.iter().any(adds).then(|| {
        ScalarExpr::build(epilogue.params(), |b| {
            let minus_zero = b.f32(-0.0);
            steps.iter().fold(minus_zero, |offset, step| {
                let k = b.inline(&epilogue.subexpression(step.constant), |b, p| b.param(p));
                let args = if step.acc_first { [offset, k] } else { [k, offset] };
                b.call(step.func, &args)
            })
        })
    });
    (factor, offset)
}

/// `map (w, ks…) -> w · factor(ks…)`, folded after saturation.
fn scale_weights(
    rw: &mut Rewriter<'_>,
    weights: Id,
    dim: u32,
    factor: &ScalarExpr,
    vectors: &[Option<Id>],
) -> Id {
    let shape = rw.ty(weights).shape.clone();
    let spread = |v: &Option<Id>| {
        v.map(|v| rw.add(Broadcast { dims: vec![dim], shape: shape.clone() }, &[v]))
    };
    let spread: Vec<Option<Id>> = vectors.iter().map(spread).collect();
    let scale = Source::Body(factor, parameters(weights, &spread));
    let product = ScalarExpr::call(ScalarFn::Mul);
    let (body, args) = compose(rw, &Source::Body(&product, vec![Source::Value(weights), scale]));
    if body.is_identity() { weights } else { rw.add(Map { body }, &args) }
}

/// The sources of an epilogue's parameters; `filler` stands for those that are not used.
fn parameters<'a>(filler: Id, values: &[Option<Id>]) -> Vec<Source<'a>> {
    let all = [filler].into_iter().chain(values.iter().map(|v| v.unwrap_or(filler)));
    all.map(Source::Value).collect()
}

/// A constant per channel as an operand of the epilogue.
enum ChannelValue {
    Spread(Id),
    Literal(ScalarExpr),
}

impl ChannelValue {
    fn source(&self) -> Source<'_> {
        match self {
            ChannelValue::Spread(id) => Source::Value(*id),
            ChannelValue::Literal(expr) => Source::Body(expr, Vec::new()),
        }
    }
}

fn channel_value(
    rw: &mut Rewriter<'_>,
    expr: &ScalarExpr,
    vectors: &[Option<Id>],
    extras: &[Id],
    dim: u32,
) -> ChannelValue {
    let Some(&filler) = vectors.iter().flatten().next() else {
        return ChannelValue::Literal(compose(rw, &Source::Body(expr, unused(expr))).0);
    };
    let (body, args) = compose(rw, &Source::Body(expr, parameters(filler, vectors)));
    if args.is_empty() {
        return ChannelValue::Literal(body);
    }
    let value = if body.is_identity() { args[0] } else { rw.add(Map { body }, &args) };
    let shape = rw.ty(extras[0]).shape.clone();
    ChannelValue::Spread(rw.add(Broadcast { dims: vec![dim], shape }, &[value]))
}

fn unused<'a>(expr: &ScalarExpr) -> Vec<Source<'a>> {
    (0..expr.params()).map(|_| Source::Acc(ElemType::F32)).collect()
}

/// The epilogue from a node on, which is now the sum, plus one more parameter if there is an offset.
fn continue_after(epilogue: &ScalarExpr, from: NodeId, has_offset: bool) -> ScalarExpr {
    let params = epilogue.params();
    replaced(epilogue, epilogue.root(), params + u32::from(has_offset), |b, id| {
        (id == from).then(|| {
            let acc = b.param(0);
            if !has_offset {
                return acc;
            }
            let offset = b.param(params);
            b.call(ScalarFn::Add, &[acc, offset])
        })
    })
}

fn input_scale(rw: &mut Rewriter<'_>, root: &Node) -> Option<Id> {
    let Op::Conv(conv) = &root.op else { return None };
    let weights = root.args[1];
    if rw.ty(weights).elem != ElemType::F32 || !rw.is_constant(weights) {
        return None;
    }
    let map = rw.node(root.args[0], OpTag::Map)?;
    let Op::Map(Map { body }) = &map.op else { return None };
    let [ScalarNode::Param(x), factor, ScalarNode::Call(ScalarFn::Mul, _)] = body.nodes() else {
        return None;
    };
    let x = map.args[*x as usize];
    let ty: TensorType = rw.ty(weights).clone();
    let product = ScalarExpr::call(ScalarFn::Mul);
    let scaled = match factor {
        ScalarNode::Const(_) => rw.add(map.op.clone(), &[weights]),
        ScalarNode::Param(p) if conv.groups == 1 => {
            let channel = channel_dim(conv.layout, ty.shape.rank());
            let vector = channel_vector(rw, map.args[*p as usize], channel)?;
            let spread = rw.add(Broadcast { dims: vec![1], shape: ty.shape }, &[vector]);
            rw.add(Map { body: product }, &[weights, spread])
        }
        _ => return None,
    };
    let mut args = root.args.clone();
    (args[0], args[1]) = (x, scaled);
    Some(rw.add(conv.clone(), &args))
}

/// `(acc − m)·s + b`, then a clamp.
fn normalisation() -> ScalarExpr {
    ScalarExpr::build(4, |b| {
        let [acc, mean, scale, bias] = [0, 1, 2, 3].map(|p| b.param(p));
        let centred = b.call(ScalarFn::Sub, &[acc, mean]);
        let scaled = b.call(ScalarFn::Mul, &[centred, scale]);
        let shifted = b.call(ScalarFn::Add, &[scaled, bias]);
        let zero = b.f32(0.0);
        b.call(ScalarFn::Max, &[zero, shifted])
    })
}

/// A clamp of `acc − m + s + b + 3`.
fn offsets() -> ScalarExpr {
    ScalarExpr::build(4, |b| {
        let [acc, first, second, third] = [0, 1, 2, 3].map(|p| b.param(p));
        let centred = b.call(ScalarFn::Sub, &[acc, first]);
        let sum = [second, third].into_iter().fold(centred, |x, k| b.call(ScalarFn::Add, &[x, k]));
        let (zero, three) = (b.f32(0.0), b.f32(3.0));
        let shifted = b.call(ScalarFn::Add, &[sum, three]);
        b.call(ScalarFn::Max, &[zero, shifted])
    })
}

fn conv_affine_example(s: &mut Sample, epilogue: ScalarExpr) -> OpId {
    let (x, w) = (s.input(&[1, 4, 3, 2]), s.constant(&[3, 2, 2, 2]));
    let dims = [1, 3, 2, 3];
    let extras = [(); 3].map(|()| {
        let vector = s.constant(&[3]);
        s.spread(vector, &[3], &dims)
    });
    let plain = Conv::plain(Window::unit(2), 1, Layout::ChannelsLast);
    let conv = Conv { epilogue, ..plain };
    s.add(conv, &[x, w, extras[0], extras[1], extras[2]])
}

fn matmul_affine_example(s: &mut Sample, epilogue: ScalarExpr) -> OpId {
    let (a, w) = (s.input(&[2, 5]), s.constant(&[3, 5]));
    let extras = [(); 3].map(|()| {
        let vector = s.constant(&[3]);
        s.spread(vector, &[1], &[2, 3])
    });
    let matmul = MatMul { transpose_b: true, epilogue, ..MatMul::plain() };
    s.add(matmul, &[a, w, extras[0], extras[1], extras[2]])
}

fn input_scale_example(s: &mut Sample) -> OpId {
    let x = s.input(&[1, 4, 3, 2]);
    let vector = s.constant(&[2]);
    let scale = s.spread(vector, &[3], &[1, 4, 3, 2]);
    let x = s.call(ScalarFn::Mul, &[x, scale]);
    s.conv(x, 1)
}
