//! Transposed convolution: as many small convolutions as there are phases of the stride.
//!
//! Along one dimension with stride `s`, result `q·s + r` is `Σ_t x[q − t] · w[r + t·s]`: each phase
//! `r` is a convolution of its own with every `s`-th tap. All phases are one convolution with more
//! result channels, whose phases are then interleaved. Nothing is multiplied with inserted zeros,
//! and where the stride is the kernel's extent the convolution is a matrix product.

use super::Import::One;
use super::conv::{add_bias, explicit_pads, group_count, kernel_extents, positive, span};
use super::{OnnxOp, row};
use crate::code::Code;
use crate::context::{ImportCx, invalid, unsupported};
use crate::emit::Emit;
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::graph::OpId;
use edgecc_ir::graph::ops::{Conv, Layout, Window};
use edgecc_ir::tensor::Scalar;

pub(super) const OPS: &[OnnxOp] = &[row("ConvTranspose", 1, 2..=3, One(conv_transpose))];

/// The most phases of all strides together.
const MAX_PHASES: usize = 1 << 20;

/// One spatial dimension.
pub(super) struct Dim {
    pub input: usize,
    pub kernel: usize,
    pub stride: usize,
    pub dilation: usize,
    /// First position of the whole result that is kept.
    pub first: usize,
    /// Positions that are kept; beyond the whole result they are 0.
    pub count: usize,
}

impl Dim {
    /// Taps of each phase.
    fn taps(&self) -> usize {
        self.kernel.div_ceil(self.stride)
    }

    /// Positions of each phase.
    fn positions(&self) -> usize {
        self.taps().saturating_sub(1).saturating_mul(self.dilation).saturating_add(self.input)
    }
}

fn conv_transpose(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let (x, w) = (cx.input(0)?, cx.input(1)?);
    let groups = group_count(cx)?;
    let (input, weights) = (cx.emit.shape(x), cx.emit.shape(w));
    let fits = weights.rank() == input.rank() && weights.rank() >= 3 && weights[0] == input[1];
    if !fits || groups == 0 || !input[1].is_multiple_of(groups) {
        return Err(Code::ShapeMismatch.error(format!(
            "weights {} in {groups} groups do not fit the input {}",
            cx.emit.ty(w),
            cx.emit.ty(x)
        )));
    }
    let kernel = kernel_extents(cx, w)?;
    let dims = dims(cx, &input[2..], &kernel)?;
    let y = transposed(cx.emit, x, w, groups, dims)?;
    let bias = cx.optional(2);
    add_bias(cx, y, bias)
}

/// The transposed convolution with weights `[c, m/g, k…]`.
pub(super) fn transposed(
    emit: &mut Emit,
    x: OpId,
    w: OpId,
    groups: usize,
    dims: Vec<Dim>,
) -> Result<OpId, Diagnostic> {
    let phases = dims.iter().fold(1usize, |n, d| n.saturating_mul(d.stride));
    if phases > MAX_PHASES || dims.iter().any(|d| d.count > 1 << 31) {
        return Err(Code::TooLarge.error(format!("a transposed convolution of {phases} phases")));
    }
    let (w, dims) = spread_taps(emit, w, dims)?;
    let w = phase_weights(emit, w, groups, &dims)?;
    let phases = convolve_phases(emit, x, w, groups, &dims)?;
    let y = interleave(emit, phases, groups, &dims)?;
    keep(emit, y, &dims)
}

/// The window attributes, `output_padding` and `output_shape`.
fn dims(cx: &mut ImportCx<'_>, input: &[usize], kernel: &[usize]) -> Result<Vec<Dim>, Diagnostic> {
    let rank = input.len();
    let strides = positive(cx, "strides", rank)?;
    let dilations = positive(cx, "dilations", rank)?;
    let surplus = numbers(cx, "output_padding", rank)?.unwrap_or_else(|| vec![0; rank]);
    let wanted = numbers(cx, "output_shape", rank)?;
    let pads = cx.ints("pads")?.unwrap_or_else(|| vec![0; 2 * rank]);
    let (begin, end) = explicit_pads(&pads, rank)?;
    let auto_pad = cx.string("auto_pad", "NOTSET")?;
    (0..rank)
        .map(|d| {
            let stride = strides[d] as usize;
            let last = (input[d].max(1) - 1).saturating_mul(stride);
            let whole = span(kernel[d], dilations[d]).saturating_add(last + surplus[d]);
            let wanted = match (&wanted, auto_pad.as_str()) {
                (Some(shape), _) => Some(shape[d]),
                (None, "SAME_UPPER" | "SAME_LOWER") => Some(input[d] * stride),
                (None, "NOTSET" | "VALID" | "") => None,
                (None, other) => return Err(unsupported("auto_pad", other)),
            };
            let (first, count) = match wanted {
                Some(count) => (cut(whole, count, &auto_pad), count),
                None if auto_pad == "VALID" => (0, whole),
                None => {
                    let count = whole.checked_sub(begin[d] as usize + end[d] as usize);
                    let count = count.ok_or_else(|| invalid("pads", "remove the whole result"))?;
                    (begin[d] as usize, count)
                }
            };
            let dilation = dilations[d] as usize;
            Ok(Dim { input: input[d], kernel: kernel[d], stride, dilation, first, count })
        })
        .collect()
}

/// What is removed before the first of `count` positions.
fn cut(whole: usize, count: usize, auto_pad: &str) -> usize {
    let total = whole.saturating_sub(count);
    if auto_pad == "SAME_UPPER" { total / 2 } else { total - total / 2 }
}

fn numbers(
    cx: &mut ImportCx<'_>,
    name: &str,
    rank: usize,
) -> Result<Option<Vec<usize>>, Diagnostic> {
    let Some(values) = cx.ints(name)? else { return Ok(None) };
    let spatial = &values[values.len().saturating_sub(rank)..];
    let small = |&v: &i64| usize::try_from(v).ok().filter(|&v| v < 1 << 31);
    let numbers: Option<Vec<usize>> = spatial.iter().map(small).collect();
    let numbers = numbers.filter(|n| n.len() == rank);
    numbers.map(Some).ok_or_else(|| invalid(name, format!("must be {rank} numbers from 0 on")))
}

/// Weights whose taps are neighbours wherever the stride is not 1.
fn spread_taps(emit: &mut Emit, w: OpId, dims: Vec<Dim>) -> Result<(OpId, Vec<Dim>), Diagnostic> {
    let (mut w, mut dims) = (w, dims);
    for (d, dim) in dims.iter_mut().enumerate() {
        if dim.stride > 1 && dim.dilation > 1 {
            w = insert_zeros(emit, w, d + 2, dim.dilation)?;
            dim.kernel = span(dim.kernel, dim.dilation as u32);
            dim.dilation = 1;
        }
    }
    Ok((w, dims))
}

/// `step − 1` zeros between neighbours along a dimension.
fn insert_zeros(emit: &mut Emit, x: OpId, dim: usize, step: usize) -> Result<OpId, Diagnostic> {
    let mut shape = emit.shape(x);
    let extent = shape[dim];
    let (outer, inner) = (shape[..dim].iter().product(), shape[dim + 1..].iter().product());
    let column = emit.reshape(x, &[outer, extent, 1, inner])?;
    let zero = Scalar::from_i64(emit.elem(x), 0);
    let padded = emit.pad(column, vec![0; 4], vec![0, 0, step as u32 - 1, 0], zero)?;
    shape.dims_mut()[dim] = extent * step;
    let spread = emit.reshape(padded, &shape)?;
    emit.slice(spread, dim, (0, 1), (extent.max(1) - 1) * step + 1)
}

/// `[c, m/g, k…]` becomes `[m·s…, c/g, t…]`: a filter for each result channel and phase, its taps
/// from last to first. Channels come at `channel_place` among the phases.
fn phase_weights(
    emit: &mut Emit,
    w: OpId,
    groups: usize,
    dims: &[Dim],
) -> Result<OpId, Diagnostic> {
    let shape = emit.shape(w);
    let (per_in, per_out) = (shape[0] / groups, shape[1]);
    let taps: usize = shape[2..].iter().product();
    let w = emit.reshape(w, &[groups, per_in, per_out, taps])?;
    let w = emit.transpose(w, vec![0, 2, 1, 3])?;
    let channels = groups * per_out;
    let w = emit.reshape(w, &[&[channels, per_in], &shape[2..]].concat())?;
    let missing = dims.iter().map(|d| (d.taps() * d.stride - d.kernel) as u32);
    let high: Vec<u32> = [0, 0].into_iter().chain(missing).collect();
    let zero = Scalar::from_i64(emit.elem(w), 0);
    let w = emit.pad(w, vec![0; high.len()], high, zero)?;
    let split = dims.iter().flat_map(|d| [d.taps(), d.stride]);
    let w = emit.reshape(w, &[channels, per_in].into_iter().chain(split).collect::<Vec<_>>())?;
    let rank = dims.len() as u32;
    let perm = [0].into_iter().chain((0..rank).map(|d| 2 * d + 3)).chain([1]);
    let mut w = emit.transpose(w, perm.chain((0..rank).map(|d| 2 * d + 2)).collect())?;
    for (d, dim) in dims.iter().enumerate() {
        let taps = dim.taps();
        w = emit.slice(w, dims.len() + 2 + d, (taps as i64 - 1, -1), taps)?;
    }
    let place = channel_place(groups, dims);
    let order = (1..=place).chain([0]).chain(place + 1..2 * dims.len() + 2);
    let w = emit.transpose(w, order.map(|d| d as u32).collect())?;
    let filters = channels * dims.iter().map(|d| d.stride).product::<usize>();
    let taps = dims.iter().map(Dim::taps);
    emit.reshape(w, &[filters, per_in].into_iter().chain(taps).collect::<Vec<_>>())
}

/// Where channels stand among the phases: inside, so that where they are innermost those of a phase
/// stay together, but for several groups, whose channels are apart.
fn channel_place(groups: usize, dims: &[Dim]) -> usize {
    if groups == 1 { dims.len() } else { 0 }
}

fn convolve_phases(
    emit: &mut Emit,
    x: OpId,
    w: OpId,
    groups: usize,
    dims: &[Dim],
) -> Result<OpId, Diagnostic> {
    let mut window = Window::unit(dims.len());
    for (d, dim) in dims.iter().enumerate() {
        let reach = ((dim.taps() - 1) * dim.dilation) as u32;
        window.dilations[d] = dim.dilation as u32;
        (window.pads_begin[d], window.pads_end[d]) = (reach, reach);
    }
    let groups = groups as u32;
    emit.op(Conv::plain(window, groups, Layout::default()), &[x, w])
}

/// `[n, m·s…, q…]`, its channels at `channel_place`, becomes `[n, m, q·s…]`.
fn interleave(
    emit: &mut Emit,
    phases: OpId,
    groups: usize,
    dims: &[Dim],
) -> Result<OpId, Diagnostic> {
    let shape = emit.shape(phases);
    let mut parts: Vec<usize> = dims.iter().map(|d| d.stride).collect();
    let lead = [shape[0], shape[1] / parts.iter().product::<usize>()];
    let place = channel_place(groups, dims);
    parts.insert(place, lead[1]);
    let split = lead[..1].iter().copied().chain(parts).chain(dims.iter().map(Dim::positions));
    let split = emit.reshape(phases, &split.collect::<Vec<_>>())?;
    let phase = |d: usize| d + 1 + usize::from(d >= place);
    let pairs = (0..dims.len()).flat_map(|d| [dims.len() + 2 + d, phase(d)]);
    let order = [0, place + 1].into_iter().chain(pairs).map(|d| d as u32);
    let mixed = emit.transpose(split, order.collect())?;
    let whole = dims.iter().map(|d| d.positions() * d.stride);
    emit.reshape(mixed, &lead.into_iter().chain(whole).collect::<Vec<_>>())
}

/// The positions of the result that are wanted.
fn keep(emit: &mut Emit, y: OpId, dims: &[Dim]) -> Result<OpId, Diagnostic> {
    let mut y = y;
    let mut high = vec![0; dims.len() + 2];
    for (d, dim) in dims.iter().enumerate() {
        let there = (dim.positions() * dim.stride).saturating_sub(dim.first).min(dim.count);
        y = emit.slice(y, d + 2, (dim.first as i64, 1), there)?;
        high[d + 2] = (dim.count - there) as u32;
    }
    let zero = Scalar::from_i64(emit.elem(y), 0);
    emit.pad(y, vec![0; high.len()], high, zero)
}
