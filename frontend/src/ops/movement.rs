//! Operators that rearrange, join, part and repeat.

use super::Import::{Many, One};
use super::constant::extents;
use super::{ANY, OnnxOp, row};
use crate::code::Code;
use crate::context::{ImportCx, invalid};
use crate::emit::{Emit, broadcast_all};
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::graph::OpId;
use edgecc_ir::types::Shape;

pub(super) const OPS: &[OnnxOp] = &[
    row("Concat", 4, 1..=ANY, One(concat)),
    row("DepthToSpace", 1, 1..=1, One(depth_to_space)),
    row("Expand", 8, 2..=2, One(expand)).limits("constant shape"),
    row("SpaceToDepth", 1, 1..=1, One(space_to_depth)),
    row("Split", 2, 1..=2, Many(split)).limits("constant sizes"),
    row("Tile", 6, 2..=2, One(tile)).limits("constant repeats"),
    row("Transpose", 1, 1..=1, One(transpose)).keeps_count(),
];

fn concat(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let parts = cx.inputs()?;
    let axis = cx.axis("axis", 1, cx.emit.rank(parts[0]))?;
    cx.emit.concat(&parts, axis)
}

fn transpose(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let x = cx.input(0)?;
    let rank = cx.emit.rank(x);
    let Some(perm) = cx.ints("perm")? else {
        return cx.emit.transpose(x, (0..rank as u32).rev().collect());
    };
    let mut sorted = perm.clone();
    sorted.sort_unstable();
    if !sorted.into_iter().eq(0..rank as i64) {
        return Err(invalid("perm", format!("does not permute {}", cx.emit.ty(x))));
    }
    cx.emit.transpose(x, perm.into_iter().map(|p| p as u32).collect())
}

/// The target shape and the operand broadcast to each other.
fn expand(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let x = cx.input(0)?;
    let target = extents(&cx.const_i64s(1, "shape")?.unwrap_or_default())?;
    let shape = broadcast_all(&[cx.emit.shape(x), target])?;
    cx.emit.broadcast(x, &shape)
}

fn tile(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let mut x = cx.input(0)?;
    let repeats = extents(&cx.const_i64s(1, "repeats")?.unwrap_or_default())?;
    if repeats.rank() != cx.emit.rank(x) {
        return Err(Code::ShapeMismatch.error(format!(
            "{} repeats are given for {}",
            repeats.rank(),
            cx.emit.ty(x)
        )));
    }
    for (dim, &count) in repeats.iter().enumerate().filter(|(_, count)| **count != 1) {
        x = repeat(cx.emit, x, dim, count)?;
    }
    Ok(x)
}

/// Repeats whole runs of a dimension: a new dimension before it, broadcast, merged.
fn repeat(emit: &mut Emit, x: OpId, dim: usize, count: usize) -> Result<OpId, Diagnostic> {
    let mut shape = emit.shape(x);
    let (outer, inner) = (shape[..dim].iter().product(), shape[dim..].iter().product());
    let split = emit.reshape(x, &[outer, 1, inner])?;
    let repeated = emit.broadcast(split, &Shape::new(&[outer, count, inner]))?;
    shape.dims_mut()[dim] = shape[dim].saturating_mul(count);
    emit.reshape(repeated, &shape)
}

/// Sizes from the attribute, from the second operand, or equal parts.
fn split(cx: &mut ImportCx<'_>) -> Result<Vec<OpId>, Diagnostic> {
    let x = cx.input(0)?;
    let axis = cx.axis("axis", 0, cx.emit.rank(x))?;
    let extent = cx.emit.shape(x)[axis];
    let parts = cx.int("num_outputs")?.map_or(cx.output_count(), |n| n.max(0) as usize);
    let sizes = match cx.ints("split")? {
        Some(sizes) => Some(sizes),
        None => cx.const_i64s(1, "split")?,
    };
    let sizes = match sizes {
        Some(sizes) => extents(&sizes)?.to_vec(),
        None => equal_parts(extent, parts),
    };
    if sizes.iter().fold(0usize, |sum, &s| sum.saturating_add(s)) != extent {
        let ty = cx.emit.ty(x);
        return Err(Code::ShapeMismatch
            .error(format!("the parts {sizes:?} do not add up to dimension {axis} of {ty}")));
    }
    let mut start = 0;
    sizes
        .into_iter()
        .map(|size| {
            let part = cx.emit.slice(x, axis, (start, 1), size);
            start += size as i64;
            part
        })
        .collect()
}

/// Parts of equal size, the last one possibly smaller (opset 18).
fn equal_parts(extent: usize, parts: usize) -> Vec<usize> {
    let size = extent.div_ceil(parts.max(1));
    (0..parts).map(|p| size.min(extent.saturating_sub(p * size))).collect()
}

fn block(cx: &mut ImportCx<'_>) -> Result<usize, Diagnostic> {
    let size = cx.int("blocksize")?.and_then(|b| usize::try_from(b).ok());
    size.filter(|&b| b > 0).ok_or_else(|| invalid("blocksize", "must be positive"))
}

fn image(cx: &ImportCx<'_>, x: OpId) -> Result<[usize; 4], Diagnostic> {
    let shape = cx.emit.shape(x);
    shape[..]
        .try_into()
        .map_err(|_| Code::ShapeMismatch.error(format!("{} is not an image", cx.emit.ty(x))))
}

/// Channels `[b, b, c]` (mode DCR) or `[c, b, b]` (mode CRD) become blocks of pixels.
fn depth_to_space(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let x = cx.input(0)?;
    let (b, [n, c, h, w]) = (block(cx)?, image(cx, x)?);
    let depth = c / b.saturating_mul(b);
    let (split, perm) = match cx.string("mode", "DCR")?.as_str() {
        "DCR" => ([n, b, b, depth, h, w], [0, 3, 4, 1, 5, 2]),
        "CRD" => ([n, depth, b, b, h, w], [0, 1, 4, 2, 5, 3]),
        _ => return Err(invalid("mode", "must be DCR or CRD")),
    };
    let blocks = cx.emit.reshape(x, &split)?;
    let pixels = cx.emit.transpose(blocks, perm.to_vec())?;
    cx.emit.reshape(pixels, &[n, depth, h * b, w * b])
}

/// The reverse of `depth_to_space`.
fn space_to_depth(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let x = cx.input(0)?;
    let (b, [n, c, h, w]) = (block(cx)?, image(cx, x)?);
    let perm = match cx.string("mode", "DCR")?.as_str() {
        "DCR" => [0, 3, 5, 1, 2, 4],
        "CRD" => [0, 1, 3, 5, 2, 4],
        _ => return Err(invalid("mode", "must be DCR or CRD")),
    };
    let blocks = cx.emit.reshape(x, &[n, c, h / b, b, w / b, b])?;
    let depth = cx.emit.transpose(blocks, perm.to_vec())?;
    cx.emit.reshape(depth, &[n, c.saturating_mul(b).saturating_mul(b), h / b, w / b])
}

#[cfg(test)]
mod tests {
    use super::equal_parts;

    #[test]
    fn the_last_part_may_be_smaller() {
        assert_eq!(equal_parts(7, 3), [3, 3, 1]);
        assert_eq!(equal_parts(6, 2), [3, 3]);
        assert_eq!(equal_parts(2, 4), [1, 1, 0, 0]);
    }
}
