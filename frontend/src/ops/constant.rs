//! Constants, and operators whose result is known from shapes alone.

use super::Import::{Many, One};
use super::{OnnxOp, row};
use crate::code::Code;
use crate::context::{ImportCx, invalid};
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::graph::OpId;
use edgecc_ir::tensor::{Scalar, Tensor};
use edgecc_ir::types::{ElemType, Shape, TensorType};

pub(super) const OPS: &[OnnxOp] = &[
    row("Constant", 1, 0..=0, One(constant)).limits("no strings, no sparse tensors"),
    row("ConstantOfShape", 9, 1..=1, One(constant_of_shape)).limits("constant shape"),
    row("Dropout", 7, 1..=3, Many(dropout)).limits("drops nothing"),
    row("Identity", 1, 1..=1, One(|cx| cx.input(0))).keeps_count(),
    row("Range", 11, 3..=3, One(range)).limits("constant operands"),
    row("Shape", 1, 1..=1, One(shape)),
    row("Size", 1, 1..=1, One(size)),
];

/// The longest `Range`.
const MAX_RANGE: f64 = (1u64 << 24) as f64;

fn constant(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let tensor = if let Some(tensor) = cx.tensor("value")? {
        tensor
    } else if let Some(v) = cx.int("value_int")? {
        Tensor::from_i64s(&[], &[v])
    } else if let Some(v) = cx.ints("value_ints")? {
        Tensor::from_i64s(&[v.len()], &v)
    } else if let Some(v) = cx.floats("value_floats")? {
        Tensor::from_f32s(&[v.len()], &v)
    } else if cx.has_attr("value_float") {
        Tensor::from_f32s(&[], &[cx.float("value_float", 0.0)?])
    } else {
        return Err(Code::UnsupportedType.error("a constant is a string, sparse, or has no value"));
    };
    Ok(cx.emit.constant(tensor))
}

/// A repeated scalar: whatever its size, it takes no space in the model.
fn constant_of_shape(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let value = cx.tensor("value")?.unwrap_or_else(|| Tensor::splat(&[1], Scalar::f32(0.0)));
    if value.numel() != 1 {
        return Err(invalid("value", "must have one element"));
    }
    let dims = cx.const_i64s(0, "shape")?.unwrap_or_default();
    let shape = extents(&dims)?;
    let scalar = cx.emit.constant(value.reshaped(&[]));
    cx.emit.broadcast(scalar, &shape)
}

/// A shape from integers that must not be negative.
pub(super) fn extents(dims: &[i64]) -> Result<Shape, Diagnostic> {
    let extent = |&d: &i64| usize::try_from(d).ok();
    dims.iter().map(extent).collect::<Option<Shape>>().ok_or_else(|| {
        Code::ShapeMismatch.error(format!("the shape {dims:?} has a negative extent"))
    })
}

/// Nothing is dropped; the mask is all true.
fn dropout(cx: &mut ImportCx<'_>) -> Result<Vec<OpId>, Diagnostic> {
    cx.ignore(&["ratio", "seed"]);
    if cx.const_scalar(2, "training_mode")?.is_some_and(Scalar::is_true) {
        let ratio = cx.const_scalar(1, "ratio")?.map_or(0.5, Scalar::as_f64);
        if ratio != 0.0 {
            return Err(Code::UnsupportedAttribute
                .error(format!("training_mode = true with ratio = {ratio} is not supported")));
        }
    }
    let x = cx.input(0)?;
    let mask_type = if cx.opset < 10 { cx.emit.elem(x) } else { ElemType::Bool };
    let kept = cx.emit.constant(Tensor::splat(&[], Scalar::from_i64(mask_type, 1)));
    let shape = cx.emit.shape(x);
    Ok(vec![x, cx.emit.broadcast(kept, &shape)?])
}

fn range(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let bound = |n, what| {
        let value = cx.const_scalar(n, what)?;
        value.ok_or_else(|| Code::MissingInput.error(format!("operand {n} is left out")))
    };
    let (start, limit, delta) = (bound(0, "start")?, bound(1, "limit")?, bound(2, "delta")?);
    let elem = start.elem();
    if limit.elem() != elem || delta.elem() != elem || elem == ElemType::Bool {
        return Err(Code::ShapeMismatch.error("start, limit and delta differ in type"));
    }
    let count = ((limit.as_f64() - start.as_f64()) / delta.as_f64()).ceil().max(0.0);
    if count.is_nan() || count > MAX_RANGE {
        return Err(Code::TooLarge.error(format!("a range of {count} elements")));
    }
    let at = |i: usize| {
        if elem.is_float() {
            return Scalar::from_f64(elem, start.as_f64() + i as f64 * delta.as_f64());
        }
        let step = delta.as_i64().wrapping_mul(i as i64);
        Scalar::from_i64(elem, start.as_i64().wrapping_add(step))
    };
    let tensor = Tensor::from_fn(TensorType::new(elem, &[count as usize]), at);
    Ok(cx.emit.constant(tensor))
}

/// Opset 15 adds a range of dimensions, clamped like a slice.
fn shape(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let ty = cx.ty(0)?;
    let rank = ty.shape.rank() as i64;
    let (start, end) = (cx.int("start")?.unwrap_or(0), cx.int("end")?.unwrap_or(rank));
    let clamp = |v: i64| (if v < 0 { v.saturating_add(rank) } else { v }).clamp(0, rank) as usize;
    let dims: Vec<i64> = ty.shape.iter().map(|&d| d as i64).collect();
    let part = dims.get(clamp(start)..clamp(end)).unwrap_or_default();
    Ok(cx.emit.constant(Tensor::from_i64s(&[part.len()], part)))
}

fn size(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let numel = cx.ty(0)?.shape.numel() as i64;
    Ok(cx.emit.constant(Tensor::from_i64s(&[], &[numel])))
}
