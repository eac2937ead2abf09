//! Quantisation: codes, scales and zero points.
//!
//! A constant zero point that is the same everywhere becomes an attribute; any other is spelled
//! out as element-wise arithmetic.

use super::Import::{Many, One};
use super::conv::{add_bias, convolve};
use super::matmul::multiply;
use super::{OnnxOp, row};
use crate::code::Code;
use crate::context::{ImportCx, invalid, normalise_axis};
use crate::emit::Emit;
use crate::format::{Conversion, Format};
use crate::tensor::{DataType, data_type};
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::graph::OpId;
use edgecc_ir::graph::ops::{Dequantize, Quantize, Zeros};
use edgecc_ir::scalar::func::ScalarFn as F;
use edgecc_ir::tensor::{Scalar, Tensor};
use edgecc_ir::types::{ElemType, Shape};

pub(super) const OPS: &[OnnxOp] = &[
    row("DequantizeLinear", 10, 2..=3, One(dequantize_linear)).limits(TYPES),
    row("DynamicQuantizeLinear", 11, 1..=1, Many(dynamic_quantize)),
    row("QLinearConv", 10, 8..=9, One(qlinear_conv)).limits(TYPES),
    row("QLinearMatMul", 10, 8..=8, One(qlinear_matmul)).limits(TYPES),
    row("QuantizeLinear", 10, 2..=3, One(quantize_linear)).limits(TYPES),
];

const TYPES: &str = "codes of at most 16 bits (i32 to dequantize)";

/// Scale and zero point of a tensor, and which elements they belong to.
struct Params {
    scale: OpId,
    zero: Option<OpId>,
    axis: i64,
    /// Positions along the axis that share a parameter.
    block: usize,
    /// Whether narrow floats saturate.
    saturate: bool,
}

/// The zero point of a quantised tensor.
enum Zero {
    /// The same for all elements.
    Uniform(i32),
    /// An operand with the tensor's shape.
    PerElement(OpId),
}

impl Params {
    /// A parameter with the shape of `x`: one element, one per position along the axis, one per
    /// block along the axis, or one per row.
    fn spread(&self, emit: &mut Emit, param: OpId, x: OpId) -> Result<OpId, Diagnostic> {
        let shape = emit.shape(x);
        if emit.ty(param).shape.numel() == 1 {
            let scalar = emit.reshape(param, &[])?;
            return emit.broadcast(scalar, &shape);
        }
        let axis = normalise_axis(self.axis, shape.rank())?;
        if emit.shape(param)[..] == [shape[axis]] {
            return emit.spread(param, axis, &shape);
        }
        if emit.rank(param) == shape.rank() && self.block > 0 {
            let repeated = repeat_each(emit, param, axis, self.block)?;
            if emit.shape(repeated)[axis] >= shape[axis] {
                let param = emit.slice(repeated, axis, (0, 1), shape[axis])?;
                return emit.broadcast(param, &shape);
            }
        }
        if emit.rank(param) == shape.rank() && self.block == 0 {
            return emit.broadcast(param, &shape);
        }
        Err(Code::ShapeMismatch.error(format!(
            "{} does not fit dimension {axis} of {}",
            emit.ty(param),
            emit.ty(x)
        )))
    }

    fn zero(&self, emit: &mut Emit, x: OpId) -> Result<Zero, Diagnostic> {
        let Some(zero) = self.zero else { return Ok(Zero::Uniform(0)) };
        let uniform = emit.const_tensor(zero).and_then(|t| t.uniform());
        match uniform {
            Some(value) => Ok(Zero::Uniform(value.as_i64() as i32)),
            None => Ok(Zero::PerElement(self.spread(emit, zero, x)?)),
        }
    }

    /// `(q − zero) · scale` in `f32`.
    fn dequantize(&self, emit: &mut Emit, q: OpId) -> Result<OpId, Diagnostic> {
        let scale = emit.cast(self.scale, ElemType::F32)?;
        let scale = self.spread(emit, scale, q)?;
        if emit.elem(q).is_float() {
            return emit.map(&[q, scale], |b, p| b.mul(p[0], p[1]));
        }
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

    /// `round(x / scale) + zero` as codes; the division in `precision`.
    fn quantize(
        &self,
        emit: &mut Emit,
        x: OpId,
        to: DataType,
        precision: ElemType,
    ) -> Result<OpId, Diagnostic> {
        let x = emit.cast(x, precision)?;
        let scale = emit.cast(self.scale, precision)?;
        let scale = self.spread(emit, scale, x)?;
        let range = to.format.map_or(to.elem.int_range(), Format::int_range);
        let Some((lo, hi)) = range.filter(|_| to.elem.bytes() <= 2) else {
            return self.quantize_float(emit, x, scale, to);
        };
        match self.zero(emit, x)? {
            Zero::Uniform(zero_point) if precision == ElemType::F32 => {
                let bounds = (lo as i32, hi as i32);
                let op = Quantize { to: to.elem, zero_point, lo: bounds.0, hi: bounds.1 };
                emit.op(op, &[x, scale])
            }
            zero => {
                let zero = match zero {
                    Zero::Uniform(zero) => emit.constant(Tensor::splat(&[], i32_scalar(zero))),
                    Zero::PerElement(zero) => zero,
                };
                emit.map_broadcast(&[x, scale, zero], |b, p| {
                    let scaled = b.div(p[0], p[1]);
                    let wide = b.cast(ElemType::F32, scaled);
                    let rounded = b.f1(F::Round, wide);
                    let zero = b.cast(ElemType::F32, p[2]);
                    let code = b.sum(rounded, zero);
                    let limit = |v: i64| Scalar::f32(v as f32);
                    let (lo, hi) = (b.literal(limit(lo)), b.literal(limit(hi)));
                    let clamped = b.clamp(code, lo, hi);
                    b.cast(to.elem, clamped)
                })
            }
        }
    }

    /// Codes of a narrow float are the nearest numbers; a zero point only shifts.
    fn quantize_float(
        &self,
        emit: &mut Emit,
        x: OpId,
        scale: OpId,
        to: DataType,
    ) -> Result<OpId, Diagnostic> {
        let Some(format) = to.format else {
            return Err(
                Code::UnsupportedType.error(format!("codes of type {} are not supported", to.elem))
            );
        };
        let mut y = emit.map(&[x, scale], |b, p| b.div(p[0], p[1]))?;
        if let Some(zero) = self.zero {
            let zero = self.spread(emit, zero, x)?;
            y = emit.cast(y, ElemType::F32)?;
            y = emit.map(&[y, zero], |b, p| b.sum(p[0], p[1]))?;
        }
        format.convert(emit, y, Conversion { saturate: self.saturate, ..Conversion::default() })
    }
}

fn i32_scalar(value: i32) -> Scalar {
    Scalar::from_i64(ElemType::I32, i64::from(value))
}

/// Each element along a dimension `count` times.
fn repeat_each(emit: &mut Emit, x: OpId, dim: usize, count: usize) -> Result<OpId, Diagnostic> {
    let mut shape = emit.shape(x);
    let extent = shape[dim].saturating_mul(count);
    let (outer, inner) = (shape[..=dim].iter().product(), shape[dim + 1..].iter().product());
    let column = emit.reshape(x, &[outer, 1, inner])?;
    let repeated = emit.broadcast(column, &Shape::new(&[outer, count, inner]))?;
    shape.dims_mut()[dim] = extent;
    emit.reshape(repeated, &shape)
}

/// Scale and zero point from operands `n` and `n + 1`.
fn params(cx: &ImportCx<'_>, n: usize, axis: i64) -> Result<Params, Diagnostic> {
    Ok(Params { scale: cx.input(n)?, zero: cx.optional(n + 1), axis, block: 0, saturate: true })
}

fn linear_params(cx: &mut ImportCx<'_>) -> Result<Params, Diagnostic> {
    let block = cx.int("block_size")?.unwrap_or(0);
    let block = usize::try_from(block).map_err(|_| invalid("block_size", "is negative"))?;
    let saturate = cx.flag("saturate", true)?;
    let axis = cx.int("axis")?.unwrap_or(1);
    Ok(Params { block, saturate, ..params(cx, 1, axis)? })
}

/// A type attribute; 0 leaves the type open.
fn type_attribute(cx: &mut ImportCx<'_>, name: &str) -> Result<Option<DataType>, Diagnostic> {
    match cx.int(name)? {
        Some(code) if code != 0 => data_type(i32::try_from(code).unwrap_or(0)).map(Some),
        Some(_) | None => Ok(None),
    }
}

/// The result has the scale's type, or `output_dtype` (opset 23).
fn dequantize_linear(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let params = linear_params(cx)?;
    let scale = cx.data_type(1)?;
    let to = type_attribute(cx, "output_dtype")?.unwrap_or(scale);
    let q = cx.input(0)?;
    let real = params.dequantize(cx.emit, q)?;
    cx.state_format(to.format);
    match to.format {
        None => cx.emit.cast(real, to.elem),
        Some(format) => format.convert(cx.emit, real, Conversion::default()),
    }
}

/// The result has the zero point's type, or `output_dtype` (opset 21), or is `u8`.
fn quantize_linear(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let params = linear_params(cx)?;
    let stated = type_attribute(cx, "output_dtype")?;
    let to = match (params.zero, stated) {
        (Some(_), _) => cx.data_type(2)?,
        (None, Some(to)) => to,
        (None, None) => DataType { elem: ElemType::U8, format: None },
    };
    let precision = match type_attribute(cx, "precision")? {
        Some(stated) => stated.elem,
        None => division_type(cx)?,
    };
    let x = cx.input(0)?;
    cx.state_format(to.format);
    params.quantize(cx.emit, x, to, precision)
}

/// The wider type of operand and scale.
fn division_type(cx: &ImportCx<'_>) -> Result<ElemType, Diagnostic> {
    let (x, scale) = (cx.ty(0)?.elem, cx.ty(1)?.elem);
    Ok(if x == ElemType::F16 && scale == x { x } else { ElemType::F32 })
}

/// Operand `n` with its scale and zero point, as real numbers.
fn real(cx: &mut ImportCx<'_>, n: usize, axis: i64) -> Result<OpId, Diagnostic> {
    let (q, params) = (cx.input(n)?, params(cx, n + 1, axis)?);
    params.dequantize(cx.emit, q)
}

/// Quantises with the result's scale and zero point, operands `n` and `n + 1`.
fn requantized(cx: &mut ImportCx<'_>, y: OpId, n: usize) -> Result<OpId, Diagnostic> {
    let (params, to) = (params(cx, n, 1)?, cx.data_type(n + 1)?);
    params.quantize(cx.emit, y, to, ElemType::F32)
}

fn qlinear_matmul(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let (a, w) = (real(cx, 0, -2)?, real(cx, 3, -1)?);
    let product = multiply(cx.emit, a, w, Zeros::default())?;
    requantized(cx, product, 6)
}

/// The bias has the scale of the products.
fn qlinear_conv(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let (x, w) = (real(cx, 0, 1)?, real(cx, 3, 0)?);
    let sums = convolve(cx, x, w, Zeros::default())?;
    let bias = match cx.optional(8) {
        Some(bias) => {
            let (x_scale, w_scale) = (cx.input(1)?, cx.input(4)?);
            let scale = cx.emit.map_broadcast(&[x_scale, w_scale], |b, p| b.mul(p[0], p[1]))?;
            let params = Params { scale, zero: None, axis: 0, block: 0, saturate: true };
            Some(params.dequantize(cx.emit, bias)?)
        }
        None => None,
    };
    let y = add_bias(cx, sums, bias)?;
    requantized(cx, y, 6)
}

/// Scale and zero point from the operand's range, which is extended to hold zero; codes are `u8`.
/// The scale of zeros alone is 1, as in onnxruntime.
fn dynamic_quantize(cx: &mut ImportCx<'_>) -> Result<Vec<OpId>, Diagnostic> {
    let x = cx.input(0)?;
    let (codes, scale, zero) = quantize_dynamically(cx.emit, x)?;
    Ok(vec![codes, scale, zero])
}

/// Codes, scale and zero point that span the values of a tensor and 0.
pub(super) fn quantize_dynamically(
    emit: &mut Emit,
    x: OpId,
) -> Result<(OpId, OpId, OpId), Diagnostic> {
    let all: Vec<usize> = (0..emit.rank(x)).collect();
    let top = emit.reduce(F::Max, x, &all)?;
    let bottom = emit.reduce(F::Min, x, &all)?;
    let (top, bottom) = (emit.reshape(top, &[])?, emit.reshape(bottom, &[])?);
    let scale = emit.map(&[top, bottom], |b, p| {
        let (zero, steps) = (b.num(0.0), b.num(255.0));
        let (high, low) = (b.f2(F::Max, zero, p[0]), b.f2(F::Min, zero, p[1]));
        let range = b.sub(high, low);
        let (flat, one, scale) = (b.f2(F::Eq, range, zero), b.num(1.0), b.div(range, steps));
        b.select(flat, one, scale)
    })?;
    let zero = emit.map(&[bottom, scale], |b, p| {
        let (zero, steps) = (b.num(0.0), b.num(255.0));
        let low = b.f2(F::Min, zero, p[0]);
        let shift = b.div(low, p[1]);
        let code = b.sub(zero, shift);
        let clamped = b.clamp(code, zero, steps);
        let rounded = b.f1(F::Round, clamped);
        b.cast(ElemType::U8, rounded)
    })?;
    let params = Params { scale, zero: Some(zero), axis: 1, block: 0, saturate: true };
    let to = DataType { elem: ElemType::U8, format: None };
    let codes = params.quantize(emit, x, to, ElemType::F32)?;
    Ok((codes, scale, zero))
}
