//! Padding: constant, or repeating what is inside.

use super::Import::One;
use super::{OnnxOp, row};
use crate::code::Code;
use crate::context::{ImportCx, normalise_axis, unsupported};
use crate::emit::Emit;
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::graph::OpId;
use edgecc_ir::tensor::Scalar;

pub(super) const OPS: &[OnnxOp] = &[
    row("Pad", 2, 1..=1, One(pad_attributes)),
    row("Pad", 11, 2..=4, One(pad_operands)).limits("constant amounts"),
];

/// The largest amount along a dimension.
const MAX_AMOUNT: u64 = 1 << 31;

/// Opset 2: amounts and value are attributes.
fn pad_attributes(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let amounts = cx.ints("pads")?.unwrap_or_default();
    let value = cx.float("value", 0.0)?;
    let elem = cx.ty(0)?.elem;
    pad(cx, &amounts, None, Scalar::from_f64(elem, f64::from(value)))
}

/// Opset 11: amounts and value are operands; opset 18 adds axes.
fn pad_operands(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let amounts = cx.const_i64s(1, "pads")?.unwrap_or_default();
    let value = cx.const_scalar(2, "constant_value")?;
    let axes = cx.const_i64s(3, "axes")?;
    let elem = cx.ty(0)?.elem;
    pad(cx, &amounts, axes, value.unwrap_or_else(|| Scalar::from_i64(elem, 0)))
}

fn pad(
    cx: &mut ImportCx<'_>,
    amounts: &[i64],
    axes: Option<Vec<i64>>,
    value: Scalar,
) -> Result<OpId, Diagnostic> {
    let mode = cx.string("mode", "constant")?;
    let mut x = cx.input(0)?;
    let rank = cx.emit.rank(x);
    let axes = axes.unwrap_or_else(|| (0..rank as i64).collect());
    if amounts.len() != 2 * axes.len() || amounts.iter().any(|a| a.unsigned_abs() > MAX_AMOUNT) {
        return Err(Code::ShapeMismatch
            .error(format!("the pads {amounts:?} do not fit {} dimensions", axes.len())));
    }
    let side: fn(&mut Emit, OpId, usize, [usize; 2]) -> Result<OpId, Diagnostic> =
        match mode.as_str() {
            "constant" => return pad_constant(cx, amounts, &axes, value),
            "reflect" => reflect,
            "edge" => edge,
            "wrap" => wrap,
            other => return Err(unsupported("mode", other)),
        };
    for (i, &axis) in axes.iter().enumerate() {
        let dim = normalise_axis(axis, rank)?;
        let amounts = [amounts[i], amounts[axes.len() + i]];
        let [low, high] = amounts.map(|a| a.max(0) as usize);
        x = crop(cx.emit, x, dim, amounts)?;
        if low + high > 0 {
            x = side(cx.emit, x, dim, [low, high])?;
        }
    }
    Ok(x)
}

fn pad_constant(
    cx: &mut ImportCx<'_>,
    amounts: &[i64],
    axes: &[i64],
    value: Scalar,
) -> Result<OpId, Diagnostic> {
    let mut x = cx.input(0)?;
    let rank = cx.emit.rank(x);
    let (mut low, mut high) = (vec![0; rank], vec![0; rank]);
    for (i, &axis) in axes.iter().enumerate() {
        let dim = normalise_axis(axis, rank)?;
        let amounts = [amounts[i], amounts[axes.len() + i]];
        x = crop(cx.emit, x, dim, amounts)?;
        [low[dim], high[dim]] = amounts.map(|a| a.max(0) as u32);
    }
    cx.emit.pad(x, low, high, value)
}

/// Negative amounts remove elements.
fn crop(emit: &mut Emit, x: OpId, dim: usize, amounts: [i64; 2]) -> Result<OpId, Diagnostic> {
    let [low, high] = amounts.map(|a| a.min(0).unsigned_abs() as usize);
    let rest = emit.shape(x)[dim].checked_sub(low + high);
    let rest = rest.ok_or_else(|| Code::ShapeMismatch.error("negative pads remove too much"))?;
    emit.slice(x, dim, (low as i64, 1), rest)
}

fn too_far(emit: &Emit, x: OpId) -> Diagnostic {
    Code::ShapeMismatch.error(format!("the pads reach further than {}", emit.ty(x)))
}

/// Mirrors around the outermost elements, which are not repeated.
fn reflect(
    emit: &mut Emit,
    x: OpId,
    dim: usize,
    [low, high]: [usize; 2],
) -> Result<OpId, Diagnostic> {
    let extent = emit.shape(x)[dim];
    if low.max(high) >= extent {
        return Err(too_far(emit, x));
    }
    let before = emit.slice(x, dim, (low as i64, -1), low)?;
    let after = emit.slice(x, dim, (extent as i64 - 2, -1), high)?;
    surround(emit, dim, [before, x, after])
}

/// Repeats the outermost elements.
fn edge(emit: &mut Emit, x: OpId, dim: usize, [low, high]: [usize; 2]) -> Result<OpId, Diagnostic> {
    let mut shape = emit.shape(x);
    let extent = shape[dim];
    if extent == 0 {
        return Err(too_far(emit, x));
    }
    let (first, last) =
        (emit.slice(x, dim, (0, 1), 1)?, emit.slice(x, dim, (extent as i64 - 1, 1), 1)?);
    shape.dims_mut()[dim] = low;
    let before = emit.broadcast(first, &shape)?;
    shape.dims_mut()[dim] = high;
    let after = emit.broadcast(last, &shape)?;
    surround(emit, dim, [before, x, after])
}

/// Continues with the other end.
fn wrap(emit: &mut Emit, x: OpId, dim: usize, [low, high]: [usize; 2]) -> Result<OpId, Diagnostic> {
    let extent = emit.shape(x)[dim];
    if low.max(high) > extent {
        return Err(too_far(emit, x));
    }
    let before = emit.slice(x, dim, ((extent - low) as i64, 1), low)?;
    let after = emit.slice(x, dim, (0, 1), high)?;
    surround(emit, dim, [before, x, after])
}

fn surround(emit: &mut Emit, dim: usize, parts: [OpId; 3]) -> Result<OpId, Diagnostic> {
    let parts: Vec<OpId> = parts.into_iter().filter(|&p| emit.ty(p).shape[dim] > 0).collect();
    emit.concat(&parts, dim)
}
