//! Pooling: windows and whole images.

use super::Import::{Many, One};
use super::conv::{span, window};
use super::{OnnxOp, pool_indices, row};
use crate::code::Code;
use crate::context::{ImportCx, invalid};
use crate::emit::Body;
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::graph::OpId;
use edgecc_ir::graph::ops::{Layout, Pool, Window};
use edgecc_ir::scalar::NodeId;
use edgecc_ir::scalar::func::ScalarFn as F;
use edgecc_ir::tensor::{Scalar, Tensor};
use edgecc_ir::types::{ElemType, Shape};

pub(super) const OPS: &[OnnxOp] = &[
    row("AveragePool", 7, 1..=1, One(average_pool)),
    row("GlobalAveragePool", 1, 1..=1, One(global_average_pool)),
    row("GlobalMaxPool", 1, 1..=1, One(global_max_pool)),
    row("LRN", 1, 1..=1, One(lrn)),
    row("LpPool", 2, 1..=1, One(lp_pool)),
    row("MaxPool", 1, 1..=1, Many(max_pool)).limits("indices of windows up to 64 elements"),
];

/// A pool's extents and window before `ceil_mode`.
struct Windows {
    input: Vec<usize>,
    kernel: Vec<usize>,
    window: Window,
}

fn windows(cx: &mut ImportCx<'_>, x: OpId) -> Result<Windows, Diagnostic> {
    let shape = cx.emit.shape(x);
    let kernel = cx.ints("kernel_shape")?.unwrap_or_default();
    let kernel: Vec<usize> = kernel.iter().map(|&k| usize::try_from(k).unwrap_or(0)).collect();
    if shape.rank() < 3 || kernel.len() + 2 != shape.rank() {
        return Err(invalid("kernel_shape", format!("does not fit the input {}", cx.emit.ty(x))));
    }
    if kernel.iter().any(|&k| k == 0 || k >= 1 << 31) {
        return Err(invalid("kernel_shape", "must be positive"));
    }
    let input = shape[2..].to_vec();
    let window = window(cx, &input, &kernel)?;
    Ok(Windows { input, kernel, window })
}

impl Windows {
    /// The window with the pads that `ceil_mode` adds at the end, for outputs that are only partly
    /// inside; a window may not start in them.
    fn rounded_up(&self) -> Window {
        let mut window = self.window.clone();
        for d in 0..self.input.len() {
            let (stride, begin) = (window.strides[d] as usize, window.pads_begin[d] as usize);
            let padded = self.input[d] + begin + window.pads_end[d] as usize;
            let span = span(self.kernel[d], window.dilations[d]);
            let mut last = padded.saturating_sub(span).div_ceil(stride);
            if last > 0 && last * stride >= self.input[d] + begin {
                last -= 1;
            }
            let surplus = (last * stride + span).saturating_sub(padded);
            window.pads_end[d] += surplus as u32;
        }
        window
    }

    /// For each output position along `d`, how many window elements count: those inside the input,
    /// or inside the explicit pads as well.
    fn counts(&self, d: usize, outputs: usize, with_pads: bool) -> Vec<usize> {
        let (begin, end) = (self.window.pads_begin[d] as i64, self.window.pads_end[d] as i64);
        let (lo, hi) = if with_pads { (-begin, end) } else { (0, 0) };
        let valid = lo..self.input[d] as i64 + hi;
        let tap = |o: usize, k: usize| {
            (o * self.window.strides[d] as usize + k * self.window.dilations[d] as usize) as i64
                - begin
        };
        (0..outputs)
            .map(|o| (0..self.kernel[d]).filter(|&k| valid.contains(&tap(o, k))).count())
            .collect()
    }

    fn pool(
        &self,
        cx: &mut ImportCx<'_>,
        x: OpId,
        func: F,
        ceil: bool,
    ) -> Result<OpId, Diagnostic> {
        let window = if ceil { self.rounded_up() } else { self.window.clone() };
        let kernel = self.kernel.iter().map(|&k| k as u32).collect();
        cx.emit.op(Pool { func, kernel, window, layout: Layout::default() }, &[x])
    }
}

fn max_pool(cx: &mut ImportCx<'_>) -> Result<Vec<OpId>, Diagnostic> {
    let columns_first = cx.flag("storage_order", false)?;
    let x = cx.input(0)?;
    let ceil = cx.flag("ceil_mode", false)?;
    let windows = windows(cx, x)?;
    let mut results = vec![windows.pool(cx, x, F::Max, ceil)?];
    if cx.output_count() > 1 {
        let window = if ceil { windows.rounded_up() } else { windows.window.clone() };
        let strides = strides(&windows.input, columns_first);
        results.push(pool_indices::positions(cx.emit, x, &windows.kernel, &window, &strides)?);
    }
    Ok(results)
}

/// Steps of positions in one channel, where the first or the last dimension is the fastest.
fn strides(input: &[usize], first_is_fastest: bool) -> Vec<i64> {
    let others = |d: usize| if first_is_fastest { 0..d } else { d + 1..input.len() };
    (0..input.len()).map(|d| input[others(d)].iter().product::<usize>() as i64).collect()
}

fn average_pool(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let x = cx.input(0)?;
    let ceil = cx.flag("ceil_mode", false)?;
    let with_pads = cx.flag("count_include_pad", false)?;
    let windows = windows(cx, x)?;
    let sum = windows.pool(cx, x, F::Add, ceil)?;
    let shape = cx.emit.shape(sum);
    let counts: Vec<Vec<usize>> =
        (0..windows.input.len()).map(|d| windows.counts(d, shape[d + 2], with_pads)).collect();
    scale(cx, sum, &reciprocals(cx.emit.elem(x), &counts))
}

/// `1 / count` for each output position, as `[1, 1, outputs…]`, or a scalar when all are equal.
fn reciprocals(elem: ElemType, counts: &[Vec<usize>]) -> Tensor {
    let reciprocal = |count: usize| Scalar::from_f64(elem, 1.0 / count.max(1) as f64);
    let uniform = |c: &Vec<usize>| c.iter().all(|v| *v == c[0]);
    if counts.iter().all(|c| !c.is_empty() && uniform(c)) {
        return Tensor::splat(&[], reciprocal(counts.iter().map(|c| c[0]).product()));
    }
    let extents: Shape = [1, 1].into_iter().chain(counts.iter().map(Vec::len)).collect();
    let strides = extents.strides();
    let ty = edgecc_ir::types::TensorType { elem, shape: extents.clone() };
    Tensor::from_fn(ty, |i| {
        let position = |d: usize| i / strides[d + 2] % extents[d + 2];
        reciprocal((0..counts.len()).map(|d| counts[d][position(d)]).product())
    })
}

fn scale(cx: &mut ImportCx<'_>, x: OpId, factor: &Tensor) -> Result<OpId, Diagnostic> {
    if let Some(factor) = factor.uniform() {
        return cx.emit.map(&[x], |b, p| {
            let factor = b.literal(factor);
            b.mul(p[0], factor)
        });
    }
    let factor = cx.emit.constant(factor.clone());
    cx.emit.map_broadcast(&[x, factor], |b, p| b.mul(p[0], p[1]))
}

/// The sum of `|x|^p` over windows, to the power `1/p`.
fn lp_pool(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let x = cx.input(0)?;
    let p = cx.int("p")?.unwrap_or(2);
    let ceil = cx.flag("ceil_mode", false)?;
    let windows = windows(cx, x)?;
    if p < 1 {
        return Err(invalid("p", "must be positive"));
    }
    let powered = cx.emit.map(&[x], |b, v| {
        let size = b.f1(F::Abs, v[0]);
        power(b, size, p as f64)
    })?;
    let sum = windows.pool(cx, powered, F::Add, ceil)?;
    cx.emit.map(&[sum], |b, v| power(b, v[0], 1.0 / p as f64))
}

/// `x^exponent` of a number that is not negative.
fn power(b: &mut Body<'_>, x: NodeId, exponent: f64) -> NodeId {
    match exponent {
        1.0 => x,
        2.0 => b.mul(x, x),
        0.5 => b.f1(F::Sqrt, x),
        _ => {
            let exponent = b.num(exponent);
            b.f2(F::Pow, x, exponent)
        }
    }
}

fn spatial(cx: &ImportCx<'_>, x: OpId) -> Result<Vec<usize>, Diagnostic> {
    match cx.emit.rank(x) {
        rank @ 3.. => Ok((2..rank).collect()),
        _ => Err(Code::ShapeMismatch.error(format!("{} is not an image", cx.emit.ty(x)))),
    }
}

fn global_average_pool(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let x = cx.input(0)?;
    let dims = spatial(cx, x)?;
    super::reduce::mean(cx.emit, x, &dims)
}

fn global_max_pool(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let x = cx.input(0)?;
    let dims = spatial(cx, x)?;
    cx.emit.reduce(F::Max, x, &dims)
}

/// `x / (bias + alpha/size · Σ x²)^beta`, the sum over `size` neighbouring channels: a pool whose
/// spatial dimensions are the channels and everything after them.
fn lrn(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let x = cx.input(0)?;
    let (alpha, beta) = (cx.float("alpha", 1e-4)?, cx.float("beta", 0.75)?);
    let bias = cx.float("bias", 1.0)?;
    let size = cx.int("size")?.unwrap_or(0);
    let size = u32::try_from(size).ok().filter(|s| (1..1 << 16).contains(s));
    let size = size.ok_or_else(|| invalid("size", "must be positive"))?;
    let shape = cx.emit.shape(x);
    if shape.rank() < 2 {
        return Err(Code::ShapeMismatch.error(format!("{} has no channels", cx.emit.ty(x))));
    }
    let rest = shape[2..].iter().product();
    let square = cx.emit.map(&[x], |b, p| b.mul(p[0], p[0]))?;
    let image = cx.emit.reshape(square, &[shape[0], 1, shape[1], rest])?;
    let mut window = Window::unit(2);
    window.pads_begin[0] = (size - 1) / 2;
    window.pads_end[0] = size - 1 - (size - 1) / 2;
    let pool = Pool { func: F::Add, kernel: vec![size, 1], window, layout: Layout::default() };
    let sums = cx.emit.op(pool, &[image])?;
    let sums = cx.emit.reshape(sums, &shape)?;
    cx.emit.map(&[x, sums], |b, p| {
        let factor = b.num(f64::from(alpha) / f64::from(size));
        let (bias, beta) = (b.num(f64::from(bias)), b.num(f64::from(beta)));
        let scaled = b.mul(factor, p[1]);
        let base = b.sum(bias, scaled);
        let divisor = b.f2(F::Pow, base, beta);
        b.div(p[0], divisor)
    })
}
