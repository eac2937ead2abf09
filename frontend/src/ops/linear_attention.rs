//! Attention with a recurrent state: the steps are written out.

use super::Import::Many;
use super::{OnnxOp, row};
use crate::code::Code;
use crate::context::{ImportCx, invalid};
use crate::emit::Emit;
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::graph::OpId;
use edgecc_ir::graph::ops::MatMul;
use edgecc_ir::scalar::func::ScalarFn as F;
use edgecc_ir::tensor::{Scalar, Tensor};
use edgecc_ir::types::{ElemType, Shape};

pub(super) const OPS: &[OnnxOp] =
    &[row("LinearAttention", 27, 3..=6, Many(linear_attention)).limits("up to 64 steps")];

/// The most steps that are written out.
const MAX_STEPS: usize = 64;

/// Operands `[b, t, h, d]` with `h` heads of keys.
struct Operands {
    query: OpId,
    key: OpId,
    value: OpId,
    /// Logarithm of the state's decay, for each key element or each head.
    decay: Option<OpId>,
    /// Rate of the correction, for each head or for all.
    beta: Option<OpId>,
}

/// `S ← e^g·S + k ⊗ v`, or with the error `β·(v − kᵀ·e^g·S)` in the place of `v`; the result of a
/// step is `scale · qᵀ·S`. Computed in `f32`.
fn linear_attention(cx: &mut ImportCx<'_>) -> Result<Vec<OpId>, Diagnostic> {
    cx.ignore(&["chunk_size"]);
    let rule = cx.string("update_rule", "gated_delta")?;
    let (gated, corrected) = match rule.as_str() {
        "linear" => (false, false),
        "gated" => (true, false),
        "delta" => (false, true),
        "gated_delta" => (true, true),
        _ => return Err(invalid("update_rule", "is not known")),
    };
    if gated != cx.optional(4).is_some() || corrected != cx.optional(5).is_some() {
        return Err(Code::MissingInput.error(format!("decay and beta do not fit {rule}")));
    }
    let elem = cx.ty(0)?.elem;
    let x = operands(cx)?;
    let [batch, steps, heads, depth] = four(cx.emit, x.key);
    let width = cx.emit.shape(x.value)[3];
    if steps > MAX_STEPS {
        return Err(Code::TooLarge.error(format!("a recurrence of {steps} steps")));
    }
    let scale = match cx.float("scale", 0.0)? {
        0.0 => 1.0 / (depth as f64).sqrt(),
        scale => f64::from(scale),
    };
    let shape = [batch, heads, depth, width];
    let mut state = match cx.optional(3) {
        Some(state) => cx.emit.cast(state, ElemType::F32)?,
        None => {
            let zero = cx.emit.constant(Tensor::splat(&[], Scalar::f32(0.0)));
            cx.emit.broadcast(zero, &Shape::new(&shape))?
        }
    };
    let mut results = Vec::new();
    for t in 0..steps {
        state = step(cx.emit, &x, t, state)?;
        let query = at(cx.emit, x.query, t)?;
        let group = cx.emit.ty(query).shape.numel() / (batch * heads * depth);
        let query = cx.emit.reshape(query, &[batch, heads, group, depth])?;
        let product = cx.emit.op(MatMul::plain(), &[query, state])?;
        let scaled = cx.emit.map(&[product], |b, p| {
            let scale = b.num(scale);
            b.mul(scale, p[0])
        })?;
        results.push(cx.emit.reshape(scaled, &[batch, 1, heads * group * width])?);
    }
    let y = cx.emit.concat(&results, 1)?;
    Ok(vec![cx.emit.cast(y, elem)?, cx.emit.cast(state, elem)?])
}

fn operands(cx: &mut ImportCx<'_>) -> Result<Operands, Diagnostic> {
    let query_heads = heads(cx, "q_num_heads")?;
    let key_heads = heads(cx, "kv_num_heads")?;
    if !query_heads.is_multiple_of(key_heads) {
        return Err(invalid("q_num_heads", "must be a multiple of kv_num_heads"));
    }
    let query = split(cx, 0, query_heads)?;
    let (key, value) = (split(cx, 1, key_heads)?, split(cx, 2, key_heads)?);
    let (k, v) = (cx.emit.shape(key), cx.emit.shape(value));
    if k[..3] != v[..3] || cx.emit.shape(query)[..2] != k[..2] || k[1] == 0 {
        return Err(Code::ShapeMismatch.error("queries, keys and values do not fit together"));
    }
    let decay = cx.optional(4).map(|_| split(cx, 4, key_heads)).transpose()?;
    let beta = match cx.optional(5) {
        Some(beta) => {
            let heads = cx.emit.shape(beta).last().copied().unwrap_or(1);
            Some(split(cx, 5, heads)?)
        }
        None => None,
    };
    Ok(Operands { query, key, value, decay, beta })
}

fn heads(cx: &mut ImportCx<'_>, name: &str) -> Result<usize, Diagnostic> {
    let heads = cx.int(name)?.and_then(|h| usize::try_from(h).ok()).filter(|&h| h > 0);
    heads.ok_or_else(|| invalid(name, "must be positive"))
}

/// Operand `n`, `[b, t, h·d]`, as `f32[b, t, h, d]`.
fn split(cx: &mut ImportCx<'_>, n: usize, heads: usize) -> Result<OpId, Diagnostic> {
    let x = cx.input(n)?;
    let x = cx.emit.cast(x, ElemType::F32)?;
    match cx.emit.shape(x)[..] {
        [b, t, width] if heads > 0 && width.is_multiple_of(heads) => {
            cx.emit.reshape(x, &[b, t, heads, width / heads])
        }
        _ => Err(Code::ShapeMismatch.error(format!("{} has no {heads} heads", cx.emit.ty(x)))),
    }
}

fn four(emit: &Emit, x: OpId) -> [usize; 4] {
    let shape = emit.shape(x);
    [shape[0], shape[1], shape[2], shape[3]]
}

/// `[b, h, d]` of step `t`.
fn at(emit: &mut Emit, x: OpId, t: usize) -> Result<OpId, Diagnostic> {
    let [b, _, h, d] = four(emit, x);
    let slice = emit.slice(x, 1, (t as i64, 1), 1)?;
    emit.reshape(slice, &[b, h, d])
}

/// `[b, h, d, 1]` of step `t`.
fn column(emit: &mut Emit, x: OpId, t: usize) -> Result<OpId, Diagnostic> {
    let [b, _, h, d] = four(emit, x);
    let slice = at(emit, x, t)?;
    emit.reshape(slice, &[b, h, d, 1])
}

/// `[b, h, 1, d]` of step `t`.
fn line(emit: &mut Emit, x: OpId, t: usize) -> Result<OpId, Diagnostic> {
    let [b, _, h, d] = four(emit, x);
    let slice = at(emit, x, t)?;
    emit.reshape(slice, &[b, h, 1, d])
}

/// The state after step `t`.
fn step(emit: &mut Emit, x: &Operands, t: usize, state: OpId) -> Result<OpId, Diagnostic> {
    let mut state = state;
    if let Some(decay) = x.decay {
        let decay = column(emit, decay, t)?;
        state = emit.map_broadcast(&[decay, state], |b, p| {
            let factor = b.f1(F::Exp, p[0]);
            b.mul(factor, p[1])
        })?;
    }
    let mut value = line(emit, x.value, t)?;
    if let Some(beta) = x.beta {
        let (key, beta) = (line(emit, x.key, t)?, line(emit, beta, t)?);
        let known = emit.op(MatMul::plain(), &[key, state])?;
        value = emit.map_broadcast(&[beta, value, known], |b, p| {
            let error = b.sub(p[1], p[2]);
            b.mul(p[0], error)
        })?;
    }
    let key = column(emit, x.key, t)?;
    emit.map_broadcast(&[state, key, value], |b, p| {
        let product = b.mul(p[1], p[2]);
        b.sum(p[0], product)
    })
}
