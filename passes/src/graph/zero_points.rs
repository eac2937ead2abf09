//! Codes of zero out of the sums of products: `Σ (x − z)·w = Σ x·w − z·Σ w`, where the second sum
//! is a constant per column. What is left is what instructions for dot products compute.
//!
//! Pads, which count as the code of zero, become explicit. Sums of integers wrap, so that every
//! result keeps its bits.

use super::canonicalize::canonical;
use super::rebuild::{Rebuild, rebuild};
use crate::manager::{Pass, PassCx};
use edgecc_ir::graph::ops::{Broadcast, Conv, Layout, MatMul, Op, Pad, Window, Zeros};
use edgecc_ir::graph::{Graph, OpData, OpId};
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::scalar::{ExprBuilder, ScalarExpr};
use edgecc_ir::tensor::{Scalar, Tensor};
use edgecc_ir::types::{ElemType, Shape, TensorType};

/// The pass.
pub const PASS: Pass<Graph> = Pass {
    name: "zero_points",
    doc: "moves codes of zero out of sums, where the target has dot products",
    run,
};

fn run(graph: &mut Graph, cx: &PassCx<'_>) {
    if cx.target.dots.is_empty() {
        return;
    }
    rebuild(graph, |new, data, args| match uncentred(new, data, args) {
        Some((op, args)) => canonical(new, &op, &args),
        None => new.emit(data.op.clone(), args),
    });
}

/// A sum of products of codes with a constant whose code of zero is 0, without the other's.
fn uncentred(new: &mut Rebuild, data: &OpData, args: &[OpId]) -> Option<(Op, Vec<OpId>)> {
    match &data.op {
        Op::Conv(conv) if conv.zeros.w == 0 && conv.zeros.x != 0 => {
            let weights = new.graph().as_const(args[1])?;
            let channels = weights.ty.shape[0];
            let sums = sums(weights, channels, |at| at / (weights.ty.shape.numel() / channels));
            let rank = data.ty.shape.rank();
            let dim = if conv.layout == Layout::ChannelsFirst { 1 } else { rank - 1 };
            let bias = Bias { dim, values: scaled(&sums, -conv.zeros.x) };
            let (epilogue, extras) = bias.added(new, &conv.epilogue, &args[2..], &data.ty.shape);
            let (x, window) = explicit_pads(new, conv, args[0]);
            let zeros = Zeros::default();
            let args = [x, args[1]].into_iter().chain(extras).collect();
            Some((Conv { window, zeros, epilogue, ..conv.clone() }.into(), args))
        }
        Op::MatMul(matmul) if matmul.zeros.w == 0 && matmul.zeros.x != 0 => {
            let weights = new.graph().as_const(args[1])?;
            let [k, n] = matrix(&weights.ty.shape, matmul.transpose_b)?;
            let column = |at| if matmul.transpose_b { at / k } else { at % n };
            let sums = sums(weights, n, column);
            let bias =
                Bias { dim: data.ty.shape.rank() - 1, values: scaled(&sums, -matmul.zeros.x) };
            let (epilogue, extras) = bias.added(new, &matmul.epilogue, &args[2..], &data.ty.shape);
            let args = [args[0], args[1]].into_iter().chain(extras).collect();
            Some((MatMul { zeros: Zeros::default(), epilogue, ..matmul.clone() }.into(), args))
        }
        _ => None,
    }
}

/// Rows and columns of a constant that is one matrix.
fn matrix(shape: &Shape, transposed: bool) -> Option<[usize; 2]> {
    let [batch @ .., a, b] = &shape[..] else { return None };
    let is_one = batch.iter().all(|&extent| extent == 1);
    is_one.then_some(if transposed { [*b, *a] } else { [*a, *b] })
}

/// The sum of the codes of each of `count` columns.
fn sums(codes: &Tensor, count: usize, column: impl Fn(usize) -> usize) -> Vec<i64> {
    let mut sums = vec![0; count];
    codes.iter().enumerate().for_each(|(at, code)| sums[column(at)] += code.as_i64());
    sums
}

/// Each sum times a factor, wrapped to 32 bits.
fn scaled(sums: &[i64], by: i32) -> Vec<i32> {
    sums.iter().map(|sum| (sum * i64::from(by)) as i32).collect()
}

/// The image with a convolution's pads around it, and the window without them.
fn explicit_pads(new: &mut Rebuild, conv: &Conv, x: OpId) -> (OpId, Window) {
    if !conv.window.is_padded() {
        return (x, conv.window.clone());
    }
    let value = Scalar::from_i64(new.ty(x).elem, i64::from(conv.zeros.x));
    let around = |pads: &[u32]| match conv.layout {
        Layout::ChannelsFirst => [0, 0].iter().chain(pads).copied().collect(),
        Layout::ChannelsLast => [0].iter().chain(pads).chain(&[0]).copied().collect(),
    };
    let pad =
        Pad { low: around(&conv.window.pads_begin), high: around(&conv.window.pads_end), value };
    let none = vec![0; conv.window.strides.len()];
    let window = Window { pads_begin: none.clone(), pads_end: none, ..conv.window.clone() };
    (canonical(new, &pad.into(), &[x]), window)
}

/// A constant that is added to the sums, one value along a dimension of the result.
struct Bias {
    dim: usize,
    values: Vec<i32>,
}

impl Bias {
    /// The epilogue of the sums plus this, and its operands. A constant that is added already takes
    /// it in.
    fn added(
        &self,
        new: &mut Rebuild,
        epilogue: &ScalarExpr,
        extras: &[OpId],
        shape: &Shape,
    ) -> (ScalarExpr, Vec<OpId>) {
        let mut extras = extras.to_vec();
        let added = epilogue.addend().map(|(_, param)| param as usize - 1);
        let known = added.and_then(|n| Some((n, self.values_of(new, extras[n])?)));
        if let Some((n, others)) = known {
            let sums = self.values.iter().zip(others).map(|(a, b)| a.wrapping_add(b)).collect();
            extras[n] = Bias { dim: self.dim, values: sums }.spread(new, shape);
            return (epilogue.clone(), extras);
        }
        extras.push(self.spread(new, shape));
        let count = extras.len() as u32;
        let sum = |b: &mut ExprBuilder| {
            let (acc, bias) = (b.param(0), b.param(count));
            b.call(ScalarFn::Add, &[acc, bias])
        };
        let shifted =
            epilogue.substitute(count + 1, |b, p| if p == 0 { sum(b) } else { b.param(p) });
        (shifted, extras)
    }

    /// The values of an operand, if it is such a constant.
    fn values_of(&self, new: &Rebuild, id: OpId) -> Option<Vec<i32>> {
        let Op::Broadcast(Broadcast { dims, .. }) = new.op(id) else { return None };
        let constant = new.graph().as_const(new.arg(id, 0))?;
        let fits = dims[..] == [self.dim as u32] && constant.ty.elem == ElemType::I32;
        fits.then(|| constant.iter().map(|v| v.as_i64() as i32).collect())
    }

    fn spread(&self, new: &mut Rebuild, shape: &Shape) -> OpId {
        let ty = TensorType::new(ElemType::I32, &[self.values.len()]);
        let value = |i: usize| Scalar::from_i64(ElemType::I32, i64::from(self.values[i]));
        let values = new.constant(Tensor::from_fn(ty, value));
        let op = Broadcast { dims: vec![self.dim as u32], shape: shape.clone() };
        canonical(new, &op.into(), &[values])
    }
}
