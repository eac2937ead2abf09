//! Positions of extreme elements.

use super::Import::One;
use super::positions::positions;
use super::{OnnxOp, row};
use crate::context::ImportCx;
use crate::emit::Emit;
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::graph::OpId;
use edgecc_ir::scalar::func::ScalarFn as F;
use edgecc_ir::tensor::Scalar;
use edgecc_ir::types::ElemType;

pub(super) const OPS: &[OnnxOp] = &[
    row("ArgMax", 1, 1..=1, One(|cx| arg(cx, F::Max))),
    row("ArgMin", 1, 1..=1, One(|cx| arg(cx, F::Min))),
    row("Hardmax", 1, 1..=1, One(flattened_hardmax)),
    row("Hardmax", 13, 1..=1, One(hardmax)),
];

/// The type of positions: the narrowest that vector units compare.
const POSITION: ElemType = ElemType::I32;

fn arg(cx: &mut ImportCx<'_>, func: F) -> Result<OpId, Diagnostic> {
    let x = cx.input(0)?;
    let shape = cx.emit.shape(x);
    let axis = cx.axis("axis", 0, shape.rank())?;
    let keep = cx.flag("keepdims", true)?;
    let choice = if cx.flag("select_last_index", false)? { F::Max } else { F::Min };
    let place = extreme(cx.emit, x, axis, func, choice)?;
    let place = cx.emit.cast(place, ElemType::I64)?;
    if keep {
        return Ok(place);
    }
    let kept: Vec<usize> =
        shape.iter().enumerate().filter(|&(d, _)| d != axis).map(|(_, &e)| e).collect();
    cx.emit.reshape(place, &kept)
}

/// The position of the extreme element, of equal ones the first (`choice` is `Min`) or the last.
///
/// As in onnxruntime a NaN is the extreme when it comes first and is passed over elsewhere.
fn extreme(emit: &mut Emit, x: OpId, axis: usize, func: F, choice: F) -> Result<OpId, Diagnostic> {
    let shape = emit.shape(x);
    let ordered = without_nan(emit, x, func)?;
    let best = emit.reduce(func, ordered, &[axis])?;
    let best = emit.broadcast(best, &shape)?;
    let place = positions(emit, POSITION, &shape, axis)?;
    let last = shape[axis].saturating_sub(1) as i64;
    let losing = Scalar::from_i64(POSITION, if choice == F::Min { last } else { 0 });
    let candidates = emit.map(&[x, best, place], |b, p| {
        let is_best = b.f2(F::Eq, p[0], p[1]);
        let losing = b.literal(losing);
        b.select(is_best, p[2], losing)
    })?;
    let found = emit.reduce(choice, candidates, &[axis])?;
    if !emit.elem(x).is_float() || shape[axis] == 0 {
        return Ok(found);
    }
    let first = emit.slice(x, axis, (0, 1), 1)?;
    emit.map(&[first, found], |b, p| {
        let is_number = b.f2(F::Eq, p[0], p[0]);
        let zero = b.literal(Scalar::from_i64(POSITION, 0));
        b.select(is_number, p[1], zero)
    })
}

/// NaN becomes the element that no other loses against.
fn without_nan(emit: &mut Emit, x: OpId, func: F) -> Result<OpId, Diagnostic> {
    let elem = emit.elem(x);
    match func.identity(elem) {
        Some(neutral) if elem.is_float() => emit.map(&[x], |b, p| {
            let (is_number, neutral) = (b.f2(F::Eq, p[0], p[0]), b.literal(neutral));
            b.select(is_number, p[0], neutral)
        }),
        _ => Ok(x),
    }
}

/// 1 at the first largest element along the axis, 0 elsewhere.
fn hardmax(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let x = cx.input(0)?;
    let axis = cx.axis("axis", -1, cx.emit.rank(x))?;
    mark_largest(cx.emit, x, axis)
}

/// Before opset 13 all dimensions from `axis` on are searched together.
fn flattened_hardmax(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let x = cx.input(0)?;
    let shape = cx.emit.shape(x);
    let axis = cx.axis("axis", 1, shape.rank())?;
    let rows = [shape[..axis].iter().product(), shape[axis..].iter().product()];
    let flat = cx.emit.reshape(x, &rows)?;
    let marks = mark_largest(cx.emit, flat, 1)?;
    cx.emit.reshape(marks, &shape)
}

fn mark_largest(emit: &mut Emit, x: OpId, axis: usize) -> Result<OpId, Diagnostic> {
    let elem = emit.elem(x);
    let marks = largest(emit, x, axis)?;
    emit.cast(marks, elem)
}

/// True at the first largest element along the axis.
pub(super) fn largest(emit: &mut Emit, x: OpId, axis: usize) -> Result<OpId, Diagnostic> {
    let shape = emit.shape(x);
    let found = extreme(emit, x, axis, F::Max, F::Min)?;
    let found = emit.broadcast(found, &shape)?;
    let place = positions(emit, POSITION, &shape, axis)?;
    emit.map(&[place, found], |b, p| b.f2(F::Eq, p[0], p[1]))
}
