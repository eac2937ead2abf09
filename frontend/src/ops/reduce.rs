//! Reductions over dimensions.

use super::Import::One;
use super::{OnnxOp, row};
use crate::context::{ImportCx, normalise_axes};
use crate::emit::{Body, Emit};
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::graph::OpId;
use edgecc_ir::scalar::NodeId;
use edgecc_ir::scalar::func::ScalarFn as F;
use edgecc_ir::types::ElemType;

pub(super) const OPS: &[OnnxOp] = &[
    row("ReduceL1", 1, 1..=2, One(|cx| with_axes(cx, l1))).limits("constant axes"),
    row("ReduceL2", 1, 1..=2, One(|cx| with_axes(cx, l2))).limits("constant axes"),
    row("ReduceLogSum", 1, 1..=2, One(|cx| with_axes(cx, log_sum))).limits("constant axes"),
    row("ReduceLogSumExp", 1, 1..=2, One(|cx| with_axes(cx, log_sum_exp))).limits("constant axes"),
    row("ReduceMax", 1, 1..=2, One(|cx| with_axes(cx, max))).limits("constant axes"),
    row("ReduceMean", 1, 1..=2, One(|cx| with_axes(cx, mean))).limits("constant axes"),
    row("ReduceMin", 1, 1..=2, One(|cx| with_axes(cx, min))).limits("constant axes"),
    row("ReduceProd", 1, 1..=2, One(|cx| with_axes(cx, product))).limits("constant axes"),
    row("ReduceSum", 1, 1..=2, One(|cx| with_axes(cx, sum))).limits("constant axes"),
    row("ReduceSumSquare", 1, 1..=2, One(|cx| with_axes(cx, sum_square))).limits("constant axes"),
];

/// Computes with extents of 1 for the reduced dimensions.
type Reduction = fn(&mut Emit, OpId, &[usize]) -> Result<OpId, Diagnostic>;

/// Axes from the attribute or the second operand; none means all, or none at all with
/// `noop_with_empty_axes`.
fn with_axes(cx: &mut ImportCx<'_>, reduction: Reduction) -> Result<OpId, Diagnostic> {
    let x = cx.input(0)?;
    let keep = cx.flag("keepdims", true)?;
    let no_axes_is_noop = cx.flag("noop_with_empty_axes", false)?;
    let axes = match cx.ints("axes")? {
        Some(axes) => Some(axes),
        None => cx.const_i64s(1, "axes")?,
    };
    let rank = cx.emit.rank(x);
    let dims = match axes.filter(|a| !a.is_empty()) {
        Some(axes) => normalise_axes(&axes, rank)?,
        None if no_axes_is_noop => return Ok(x),
        None => (0..rank).collect(),
    };
    let y = reduction(cx.emit, x, &dims)?;
    if keep {
        return Ok(y);
    }
    let shape = cx.emit.shape(y);
    let kept: Vec<usize> = (0..rank).filter(|d| !dims.contains(d)).map(|d| shape[d]).collect();
    cx.emit.reshape(y, &kept)
}

fn unary(
    emit: &mut Emit,
    x: OpId,
    body: fn(&mut Body<'_>, NodeId) -> NodeId,
) -> Result<OpId, Diagnostic> {
    emit.map(&[x], |b, p| body(b, p[0]))
}

fn sum(emit: &mut Emit, x: OpId, dims: &[usize]) -> Result<OpId, Diagnostic> {
    emit.reduce(F::Add, x, dims)
}

fn product(emit: &mut Emit, x: OpId, dims: &[usize]) -> Result<OpId, Diagnostic> {
    emit.reduce(F::Mul, x, dims)
}

fn max(emit: &mut Emit, x: OpId, dims: &[usize]) -> Result<OpId, Diagnostic> {
    extremum(emit, F::Max, x, dims)
}

fn min(emit: &mut Emit, x: OpId, dims: &[usize]) -> Result<OpId, Diagnostic> {
    extremum(emit, F::Min, x, dims)
}

/// Truth values are ordered as 0 and 1.
fn extremum(emit: &mut Emit, func: F, x: OpId, dims: &[usize]) -> Result<OpId, Diagnostic> {
    if emit.elem(x) != ElemType::Bool {
        return emit.reduce(func, x, dims);
    }
    let number = emit.cast(x, ElemType::U8)?;
    let best = emit.reduce(func, number, dims)?;
    emit.cast(best, ElemType::Bool)
}

/// The sum times the reciprocal of the count; integers divide.
pub(super) fn mean(emit: &mut Emit, x: OpId, dims: &[usize]) -> Result<OpId, Diagnostic> {
    let count: usize = dims.iter().map(|&d| emit.ty(x).shape[d]).product();
    let total = sum(emit, x, dims)?;
    emit.map(&[total], |b, p| {
        if b.elem.is_float() {
            let factor = b.num(1.0 / count as f64);
            b.mul(p[0], factor)
        } else {
            let count = b.num(count as f64);
            b.div(p[0], count)
        }
    })
}

fn l1(emit: &mut Emit, x: OpId, dims: &[usize]) -> Result<OpId, Diagnostic> {
    let size = unary(emit, x, |b, x| b.f1(F::Abs, x))?;
    sum(emit, size, dims)
}

fn sum_square(emit: &mut Emit, x: OpId, dims: &[usize]) -> Result<OpId, Diagnostic> {
    let square = unary(emit, x, |b, x| b.mul(x, x))?;
    sum(emit, square, dims)
}

fn l2(emit: &mut Emit, x: OpId, dims: &[usize]) -> Result<OpId, Diagnostic> {
    let total = sum_square(emit, x, dims)?;
    unary(emit, total, |b, x| b.f1(F::Sqrt, x))
}

fn log_sum(emit: &mut Emit, x: OpId, dims: &[usize]) -> Result<OpId, Diagnostic> {
    let total = sum(emit, x, dims)?;
    unary(emit, total, |b, x| b.f1(F::Log, x))
}

/// `m + log Σ exp(x − m)` with the maximum `m`, which does not overflow.
fn log_sum_exp(emit: &mut Emit, x: OpId, dims: &[usize]) -> Result<OpId, Diagnostic> {
    let top = max(emit, x, dims)?;
    let power = emit.map_broadcast(&[x, top], |b, p| {
        let shifted = b.sub(p[0], p[1]);
        b.f1(F::Exp, shifted)
    })?;
    let total = sum(emit, power, dims)?;
    emit.map(&[total, top], |b, p| {
        let log = b.f1(F::Log, p[0]);
        b.sum(p[1], log)
    })
}
