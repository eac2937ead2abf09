//! Scaled dot product attention: two products of matrices around a masked softmax.

use super::Import::Many;
use super::{OnnxOp, row};
use crate::code::Code;
use crate::context::{ImportCx, invalid};
use crate::emit::Emit;
use crate::tensor::elem_type;
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::graph::OpId;
use edgecc_ir::graph::ops::MatMul;
use edgecc_ir::scalar::func::ScalarFn as F;
use edgecc_ir::tensor::{Scalar, Tensor};
use edgecc_ir::types::{ElemType, Shape, TensorType};

pub(super) const OPS: &[OnnxOp] = &[row("Attention", 23, 3..=7, Many(attention))];

/// Queries `[b, h, s, d]`, keys `[b, g, t, d]` and values `[b, g, t, e]`: `h / g` query heads share
/// the keys of a group.
struct Operands {
    query: OpId,
    key: OpId,
    value: OpId,
    /// Keys that come before the first query.
    offset: Offset,
}

/// How many keys come before the first query.
enum Offset {
    Constant(i64),
    /// `i32[b,1,1,1]`: the number of valid keys; the last of them belongs to the last query.
    FromLengths(OpId),
}

fn attention(cx: &mut ImportCx<'_>) -> Result<Vec<OpId>, Diagnostic> {
    let is_flat = cx.emit.rank(cx.input(0)?) == 3;
    let x = operands(cx)?;
    let elem = cx.emit.elem(x.query);
    let raw = scores(cx, &x)?;
    let capped = soft_cap(cx, raw)?;
    let (masked, has_mask) = mask(cx, capped, &x)?;
    let precision = match cx.int("softmax_precision")?.unwrap_or(0) {
        11 => ElemType::F64,
        0 | 1 | 10 | 16 if elem == ElemType::F64 => ElemType::F64,
        0 | 1 | 10 | 16 => ElemType::F32,
        code => elem_type(i32::try_from(code).unwrap_or(0))?,
    };
    let wide = cx.emit.cast(masked, precision)?;
    let weights = softmax(cx.emit, wide, has_mask)?;
    let weights = cx.emit.cast(weights, elem)?;
    let shown = match cx.int("qk_matmul_output_mode")?.unwrap_or(0) {
        0 => raw,
        1 => capped,
        2 => masked,
        3 => weights,
        _ => return Err(invalid("qk_matmul_output_mode", "must be in 0 to 3")),
    };
    let y = grouped_product(cx.emit, weights, x.value, MatMul::plain())?;
    let y = if is_flat { join_heads(cx.emit, y)? } else { y };
    Ok(vec![y, x.key, x.value, shown])
}

/// The operands with a dimension for heads, the cache in front.
fn operands(cx: &mut ImportCx<'_>) -> Result<Operands, Diagnostic> {
    let (q_heads, kv_heads) = (cx.int("q_num_heads")?, cx.int("kv_num_heads")?);
    let query = split_heads(cx, 0, q_heads)?;
    let key = with_past(cx, 1, 4, kv_heads)?;
    let value = with_past(cx, 2, 5, kv_heads)?;
    let (q, k, v) = (cx.emit.shape(query), cx.emit.shape(key), cx.emit.shape(value));
    let fits = q[0] == k[0] && k[..3] == v[..3] && q[3] == k[3] && k[1] > 0;
    if !fits || !q[1].is_multiple_of(k[1]) {
        return Err(Code::ShapeMismatch.error(format!(
            "queries {}, keys {} and values {} do not fit together",
            cx.emit.ty(query),
            cx.emit.ty(key),
            cx.emit.ty(value)
        )));
    }
    let offset = match (cx.optional(4), cx.optional(6)) {
        (None, Some(lengths)) => {
            let lengths = cx.emit.cast(lengths, ElemType::I32)?;
            Offset::FromLengths(cx.emit.reshape(lengths, &[q[0], 1, 1, 1])?)
        }
        (Some(past), _) => Offset::Constant(cx.emit.shape(past)[2] as i64),
        (None, None) => Offset::Constant(0),
    };
    Ok(Operands { query, key, value, offset })
}

/// `[b, s, h·d]` becomes `[b, h, s, d]`; four dimensions are so already.
fn split_heads(cx: &mut ImportCx<'_>, n: usize, heads: Option<i64>) -> Result<OpId, Diagnostic> {
    let x = cx.input(n)?;
    let shape = cx.emit.shape(x);
    let heads = heads.and_then(|h| usize::try_from(h).ok()).filter(|&h| h > 0);
    match (&shape[..], heads) {
        ([_, _, _, _], _) => Ok(x),
        (&[b, s, width], Some(heads)) if width.is_multiple_of(heads) => {
            let split = cx.emit.reshape(x, &[b, s, heads, width / heads])?;
            cx.emit.transpose(split, vec![0, 2, 1, 3])
        }
        _ => Err(Code::ShapeMismatch.error(format!("{} has no such heads", cx.emit.ty(x)))),
    }
}

fn join_heads(emit: &mut Emit, y: OpId) -> Result<OpId, Diagnostic> {
    let moved = emit.transpose(y, vec![0, 2, 1, 3])?;
    let shape = emit.shape(moved);
    emit.reshape(moved, &[shape[0], shape[1], shape[2] * shape[3]])
}

fn with_past(
    cx: &mut ImportCx<'_>,
    n: usize,
    past: usize,
    heads: Option<i64>,
) -> Result<OpId, Diagnostic> {
    let new = split_heads(cx, n, heads)?;
    match cx.optional(past) {
        None => Ok(new),
        Some(past) => cx.emit.concat(&[past, new], 2),
    }
}

/// `a · b` for each query head; heads that share a group are rows of one product.
fn grouped_product(emit: &mut Emit, a: OpId, b: OpId, op: MatMul) -> Result<OpId, Diagnostic> {
    let (left, right) = (emit.shape(a), emit.shape(b));
    let rows = left[1] / right[1] * left[2];
    let grouped = emit.reshape(a, &[left[0], right[1], rows, left[3]])?;
    let product = emit.op(op, &[grouped, b])?;
    let columns = emit.shape(product)[3];
    emit.reshape(product, &[left[0], left[1], left[2], columns])
}

/// `scale · Q · Kᵀ`.
fn scores(cx: &mut ImportCx<'_>, x: &Operands) -> Result<OpId, Diagnostic> {
    let depth = cx.emit.shape(x.query)[3] as f64;
    let scale = match cx.has_attr("scale") {
        true => f64::from(cx.float("scale", 1.0)?),
        false => 1.0 / depth.sqrt(),
    };
    let scaled = cx.emit.map(&[x.query], |b, p| {
        let scale = b.num(scale);
        b.mul(p[0], scale)
    })?;
    grouped_product(cx.emit, scaled, x.key, MatMul { transpose_b: true, ..MatMul::plain() })
}

/// `c · tanh(x / c)`.
fn soft_cap(cx: &mut ImportCx<'_>, x: OpId) -> Result<OpId, Diagnostic> {
    let cap = cx.float("softcap", 0.0)?;
    if cap <= 0.0 {
        return Ok(x);
    }
    cx.emit.map(&[x], |b, p| {
        let cap = b.num(f64::from(cap));
        let ratio = b.div(p[0], cap);
        let bent = b.f1(F::Tanh, ratio);
        b.mul(cap, bent)
    })
}

/// The scores plus the mask, −∞ where a query does not see a key; and whether there is a mask.
fn mask(cx: &mut ImportCx<'_>, scores: OpId, x: &Operands) -> Result<(OpId, bool), Diagnostic> {
    let keys = cx.emit.shape(x.key)[2];
    let mut y = scores;
    let mut conditions = Vec::new();
    if let Some(given) = cx.optional(3) {
        let given = pad_mask(cx.emit, given, keys)?;
        if cx.emit.elem(given) == ElemType::Bool {
            conditions.push(given);
        } else {
            let given = cx.emit.cast(given, cx.emit.elem(y))?;
            y = cx.emit.map_broadcast(&[y, given], |b, p| b.sum(p[0], p[1]))?;
        }
    }
    conditions.extend(visible(cx, x)?);
    if let Some(lengths) = cx.optional(6) {
        let lengths = cx.emit.cast(lengths, ElemType::I32)?;
        let lengths = cx.emit.reshape(lengths, &[cx.emit.shape(x.key)[0], 1, 1, 1])?;
        let positions = iota(cx.emit, &[keys]);
        conditions
            .push(cx.emit.map_broadcast(&[positions, lengths], |b, p| b.f2(F::Lt, p[0], p[1]))?);
    }
    for &condition in &conditions {
        y = cx.emit.map_broadcast(&[y, condition], |b, p| {
            let hidden = b.num(f64::NEG_INFINITY);
            b.select(p[1], p[0], hidden)
        })?;
    }
    let has_mask = cx.optional(3).is_some() || !conditions.is_empty();
    Ok((y, has_mask))
}

/// Keys beyond a short mask are hidden.
fn pad_mask(emit: &mut Emit, mask: OpId, keys: usize) -> Result<OpId, Diagnostic> {
    let rank = emit.rank(mask);
    if rank == 0 {
        return Ok(mask);
    }
    let there = emit.shape(mask)[rank - 1];
    let mut high = vec![0; rank];
    high[rank - 1] = keys.saturating_sub(there) as u32;
    let hidden = match emit.elem(mask) {
        ElemType::Bool => Scalar::bool(false),
        elem => Scalar::from_f64(elem, f64::NEG_INFINITY),
    };
    emit.pad(mask, vec![0; rank], high, hidden)
}

/// The key positions that each query may see: those up to its own when causal, and those within
/// the window sizes around it.
fn visible(cx: &mut ImportCx<'_>, x: &Operands) -> Result<Option<OpId>, Diagnostic> {
    let left = cx.int("left_window_size")?.filter(|&n| n >= 0);
    let right = cx.int("right_window_size")?.filter(|&n| n >= 0);
    let right = if cx.flag("is_causal", false)? { Some(0) } else { right };
    if left.is_none() && right.is_none() {
        return Ok(None);
    }
    let (queries, keys) = (cx.emit.shape(x.query)[2], cx.emit.shape(x.key)[2]);
    let (rows, columns) = (iota(cx.emit, &[queries, 1]), iota(cx.emit, &[keys]));
    let offset = match x.offset {
        Offset::Constant(offset) => {
            cx.emit.constant(Tensor::splat(&[], Scalar::from_i64(ElemType::I32, offset)))
        }
        Offset::FromLengths(lengths) => cx.emit.map(&[lengths], |b, p| {
            let queries = b.num(queries as f64);
            b.sub(p[0], queries)
        })?,
    };
    let condition = cx.emit.map_broadcast(&[rows, columns, offset], |b, p| {
        let own = b.sum(p[0], p[2]);
        let distance = b.sub(p[1], own);
        let mut seen = b.literal(Scalar::bool(true));
        if let Some(left) = left {
            let least = b.num(-(left as f64));
            let near = b.f2(F::Le, least, distance);
            seen = b.f2(F::And, seen, near);
        }
        if let Some(right) = right {
            let most = b.num(right as f64);
            let near = b.f2(F::Le, distance, most);
            seen = b.f2(F::And, seen, near);
        }
        seen
    })?;
    Ok(Some(condition))
}

/// `0, 1, …` as `i32`.
fn iota(emit: &mut Emit, dims: &[usize]) -> OpId {
    let ty = TensorType { elem: ElemType::I32, shape: Shape::new(dims) };
    emit.constant(Tensor::from_fn(ty, |i| Scalar::from_i64(ElemType::I32, i as i64)))
}

/// Softmax over the last dimension; a row that is −∞ everywhere becomes 0 where masks can make one.
fn softmax(emit: &mut Emit, x: OpId, has_mask: bool) -> Result<OpId, Diagnostic> {
    let last = [emit.rank(x) - 1];
    if !has_mask {
        return super::softmax::softmax(emit, x, &last);
    }
    let top = emit.reduce(F::Max, x, &last)?;
    let power = emit.map_broadcast(&[x, top], |b, p| {
        let (none, zero) = (b.num(f64::NEG_INFINITY), b.num(0.0));
        let is_hidden = b.f2(F::Eq, p[1], none);
        let top = b.select(is_hidden, zero, p[1]);
        let shifted = b.sub(p[0], top);
        b.f1(F::Exp, shifted)
    })?;
    let total = emit.reduce(F::Add, power, &last)?;
    emit.map_broadcast(&[power, total], |b, p| {
        let (zero, one) = (b.num(0.0), b.num(1.0));
        let is_hidden = b.f2(F::Eq, p[1], zero);
        let total = b.select(is_hidden, one, p[1]);
        b.div(p[0], total)
    })
}
