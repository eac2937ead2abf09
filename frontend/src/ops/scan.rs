//! Running sums and products along a dimension.

use super::Import::One;
use super::{OnnxOp, row};
use crate::code::Code;
use crate::context::{ImportCx, normalise_axis};
use crate::emit::Emit;
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::graph::OpId;
use edgecc_ir::scalar::func::ScalarFn as F;

pub(super) const OPS: &[OnnxOp] = &[
    row("CumProd", 26, 2..=2, One(|cx| cumulative(cx, F::Mul))).limits("constant axis"),
    row("CumSum", 11, 2..=2, One(|cx| cumulative(cx, F::Add))).limits("constant axis"),
];

/// From which end of a dimension a scan starts.
#[derive(Clone, Copy)]
enum Direction {
    Forward,
    Backward,
}

/// A dimension and the way along it.
#[derive(Clone, Copy)]
struct Path {
    dim: usize,
    direction: Direction,
}

/// Doubles the span of each partial result until it covers the dimension (Hillis and Steele 1986):
/// `y[i] += y[i − s]` for `s = 1, 2, 4, …`, every step of which is one vectorised kernel.
fn cumulative(cx: &mut ImportCx<'_>, func: F) -> Result<OpId, Diagnostic> {
    let mut y = cx.input(0)?;
    let axis = cx.const_scalar(1, "axis")?;
    let axis = axis.ok_or_else(|| Code::MissingInput.error("operand 1 is left out"))?.as_i64();
    let dim = normalise_axis(axis, cx.emit.rank(y))?;
    let backward = cx.flag("reverse", false)?;
    let direction = if backward { Direction::Backward } else { Direction::Forward };
    let path = Path { dim, direction };
    if cx.flag("exclusive", false)? {
        y = moved(cx.emit, y, path, 1, func)?;
    }
    let extent = cx.emit.shape(y)[dim];
    let mut span = 1;
    while span < extent {
        let before = moved(cx.emit, y, path, span, func)?;
        y = cx.emit.map(&[before, y], |b, p| b.f2(func, p[0], p[1]))?;
        span *= 2;
    }
    Ok(y)
}

/// The elements `by` places further along the path; the gap is neutral.
fn moved(emit: &mut Emit, x: OpId, path: Path, by: usize, func: F) -> Result<OpId, Diagnostic> {
    let neutral = func.identity(emit.elem(x)).ok_or_else(|| {
        Code::UnsupportedType.error(format!("elements of type {} have no sum", emit.elem(x)))
    })?;
    let extent = emit.shape(x)[path.dim];
    let by = by.min(extent);
    let rank = emit.rank(x);
    let gap =
        |at: bool| (0..rank).map(|d| if at && d == path.dim { by as u32 } else { 0 }).collect();
    let (from, low, high) = match path.direction {
        Direction::Forward => (0, gap(true), gap(false)),
        Direction::Backward => (by as i64, gap(false), gap(true)),
    };
    let kept = emit.slice(x, path.dim, (from, 1), extent - by)?;
    emit.pad(kept, low, high, neutral)
}
