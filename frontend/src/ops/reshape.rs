//! The same elements under another shape.

use super::Import::One;
use super::{OnnxOp, row};
use crate::code::Code;
use crate::context::{ImportCx, normalise_axes, normalise_axis};
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::graph::OpId;

pub(super) const OPS: &[OnnxOp] = &[
    row("Flatten", 1, 1..=1, One(flatten)),
    row("Reshape", 5, 2..=2, One(reshape)).limits("constant shape"),
    row("Squeeze", 1, 1..=2, One(squeeze)).limits("constant axes"),
    row("Unsqueeze", 1, 1..=2, One(unsqueeze)).limits("constant axes"),
];

/// Dimensions before `axis` become rows, the others columns.
fn flatten(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let x = cx.input(0)?;
    let shape = cx.emit.shape(x);
    let axis = match cx.int("axis")?.unwrap_or(1) {
        end if end == shape.rank() as i64 => shape.rank(),
        axis => normalise_axis(axis, shape.rank())?,
    };
    let (rows, columns) = (shape[..axis].iter().product(), shape[axis..].iter().product());
    cx.emit.reshape(x, &[rows, columns])
}

fn reshape(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let zero_copies = !cx.flag("allowzero", false)?;
    let x = cx.input(0)?;
    let target = cx.const_i64s(1, "shape")?.unwrap_or_default();
    let shape = cx.emit.shape(x);
    let dims = resolve(&shape, &target, zero_copies).ok_or_else(|| {
        Code::ShapeMismatch.error(format!("{} cannot become {target:?}", cx.emit.ty(x)))
    })?;
    cx.emit.reshape(x, &dims)
}

/// Replaces 0 by the operand's extent and −1 by what is left.
fn resolve(shape: &[usize], target: &[i64], zero_copies: bool) -> Option<Vec<usize>> {
    let copied = |(d, &t): (usize, &i64)| match t {
        0 if zero_copies => shape.get(d).map(|&e| e as i64),
        _ => Some(t),
    };
    let target: Vec<i64> = target.iter().enumerate().map(copied).collect::<Option<_>>()?;
    let known: Option<Vec<usize>> =
        target.iter().filter(|&&t| t != -1).map(|&t| usize::try_from(t).ok()).collect();
    let known = known?.into_iter().try_fold(1usize, usize::checked_mul)?;
    let numel: usize = shape.iter().product();
    let rest = match target.iter().filter(|&&t| t == -1).count() {
        0 => 1,
        1 if known > 0 && numel.is_multiple_of(known) => numel / known,
        _ => return None,
    };
    (known * rest == numel)
        .then(|| target.iter().map(|&t| if t == -1 { rest } else { t as usize }).collect())
}

/// The axes from the attribute (before opset 13) or the second operand.
fn axes(cx: &mut ImportCx<'_>) -> Result<Option<Vec<i64>>, Diagnostic> {
    match cx.ints("axes")? {
        Some(axes) => Ok(Some(axes)),
        None => cx.const_i64s(1, "axes"),
    }
}

fn squeeze(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let x = cx.input(0)?;
    let axes = axes(cx)?;
    let shape = cx.emit.shape(x);
    let dropped = match axes {
        Some(axes) => normalise_axes(&axes, shape.rank())?,
        None => (0..shape.rank()).filter(|&d| shape[d] == 1).collect(),
    };
    if let Some(&d) = dropped.iter().find(|&&d| shape[d] != 1) {
        let ty = cx.emit.ty(x);
        return Err(Code::ShapeMismatch.error(format!("dimension {d} of {ty} is not 1")));
    }
    let kept: Vec<usize> =
        (0..shape.rank()).filter(|d| !dropped.contains(d)).map(|d| shape[d]).collect();
    cx.emit.reshape(x, &kept)
}

fn unsqueeze(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let x = cx.input(0)?;
    let axes = axes(cx)?.ok_or_else(|| Code::MissingInput.error("the axes are left out"))?;
    let shape = cx.emit.shape(x);
    let added = normalise_axes(&axes, shape.rank() + axes.len())?;
    let mut dims = shape.to_vec();
    added.iter().for_each(|&d| dims.insert(d, 1));
    cx.emit.reshape(x, &dims)
}

#[cfg(test)]
mod tests {
    use super::resolve;

    #[test]
    fn zero_copies_and_minus_one_fills() {
        assert_eq!(resolve(&[2, 3, 4], &[0, -1], true), Some(vec![2, 12]));
        assert_eq!(resolve(&[2, 3], &[-1, -1], true), None);
        assert_eq!(resolve(&[2, 3], &[4, -1], true), None);
        assert_eq!(resolve(&[0, 3], &[0, 3], false), Some(vec![0, 3]));
        assert_eq!(resolve(&[2, 3], &[i64::MAX, i64::MAX], true), None);
    }
}
