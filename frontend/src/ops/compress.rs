//! Selections whose size depends on values that are known at compile time.

use super::Import::{Many, One};
use super::gather::along;
use super::{OnnxOp, row};
use crate::code::Code;
use crate::context::ImportCx;
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::graph::OpId;
use edgecc_ir::tensor::{Scalar, Tensor};
use edgecc_ir::types::ElemType;
use std::cmp::Ordering;

pub(super) const OPS: &[OnnxOp] = &[
    row("Compress", 9, 2..=2, One(compress)).limits("constant condition"),
    row("Unique", 11, 1..=1, Many(unique)).limits("constant operand"),
];

/// The slices, or without an axis the elements, where the condition holds.
fn compress(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let mut x = cx.input(0)?;
    let condition = cx.const_i64s(1, "condition")?.unwrap_or_default();
    let axis = if cx.has_attr("axis") {
        cx.axis("axis", 0, cx.emit.rank(x))?
    } else {
        let numel = cx.emit.shape(x).numel();
        x = cx.emit.reshape(x, &[numel])?;
        0
    };
    let holds = condition.iter().enumerate().filter(|(_, v)| **v != 0);
    let kept: Vec<i64> = holds.map(|(i, _)| i as i64).collect();
    let extent = cx.emit.shape(x)[axis] as i64;
    if kept.last().is_some_and(|&last| last >= extent) {
        return Err(Code::ShapeMismatch.error("the condition is longer than the dimension"));
    }
    let kept = cx.emit.constant(Tensor::from_i64s(&[kept.len()], &kept));
    along(cx.emit, x, axis, kept)
}

/// The distinct slices, or without an axis elements, where they first occur, which one each slice
/// is, and how often each occurs.
fn unique(cx: &mut ImportCx<'_>) -> Result<Vec<OpId>, Diagnostic> {
    let mut x = cx.input(0)?;
    let sorted = cx.flag("sorted", true)?;
    let axis = if cx.has_attr("axis") {
        cx.axis("axis", 0, cx.emit.rank(x))?
    } else {
        let numel = cx.emit.shape(x).numel();
        x = cx.emit.reshape(x, &[numel])?;
        0
    };
    let data = cx.emit.const_tensor(x).map(|t| t.into_owned()).ok_or_else(|| {
        Code::NonConstantOperand.error("operand 0 (X) is not known at compile time")
    })?;
    let slices = slices(&data, axis);
    let mut order: Vec<usize> = (0..slices.len()).collect();
    order.sort_by(|&a, &b| compare(&slices[a], &slices[b]));
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for at in order {
        match groups.last_mut() {
            Some(group) if slices[group[0]] == slices[at] => group.push(at),
            _ => groups.push(vec![at]),
        }
    }
    if !sorted {
        groups.sort_by_key(|group| group[0]);
    }
    let ints = |values: Vec<usize>| {
        let values: Vec<i64> = values.into_iter().map(|v| v as i64).collect();
        Tensor::from_i64s(&[values.len()], &values)
    };
    let group_of = |at| groups.iter().position(|g| g.contains(&at)).unwrap_or(0);
    let inverse = ints((0..slices.len()).map(group_of).collect());
    let counts = ints(groups.iter().map(Vec::len).collect());
    let first = ints(groups.iter().map(|g| g[0]).collect());
    let [first, inverse, counts] = [first, inverse, counts].map(|t| cx.emit.constant(t));
    Ok(vec![along(cx.emit, x, axis, first)?, first, inverse, counts])
}

/// The elements of each slice along a dimension.
fn slices(x: &Tensor, axis: usize) -> Vec<Vec<Scalar>> {
    let (shape, inner) = (&x.ty.shape, x.ty.shape[axis + 1..].iter().product::<usize>());
    let mut slices = vec![Vec::new(); shape[axis]];
    for (i, value) in x.iter().enumerate() {
        slices[i / inner % shape[axis]].push(value);
    }
    slices
}

/// Lexicographic order of values.
fn compare(a: &[Scalar], b: &[Scalar]) -> Ordering {
    let element = |(x, y): (&Scalar, &Scalar)| match x.elem() {
        e if e.is_float() => x.as_f64().total_cmp(&y.as_f64()),
        ElemType::U64 => x.bits().cmp(&y.bits()),
        _ => x.as_i64().cmp(&y.as_i64()),
    };
    a.iter().zip(b).map(element).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
}
