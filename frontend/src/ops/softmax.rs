//! Softmax and its logarithm.

use super::Import::One;
use super::{OnnxOp, row};
use crate::context::ImportCx;
use crate::emit::Emit;
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::graph::OpId;
use edgecc_ir::scalar::func::ScalarFn as F;

pub(super) const OPS: &[OnnxOp] = &[
    row("LogSoftmax", 1, 1..=1, One(|cx| flattened(cx, log_softmax))),
    row("LogSoftmax", 13, 1..=1, One(|cx| along_axis(cx, log_softmax))),
    row("Softmax", 1, 1..=1, One(|cx| flattened(cx, softmax))),
    row("Softmax", 13, 1..=1, One(|cx| along_axis(cx, softmax))),
];

type Normalise = fn(&mut Emit, OpId, &[usize]) -> Result<OpId, Diagnostic>;

fn along_axis(cx: &mut ImportCx<'_>, normalise: Normalise) -> Result<OpId, Diagnostic> {
    let x = cx.input(0)?;
    let axis = cx.axis("axis", -1, cx.emit.rank(x))?;
    normalise(cx.emit, x, &[axis])
}

/// Before opset 13 all dimensions from `axis` on are normalised together.
fn flattened(cx: &mut ImportCx<'_>, normalise: Normalise) -> Result<OpId, Diagnostic> {
    let x = cx.input(0)?;
    let rank = cx.emit.rank(x);
    let axis = cx.axis("axis", 1, rank)?;
    let dims: Vec<usize> = (axis..rank).collect();
    normalise(cx.emit, x, &dims)
}

/// `exp(x − max) / Σ exp(x − max)`. The sum is at least 1, so that its reciprocal, which the elements
/// share, loses nothing but one rounding.
pub(super) fn softmax(emit: &mut Emit, x: OpId, dims: &[usize]) -> Result<OpId, Diagnostic> {
    let top = emit.reduce(F::Max, x, dims)?;
    let power = emit.map_broadcast(&[x, top], |b, p| {
        let shifted = b.sub(p[0], p[1]);
        b.f1(F::Exp, shifted)
    })?;
    let total = emit.reduce(F::Add, power, dims)?;
    let share = emit.map(&[total], |b, p| {
        let one = b.num(1.0);
        b.div(one, p[0])
    })?;
    emit.map_broadcast(&[power, share], |b, p| b.mul(p[0], p[1]))
}

/// `(x − max) − log Σ exp(x − max)`.
pub(super) fn log_softmax(emit: &mut Emit, x: OpId, dims: &[usize]) -> Result<OpId, Diagnostic> {
    let top = emit.reduce(F::Max, x, dims)?;
    let shifted = emit.map_broadcast(&[x, top], |b, p| b.sub(p[0], p[1]))?;
    let power = emit.map(&[shifted], |b, p| b.f1(F::Exp, p[0]))?;
    let total = emit.reduce(F::Add, power, dims)?;
    emit.map_broadcast(&[shifted, total], |b, p| {
        let log = b.f1(F::Log, p[1]);
        b.sub(p[0], log)
    })
}
