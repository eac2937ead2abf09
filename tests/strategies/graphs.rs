//! Graphs of single operations, by their sizes.

use edgecc_ir::graph::build::GraphBuilder;
use edgecc_ir::graph::ops::{
    Broadcast, Concat, Conv, Layout, Map, MatMul, Op, Pool, Quantize, Reduce, Reshape, Transpose,
    Window, Zeros,
};
use edgecc_ir::graph::{Graph, OpId, random};
use edgecc_ir::rng::Rng;
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::scalar::{ExprBuilder, NodeId, ScalarExpr};
use edgecc_ir::tensor::{Scalar, Tensor};
use edgecc_ir::types::{ElemType, Shape, TensorType};

/// `rows × depth` times constant `depth × columns`, with a bias and a rectifier.
pub(super) fn product(&[rows, columns, depth]: &[usize; 3]) -> Graph {
    let mut m = Maker::new();
    let (x, w) = (m.input(&[rows, depth]), m.constant(&[depth, columns]));
    let bias = m.constant(&[columns]);
    let bias = m.spread(bias, &[1], &[rows, columns]);
    let y = m.op(MatMul { epilogue: biased(), ..MatMul::plain() }, &[x, w, bias]);
    m.finish(y)
}

/// Two products of inputs, `rows × depth` times `depth × columns`.
pub(super) fn products(&[rows, columns, depth]: &[usize; 3]) -> Graph {
    let mut m = Maker::new();
    let (x, w) = (m.input(&[2, rows, depth]), m.input(&[2, depth, columns]));
    let y = m.op(MatMul::plain(), &[x, w]);
    m.finish(y)
}

/// `rows × depth` times the transpose of `columns × depth`.
pub(super) fn scores(&[rows, columns, depth]: &[usize; 3]) -> Graph {
    let mut m = Maker::new();
    let (x, y) = (m.input(&[rows, depth]), m.input(&[columns, depth]));
    let z = m.op(MatMul { transpose_b: true, ..MatMul::plain() }, &[x, y]);
    m.finish(z)
}

/// A convolution of 3×3 with padding; `side` is the longer one of the image.
pub(super) fn conv(&[side, inner, outer]: &[usize; 3]) -> Graph {
    let mut m = Maker::new();
    let x = m.image(side, inner);
    let y = m.conv(x, [inner, outer], Taps { size: 3, stride: 1 });
    m.finish(y)
}

pub(super) fn depthwise(&[side, channels]: &[usize; 2]) -> Graph {
    depthwise_of(side, channels, Taps { size: 3, stride: 1 })
}

pub(super) fn depthwise_in_steps(&[side, channels]: &[usize; 2]) -> Graph {
    depthwise_of(side, channels, Taps { size: 3, stride: 2 })
}

pub(super) fn wide_depthwise(&[side, channels]: &[usize; 2]) -> Graph {
    depthwise_of(side, channels, Taps { size: 5, stride: 1 })
}

fn depthwise_of(side: usize, channels: usize, taps: Taps) -> Graph {
    let mut m = Maker::new();
    let x = m.image(side, channels);
    let y = m.conv(x, [1, channels], taps);
    m.finish(y)
}

/// Codes of `rows × depth` times constant codes, with a bias, as codes.
pub(super) fn codes_product(&[rows, columns, depth]: &[usize; 3]) -> Graph {
    let mut m = Maker::new();
    let x = m.codes(ElemType::U8, &[rows, depth]);
    let w = m.constant_of(ElemType::I8, &[depth, columns]);
    let bias = m.sums(columns);
    let bias = m.spread(bias, &[1], &[rows, columns]);
    let zeros = Zeros { x: 131, w: 0 };
    let y = m.op(MatMul { zeros, epilogue: requantized(), ..MatMul::plain() }, &[x, w, bias]);
    m.finish(y)
}

/// Codes of a batch of `rows × depth` times codes, as codes.
pub(super) fn codes_products(&[rows, columns, words]: &[usize; 3]) -> Graph {
    let mut m = Maker::new();
    let x = m.codes(ElemType::U8, &[2, rows, 4 * words]);
    let w = m.codes(ElemType::U8, &[2, 4 * words, columns]);
    let zeros = Zeros { x: 131, w: 125 };
    let y = m.op(MatMul { zeros, ..MatMul::plain() }, &[x, w]);
    m.finish(y)
}

/// The same with columns that lie in rows.
pub(super) fn codes_scores(&[rows, columns, words]: &[usize; 3]) -> Graph {
    let mut m = Maker::new();
    let x = m.codes(ElemType::I8, &[2, rows, 4 * words]);
    let w = m.codes(ElemType::I8, &[2, columns, 4 * words]);
    let zeros = Zeros { x: 3, w: -2 };
    let y = m.op(MatMul { transpose_b: true, zeros, ..MatMul::plain() }, &[x, w]);
    m.finish(y)
}

/// As `conv` on codes.
pub(super) fn codes_conv(&[side, inner, outer]: &[usize; 3]) -> Graph {
    codes_conv_of([side, inner], [inner, outer], Taps { size: 3, stride: 1 }, 3)
}

pub(super) fn codes_depthwise(&[side, channels]: &[usize; 2]) -> Graph {
    codes_conv_of([side, channels], [1, channels], Taps { size: 3, stride: 1 }, 0)
}

pub(super) fn codes_depthwise_in_steps(&[side, channels]: &[usize; 2]) -> Graph {
    codes_conv_of([side, channels], [1, channels], Taps { size: 3, stride: 2 }, 3)
}

pub(super) fn codes_wide_depthwise(&[side, channels]: &[usize; 2]) -> Graph {
    codes_conv_of([side, channels], [1, channels], Taps { size: 5, stride: 1 }, 3)
}

fn codes_conv_of(
    [side, channels]: [usize; 2],
    [inner, outer]: [usize; 2],
    taps: Taps,
    zero: i32,
) -> Graph {
    let mut m = Maker::new();
    let x = m.codes(ElemType::U8, &[1, 4, side, channels]);
    let w = m.constant_of(ElemType::I8, &[outer, inner, taps.size, taps.size]);
    let bias = m.sums(outer);
    let [height, width] = [4, side].map(|side: usize| side.div_ceil(taps.stride as usize));
    let bias = m.spread(bias, &[3], &[1, height, width, outer]);
    let conv = Conv::plain(taps.window(), (channels / inner) as u32, Layout::ChannelsLast);
    let zeros = Zeros { x: zero, w: 0 };
    let y = m.op(Conv { zeros, epilogue: requantized(), ..conv }, &[x, w, bias]);
    m.finish(y)
}

/// The largest values of windows of 3×3.
pub(super) fn max_pool(&[side, channels]: &[usize; 2]) -> Graph {
    let mut m = Maker::new();
    let x = m.image(side, channels);
    let pool = Pool {
        func: ScalarFn::Max,
        kernel: vec![3, 3],
        window: Taps { size: 3, stride: 2 }.window(),
        layout: Layout::ChannelsLast,
    };
    let y = m.op(pool, &[x]);
    m.finish(y)
}

/// The sum of each column.
pub(super) fn totals(&[rows, columns]: &[usize; 2]) -> Graph {
    let mut m = Maker::new();
    let x = m.input(&[rows, columns]);
    let y = m.op(Reduce { func: ScalarFn::Add, dims: vec![0] }, &[x]);
    m.finish(y)
}

/// The largest value of each row.
pub(super) fn largest(&[rows, columns]: &[usize; 2]) -> Graph {
    let mut m = Maker::new();
    let x = m.input(&[rows, columns]);
    let y = m.op(Reduce { func: ScalarFn::Max, dims: vec![1] }, &[x]);
    m.finish(y)
}

pub(super) fn softmax(&[rows, columns]: &[usize; 2]) -> Graph {
    let mut m = Maker::new();
    let x = m.input(&[1, rows, columns]);
    let y = m.softmax(x, [1, rows, columns]);
    m.finish(y)
}

/// Two heads of attention.
pub(super) fn attention(&[tokens, width]: &[usize; 2]) -> Graph {
    let mut m = Maker::new();
    let [q, k, v] = [(); 3].map(|()| m.input(&[2, tokens, width]));
    let scores = m.op(MatMul { transpose_b: true, ..MatMul::plain() }, &[q, k]);
    let shares = m.softmax(scores, [2, tokens, tokens]);
    let y = m.op(MatMul::plain(), &[shares, v]);
    m.finish(y)
}

/// Two convolutions of one image, of which one has half the channels, side by side.
pub(super) fn side_by_side(&[side, inner, outer]: &[usize; 3]) -> Graph {
    let mut m = Maker::new();
    let x = m.image(side, inner);
    let taps = Taps { size: 3, stride: 1 };
    let y = m.conv(x, [inner, outer], taps);
    let z = m.conv(x, [inner, outer.div_ceil(2)], taps);
    let both = m.op(Concat { dim: 3 }, &[y, z]);
    m.finish(both)
}

/// Sums of exponentials, with a row that is repeated.
pub(super) fn exponentials(&[rows, columns]: &[usize; 2]) -> Graph {
    let mut m = Maker::new();
    let (x, row) = (m.input(&[rows, columns]), m.input(&[columns]));
    let row = m.spread(row, &[1], &[rows, columns]);
    let body = expr(2, |b, p| {
        let power = b.call(ScalarFn::Exp, &[p[0]]);
        b.call(ScalarFn::Add, &[power, p[1]])
    });
    let y = m.op(Map { body }, &[x, row]);
    m.finish(y)
}

pub(super) fn transposed(&[rows, columns]: &[usize; 2]) -> Graph {
    let mut m = Maker::new();
    let x = m.input(&[rows, columns]);
    let y = m.op(Transpose { perm: vec![1, 0] }, &[x]);
    m.finish(y)
}

/// Arithmetic on elements of 64 bits.
pub(super) fn integers(&[rows, columns]: &[usize; 2]) -> Graph {
    let mut m = Maker::new();
    let x = m.b.input("x", TensorType::new(ElemType::I64, &[rows, columns]));
    let y = m.op(Map { body: expr(1, |b, p| b.call(ScalarFn::Mul, &[p[0], p[0]])) }, &[x]);
    m.finish(y)
}

/// A square window with pads that keep an extent, or its part by the stride.
#[derive(Clone, Copy)]
struct Taps {
    size: usize,
    stride: u32,
}

impl Taps {
    fn window(self) -> Window {
        let pads = vec![self.size as u32 / 2; 2];
        Window {
            strides: vec![self.stride; 2],
            pads_begin: pads.clone(),
            pads_end: pads,
            ..Window::unit(2)
        }
    }
}

struct Maker {
    b: GraphBuilder,
    rng: Rng,
}

impl Maker {
    fn new() -> Maker {
        Maker { b: GraphBuilder::new("subject"), rng: Rng::new(1) }
    }

    fn input(&mut self, dims: &[usize]) -> OpId {
        let name = format!("x{}", self.b.graph().inputs.len());
        self.b.input(&name, TensorType::new(ElemType::F32, dims))
    }

    fn codes(&mut self, elem: ElemType, dims: &[usize]) -> OpId {
        let name = format!("x{}", self.b.graph().inputs.len());
        self.b.input(&name, TensorType::new(elem, dims))
    }

    fn constant(&mut self, dims: &[usize]) -> OpId {
        self.constant_of(ElemType::F32, dims)
    }

    fn constant_of(&mut self, elem: ElemType, dims: &[usize]) -> OpId {
        self.b.constant(random::tensor(&TensorType::new(elem, dims), &mut self.rng))
    }

    /// Constants as large as sums of a few products of codes.
    fn sums(&mut self, count: usize) -> OpId {
        let ty = TensorType::new(ElemType::I32, &[count]);
        let value = |i: usize| Scalar::from_i64(ElemType::I32, i as i64 * 777 % 20_001 - 10_000);
        self.b.constant(Tensor::from_fn(ty, value))
    }

    fn op(&mut self, op: impl Into<Op>, args: &[OpId]) -> OpId {
        self.b.add(op, args).expect("a well-typed op")
    }

    fn spread(&mut self, x: OpId, dims: &[u32], shape: &[usize]) -> OpId {
        let shape: Shape = shape.iter().copied().collect();
        self.op(Broadcast { dims: dims.to_vec(), shape }, &[x])
    }

    /// An image of four rows with the channels last.
    fn image(&mut self, side: usize, channels: usize) -> OpId {
        self.input(&[1, 4, side, channels])
    }

    /// With bias and rectifier; in as many groups as the image has times `inner` channels.
    fn conv(&mut self, x: OpId, [inner, outer]: [usize; 2], taps: Taps) -> OpId {
        let (w, bias) =
            (self.constant(&[outer, inner, taps.size, taps.size]), self.constant(&[outer]));
        let shape = self.b.graph().ty(x).shape.clone();
        let [height, width] = [shape[1], shape[2]].map(|side| side.div_ceil(taps.stride as usize));
        let bias = self.spread(bias, &[3], &[1, height, width, outer]);
        let groups = (shape[3] / inner) as u32;
        let conv = Conv::plain(taps.window(), groups, Layout::ChannelsLast);
        self.op(Conv { epilogue: biased(), ..conv }, &[x, w, bias])
    }

    /// Along the last of three dimensions.
    fn softmax(&mut self, x: OpId, dims: [usize; 3]) -> OpId {
        let exp = expr(2, |b, p| {
            let shifted = b.call(ScalarFn::Sub, &[p[0], p[1]]);
            b.call(ScalarFn::Exp, &[shifted])
        });
        let top = self.of_row(ScalarFn::Max, x, dims);
        let power = self.op(Map { body: exp }, &[x, top]);
        let total = self.of_row(ScalarFn::Add, power, dims);
        let share = expr(2, |b, p| b.call(ScalarFn::Div, p));
        self.op(Map { body: share }, &[power, total])
    }

    /// A reduction of each row, repeated along it.
    fn of_row(&mut self, func: ScalarFn, x: OpId, dims: [usize; 3]) -> OpId {
        let reduced = self.op(Reduce { func, dims: vec![2] }, &[x]);
        let shape: Shape = dims[..2].iter().copied().collect();
        let reduced = self.op(Reshape { shape }, &[reduced]);
        self.spread(reduced, &[0, 1], &dims)
    }

    fn finish(mut self, y: OpId) -> Graph {
        self.b.output("y", y);
        self.b.finish()
    }
}

/// Of a sum of products of codes and a bias: a code between bounds.
fn requantized() -> ScalarExpr {
    let quantize = Quantize { to: ElemType::U8, zero_point: 5, lo: 5, hi: 250 }.body();
    expr(2, |b, p| {
        let sum = b.call(ScalarFn::Add, p);
        let (sum, scale) = (b.cast(ElemType::F32, sum), b.f32(0.003));
        let (product, one) = (b.call(ScalarFn::Mul, &[sum, scale]), b.f32(1.0));
        b.inline(&quantize, |_, p| [product, one][p as usize])
    })
}

/// Of an accumulator and a bias.
fn biased() -> ScalarExpr {
    expr(2, |b, p| {
        let (sum, zero) = (b.call(ScalarFn::Add, p), b.f32(0.0));
        b.call(ScalarFn::Max, &[sum, zero])
    })
}

fn expr(params: u32, root: impl FnOnce(&mut ExprBuilder, &[NodeId]) -> NodeId) -> ScalarExpr {
    ScalarExpr::build(params, |b| {
        let params: Vec<NodeId> = (0..params).map(|n| b.param(n)).collect();
        root(b, &params)
    })
}
