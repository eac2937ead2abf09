//! Searches whose results are sorted elements, positions or boxes.

use super::Import::{Many, One};
use super::{OnnxOp, row};
use crate::code::Code;
use crate::context::ImportCx;
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::graph::OpId;
use edgecc_ir::graph::ops::{NonMaxSuppression, NonZero, Op, TopK};
use edgecc_ir::tensor::{Scalar, Tensor};
use edgecc_ir::types::{ElemType, TensorType};

pub(super) const OPS: &[OnnxOp] = &[
    row("NonMaxSuppression", 10, 2..=5, One(non_max_suppression)).limits(COUNTED),
    row("NonZero", 9, 1..=1, One(non_zero)).limits(COUNTED),
    row("TopK", 1, 1..=1, Many(topk_attribute)),
    row("TopK", 10, 2..=2, Many(topk_operand)).limits("constant K"),
];

/// How results of data-dependent size are given.
const COUNTED: &str = "model outputs, padded with zeros beside `<name>.count`";

fn topk_attribute(cx: &mut ImportCx<'_>) -> Result<Vec<OpId>, Diagnostic> {
    let k = cx.int("k")?.ok_or_else(|| Code::BadAttribute.error("k is missing"))?;
    topk(cx, k)
}

fn topk_operand(cx: &mut ImportCx<'_>) -> Result<Vec<OpId>, Diagnostic> {
    let k = cx.const_scalar(1, "K")?.map_or(0, Scalar::as_i64);
    topk(cx, k)
}

/// Results that need not be sorted are, too.
fn topk(cx: &mut ImportCx<'_>, k: i64) -> Result<Vec<OpId>, Diagnostic> {
    cx.ignore(&["sorted"]);
    let x = cx.input(0)?;
    let axis = cx.axis("axis", -1, cx.emit.rank(x))? as u32;
    let largest = cx.flag("largest", true)?;
    let k = u32::try_from(k).map_err(|_| Code::ShapeMismatch.error(format!("K is {k}")))?;
    [0, 1].into_iter().map(|result| cx.emit.op(TopK { axis, k, largest, result }, &[x])).collect()
}

fn non_zero(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let x = cx.input(0)?;
    counted(cx, &[x], 1, |result| NonZero { result }.into())
}

fn non_max_suppression(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let centred = cx.flag("center_point_box", false)?;
    let (boxes, scores) = (cx.input(0)?, cx.input(1)?);
    let count = limit(cx, 2, Scalar::from_i64(ElemType::I64, 0))?;
    let overlap = limit(cx, 3, Scalar::f32(0.0))?;
    let score = limit(cx, 4, Scalar::f32(f32::NEG_INFINITY))?;
    let all = cx.emit.shape(boxes).get(1).copied().unwrap_or(0);
    let known = cx.emit.const_scalar(count).map(|c| c.as_i64().max(0) as usize);
    let per_class = known.map_or(all, |bound| bound.min(all)) as u32;
    let args = [boxes, scores, count, overlap, score];
    counted(cx, &args, 0, |result| NonMaxSuppression { centred, per_class, result }.into())
}

/// An operand of one element or its default.
fn limit(cx: &mut ImportCx<'_>, n: usize, default: Scalar) -> Result<OpId, Diagnostic> {
    match cx.optional(n) {
        Some(x) => cx.emit.reshape(x, &[1]),
        None => Ok(cx.emit.constant(Tensor::splat(&[1], default))),
    }
}

/// An op whose first result is used, along `dim`, as far as its second result says: of constants
/// the used part, otherwise a value that only the caller can use.
fn counted(
    cx: &mut ImportCx<'_>,
    args: &[OpId],
    dim: usize,
    op: impl Fn(u32) -> Op,
) -> Result<OpId, Diagnostic> {
    let types: Vec<&TensorType> = args.iter().map(|&a| cx.emit.ty(a)).collect();
    let ty = op(0).infer(&types).map_err(|why| Code::ShapeMismatch.error(why))?;
    if ty.shape.numel() == 0 {
        return Ok(cx.emit.constant(Tensor::zeros(ty)));
    }
    let values: Option<Vec<Tensor>> =
        args.iter().map(|&a| cx.emit.const_tensor(a).map(|t| t.into_owned())).collect();
    if let Some(values) = values {
        let values: Vec<&Tensor> = values.iter().collect();
        let [all, count] = [0, 1].map(|result| op(result).eval(&values));
        let all = cx.emit.constant(all);
        return cx.emit.slice(all, dim, (0, 1), count.get(0).as_i64() as usize);
    }
    let (all, count) = (cx.emit.op(op(0), args)?, cx.emit.op(op(1), args)?);
    cx.emit.state_count(all, count);
    Ok(all)
}
