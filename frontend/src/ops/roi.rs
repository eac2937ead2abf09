//! `RoiAlign`: regions of an image, sampled at a fixed number of points and pooled.

use super::Import::One;
use super::sample::{Axis, Data, Neighbour, weighted};
use super::{OnnxOp, row};
use crate::code::Code;
use crate::context::{ImportCx, invalid, unsupported};
use crate::emit::{Body, Emit};
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::graph::OpId;
use edgecc_ir::graph::ops::Pick;
use edgecc_ir::scalar::NodeId;
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::tensor::Tensor;
use edgecc_ir::types::ElemType;

const LIMITS: &str = "a positive sampling ratio";

pub(super) const OPS: &[OnnxOp] = &[
    row("RoiAlign", 10, 3..=3, One(roi_align_corners)).limits(LIMITS),
    row("RoiAlign", 16, 3..=3, One(roi_align)).limits(LIMITS),
];

/// The largest number of bins and of points per bin along a dimension.
const MAX_POINTS: i64 = 1 << 12;

/// The bins along one dimension.
#[derive(Clone, Copy)]
struct Bins {
    /// Extent of the image.
    extent: usize,
    count: usize,
    /// Points in each bin.
    points: usize,
    scale: f64,
    /// From an element's coordinate to its centre; without it no region is smaller than an element.
    centre: f64,
}

/// Before opset 16 coordinates are not those of centres.
fn roi_align_corners(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    aligned(cx, 0.0)
}

fn roi_align(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    match cx.string("coordinate_transformation_mode", "half_pixel")?.as_str() {
        "half_pixel" => aligned(cx, 0.5),
        "output_half_pixel" => aligned(cx, 0.0),
        other => Err(unsupported("coordinate_transformation_mode", other)),
    }
}

fn aligned(cx: &mut ImportCx<'_>, centre: f64) -> Result<OpId, Diagnostic> {
    let (x, rois, batch) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let join = match cx.string("mode", "avg")?.as_str() {
        "avg" => ScalarFn::Add,
        "max" => ScalarFn::Max,
        other => return Err(unsupported("mode", other)),
    };
    let scale = f64::from(cx.float("spatial_scale", 1.0)?);
    let counts = [number(cx, "output_height", 1)?, number(cx, "output_width", 1)?];
    let points = number(cx, "sampling_ratio", 0)?;
    let (shape, regions) = (cx.emit.shape(x), cx.emit.shape(rois));
    if shape.rank() != 4 || regions.rank() != 2 || regions[1] != 4 {
        return Err(Code::ShapeMismatch.error("the regions do not fit the image"));
    }
    let mut axes = Vec::new();
    for (d, count) in counts.into_iter().enumerate() {
        let bins = Bins { extent: shape[2 + d], count, points, scale, centre };
        let ends = [column(cx.emit, rois, 1 - d)?, column(cx.emit, rois, 3 - d)?];
        axes.push(Axis {
            neighbours: neighbours(cx.emit, ends, bins)?,
            dims: vec![0, 2 + d as u32],
        });
    }
    let data = Data { x, picks: vec![Pick::Index(vec![0]), Pick::Dim(1)], indices: vec![batch] };
    let [height, width] = counts;
    let result = [regions[0], shape[1], height * points, width * points];
    let sampled = weighted(cx.emit, &data, &axes, &result.into_iter().collect(), join)?;
    let split = [result[0], result[1], height, points, width, points];
    let sampled = cx.emit.reshape(sampled, &split)?;
    let pooled = cx.emit.reduce(join, sampled, &[3, 5])?;
    let pooled = cx.emit.reshape(pooled, &[result[0], result[1], height, width])?;
    let share = if join == ScalarFn::Add { 1.0 / (points * points) as f64 } else { 1.0 };
    cx.emit.map(&[pooled], |b, p| {
        let share = b.num(share);
        b.mul(p[0], share)
    })
}

fn number(cx: &mut ImportCx<'_>, name: &str, default: i64) -> Result<usize, Diagnostic> {
    let value = cx.int(name)?.unwrap_or(default);
    match value {
        1..=MAX_POINTS => Ok(value as usize),
        0 => Err(unsupported(name, 0)),
        _ => Err(invalid(name, "is out of range")),
    }
}

/// One coordinate of every region, as `[regions, 1]`.
fn column(emit: &mut Emit, rois: OpId, at: usize) -> Result<OpId, Diagnostic> {
    emit.slice(rois, 1, (at as i64, 1), 1)
}

/// Both neighbours of the points of all regions between these ends; none counts for a point that
/// is more than one element outside.
fn neighbours(
    emit: &mut Emit,
    [start, end]: [OpId; 2],
    bins: Bins,
) -> Result<Vec<Neighbour>, Diagnostic> {
    let offset = |i: usize| {
        let (bin, point) = (i / bins.points, i % bins.points);
        (bin as f64 + (point as f64 + 0.5) / bins.points as f64) / bins.count as f64
    };
    let offsets: Vec<f32> = (0..bins.count * bins.points).map(|i| offset(i) as f32).collect();
    let offsets = emit.constant(Tensor::from_f32s(&[1, offsets.len()], &offsets));
    let offsets = emit.cast(offsets, emit.elem(start))?;
    let x = emit.map_broadcast(&[start, end, offsets], |b, p| {
        let (scale, centre) = (b.num(bins.scale), b.num(bins.centre));
        let [start, end] = [p[0], p[1]].map(|edge| {
            let scaled = b.mul(edge, scale);
            b.sub(scaled, centre)
        });
        let length = b.sub(end, start);
        let one = b.num(1.0);
        let length = if bins.centre > 0.0 { length } else { b.f2(ScalarFn::Max, length, one) };
        let distance = b.mul(length, p[2]);
        b.sum(start, distance)
    })?;
    (0..2)
        .map(|tap| {
            let position = emit.map(&[x], |b, p| {
                let inside = inside(b, p[0], bins.extent);
                let (base, tap) = (b.f1(ScalarFn::Floor, inside), b.num(f64::from(tap)));
                let place = b.sum(base, tap);
                b.cast(ElemType::I32, place)
            })?;
            let weight = emit.map(&[x], |b, p| {
                let inside = inside(b, p[0], bins.extent);
                let base = b.f1(ScalarFn::Floor, inside);
                let (one, after) = (b.num(1.0), b.sub(inside, base));
                let weight = if tap == 1 { after } else { b.sub(one, after) };
                let (low, high, zero) = (b.num(-1.0), b.num(bins.extent as f64), b.num(0.0));
                let from = b.f2(ScalarFn::Le, low, p[0]);
                let weight = b.select(from, weight, zero);
                let to = b.f2(ScalarFn::Le, p[0], high);
                b.select(to, weight, zero)
            })?;
            Ok(Neighbour { position, weight })
        })
        .collect()
}

fn inside(b: &mut Body<'_>, x: NodeId, extent: usize) -> NodeId {
    let (first, last) = (b.num(0.0), b.num(extent as f64 - 1.0));
    b.clamp(x, first, last)
}
