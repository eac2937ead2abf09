//! Layers of sequence models that are compositions: rotary embeddings, causal convolutions.

use super::Import::{Many, One};
use super::conv::add_bias;
use super::gather::along;
use super::{OnnxOp, elementwise, row};
use crate::code::Code;
use crate::context::{ImportCx, invalid};
use crate::emit::Emit;
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::graph::OpId;
use edgecc_ir::graph::ops::{Conv, Layout, Window};
use edgecc_ir::tensor::Scalar;

pub(super) const OPS: &[OnnxOp] = &[
    row("CausalConvWithState", 27, 2..=4, Many(causal_conv)),
    row("RotaryEmbedding", 23, 3..=4, One(rotary_embedding)),
    row("SwiGLU", 28, 2..=2, One(swiglu)),
];

/// Turns pairs of elements of each head by angles that depend on the position; the pairs are
/// neighbours when interleaved, else one element of each half.
fn rotary_embedding(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let interleaved = cx.flag("interleaved", false)?;
    let x = cx.input(0)?;
    let shape = cx.emit.shape(x);
    let heads = cx.int("num_heads")?.and_then(|h| usize::try_from(h).ok()).unwrap_or(0);
    let is_flat = shape.rank() == 3;
    let x = match shape[..] {
        [b, s, width] if heads > 0 && width.is_multiple_of(heads) => {
            cx.emit.reshape(x, &[b, s, heads, width / heads])?
        }
        [_, _, _, _] => x,
        _ => {
            let ty = cx.emit.ty(x);
            return Err(Code::ShapeMismatch.error(format!("{ty} has no {heads} heads")));
        }
    };
    let width = cx.emit.shape(x)[3];
    let turned = match cx.int("rotary_embedding_dim")?.unwrap_or(0) {
        0 => width,
        dim => usize::try_from(dim).unwrap_or(0).min(width) / 2 * 2,
    };
    let head_dim = if is_flat { 2 } else { 1 };
    let (cos, sin) = (angles(cx, 1, head_dim)?, angles(cx, 2, head_dim)?);
    let half = turned / 2;
    let (step, second) = if interleaved { (2, 1) } else { (1, half as i64) };
    let [left, right] =
        [cx.emit.slice(x, 3, (0, step), half)?, cx.emit.slice(x, 3, (second, step), half)?];
    let real = cx.emit.map_broadcast(&[left, right, cos, sin], |b, p| {
        let (a, c) = (b.mul(p[2], p[0]), b.mul(p[3], p[1]));
        b.sub(a, c)
    })?;
    let imaginary = cx.emit.map_broadcast(&[left, right, cos, sin], |b, p| {
        let (a, c) = (b.mul(p[3], p[0]), b.mul(p[2], p[1]));
        b.sum(a, c)
    })?;
    let pairs = if interleaved {
        interleave(cx.emit, real, imaginary)?
    } else {
        cx.emit.concat(&[real, imaginary], 3)?
    };
    let rest = cx.emit.slice(x, 3, (turned as i64, 1), width - turned)?;
    let y = if turned == width { pairs } else { cx.emit.concat(&[pairs, rest], 3)? };
    cx.emit.reshape(y, &shape)
}

/// The cached cosines or sines of each position, with a dimension for heads.
fn angles(cx: &mut ImportCx<'_>, n: usize, head_dim: usize) -> Result<OpId, Diagnostic> {
    let mut cache = cx.input(n)?;
    if let Some(positions) = cx.optional(3) {
        cache = along(cx.emit, cache, 0, positions)?;
    }
    let mut dims = cx.emit.shape(cache).to_vec();
    if dims.len() != 3 {
        let ty = cx.emit.ty(cache);
        return Err(Code::ShapeMismatch.error(format!("{ty} has no angle for each position")));
    }
    dims.insert(head_dim, 1);
    cx.emit.reshape(cache, &dims)
}

/// Elements of two values in turn along the last dimension.
fn interleave(emit: &mut Emit, a: OpId, b: OpId) -> Result<OpId, Diagnostic> {
    let mut dims = emit.shape(a).to_vec();
    let last = dims.len();
    dims.push(1);
    let (a, b) = (emit.reshape(a, &dims)?, emit.reshape(b, &dims)?);
    let pairs = emit.concat(&[a, b], last)?;
    dims.pop();
    dims[last - 1] *= 2;
    emit.reshape(pairs, &dims)
}

/// `swish(a) · b`.
fn swiglu(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let alpha = cx.float("alpha", 1.0)?;
    let inputs = cx.inputs()?;
    cx.emit.map(&inputs, |b, p| {
        let alpha = b.num(f64::from(alpha));
        let scaled = b.mul(alpha, p[0]);
        let gate = elementwise::sigmoid(b, scaled);
        let swish = b.mul(p[0], gate);
        b.mul(swish, p[1])
    })
}

/// A convolution of each channel with the past and present positions, and the last positions,
/// which are the past of the next call.
fn causal_conv(cx: &mut ImportCx<'_>) -> Result<Vec<OpId>, Diagnostic> {
    let (x, w) = (cx.input(0)?, cx.input(1)?);
    let (shape, weights) = (cx.emit.shape(x), cx.emit.shape(w));
    if shape.rank() != 3 || weights[..] != [shape[1], 1, *weights.last().unwrap_or(&0)] {
        return Err(Code::ShapeMismatch.error(format!(
            "weights {} do not fit the input {}",
            cx.emit.ty(w),
            cx.emit.ty(x)
        )));
    }
    let past = weights[2].max(1) - 1;
    let history = match cx.optional(3) {
        Some(state) => cx.emit.concat(&[state, x], 2)?,
        None => {
            let zero = Scalar::from_i64(cx.emit.elem(x), 0);
            cx.emit.pad(x, vec![0, 0, past as u32], vec![0; 3], zero)?
        }
    };
    let op = Conv::plain(Window::unit(1), shape[1] as u32, Layout::default());
    let y = cx.emit.op(op, &[history, w])?;
    let bias = cx.optional(2);
    let y = add_bias(cx, y, bias)?;
    let y = match cx.string("activation", "none")?.as_str() {
        "none" => y,
        "silu" | "swish" => silu(cx.emit, y)?,
        _ => return Err(invalid("activation", "must be none, silu or swish")),
    };
    let state = cx.emit.slice(history, 2, (shape[2] as i64, 1), past)?;
    Ok(vec![y, state])
}

fn silu(emit: &mut Emit, x: OpId) -> Result<OpId, Diagnostic> {
    emit.map(&[x], |b, p| {
        let gate = elementwise::sigmoid(b, p[0]);
        b.mul(p[0], gate)
    })
}
