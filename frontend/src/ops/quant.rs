//! Quantisation: codes, scales and zero points.
//!
//! A constant zero point that is the same everywhere becomes an attribute; any other is spelled
//! out as element-wise arithmetic.

use super::Import::{Many, One};
use super::conv::{add_bias, convolve};
use super::matmul::multiply;
use super::{OnnxOp, row};
use crate::code::Code;
use crate::context::{ImportCx, normalise_axis, unsupported};
use crate::emit::Emit;
use crate::tensor::elem_type;
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::graph::OpId;
use edgecc_ir::graph::ops::{Dequantize, Quantize};
use edgecc_ir::scalar::func::ScalarFn as F;
use edgecc_ir::types::ElemType;

pub(super) const OPS: &[OnnxOp] = &[
    row("DequantizeLinear", 10, 2..=3, One(dequantize_linear)).limits(TYPES),
    row("DynamicQuantizeLinear", 11, 1..=1, Many(dynamic_quantize)),
    row("QLinearConv", 10, 8..=9, One(qlinear_conv)).limits(TYPES),
    row("QLinearMatMul", 10, 8..=8, One(qlinear_matmul)).limits(TYPES),
    row("QuantizeLinear", 10, 2..=3, One(quantize_linear)).limits(TYPES),
];

const TYPES: &str = "f32 and integer codes of 8 and 16 bits (i32 to dequantize); no blocks";

/// Scale and zero point of a tensor, and the dimension that they belong to.
struct Params {
    scale: OpId,
    zero: Option<OpId>,
    axis: i64,
}

/// The zero point of a quantised tensor.
enum Zero {
    /// The same for all elements.
    Uniform(i32),
    /// An operand with the tensor's shape.
    PerElement(OpId),
}

impl Params {
    fn check(&self, emit: &Emit) -> Result<(), Diagnostic> {
        if emit.elem(self.scale) != ElemType::F32 {
            return Err(Code::UnsupportedType
                .error(format!("scales of type {} are not supported", emit.elem(self.scale))));
        }
        Ok(())
    }

    /// A parameter with the shape of `x`: it has one element, or one per position along the axis.
    fn spread(&self, emit: &mut Emit, param: OpId, x: OpId) -> Result<OpId, Diagnostic> {
        let shape = emit.shape(x);
        if emit.ty(param).shape.numel() == 1 {
            let scalar = emit.reshape(param, &[])?;
            return emit.broadcast(scalar, &shape);
        }
        let axis = normalise_axis(self.axis, shape.rank())?;
        if emit.shape(param)[..] != [shape[axis]] {
            return Err(Code::ShapeMismatch.error(format!(
                "{} does not fit dimension {axis} of {}",
                emit.ty(param),
                emit.ty(x)
            )));
        }
        emit.spread(param, axis, &shape)
    }

    fn zero(&self, emit: &mut Emit, x: OpId) -> Result<Zero, Diagnostic> {
        let Some(zero) = self.zero else { return Ok(Zero::Uniform(0)) };
        let uniform = emit.const_tensor(zero).and_then(|t| t.uniform());
        match uniform {
            Some(value) => Ok(Zero::Uniform(value.as_i64() as i32)),
            None => Ok(Zero::PerElement(self.spread(emit, zero, x)?)),
        }
    }

    fn dequantize(&self, emit: &mut Emit, q: OpId) -> Result<OpId, Diagnostic> {
        self.check(emit)?;
        let scale = self.spread(emit, self.scale, q)?;
        match self.zero(emit, q)? {
            Zero::Uniform(zero_point) => emit.op(Dequantize { zero_point }, &[q, scale]),
            Zero::PerElement(zero) => emit.map(&[q, zero, scale], |b, p| {
                let (code, zero) = (b.cast(ElemType::I32, p[0]), b.cast(ElemType::I32, p[1]));
                let centred = b.sub(code, zero);
                let real = b.cast(ElemType::F32, centred);
                b.mul(real, p[2])
            }),
        }
    }

    fn quantize(&self, emit: &mut Emit, x: OpId, to: ElemType) -> Result<OpId, Diagnostic> {
        self.check(emit)?;
        let bounds = to.int_range().filter(|_| to.bytes() <= 2);
        let (lo, hi) = bounds.ok_or_else(|| {
            Code::UnsupportedType.error(format!("codes of type {to} are not supported"))
        })?;
        let scale = self.spread(emit, self.scale, x)?;
        match self.zero(emit, x)? {
            Zero::Uniform(zero_point) => emit.op(Quantize::full(to, zero_point), &[x, scale]),
            Zero::PerElement(zero) => emit.map(&[x, scale, zero], |b, p| {
                let scaled = b.div(p[0], p[1]);
                let rounded = b.f1(F::Round, scaled);
                let zero = b.cast(ElemType::F32, p[2]);
                let code = b.sum(rounded, zero);
                let (lo, hi) = (b.num(lo as f64), b.num(hi as f64));
                let clamped = b.clamp(code, lo, hi);
                b.cast(to, clamped)
            }),
        }
    }
}

/// Scale and zero point from operands `n` and `n + 1`.
fn params(cx: &ImportCx<'_>, n: usize, axis: i64) -> Result<Params, Diagnostic> {
    Ok(Params { scale: cx.input(n)?, zero: cx.optional(n + 1), axis })
}

fn linear_params(cx: &mut ImportCx<'_>) -> Result<Params, Diagnostic> {
    if let Some(size @ 1..) = cx.int("block_size")? {
        return Err(unsupported("block_size", size));
    }
    let axis = cx.int("axis")?.unwrap_or(1);
    params(cx, 1, axis)
}

fn dequantize_linear(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let params = linear_params(cx)?;
    if let Some(code @ 2..) = cx.int("output_dtype")? {
        return Err(unsupported("output_dtype", code));
    }
    let q = cx.input(0)?;
    params.dequantize(cx.emit, q)
}

/// The result has the zero point's type, or `output_dtype` (opset 21), or is `u8`.
fn quantize_linear(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    cx.ignore(&["saturate", "precision"]);
    let params = linear_params(cx)?;
    let to = match (params.zero, cx.int("output_dtype")?) {
        (Some(zero), _) => cx.emit.elem(zero),
        (None, Some(code @ 1..)) => elem_type(i32::try_from(code).unwrap_or(0))?,
        (None, _) => ElemType::U8,
    };
    let x = cx.input(0)?;
    params.quantize(cx.emit, x, to)
}

/// Operand `n` with its scale and zero point, as real numbers.
fn real(cx: &mut ImportCx<'_>, n: usize, axis: i64) -> Result<OpId, Diagnostic> {
    let (q, params) = (cx.input(n)?, params(cx, n + 1, axis)?);
    params.dequantize(cx.emit, q)
}

/// Quantises with the result's scale and zero point, operands `n` and `n + 1`.
fn requantized(cx: &mut ImportCx<'_>, y: OpId, n: usize) -> Result<OpId, Diagnostic> {
    let (params, to) = (params(cx, n, 1)?, cx.ty(n + 1)?.elem);
    params.quantize(cx.emit, y, to)
}

fn qlinear_matmul(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let (a, w) = (real(cx, 0, -2)?, real(cx, 3, -1)?);
    let product = multiply(cx.emit, a, w)?;
    requantized(cx, product, 6)
}

/// The bias has the scale of the products.
fn qlinear_conv(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let (x, w) = (real(cx, 0, 1)?, real(cx, 3, 0)?);
    let sums = convolve(cx, x, w)?;
    let bias = match cx.optional(8) {
        Some(bias) => {
            let (x_scale, w_scale) = (cx.input(1)?, cx.input(4)?);
            let scale = cx.emit.map_broadcast(&[x_scale, w_scale], |b, p| b.mul(p[0], p[1]))?;
            Some(Params { scale, zero: None, axis: 0 }.dequantize(cx.emit, bias)?)
        }
        None => None,
    };
    let y = add_bias(cx, sums, bias)?;
    requantized(cx, y, 6)
}

/// Scale and zero point from the operand's range, which is extended to hold zero; codes are `u8`.
fn dynamic_quantize(cx: &mut ImportCx<'_>) -> Result<Vec<OpId>, Diagnostic> {
    let x = cx.input(0)?;
    let all: Vec<usize> = (0..cx.emit.rank(x)).collect();
    let top = cx.emit.reduce(F::Max, x, &all)?;
    let bottom = cx.emit.reduce(F::Min, x, &all)?;
    let (top, bottom) = (cx.emit.reshape(top, &[])?, cx.emit.reshape(bottom, &[])?);
    let scale = cx.emit.map(&[top, bottom], |b, p| {
        let (zero, steps) = (b.num(0.0), b.num(255.0));
        let (high, low) = (b.f2(F::Max, zero, p[0]), b.f2(F::Min, zero, p[1]));
        let range = b.sub(high, low);
        b.div(range, steps)
    })?;
    let zero = cx.emit.map(&[bottom, scale], |b, p| {
        let (zero, steps) = (b.num(0.0), b.num(255.0));
        let low = b.f2(F::Min, zero, p[0]);
        let shift = b.div(low, p[1]);
        let code = b.sub(zero, shift);
        let clamped = b.clamp(code, zero, steps);
        let rounded = b.f1(F::Round, clamped);
        b.cast(ElemType::U8, rounded)
    })?;
    let params = Params { scale, zero: Some(zero), axis: 1 };
    let codes = params.quantize(cx.emit, x, ElemType::U8)?;
    Ok(vec![codes, scale, zero])
}
