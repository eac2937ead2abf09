//! Images: sampling grids, centred boxes, overlapping blocks.

use super::Import::One;
use super::constant::extents;
use super::conv::{explicit_pads, positive};
use super::conv_transpose::{Dim, transposed};
use super::{OnnxOp, row};
use crate::code::Code;
use crate::context::{ImportCx, normalise_axis};
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::graph::OpId;
use edgecc_ir::graph::ops::MatMul;
use edgecc_ir::tensor::{Scalar, Tensor};
use edgecc_ir::types::TensorType;

pub(super) const OPS: &[OnnxOp] = &[
    row("AffineGrid", 20, 2..=2, One(affine_grid)).limits("constant size"),
    row("CenterCropPad", 18, 2..=2, One(center_crop_pad)).limits("constant shape"),
    row("Col2Im", 18, 3..=3, One(col2im)).limits("constant shapes"),
];

/// The places `θ · (x, y, …, 1)ᵀ` of all pixels, whose coordinates run from −1 to 1.
fn affine_grid(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let corners = cx.flag("align_corners", false)?;
    let theta = cx.input(0)?;
    let size = extents(&cx.const_i64s(1, "size")?.unwrap_or_default())?;
    let rank = size.rank().saturating_sub(2);
    let shape = cx.emit.shape(theta);
    if rank == 0 || shape[..] != [size[0], rank, rank + 1] {
        return Err(Code::ShapeMismatch.error(format!(
            "{} does not map an image {:?}",
            cx.emit.ty(theta),
            &*size
        )));
    }
    let elem = cx.emit.elem(theta);
    let image = &size[2..];
    let strides = edgecc_ir::types::Shape::new(image).strides();
    let pixels: usize = image.iter().product();
    let ty = TensorType::new(elem, &[pixels, rank + 1]);
    let coordinate = |pixel: usize, part: usize| {
        let Some(d) = (rank - 1).checked_sub(part) else { return 1.0 };
        let (at, extent) = ((pixel / strides[d] % image[d]) as f64, image[d] as f64);
        let step = if corners { 2.0 / (extent - 1.0).max(1.0) } else { 2.0 / extent };
        at * step - 1.0 + if corners { 0.0 } else { step / 2.0 }
    };
    let places =
        Tensor::from_fn(ty, |i| Scalar::from_f64(elem, coordinate(i / (rank + 1), i % (rank + 1))));
    let places = cx.emit.constant(places);
    let rows = cx.emit.reshape(theta, &[size[0] * rank, rank + 1])?;
    let op = MatMul { transpose_b: true, ..MatMul::plain() };
    let product = cx.emit.op(op, &[rows, places])?;
    let split = cx.emit.reshape(product, &[size[0], rank, pixels])?;
    let moved = cx.emit.transpose(split, vec![0, 2, 1])?;
    cx.emit.reshape(moved, &[&[size[0]], image, &[rank]].concat())
}

/// Cuts or pads both sides of dimensions; an odd element goes to the end.
fn center_crop_pad(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let mut x = cx.input(0)?;
    let rank = cx.emit.rank(x);
    let wanted = extents(&cx.const_i64s(1, "shape")?.unwrap_or_default())?;
    let axes = cx.ints("axes")?.unwrap_or_else(|| (0..rank as i64).collect());
    if axes.len() != wanted.rank() {
        return Err(Code::ShapeMismatch.error(format!(
            "{} extents are given for {} axes",
            wanted.rank(),
            axes.len()
        )));
    }
    let (mut low, mut high) = (vec![0; rank], vec![0; rank]);
    for (&axis, &count) in axes.iter().zip(wanted.iter()) {
        let dim = normalise_axis(axis, rank)?;
        let extent = cx.emit.shape(x)[dim];
        let surplus = extent.saturating_sub(count);
        x = cx.emit.slice(x, dim, ((surplus / 2) as i64, 1), extent - surplus)?;
        let missing = count.saturating_sub(extent);
        (low[dim], high[dim]) = ((missing / 2) as u32, (missing - missing / 2) as u32);
    }
    let zero = Scalar::from_i64(cx.emit.elem(x), 0);
    cx.emit.pad(x, low, high, zero)
}

/// Adds up overlapping blocks: a transposed convolution of the blocks' elements with unit weights.
fn col2im(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let x = cx.input(0)?;
    let image = extents(&cx.const_i64s(1, "image_shape")?.unwrap_or_default())?;
    let block = extents(&cx.const_i64s(2, "block_shape")?.unwrap_or_default())?;
    let rank = image.rank();
    let (strides, dilations) = (positive(cx, "strides", rank)?, positive(cx, "dilations", rank)?);
    let pads = cx.ints("pads")?.unwrap_or_else(|| vec![0; 2 * rank]);
    let (begin, end) = explicit_pads(&pads, rank)?;
    let shape = cx.emit.shape(x);
    let dims: Option<Vec<Dim>> = (0..rank.min(block.rank()))
        .map(|d| {
            let reach = block[d].checked_sub(1)?.checked_mul(dilations[d] as usize)?;
            let padded = image[d].checked_add(begin[d] as usize + end[d] as usize)?;
            let input = padded.checked_sub(reach + 1)? / strides[d] as usize + 1;
            let (stride, dilation) = (strides[d] as usize, dilations[d] as usize);
            let (first, count) = (begin[d] as usize, image[d]);
            Some(Dim { input, kernel: block[d], stride, dilation, first, count })
        })
        .collect();
    let dims = dims.unwrap_or_default();
    let elements = block.numel();
    let blocks: usize = dims.iter().map(|d| d.input).product();
    let fits = dims.len() == rank && rank == block.rank() && elements > 0;
    if !fits || shape.rank() != 3 || !shape[1].is_multiple_of(elements) || shape[2] != blocks {
        return Err(Code::ShapeMismatch.error(format!(
            "{} does not hold blocks {:?} of an image {:?}",
            cx.emit.ty(x),
            &*block,
            &*image
        )));
    }
    let inputs = dims.iter().map(|d| d.input);
    let grid: Vec<usize> = shape[..2].iter().copied().chain(inputs).collect();
    let x = cx.emit.reshape(x, &grid)?;
    let elem = cx.emit.elem(x);
    let ty = TensorType::new(elem, &[&[shape[1], 1], &block[..]].concat());
    let unit = |i: usize| i64::from(i / elements % elements == i % elements);
    let weights = Tensor::from_fn(ty, |i| Scalar::from_i64(elem, unit(i)));
    let weights = cx.emit.constant(weights);
    transposed(cx.emit, x, weights, shape[1] / elements, dims)
}
