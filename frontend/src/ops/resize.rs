//! Resampling on a grid that is known at compile time.
//!
//! Dimensions are independent. The nearest element is a repetition where every element is taken
//! equally often, and a gather elsewhere; interpolation is a weighted sum of few gathers, or a
//! product with the matrix of weights where it takes many neighbours.

use super::Import::One;
use super::gather::along;
use super::taps::{Dim, Edges, Filter, Rounding, Tap, Transform};
use super::{OnnxOp, row};
use crate::code::Code;
use crate::context::{ImportCx, invalid, normalise_axis, unsupported};
use crate::emit::Emit;
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::graph::OpId;
use edgecc_ir::graph::ops::MatMul;
use edgecc_ir::tensor::{Scalar, Tensor};
use edgecc_ir::types::{ElemType, Shape, TensorType};

const FIXED: &str = "constant sizes";

pub(super) const OPS: &[OnnxOp] = &[
    row("Upsample", 7, 1..=1, One(upsample_attribute)),
    row("Upsample", 9, 2..=2, One(upsample_operand)).limits(FIXED),
    row("Resize", 10, 2..=2, One(upsample_operand)).limits(FIXED),
    row("Resize", 11, 1..=4, One(resize)).limits(FIXED),
];

/// Interpolations of more neighbours multiply with a matrix.
const MAX_TAPS: usize = 4;

/// How elements between positions are made.
#[derive(Clone, Copy)]
enum Mode {
    Nearest(Rounding),
    Interpolate(Filter, Edges),
}

fn upsample_attribute(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let scales = cx.floats("scales")?.unwrap_or_default();
    upsample(cx, &scales)
}

fn upsample_operand(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let scales = cx.constant(1, "scales")?.map(|t| t.to_f32s()).unwrap_or_default();
    upsample(cx, &scales)
}

/// Before opset 11 positions are divided by the scale, and the nearest is the one before.
fn upsample(cx: &mut ImportCx<'_>, scales: &[f32]) -> Result<OpId, Diagnostic> {
    let mode = match cx.string("mode", "nearest")?.as_str() {
        "nearest" => Mode::Nearest(Rounding::Floor),
        "linear" | "bilinear" => Mode::Interpolate(Filter::Linear, Edges::default()),
        other => return Err(unsupported("mode", other)),
    };
    let x = cx.input(0)?;
    let axes: Vec<usize> = (0..cx.emit.rank(x)).collect();
    let dims = scaled(&cx.emit.shape(x), &axes, scales)?;
    resample(cx.emit, x, &dims, Transform::Asymmetric, mode, 0.0)
}

fn resize(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let x = cx.input(0)?;
    let shape = cx.emit.shape(x);
    let axes = cx.ints("axes")?.unwrap_or_else(|| (0..shape.rank() as i64).collect());
    let axes: Result<Vec<usize>, Diagnostic> =
        axes.iter().map(|&axis| normalise_axis(axis, shape.rank())).collect();
    let axes = axes?;
    let transform = cx.string("coordinate_transformation_mode", "half_pixel")?;
    let transform = Transform::from_name(&transform)
        .ok_or_else(|| unsupported("coordinate_transformation_mode", transform))?;
    let mode = mode(cx)?;
    let policy = cx.string("keep_aspect_ratio_policy", "stretch")?;
    let scales = cx.constant(2, "scales")?.filter(|t| t.numel() > 0).map(|t| t.to_f32s());
    let mut dims = match scales {
        Some(scales) => scaled(&shape, &axes, &scales)?,
        None => {
            let sizes = cx.const_i64s(3, "sizes")?.unwrap_or_default();
            sized(&shape, &axes, &sizes, &policy)?
        }
    };
    let outside = cx.float("extrapolation_value", 0.0)?;
    if transform == Transform::Crop {
        let roi = cx.constant(1, "roi")?.map(|t| t.to_f32s()).unwrap_or_default();
        crop(&mut dims, &axes, &roi)?;
    }
    resample(cx.emit, x, &dims, transform, mode, outside)
}

fn mode(cx: &mut ImportCx<'_>) -> Result<Mode, Diagnostic> {
    let rounding = cx.string("nearest_mode", "round_prefer_floor")?;
    let slope = cx.float("cubic_coeff_a", -0.75)?;
    let edges = Edges {
        antialias: cx.flag("antialias", false)?,
        exclude_outside: cx.flag("exclude_outside", false)?,
    };
    match cx.string("mode", "nearest")?.as_str() {
        "nearest" => Rounding::from_name(&rounding)
            .map(Mode::Nearest)
            .ok_or_else(|| unsupported("nearest_mode", rounding)),
        "linear" => Ok(Mode::Interpolate(Filter::Linear, edges)),
        "cubic" => Ok(Mode::Interpolate(Filter::Cubic(slope), edges)),
        other => Err(unsupported("mode", other)),
    }
}

/// All dimensions as they are.
fn unchanged(shape: &Shape) -> Vec<Dim> {
    let dim = |&extent: &usize| Dim { extent, count: extent, scale: 1.0, roi: [0.0, 1.0] };
    shape.iter().map(dim).collect()
}

fn scaled(shape: &Shape, axes: &[usize], scales: &[f32]) -> Result<Vec<Dim>, Diagnostic> {
    if scales.len() != axes.len() || scales.iter().any(|s| !s.is_finite() || *s <= 0.0) {
        return Err(misfit("scales", axes));
    }
    let mut dims = unchanged(shape);
    for (&axis, &scale) in axes.iter().zip(scales) {
        let dim = &mut dims[axis];
        (dim.scale, dim.count) = (scale, (scale * dim.extent as f32) as usize);
    }
    Ok(dims)
}

fn sized(
    shape: &Shape,
    axes: &[usize],
    sizes: &[i64],
    policy: &str,
) -> Result<Vec<Dim>, Diagnostic> {
    let counts: Option<Vec<usize>> = sizes.iter().map(|&s| usize::try_from(s).ok()).collect();
    let counts = counts.filter(|c| c.len() == axes.len()).ok_or_else(|| misfit("sizes", axes))?;
    let scales = axes.iter().zip(&counts).map(|(&a, &count)| count as f32 / shape[a] as f32);
    let common = match policy {
        "stretch" => None,
        "not_larger" => Some(scales.clone().fold(f32::INFINITY, f32::min)),
        "not_smaller" => Some(scales.clone().fold(0.0, f32::max)),
        other => return Err(unsupported("keep_aspect_ratio_policy", other)),
    };
    let mut dims = unchanged(shape);
    for ((&axis, &count), scale) in axes.iter().zip(&counts).zip(scales) {
        let dim = &mut dims[axis];
        (dim.scale, dim.count) = match common {
            Some(scale) => (scale, (scale * dim.extent as f32 + 0.5) as usize),
            None => (scale, count),
        };
    }
    Ok(dims)
}

/// The region of interest: all starts, then all ends.
fn crop(dims: &mut [Dim], axes: &[usize], roi: &[f32]) -> Result<(), Diagnostic> {
    if roi.len() != 2 * axes.len() {
        return Err(misfit("roi", axes));
    }
    for (n, &axis) in axes.iter().enumerate() {
        dims[axis].roi = [roi[n], roi[axes.len() + n]];
    }
    Ok(())
}

fn misfit(what: &str, axes: &[usize]) -> Diagnostic {
    Code::ShapeMismatch.error(format!("the {what} do not fit dimensions {axes:?}"))
}

fn resample(
    emit: &mut Emit,
    x: OpId,
    dims: &[Dim],
    transform: Transform,
    mode: Mode,
    outside: f32,
) -> Result<OpId, Diagnostic> {
    if dims.iter().any(|d| d.extent == 0 || d.count == 0) {
        return Err(invalid("sizes", "make or resample an empty tensor"));
    }
    let changed: Vec<(usize, Vec<f32>)> = dims
        .iter()
        .enumerate()
        .filter(|(_, d)| d.count != d.extent || d.scale != 1.0 || d.roi != [0.0, 1.0])
        .map(|(axis, d)| (axis, transform.coordinates(*d)))
        .collect();
    let mut y = match mode {
        Mode::Nearest(rounding) => nearest(emit, x, dims, &changed, rounding)?,
        Mode::Interpolate(filter, edges) => interpolate(emit, x, &changed, |axis, coordinates| {
            filter.taps(coordinates, dims[axis], edges)
        })?,
    };
    if transform == Transform::Crop {
        for (axis, coordinates) in &changed {
            y = extrapolate(emit, y, *axis, coordinates, dims[*axis].extent, outside)?;
        }
    }
    Ok(y)
}

/// Gathers where elements are taken unequally often, then repeats along all other dimensions.
fn nearest(
    emit: &mut Emit,
    mut x: OpId,
    dims: &[Dim],
    changed: &[(usize, Vec<f32>)],
    rounding: Rounding,
) -> Result<OpId, Diagnostic> {
    let mut repeats = vec![1; dims.len()];
    for (axis, coordinates) in changed {
        let extent = dims[*axis].extent;
        let position = |&c: &f32| rounding.position(c, extent);
        let positions: Vec<i64> = coordinates.iter().map(position).collect();
        match repetition(&positions, extent) {
            Some(times) => repeats[*axis] = times,
            None => {
                let indices = emit.constant(Tensor::from_i64s(&[positions.len()], &positions));
                x = along(emit, x, *axis, indices)?;
            }
        }
    }
    repeat(emit, x, &repeats)
}

/// How often each position is taken, when equally often and in order.
fn repetition(positions: &[i64], extent: usize) -> Option<usize> {
    let times = positions.len() / extent;
    let expected = (0..extent as i64).flat_map(|p| std::iter::repeat_n(p, times));
    (times > 0 && positions.iter().copied().eq(expected)).then_some(times)
}

/// Each element so often in a row along each dimension.
fn repeat(emit: &mut Emit, x: OpId, times: &[usize]) -> Result<OpId, Diagnostic> {
    let shape = emit.shape(x);
    let (mut kept, mut wide, mut dims) = (Vec::new(), Vec::new(), Vec::new());
    for (&extent, &times) in shape.iter().zip(times) {
        kept.push(wide.len() as u32);
        wide.push(extent);
        if times > 1 {
            wide.push(times);
        }
        dims.push(extent * times);
    }
    let repeated = emit.broadcast_at(x, kept, &Shape::new(&wide))?;
    emit.reshape(repeated, &dims)
}

fn interpolate(
    emit: &mut Emit,
    x: OpId,
    changed: &[(usize, Vec<f32>)],
    taps: impl Fn(usize, &[f32]) -> Vec<Tap>,
) -> Result<OpId, Diagnostic> {
    let elem = emit.elem(x);
    let computed = if elem == ElemType::F64 { elem } else { ElemType::F32 };
    let mut y = emit.cast(x, computed)?;
    for (axis, coordinates) in changed {
        let taps = taps(*axis, coordinates);
        y = match taps.len() > MAX_TAPS {
            true => multiply(emit, y, *axis, &taps)?,
            false => sum(emit, y, *axis, &taps)?,
        };
    }
    emit.cast(y, elem)
}

/// `Σ weight·x[position]` over the taps, along one dimension.
fn sum(emit: &mut Emit, x: OpId, axis: usize, taps: &[Tap]) -> Result<OpId, Diagnostic> {
    let mut operands = Vec::new();
    for tap in taps {
        let count = tap.positions.len();
        let indices = emit.constant(Tensor::from_i64s(&[count], &tap.positions));
        let picked = along(emit, x, axis, indices)?;
        let weights = emit.constant(Tensor::from_f32s(&[count], &tap.weights));
        let weights = emit.cast(weights, emit.elem(x))?;
        let weights = emit.spread(weights, axis, &emit.shape(picked))?;
        operands.extend([picked, weights]);
    }
    emit.map(&operands, |b, p| {
        let products: Vec<_> = p.chunks_exact(2).map(|pair| b.mul(pair[0], pair[1])).collect();
        products.into_iter().reduce(|sum, product| b.sum(sum, product)).expect("there is a tap")
    })
}

/// The product of the matrix of weights and `x`, along one dimension.
fn multiply(emit: &mut Emit, x: OpId, axis: usize, taps: &[Tap]) -> Result<OpId, Diagnostic> {
    let mut shape = emit.shape(x);
    let (extent, count) = (shape[axis], taps[0].positions.len());
    let mut weights = vec![0.0; count * extent];
    for tap in taps {
        for (result, (&position, &weight)) in tap.positions.iter().zip(&tap.weights).enumerate() {
            weights[result * extent + position as usize] += weight;
        }
    }
    let outer: usize = shape[..axis].iter().product();
    let inner: usize = shape[axis + 1..].iter().product();
    let weights = emit.constant(Tensor::from_f32s(&[count, extent], &weights));
    let weights = emit.cast(weights, emit.elem(x))?;
    let weights = emit.broadcast(weights, &Shape::new(&[outer, count, extent]))?;
    let columns = emit.reshape(x, &[outer, extent, inner])?;
    let product = emit.op(MatMul::plain(), &[weights, columns])?;
    shape.dims_mut()[axis] = count;
    emit.reshape(product, &shape)
}

/// Results whose coordinate lies outside become a constant.
fn extrapolate(
    emit: &mut Emit,
    y: OpId,
    axis: usize,
    coordinates: &[f32],
    extent: usize,
    value: f32,
) -> Result<OpId, Diagnostic> {
    let inside = |c: &f32| (0.0..=extent as f32 - 1.0).contains(c);
    if coordinates.iter().all(inside) {
        return Ok(y);
    }
    let ty = TensorType::new(ElemType::Bool, &[coordinates.len()]);
    let inside = Tensor::from_fn(ty, |i| Scalar::bool(inside(&coordinates[i])));
    let inside = emit.constant(inside);
    let inside = emit.spread(inside, axis, &emit.shape(y))?;
    emit.map(&[y, inside], |b, p| {
        let value = b.num(f64::from(value));
        b.select(p[1], p[0], value)
    })
}

#[cfg(test)]
mod tests {
    use super::repetition;

    #[test]
    fn elements_that_are_taken_equally_often_repeat() {
        assert_eq!(repetition(&[0, 0, 1, 1, 2, 2], 3), Some(2));
        assert_eq!(repetition(&[0, 0, 1, 2, 2], 3), None);
        assert_eq!(repetition(&[0, 2], 3), None);
        assert_eq!(repetition(&[0, 1, 0, 1], 2), None);
    }
}
