//! Operators that compare positions: masks, diagonals and one-hot codes.

use super::Import::One;
use super::positions::{as_scalar, positions};
use super::{OnnxOp, row};
use crate::code::Code;
use crate::context::ImportCx;
use crate::emit::Emit;
use crate::tensor::elem_type;
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::graph::OpId;
use edgecc_ir::scalar::func::ScalarFn as F;
use edgecc_ir::tensor::{Scalar, Tensor};
use edgecc_ir::types::{ElemType, Shape};

pub(super) const OPS: &[OnnxOp] = &[
    row("EyeLike", 9, 1..=1, One(eye_like)),
    row("OneHot", 9, 3..=3, One(|cx| one_hot(cx, Negative::Nowhere))).limits("constant depth"),
    row("OneHot", 11, 3..=3, One(|cx| one_hot(cx, Negative::FromEnd))).limits("constant depth"),
    row("Trilu", 14, 1..=2, One(trilu)),
];

const INDEX: ElemType = ElemType::I64;

/// Where a negative index points.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Negative {
    Nowhere,
    FromEnd,
}

/// `column − row` for the last two dimensions, as a matrix.
fn diagonals(emit: &mut Emit, shape: &Shape) -> Result<OpId, Diagnostic> {
    let matrix = Shape::new(&shape[shape.rank() - 2..]);
    let rows = positions(emit, INDEX, &matrix, 0)?;
    let columns = positions(emit, INDEX, &matrix, 1)?;
    emit.map(&[columns, rows], |b, p| b.sub(p[0], p[1]))
}

/// Ones on one diagonal of a matrix of the operand's shape.
fn eye_like(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let ty = cx.ty(0)?;
    if ty.shape.rank() != 2 {
        return Err(Code::ShapeMismatch.error(format!("EyeLike needs a matrix, found {ty}")));
    }
    let k = cx.int("k")?.unwrap_or(0);
    let elem = match cx.int("dtype")? {
        Some(code) => elem_type(i32::try_from(code).unwrap_or(-1))?,
        None => ty.elem,
    };
    let diagonal = diagonals(cx.emit, &ty.shape)?;
    cx.emit.map(&[diagonal], |b, p| {
        let k = b.literal(Scalar::from_i64(INDEX, k));
        let inside = b.f2(F::Eq, p[0], k);
        b.cast(elem, inside)
    })
}

/// Keeps the elements on one side of diagonal `k`, which may depend on the model's inputs.
fn trilu(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let x = cx.input(0)?;
    let upper = cx.flag("upper", true)?;
    let shape = cx.emit.shape(x);
    if shape.rank() < 2 {
        return Err(Code::ShapeMismatch.error("Trilu needs at least two dimensions"));
    }
    let k = match cx.optional(1) {
        Some(k) => as_scalar(cx.emit, k)?,
        None => cx.emit.constant(Tensor::from_i64s(&[], &[0])),
    };
    let diagonal = diagonals(cx.emit, &shape)?;
    let matrix = cx.emit.shape(diagonal);
    let k = cx.emit.broadcast(k, &matrix)?;
    let (low, high) = if upper { (k, diagonal) } else { (diagonal, k) };
    let kept = cx.emit.map(&[low, high], |b, p| b.f2(F::Le, p[0], p[1]))?;
    let kept = cx.emit.broadcast(kept, &shape)?;
    let zero = Scalar::from_i64(cx.emit.elem(x), 0);
    cx.emit.map(&[kept, x], |b, p| {
        let zero = b.literal(zero);
        b.select(p[0], p[1], zero)
    })
}

/// A new dimension that is the second of `values` at the index and the first elsewhere.
fn one_hot(cx: &mut ImportCx<'_>, negative: Negative) -> Result<OpId, Diagnostic> {
    let indices = cx.input(0)?;
    let depth = cx.const_scalar(1, "depth")?.map_or(0, Scalar::as_i64);
    let depth = usize::try_from(depth)
        .map_err(|_| Code::ShapeMismatch.error(format!("the depth {depth} is negative")))?;
    let rank = cx.emit.rank(indices);
    let axis = cx.axis("axis", -1, rank + 1)?;
    let mut dims = cx.emit.shape(indices).to_vec();
    dims.insert(axis, depth);
    let shape = Shape::new(&dims);
    let indices = index_from(cx.emit, indices, depth, negative)?;
    let spread = (0..=rank as u32).filter(|&d| d != axis as u32).collect();
    let indices = cx.emit.broadcast_at(indices, spread, &shape)?;
    let place = positions(cx.emit, INDEX, &shape, axis)?;
    let [off, on] = [level(cx, 0, &shape)?, level(cx, 1, &shape)?];
    cx.emit.map(&[place, indices, on, off], |b, p| {
        let here = b.f2(F::Eq, p[0], p[1]);
        b.select(here, p[2], p[3])
    })
}

fn index_from(
    emit: &mut Emit,
    indices: OpId,
    depth: usize,
    negative: Negative,
) -> Result<OpId, Diagnostic> {
    let indices = emit.cast(indices, INDEX)?;
    if negative == Negative::Nowhere {
        return Ok(indices);
    }
    emit.map(&[indices], |b, p| {
        let (zero, depth) = (b.num(0.0), b.num(depth as f64));
        let is_negative = b.f2(F::Lt, p[0], zero);
        let from_end = b.sum(p[0], depth);
        b.select(is_negative, from_end, p[0])
    })
}

/// One of the two values of `OneHot`, repeated.
fn level(cx: &mut ImportCx<'_>, n: i64, shape: &Shape) -> Result<OpId, Diagnostic> {
    let values = cx.input(2)?;
    if cx.emit.shape(values)[..] != [2] {
        return Err(Code::ShapeMismatch.error("the operand values must have two elements"));
    }
    let value = cx.emit.slice(values, 0, (n, 1), 1)?;
    let value = as_scalar(cx.emit, value)?;
    cx.emit.broadcast(value, shape)
}
