//! Convolutions, and the window attributes that they share with pools.

use super::Import::One;
use super::{OnnxOp, row};
use crate::code::Code;
use crate::context::{ImportCx, invalid, unsupported};
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::graph::OpId;
use edgecc_ir::graph::ops::{Conv, Layout, Window, Zeros};

pub(super) const OPS: &[OnnxOp] = &[row("Conv", 1, 2..=3, One(conv))];

fn conv(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let (x, w, bias) = (cx.input(0)?, cx.input(1)?, cx.optional(2));
    let y = convolve(cx, x, w, Zeros::default())?;
    add_bias(cx, y, bias)
}

/// Adds a value per channel.
pub(super) fn add_bias(
    cx: &mut ImportCx<'_>,
    y: OpId,
    bias: Option<OpId>,
) -> Result<OpId, Diagnostic> {
    let Some(bias) = bias else { return Ok(y) };
    let shape = cx.emit.shape(y);
    let bias = cx.emit.spread(bias, 1, &shape)?;
    cx.emit.map(&[y, bias], |b, p| b.sum(p[0], p[1]))
}

/// The convolution of two values with the node's attributes.
pub(super) fn convolve(
    cx: &mut ImportCx<'_>,
    x: OpId,
    w: OpId,
    zeros: Zeros,
) -> Result<OpId, Diagnostic> {
    let (input, weights) = (cx.emit.shape(x), cx.emit.shape(w));
    if weights.rank() != input.rank() || weights.rank() < 3 {
        return Err(Code::ShapeMismatch.error(format!(
            "weights {} do not fit the input {}",
            cx.emit.ty(w),
            cx.emit.ty(x)
        )));
    }
    let kernel = kernel_extents(cx, w)?;
    let groups = group_count(cx)? as u32;
    let window = window(cx, &input[2..], &kernel)?;
    let op = Conv { zeros, ..Conv::plain(window, groups, Layout::default()) };
    cx.emit.op(op, &[x, w])
}

/// The extents of the weights' taps, which `kernel_shape` may only repeat.
pub(super) fn kernel_extents(cx: &mut ImportCx<'_>, w: OpId) -> Result<Vec<usize>, Diagnostic> {
    let taps = cx.emit.shape(w)[2..].to_vec();
    match cx.ints("kernel_shape")? {
        Some(k) if !k.iter().map(|&k| k as usize).eq(taps.iter().copied()) => {
            Err(invalid("kernel_shape", format!("differs from the weights {}", cx.emit.ty(w))))
        }
        _ => Ok(taps),
    }
}

/// The attribute `group`.
pub(super) fn group_count(cx: &mut ImportCx<'_>) -> Result<usize, Diagnostic> {
    let groups = cx.int("group")?.unwrap_or(1);
    u32::try_from(groups).map(|g| g as usize).map_err(|_| invalid("group", "must be positive"))
}

/// `strides`, `dilations`, `pads` and `auto_pad`, for known extents.
pub(super) fn window(
    cx: &mut ImportCx<'_>,
    input: &[usize],
    kernel: &[usize],
) -> Result<Window, Diagnostic> {
    let rank = input.len();
    let mut window = Window::unit(rank);
    window.strides = positive(cx, "strides", rank)?;
    window.dilations = positive(cx, "dilations", rank)?;
    let pads = cx.ints("pads")?;
    match cx.string("auto_pad", "NOTSET")?.as_str() {
        "NOTSET" | "" => {
            let pads = pads.unwrap_or_else(|| vec![0; 2 * rank]);
            (window.pads_begin, window.pads_end) = explicit_pads(&pads, rank)?;
        }
        "VALID" => {}
        "SAME_UPPER" => same_pads(&mut window, input, kernel, |total| total / 2),
        "SAME_LOWER" => same_pads(&mut window, input, kernel, |total| total - total / 2),
        other => return Err(unsupported("auto_pad", other)),
    }
    Ok(window)
}

/// An attribute of one positive number per dimension, 1 by default.
pub(super) fn positive(
    cx: &mut ImportCx<'_>,
    name: &str,
    rank: usize,
) -> Result<Vec<u32>, Diagnostic> {
    let Some(values) = cx.ints(name)? else { return Ok(vec![1; rank]) };
    let small = |&v: &i64| u32::try_from(v).ok().filter(|&v| v > 0 && v < 1 << 31);
    let values: Option<Vec<u32>> = values.iter().map(small).collect();
    values
        .filter(|v| v.len() == rank)
        .ok_or_else(|| invalid(name, format!("must be {rank} positive numbers")))
}

/// Amounts before and after each dimension.
pub(super) fn explicit_pads(pads: &[i64], rank: usize) -> Result<(Vec<u32>, Vec<u32>), Diagnostic> {
    let small = |&v: &i64| u32::try_from(v).ok().filter(|&v| v < 1 << 31);
    let values: Option<Vec<u32>> = pads.iter().map(small).collect();
    let values = values
        .filter(|v| v.len() == 2 * rank)
        .ok_or_else(|| invalid("pads", format!("must be {} numbers from 0 on", 2 * rank)))?;
    Ok((values[..rank].to_vec(), values[rank..].to_vec()))
}

/// Pads so that the output has `ceil(input / stride)` positions; `begin` splits the total.
fn same_pads(window: &mut Window, input: &[usize], kernel: &[usize], begin: fn(usize) -> usize) {
    for d in 0..input.len() {
        let stride = window.strides[d] as usize;
        let span = span(kernel[d], window.dilations[d]);
        let covered = input[d].div_ceil(stride).saturating_sub(1) * stride;
        let total = covered.saturating_add(span).saturating_sub(input[d]);
        window.pads_begin[d] = begin(total) as u32;
        window.pads_end[d] = (total - begin(total)) as u32;
    }
}

/// Extent of a dilated window.
pub(super) fn span(kernel: usize, dilation: u32) -> usize {
    kernel.saturating_sub(1).saturating_mul(dilation as usize).saturating_add(1)
}
