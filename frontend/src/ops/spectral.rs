//! Fourier transforms as products with constant matrices of cosines and sines.

use super::Import::One;
use super::{OnnxOp, row};
use crate::code::Code;
use crate::context::{ImportCx, invalid, normalise_axis};
use crate::emit::Emit;
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::graph::OpId;
use edgecc_ir::graph::ops::{Conv, Layout, MatMul, Window};
use edgecc_ir::tensor::{Scalar, Tensor};
use edgecc_ir::types::{ElemType, TensorType};
use std::f64::consts::TAU;

pub(super) const OPS: &[OnnxOp] = &[
    row("DFT", 17, 1..=2, One(dft_attribute)).limits(CONSTANTS),
    row("DFT", 20, 1..=3, One(dft_operand)).limits(CONSTANTS),
    row("STFT", 17, 2..=4, One(stft)).limits("constant frame step and length"),
];

const CONSTANTS: &str = "constant length and axis; up to 2^13 points";

/// The longest transform: its matrix has the square of this many elements.
const MAX_LENGTH: usize = 1 << 13;

/// A discrete Fourier transform of `length` points, of which `samples` are given and the others 0.
struct Transform {
    length: usize,
    samples: usize,
    /// Number of results: frequencies, or points of time when `inverse`.
    results: usize,
    /// Numbers per operand and per result: 1 for real ones, 2 for complex ones.
    parts: (usize, usize),
    inverse: bool,
}

impl Transform {
    /// What result `k`, part `to`, gets from sample `j`, part `from`.
    ///
    /// A complex factor `e^{∓2πi·jk/length}`; a real result of half a spectrum counts each
    /// frequency twice that stands for its conjugate as well.
    fn factor(&self, (j, from): (usize, usize), (k, to): (usize, usize)) -> f64 {
        let angle = TAU * ((j * k) % self.length) as f64 / self.length as f64;
        let (cos, sin) = (angle.cos(), if self.inverse { angle.sin() } else { -angle.sin() });
        let product = match (from, to) {
            (0, 0) | (1, 1) => cos,
            (0, _) => sin,
            _ => -sin,
        };
        if !self.inverse {
            return product;
        }
        let is_own_conjugate = j == 0 || 2 * j == self.length;
        let count = if self.parts.1 == 1 && !is_own_conjugate { 2.0 } else { 1.0 };
        product * count / self.length as f64
    }

    /// The factors as a matrix: a row for each sample and part, a column for each result and part.
    fn matrix(&self, elem: ElemType) -> Tensor {
        let (rows, columns) = (self.samples * self.parts.0, self.results * self.parts.1);
        let split = |at: usize, parts: usize| (at / parts, at % parts);
        Tensor::from_fn(TensorType::new(elem, &[rows, columns]), |i| {
            let (row, column) =
                (split(i / columns, self.parts.0), split(i % columns, self.parts.1));
            Scalar::from_f64(elem, self.factor(row, column))
        })
    }
}

/// Opset 17: the axis is an attribute.
fn dft_attribute(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let axis = cx.int("axis")?.unwrap_or(1);
    dft(cx, axis)
}

/// Opset 20: the axis is an operand.
fn dft_operand(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let axis = cx.const_scalar(2, "axis")?.map_or(-2, Scalar::as_i64);
    dft(cx, axis)
}

fn dft(cx: &mut ImportCx<'_>, axis: i64) -> Result<OpId, Diagnostic> {
    let x = cx.input(0)?;
    let (inverse, half) = (cx.flag("inverse", false)?, cx.flag("onesided", false)?);
    let shape = cx.emit.shape(x);
    let axis = normalise_axis(axis, shape.rank())?;
    let (last, parts) = (shape.rank() - 1, shape[shape.rank() - 1]);
    if axis == last || !(1..=2).contains(&parts) || (half && !inverse && parts == 2) {
        return Err(Code::ShapeMismatch
            .error(format!("dimension {axis} of {} has no such transform", cx.emit.ty(x))));
    }
    let extent = shape[axis];
    let natural = if half && inverse { 2 * extent.saturating_sub(1) } else { extent };
    let length = length(cx, 1, natural)?;
    let bins = length / 2 + 1;
    let transform = Transform {
        length,
        samples: extent.min(if half && inverse { bins } else { length }),
        results: if half && !inverse { bins } else { length },
        parts: (parts, if half && inverse { 1 } else { 2 }),
        inverse,
    };
    apply(cx.emit, x, axis, &transform)
}

/// The number of points, operand `n`.
fn length(cx: &ImportCx<'_>, n: usize, default: usize) -> Result<usize, Diagnostic> {
    let given = cx.const_scalar(n, "length")?;
    let length = given.map_or(Some(default), |v| usize::try_from(v.as_i64()).ok());
    match length {
        Some(length @ 1..=MAX_LENGTH) => Ok(length),
        Some(length @ 1..) => {
            Err(Code::TooLarge.error(format!("a Fourier transform of {length} points")))
        }
        Some(0) | None => Err(Code::ShapeMismatch.error("a Fourier transform of no points")),
    }
}

/// The transform along one dimension: a product of matrices whose rows are the other dimensions.
fn apply(emit: &mut Emit, x: OpId, axis: usize, transform: &Transform) -> Result<OpId, Diagnostic> {
    let last = emit.rank(x) - 1;
    let x = emit.slice(x, axis, (0, 1), transform.samples)?;
    let others = || (0..last as u32).filter(|&d| d as usize != axis);
    let moved = emit.transpose(x, others().chain([axis as u32, last as u32]).collect())?;
    let mut shape = emit.shape(moved);
    let rows = shape[..last - 1].iter().product();
    let flat = emit.reshape(moved, &[rows, transform.samples * transform.parts.0])?;
    let matrix = emit.constant(transform.matrix(emit.elem(x)));
    let product = emit.op(MatMul::plain(), &[flat, matrix])?;
    shape.dims_mut()[last - 1] = transform.results;
    shape.dims_mut()[last] = transform.parts.1;
    let spectrum = emit.reshape(product, &shape)?;
    let axis = axis as u32;
    let back = (0..last as u32).map(|d| match d {
        d if d == axis => last as u32 - 1,
        d => d - u32::from(d > axis),
    });
    emit.transpose(spectrum, back.chain([last as u32]).collect())
}

/// Transforms of overlapping frames: a convolution whose filters are the windowed waves.
fn stft(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let half = cx.flag("onesided", true)?;
    let mut x = cx.input(0)?;
    if cx.emit.rank(x) == 2 {
        let dims = [&cx.emit.shape(x)[..], &[1]].concat();
        x = cx.emit.reshape(x, &dims)?;
    }
    let shape = cx.emit.shape(x);
    if shape.rank() != 3 || !(1..=2).contains(&shape[2]) || (half && shape[2] == 2) {
        return Err(Code::ShapeMismatch.error(format!("{} is not a signal", cx.emit.ty(x))));
    }
    let window = cx.optional(2);
    let points = window.map_or(shape[1], |w| cx.emit.ty(w).shape.numel());
    let points = length(cx, 3, points)?;
    if points > shape[1] {
        return Err(Code::ShapeMismatch.error(format!("the signal is shorter than {points}")));
    }
    let results = if half { points / 2 + 1 } else { points };
    let parts = (shape[2], 2);
    let transform = Transform { length: points, samples: points, results, parts, inverse: false };
    let filters = filters(cx.emit, &transform, cx.emit.elem(x), window)?;
    let step = cx.const_scalar(1, "frame_step")?.and_then(|s| u32::try_from(s.as_i64()).ok());
    let step = step.filter(|s| (1..1 << 31).contains(s));
    let mut window = Window::unit(1);
    window.strides[0] = step.ok_or_else(|| invalid("frame_step", "must be positive"))?;
    let signal = cx.emit.transpose(x, vec![0, 2, 1])?;
    let conv = Conv::plain(window, 1, Layout::default());
    let waves = cx.emit.op(conv, &[signal, filters])?;
    let frames = cx.emit.transpose(waves, vec![0, 2, 1])?;
    let count = cx.emit.shape(frames)[1];
    cx.emit.reshape(frames, &[shape[0], count, results, 2])
}

/// `[results·2, parts, length]`: each wave times the window.
fn filters(
    emit: &mut Emit,
    transform: &Transform,
    elem: ElemType,
    window: Option<OpId>,
) -> Result<OpId, Diagnostic> {
    let matrix = emit.constant(transform.matrix(elem));
    let (samples, parts) = (transform.samples, transform.parts.0);
    let rows = emit.reshape(matrix, &[samples, parts, transform.results * 2])?;
    let waves = emit.transpose(rows, vec![2, 1, 0])?;
    match window {
        None => Ok(waves),
        Some(window) => {
            let window = emit.reshape(window, &[samples])?;
            emit.map_broadcast(&[waves, window], |b, p| b.mul(p[0], p[1]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Transform;
    use edgecc_ir::types::ElemType;

    #[test]
    fn half_a_spectrum_returns_to_the_signal() {
        let forward =
            Transform { length: 4, samples: 4, results: 3, parts: (1, 2), inverse: false };
        let back = Transform { length: 4, samples: 3, results: 4, parts: (2, 1), inverse: true };
        let (there, back) = (forward.matrix(ElemType::F64), back.matrix(ElemType::F64));
        for (i, j) in (0..4).flat_map(|i| (0..4).map(move |j| (i, j))) {
            let sum: f64 =
                (0..6).map(|k| there.get(i * 6 + k).as_f64() * back.get(k * 4 + j).as_f64()).sum();
            let wanted = if i == j { 1.0 } else { 0.0 };
            assert!((sum - wanted).abs() < 1e-15, "{i} {j} {sum}");
        }
    }
}
