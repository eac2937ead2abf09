//! Where the largest element of each window is.

use crate::context::unsupported;
use crate::emit::Emit;
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::graph::OpId;
use edgecc_ir::graph::ops::Window;
use edgecc_ir::scalar::func::ScalarFn as F;
use edgecc_ir::tensor::{Scalar, Tensor};
use edgecc_ir::types::{ElemType, Shape};

/// The most elements of a window, each of which is one operand.
const MAX_TAPS: usize = 64;

/// For each window over `x`, a channels-first image, the position of its first largest element in
/// the whole of `x`; `strides` are those of positions in one channel.
pub(super) fn positions(
    emit: &mut Emit,
    x: OpId,
    kernel: &[usize],
    window: &Window,
    strides: &[i64],
) -> Result<OpId, Diagnostic> {
    let taps: usize = kernel.iter().product();
    if taps > MAX_TAPS {
        return Err(unsupported("kernel_shape with indices", format!("{kernel:?}")));
    }
    let (padded, offsets) = (pad(emit, x, window)?, offsets(kernel, window, strides));
    let mut values = Vec::with_capacity(taps);
    for tap in 0..taps {
        values.push(tap_values(emit, padded, kernel, window, tap)?);
    }
    let chosen = emit.map(&values, |b, p| {
        let literal = |at: usize| Scalar::from_i64(ElemType::I64, offsets[at]);
        let (mut best, mut place) = (p[0], b.literal(literal(0)));
        for (at, &value) in p.iter().enumerate().skip(1) {
            let larger = b.f2(F::Lt, best, value);
            let here = b.literal(literal(at));
            place = b.select(larger, here, place);
            best = b.select(larger, value, best);
        }
        place
    })?;
    let plane: usize = emit.shape(x)[2..].iter().product();
    add_origins(emit, chosen, plane as i64, &emit.shape(x), window, strides)
}

fn pad(emit: &mut Emit, x: OpId, window: &Window) -> Result<OpId, Diagnostic> {
    let lowest = F::Max.identity(emit.elem(x)).expect("pools are of numbers");
    let with_outer = |pads: &[u32]| [&[0, 0], pads].concat();
    emit.pad(x, with_outer(&window.pads_begin), with_outer(&window.pads_end), lowest)
}

/// How far each element of a window is from the first one.
fn offsets(kernel: &[usize], window: &Window, strides: &[i64]) -> Vec<i64> {
    let steps: Vec<i64> =
        strides.iter().zip(&window.dilations).map(|(s, &d)| s * i64::from(d)).collect();
    let mut all = Vec::new();
    edgecc_ir::index::for_each_index(kernel, |tap| {
        all.push(tap.iter().zip(&steps).map(|(&t, step)| t as i64 * step).sum());
    });
    all
}

/// The `tap`-th element of each window.
fn tap_values(
    emit: &mut Emit,
    mut x: OpId,
    kernel: &[usize],
    window: &Window,
    mut tap: usize,
) -> Result<OpId, Diagnostic> {
    for d in (0..kernel.len()).rev() {
        let (stride, dilation) = (window.strides[d] as usize, window.dilations[d] as usize);
        let span = (kernel[d] - 1) * dilation + 1;
        let count = (emit.shape(x)[d + 2] - span) / stride + 1;
        let start = tap % kernel[d] * dilation;
        tap /= kernel[d];
        x = emit.slice(x, d + 2, (start as i64, stride as i64), count)?;
    }
    Ok(x)
}

/// Adds the position of each window's first element.
fn add_origins(
    emit: &mut Emit,
    chosen: OpId,
    plane: i64,
    input: &Shape,
    window: &Window,
    strides: &[i64],
) -> Result<OpId, Diagnostic> {
    let shape = emit.shape(chosen);
    let mut operands = vec![chosen];
    for (d, &count) in shape.iter().enumerate() {
        let (step, first) = match d {
            0 => (input[1] as i64 * plane, 0),
            1 => (plane, 0),
            d => {
                let (stride, pad) = (window.strides[d - 2], window.pads_begin[d - 2]);
                (strides[d - 2] * i64::from(stride), strides[d - 2] * -i64::from(pad))
            }
        };
        let places: Vec<i64> = (0..count as i64).map(|i| first + i * step).collect();
        let places = emit.constant(Tensor::from_i64s(&[count], &places));
        operands.push(emit.spread(places, d, &shape)?);
    }
    emit.map(&operands, |b, p| p[1..].iter().fold(p[0], |sum, &place| b.sum(sum, place)))
}
