//! Arithmetic on codes instead of on the numbers that they stand for.
//!
//! The sums of products of dequantised factors are scaled sums of products of codes, exact in
//! `i32`; a quantisation behind them scales each sum once, by the ratio of the scales. The float
//! operations and their order are those of `docs/numerics.md`, Quantisation.

use super::quant;
use super::weights::{Channel, channel_dim, channel_vector};
use crate::eqsat::body::{Source, compose, values};
use crate::eqsat::node::Node;
use crate::eqsat::rule::{Class, Rewriter, Rule};
use crate::eqsat::sample::Sample;
use edgecc_ir::graph::OpId;
use edgecc_ir::graph::ops::{
    Broadcast, Conv, Dequantize, Layout, Map, MatMul, Op, OpTag, Quantize, Requantize, Reshape,
    Window, Zeros,
};
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::scalar::{ExprBuilder, NodeId, ScalarExpr, ScalarNode};
use edgecc_ir::types::{ElemType, Shape};
use egg::Id;

pub(crate) const RULES: &[Rule] = &[
    Rule {
        name: "quantize-of-conv",
        class: Class::Quant,
        doc: "quantize (conv (acc, b) -> acc + b (dequantize (x, s), dequantize (w, t), b), u) = conv requantize (x, w, round(b/(s·t)), s·t/u)",
        root: OpTag::Quantize,
        apply: |rw, root| quantize_of(rw, root, OpTag::Conv),
        example: |s| {
            let ([x, w], conv) = conv_example(s);
            let bias = s.constant(&[3]);
            let bias = s.spread(bias, &[3], &[1, 4, 2, 3]);
            let conv = Conv { epilogue: ScalarExpr::call(ScalarFn::Add), ..conv };
            let y = s.add(conv, &[x, w, bias]);
            let scale = s.scale(&[1, 4, 2, 3]);
            s.quantize(y, scale, -3)
        },
    },
    Rule {
        name: "quantize-of-matmul",
        class: Class::Quant,
        doc: "quantize (matmul (dequantize (a, s), dequantize (w, t)), u) = matmul requantize (a, w, s·t/u)",
        root: OpTag::Quantize,
        apply: |rw, root| quantize_of(rw, root, OpTag::MatMul),
        example: |s| {
            let y = matmul_example(s);
            let scale = s.scale(&[3, 4]);
            s.quantize(y, scale, 5)
        },
    },
    Rule {
        name: "conv-of-dequantize",
        class: Class::Reassoc,
        doc: "conv f (dequantize (x, s), dequantize (w, t), es) = conv (acc, t) -> f(acc·s·t) (x, w, t, es)",
        root: OpTag::Conv,
        apply: contraction_of_dequantize,
        example: |s| {
            let (args, conv) = conv_example(s);
            s.add(conv, &args)
        },
    },
    Rule {
        name: "matmul-of-dequantize",
        class: Class::Reassoc,
        doc: "matmul f (dequantize (a, s), dequantize (w, t), es) = matmul (acc, t) -> f(acc·s·t) (a, w, t, es)",
        root: OpTag::MatMul,
        apply: contraction_of_dequantize,
        example: matmul_example,
    },
    Rule {
        name: "quantized-add",
        class: Class::Quant,
        doc: "quantize (dequantize (p, s) + dequantize (q, t), u) = map round(p·s/u + (q·t/u + c)) (p, q)",
        root: OpTag::Quantize,
        apply: quantized_add,
        example: |s| {
            let parts = [3, -4].map(|zero_point| {
                let (q, scale) = (s.typed_input(ElemType::I8, &[3, 4]), s.scale(&[3, 4]));
                s.add(Dequantize { zero_point }, &[q, scale])
            });
            let sum = s.call(ScalarFn::Add, &parts);
            let scale = s.scale(&[3, 4]);
            s.quantize(sum, scale, 2)
        },
    },
];

/// A contraction of codes under construction.
struct Codes {
    op: Op,
    /// The two factors.
    args: [Id; 2],
    /// Of the first factor, the same everywhere.
    scale: f32,
    /// Of the second factor.
    scales: PerChannel,
    /// Where results and second factors have the channel.
    channel: Channel,
    /// The extras of the contraction of numbers.
    extras: Vec<Id>,
    epilogue: ScalarExpr,
}

/// A constant with one value for each channel.
#[derive(Clone, Copy)]
enum PerChannel {
    All(f32),
    Each(Id),
}

impl Codes {
    /// The codes behind a contraction whose factors are both dequantised.
    fn of(rw: &mut Rewriter<'_>, node: &Node) -> Option<Codes> {
        let (x, x_zero, x_scale) = dequantized(rw, node.args[0])?;
        let (w, w_zero, w_scale) = dequantized(rw, node.args[1])?;
        let zeros = Zeros { x: x_zero, w: w_zero };
        let rank = rw.ty(w).shape.rank() as u32;
        let (op, epilogue, channel) = match &node.op {
            Op::Conv(conv) => {
                let result = channel_dim(conv.layout, rank as usize);
                let plain = Conv { zeros, epilogue: ScalarExpr::identity(), ..conv.clone() };
                (Op::from(plain), &conv.epilogue, Channel { result, weights: 0 })
            }
            Op::MatMul(matmul) => {
                let weights = rank - 1 - u32::from(matmul.transpose_b);
                let plain = MatMul { zeros, epilogue: ScalarExpr::identity(), ..matmul.clone() };
                (Op::from(plain), &matmul.epilogue, Channel { result: rank - 1, weights })
            }
            _ => return None,
        };
        Some(Codes {
            op,
            args: [x, w],
            scale: rw.uniform(x_scale)?.as_f32(),
            scales: PerChannel::of(rw, w_scale, channel.weights)?,
            channel,
            extras: node.args[2..].to_vec(),
            epilogue: epilogue.clone(),
        })
    }

    /// The contraction with an epilogue over the accumulator and constants per channel.
    fn with(self, rw: &mut Rewriter<'_>, epilogue: &Source<'_>) -> Id {
        let (epilogue, extras) = compose(rw, epilogue);
        let args: Vec<Id> = self.args.into_iter().chain(extras).collect();
        match self.op {
            Op::Conv(conv) => rw.add(Conv { epilogue, ..conv }, &args),
            Op::MatMul(matmul) => rw.add(MatMul { epilogue, ..matmul }, &args),
            _ => unreachable!("`of` makes contractions only"),
        }
    }

    /// The product of the scales, times a factor per channel, as operand of the epilogue.
    fn factor(&self, rw: &mut Rewriter<'_>, extent: &Broadcast, to: Option<f32>) -> Value {
        let of = |b: &mut ExprBuilder, scales: NodeId| {
            let scale = b.f32(self.scale);
            let product = b.call(ScalarFn::Mul, &[scale, scales]);
            match to {
                None => product,
                Some(to) => {
                    let to = b.f32(to);
                    b.call(ScalarFn::Div, &[product, to])
                }
            }
        };
        Value::spread(rw, extent, &[self.scales], |b, p| of(b, p[0]))
    }
}

impl PerChannel {
    fn of(rw: &mut Rewriter<'_>, id: Id, dim: u32) -> Option<PerChannel> {
        if let Some(value) = rw.uniform(id) {
            return Some(PerChannel::All(value.as_f32()));
        }
        let ty = rw.ty(id);
        let (numel, extent) = (ty.shape.numel(), ty.shape[dim as usize]);
        if numel == extent && rw.is_constant(id) {
            return Some(PerChannel::Each(rw.add(Reshape { shape: Shape::new(&[extent]) }, &[id])));
        }
        channel_vector(rw, id, dim).map(PerChannel::Each)
    }
}

/// An operand of an epilogue: a literal or a constant with the result's shape.
enum Value {
    Literal(ScalarExpr),
    Spread(Id),
}

impl Value {
    /// A function of constants per channel, repeated as `extent` says.
    fn spread(
        rw: &mut Rewriter<'_>,
        extent: &Broadcast,
        inputs: &[PerChannel],
        of: impl FnOnce(&mut ExprBuilder, &[NodeId]) -> NodeId,
    ) -> Value {
        let expr = ScalarExpr::build(inputs.len() as u32, |b| {
            let params: Vec<NodeId> = (0..inputs.len() as u32).map(|p| b.param(p)).collect();
            of(b, &params)
        });
        let literals: Vec<ScalarExpr> = inputs.iter().map(PerChannel::literal).collect();
        let sources = inputs.iter().zip(&literals).map(|(input, literal)| match input {
            PerChannel::All(_) => Source::Body(literal, Vec::new()),
            PerChannel::Each(id) => Source::Value(*id),
        });
        let (body, args) = compose(rw, &Source::Body(&expr, sources.collect()));
        if args.is_empty() {
            return Value::Literal(body);
        }
        let vector = if body.is_identity() { args[0] } else { rw.add(Map { body }, &args) };
        Value::Spread(rw.add(extent.clone(), &[vector]))
    }

    fn source(&self) -> Source<'_> {
        match self {
            Value::Literal(expr) => Source::Body(expr, Vec::new()),
            Value::Spread(id) => Source::Value(*id),
        }
    }
}

impl PerChannel {
    fn literal(&self) -> ScalarExpr {
        let value = match self {
            PerChannel::All(value) => *value,
            PerChannel::Each(_) => 0.0,
        };
        ScalarExpr::build(0, |b| b.f32(value))
    }
}

/// The codes, zero point and scales of a dequantised value.
pub(super) fn dequantized(rw: &mut Rewriter<'_>, id: Id) -> Option<(Id, i32, Id)> {
    let (op, codes, scale) = quant::dequantized(rw, id)?;
    Some((codes, op.zero_point, scale))
}

/// The first contraction of the operand that has a form over codes.
fn quantize_of(rw: &mut Rewriter<'_>, root: &Node, tag: OpTag) -> Option<Id> {
    let Op::Quantize(to) = &root.op else { return None };
    let scale = rw.uniform(root.args[1])?.as_f32();
    let contractions = rw.nodes(root.args[0], tag);
    contractions.iter().find_map(|node| {
        let codes = Codes::of(rw, node)?;
        let bias = bias(rw, &codes)?;
        Some(requantized(rw, codes, bias, to, scale))
    })
}

/// The constant that the epilogue adds to the sums; `None` when it does anything else.
fn bias(rw: &mut Rewriter<'_>, codes: &Codes) -> Option<Option<PerChannel>> {
    if codes.epilogue.is_identity() {
        return Some(None);
    }
    let [nodes @ .., ScalarNode::Call(ScalarFn::Add, args)] = codes.epilogue.nodes() else {
        return None;
    };
    let is_acc = |&&at: &&NodeId| nodes[at as usize] == ScalarNode::Param(0);
    let other = args.iter().find(|at| !is_acc(at)).filter(|_| args.iter().any(|at| is_acc(&at)))?;
    let bias = match nodes[*other as usize] {
        ScalarNode::Const(value) => PerChannel::All(value.as_f32()),
        ScalarNode::Param(p) => {
            let extra = codes.extras[p as usize - 1];
            PerChannel::of(rw, extra, codes.channel.result).filter(|_| rw.is_constant(extra))?
        }
        ScalarNode::Cast(..) | ScalarNode::Call(..) | ScalarNode::Lookup(..) => return None,
    };
    Some(Some(bias))
}

/// `requantize (acc + round (bias / (s·t)), s·t / u)`.
fn requantized(
    rw: &mut Rewriter<'_>,
    codes: Codes,
    bias: Option<PerChannel>,
    to: &Quantize,
    scale: f32,
) -> Id {
    let extent = codes.extent(rw);
    let ratio = codes.factor(rw, &extent, Some(scale));
    let bias = bias.map(|bias| {
        Value::spread(rw, &extent, &[bias, codes.scales], |b, p| {
            let scale = b.f32(codes.scale);
            let unit = b.call(ScalarFn::Mul, &[scale, p[1]]);
            let steps = b.call(ScalarFn::Div, &[p[0], unit]);
            let whole = b.call(ScalarFn::Round, &[steps]);
            b.cast(ElemType::I32, whole)
        })
    });
    let requantize = Requantize { from_zero_point: 0, to: to.clone() }.body();
    let add = ScalarExpr::call(ScalarFn::Add);
    let acc = Source::Acc(ElemType::I32);
    let sum = match &bias {
        Some(bias) => Source::Body(&add, vec![acc, bias.source()]),
        None => acc,
    };
    codes.with(rw, &Source::Body(&requantize, vec![sum, ratio.source()]))
}

impl Codes {
    /// How a value per channel is repeated over the result.
    fn extent(&self, rw: &mut Rewriter<'_>) -> Broadcast {
        let plain = rw.add(self.op.clone(), &self.args);
        Broadcast { dims: vec![self.channel.result], shape: rw.ty(plain).shape.clone() }
    }
}

/// `f (f32(acc) · (s·t), es)`.
fn contraction_of_dequantize(rw: &mut Rewriter<'_>, root: &Node) -> Option<Id> {
    let codes = Codes::of(rw, root)?;
    let extent = codes.extent(rw);
    let factor = codes.factor(rw, &extent, None);
    let scaled = Dequantize { zero_point: 0 }.body();
    let acc = Source::Body(&scaled, vec![Source::Acc(ElemType::I32), factor.source()]);
    let (epilogue, extras) = (codes.epilogue.clone(), values(&codes.extras));
    let sources = [acc].into_iter().chain(extras).collect();
    Some(codes.with(rw, &Source::Body(&epilogue, sources)))
}

/// With `r = s/u`, `v = t/u`: `round (fma (p, r, fma (q, v, z − fma (r, zp, v·zq))))`.
fn quantized_add(rw: &mut Rewriter<'_>, root: &Node) -> Option<Id> {
    let Op::Quantize(to) = &root.op else { return None };
    let scale = rw.uniform(root.args[1])?.as_f32();
    let sums = rw.nodes(root.args[0], OpTag::Map);
    let sum = sums.iter().find(|n| n.op == Map { body: ScalarExpr::call(ScalarFn::Add) }.into())?;
    let [p, q] = [dequantized(rw, sum.args[0])?, dequantized(rw, sum.args[1])?];
    let [r, v] = [rw.uniform(p.2)?.as_f32() / scale, rw.uniform(q.2)?.as_f32() / scale];
    let offset = to.zero_point as f32 - r.mul_add(p.1 as f32, v * q.1 as f32);
    let body = ScalarExpr::build(2, |b| {
        let [p, q] = [0, 1].map(|n| {
            let code = b.param(n);
            b.cast(ElemType::F32, code)
        });
        let [r, v, offset] = [r, v, offset].map(|literal| b.f32(literal));
        let shifted = b.call(ScalarFn::Fma, &[q, v, offset]);
        let steps = b.call(ScalarFn::Fma, &[p, r, shifted]);
        let code = b.call(ScalarFn::Round, &[steps]);
        to.clamped(b, code)
    });
    Some(rw.add(Map { body }, &[p.0, q.0]))
}

/// The factors have one scale, and one scale per channel.
fn conv_example(s: &mut Sample) -> ([OpId; 2], Conv) {
    let x = s.typed_input(ElemType::U8, &[1, 4, 3, 2]);
    let scale = s.scale(&[1, 4, 3, 2]);
    let x = s.add(Dequantize { zero_point: 7 }, &[x, scale]);
    let w = s.typed_constant(ElemType::I8, &[3, 2, 2, 2]);
    let scales = s.scales(&[3]);
    let scales = s.spread(scales, &[0], &[3, 2, 2, 2]);
    let w = s.add(Dequantize { zero_point: 0 }, &[w, scales]);
    let window = Window { pads_begin: vec![1, 0], ..Window::unit(2) };
    ([x, w], Conv::plain(window, 1, Layout::ChannelsLast))
}

fn matmul_example(s: &mut Sample) -> OpId {
    let [a, w] =
        [(ElemType::I8, -4, [3, 5]), (ElemType::U8, 9, [4, 5])].map(|(elem, zero_point, dims)| {
            let (q, scale) = (s.typed_input(elem, &dims), s.scale(&dims));
            s.add(Dequantize { zero_point }, &[q, scale])
        });
    s.add(MatMul { transpose_b: true, ..MatMul::plain() }, &[a, w])
}
