//! Determinants of small matrices.

use super::Import::One;
use super::arg::largest;
use super::positions::filled;
use super::{OnnxOp, row};
use crate::code::Code;
use crate::context::ImportCx;
use crate::emit::Emit;
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::graph::OpId;
use edgecc_ir::scalar::func::ScalarFn as F;
use edgecc_ir::tensor::Scalar;
use edgecc_ir::types::Shape;

pub(super) const OPS: &[OnnxOp] = &[row("Det", 11, 1..=1, One(det)).limits("at most 32 rows")];

/// The elimination is unrolled; this bounds the number of steps.
const MAX_ROWS: usize = 32;

/// The product of the pivots of Gaussian elimination with partial pivoting, over a stack.
fn det(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let x = cx.input(0)?;
    let shape = cx.emit.shape(x);
    let rank = shape.rank();
    if rank < 2 || shape[rank - 1] != shape[rank - 2] || !cx.emit.elem(x).is_float() {
        return Err(Code::ShapeMismatch.error(format!("{} is no square matrix", cx.emit.ty(x))));
    }
    let rows = shape[rank - 1];
    if rows > MAX_ROWS {
        return Err(Code::TooLarge.error(format!("the determinant of a matrix of {rows} rows")));
    }
    let stack: usize = shape[..rank - 2].iter().product();
    let mut rest = cx.emit.reshape(x, &[stack, rows, rows])?;
    let one = Scalar::from_f64(cx.emit.elem(x), 1.0);
    let mut product = filled(cx.emit, one, &Shape::new(&[stack, 1, 1]))?;
    for _ in 0..rows {
        let step = eliminate(cx.emit, rest)?;
        rest = step.rest;
        product = cx.emit.map(&[product, step.pivot], |b, p| b.mul(p[0], p[1]))?;
    }
    cx.emit.reshape(product, &shape[..rank - 2])
}

/// One column less.
struct Step {
    /// The largest element of the first column, negated when its row was not the first.
    pivot: OpId,
    /// The matrix without the pivot's row and column.
    rest: OpId,
}

fn eliminate(emit: &mut Emit, x: OpId) -> Result<Step, Diagnostic> {
    let shape = emit.shape(x);
    let n = shape[1];
    let column = emit.slice(x, 2, (0, 1), 1)?;
    let sizes = emit.map(&[column], |b, p| b.f1(F::Abs, p[0]))?;
    let is_pivot = largest(emit, sizes, 1)?;
    let row = pivot_row(emit, x, is_pivot)?;
    let pivot = emit.slice(row, 2, (0, 1), 1)?;
    let first_is_pivot = emit.slice(is_pivot, 1, (0, 1), 1)?;
    let signed = emit.map(&[pivot, first_is_pivot], |b, p| {
        let negated = b.f1(F::Neg, p[0]);
        b.select(p[1], p[0], negated)
    })?;
    let swapped = first_row_in_place_of_the_pivot(emit, x, is_pivot)?;
    let below = emit.slice(swapped, 1, (1, 1), n - 1)?;
    let factor = emit.slice(below, 2, (0, 1), 1)?;
    let factor = emit.map_broadcast(&[factor, pivot], |b, p| {
        let (zero, quotient) = (b.num(0.0), b.div(p[0], p[1]));
        let singular = b.f2(F::Eq, p[1], zero);
        b.select(singular, zero, quotient)
    })?;
    let (below, row) = (emit.slice(below, 2, (1, 1), n - 1)?, emit.slice(row, 2, (1, 1), n - 1)?);
    let rest = emit.map_broadcast(&[below, factor, row], |b, p| {
        let share = b.mul(p[1], p[2]);
        b.sub(p[0], share)
    })?;
    Ok(Step { pivot: signed, rest })
}

/// The row that is marked, as the only one of each matrix.
fn pivot_row(emit: &mut Emit, x: OpId, is_pivot: OpId) -> Result<OpId, Diagnostic> {
    let shape = emit.shape(x);
    let marked = emit.broadcast(is_pivot, &shape)?;
    let kept = emit.map(&[x, marked], |b, p| {
        let zero = b.num(0.0);
        b.select(p[1], p[0], zero)
    })?;
    emit.reduce(F::Add, kept, &[1])
}

fn first_row_in_place_of_the_pivot(
    emit: &mut Emit,
    x: OpId,
    is_pivot: OpId,
) -> Result<OpId, Diagnostic> {
    let shape = emit.shape(x);
    let first = emit.slice(x, 1, (0, 1), 1)?;
    let (first, marked) = (emit.broadcast(first, &shape)?, emit.broadcast(is_pivot, &shape)?);
    emit.map(&[marked, first, x], |b, p| b.select(p[0], p[1], p[2]))
}
