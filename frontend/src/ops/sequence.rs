//! Layers of sequence models that are compositions: rotary embeddings, causal convolutions.

use super::Import::{Many, One};
use super::conv::add_bias;
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
    row("SwiGLU", 28, 2..=2, One(swiglu)),
];

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
