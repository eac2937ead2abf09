//! Strided boxes of a tensor.

use super::Import::One;
use super::{OnnxOp, row};
use crate::code::Code;
use crate::context::{ImportCx, normalise_axis};
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::graph::OpId;

pub(super) const OPS: &[OnnxOp] = &[
    row("Slice", 1, 1..=1, One(slice_attributes)),
    row("Slice", 10, 3..=5, One(slice_operands)).limits("constant bounds"),
];

/// Bounds as the model gives them, one entry per sliced dimension.
struct Bounds {
    starts: Vec<i64>,
    ends: Vec<i64>,
    axes: Option<Vec<i64>>,
    steps: Option<Vec<i64>>,
}

/// Opset 1: the bounds are attributes, the steps 1.
fn slice_attributes(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let starts = cx.ints("starts")?.unwrap_or_default();
    let ends = cx.ints("ends")?.unwrap_or_default();
    let bounds = Bounds { starts, ends, axes: cx.ints("axes")?, steps: None };
    slice(cx, &bounds)
}

/// Opset 10: the bounds are operands.
fn slice_operands(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let starts = cx.const_i64s(1, "starts")?.unwrap_or_default();
    let ends = cx.const_i64s(2, "ends")?.unwrap_or_default();
    let (axes, steps) = (cx.const_i64s(3, "axes")?, cx.const_i64s(4, "steps")?);
    slice(cx, &Bounds { starts, ends, axes, steps })
}

fn slice(cx: &mut ImportCx<'_>, bounds: &Bounds) -> Result<OpId, Diagnostic> {
    let mut x = cx.input(0)?;
    let count = bounds.starts.len();
    let axes = bounds.axes.clone().unwrap_or_else(|| (0..count as i64).collect());
    let steps = bounds.steps.clone().unwrap_or_else(|| vec![1; count]);
    if [bounds.ends.len(), axes.len(), steps.len()] != [count; 3] {
        return Err(Code::ShapeMismatch.error("starts, ends, axes and steps differ in length"));
    }
    for i in 0..count {
        let dim = normalise_axis(axes[i], cx.emit.rank(x))?;
        if steps[i] == 0 {
            return Err(Code::ShapeMismatch.error("a step is 0"));
        }
        let extent = cx.emit.shape(x)[dim];
        let (start, positions) = positions(extent, bounds.starts[i], bounds.ends[i], steps[i]);
        let step = if positions <= 1 { 1 } else { steps[i] };
        x = cx.emit.slice(x, dim, (start, step), positions)?;
    }
    Ok(x)
}

/// First position and number of positions, bounds counted from the end when negative and clamped
/// to the dimension (Python's rule).
fn positions(extent: usize, start: i64, end: i64, step: i64) -> (i64, usize) {
    let n = extent as i64;
    let (lo, hi) = if step > 0 { (0, n) } else { (-1, n - 1) };
    let wrap = |v: i64| if v < 0 { v.saturating_add(n) } else { v };
    let (start, end) = (wrap(start).clamp(lo, hi), wrap(end).clamp(lo, hi));
    let distance = if step > 0 { end - start } else { start - end };
    let count = distance.max(0).unsigned_abs().div_ceil(step.unsigned_abs()) as usize;
    (if count == 0 { 0 } else { start }, count)
}

#[cfg(test)]
mod tests {
    use super::positions;

    #[test]
    fn bounds_follow_python() {
        assert_eq!(positions(10, 2, 8, 3), (2, 2));
        assert_eq!(positions(10, -3, i64::MAX, 1), (7, 3));
        assert_eq!(positions(10, -1, i64::MIN, -1), (9, 10));
        assert_eq!(positions(10, 5, 5, 1), (0, 0));
        assert_eq!(positions(3, 0, 100, i64::MAX), (0, 1));
    }
}
