//! Updates of parts of a tensor.

use super::Import::One;
use super::elementwise::extremum;
use super::gather::positions;
use super::{OnnxOp, row};
use crate::code::Code;
use crate::context::{ImportCx, unsupported};
use crate::emit::Body;
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::graph::OpId;
use edgecc_ir::graph::ops::{Pick, Scatter};
use edgecc_ir::scalar::ScalarExpr;
use edgecc_ir::scalar::func::ScalarFn as F;
use edgecc_ir::tensor::Tensor;
use edgecc_ir::types::ElemType;

pub(super) const OPS: &[OnnxOp] = &[
    row("Scatter", 9, 3..=3, One(scatter_elements)),
    row("ScatterElements", 11, 3..=3, One(scatter_elements)),
    row("ScatterND", 11, 3..=3, One(scatter_nd)),
    row("TensorScatter", 24, 2..=3, One(tensor_scatter)),
];

/// `(old, update) -> new` of the attribute `reduction`.
fn combine(cx: &mut ImportCx<'_>, elem: ElemType) -> Result<ScalarExpr, Diagnostic> {
    let reduction = cx.string("reduction", "none")?;
    let func = match reduction.as_str() {
        "none" => return Ok(Scatter::replacing(Vec::new()).combine),
        "add" => F::Add,
        "mul" => F::Mul,
        "max" => F::Max,
        "min" => F::Min,
        other => return Err(unsupported("reduction", other)),
    };
    Ok(Body::expr(&[elem; 2], |b, p| match func {
        F::Max | F::Min => extremum(b, func, p[0], p[1]),
        _ => b.f2(func, p[0], p[1]),
    }))
}

/// One index per update, along one dimension.
fn scatter_elements(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let (data, indices, updates) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let shape = cx.emit.shape(data);
    let axis = cx.axis("axis", 0, shape.rank())?;
    let combine = combine(cx, cx.emit.elem(data))?;
    let all: Vec<u32> = (0..shape.rank() as u32).collect();
    let pick = |&d: &u32| if d as usize == axis { Pick::Index(all.clone()) } else { Pick::Dim(d) };
    let picks = all.iter().map(pick).collect();
    let indices = positions(cx.emit, indices, shape[axis])?;
    cx.emit.op(Scatter { picks, combine }, &[data, updates, indices])
}

/// One vector of indices per slice of the data.
fn scatter_nd(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let (data, indices, updates) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let (shape, index_shape) = (cx.emit.shape(data), cx.emit.shape(indices));
    let combine = combine(cx, cx.emit.elem(data))?;
    let Some((&depth, outer)) =
        index_shape.split_last().filter(|(depth, _)| (1..=shape.rank()).contains(*depth))
    else {
        return Err(Code::ShapeMismatch.error("the indices do not fit the data"));
    };
    let mut args = vec![data, updates];
    for at in 0..depth {
        let column = cx.emit.slice(indices, outer.len(), (at as i64, 1), 1)?;
        let column = cx.emit.reshape(column, outer)?;
        args.push(positions(cx.emit, column, shape[at])?);
    }
    let pick = |d: usize| match d < depth {
        true => Pick::Index((0..outer.len() as u32).collect()),
        false => Pick::Dim((outer.len() + d - depth) as u32),
    };
    let picks = (0..shape.rank()).map(pick).collect();
    cx.emit.op(Scatter { picks, combine }, &args)
}

/// Consecutive positions of a cache, from a position per sample on.
fn tensor_scatter(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let (cache, updates) = (cx.input(0)?, cx.input(1)?);
    let (shape, rank) = (cx.emit.shape(cache), cx.emit.rank(cache));
    let axis = cx.axis("axis", -2, rank)?;
    let mode = cx.string("mode", "linear")?;
    if cx.emit.rank(updates) != rank || axis == 0 {
        return Err(Code::ShapeMismatch.error("the update does not fit the cache"));
    }
    let (samples, steps) = (shape[0], cx.emit.shape(updates)[axis]);
    let first = match cx.optional(2) {
        Some(first) => cx.emit.reshape(first, &[samples, 1])?,
        None => cx.emit.constant(Tensor::from_i64s(&[samples, 1], &vec![0; samples])),
    };
    let counted: Vec<i64> = (0..steps as i64).collect();
    let counted = cx.emit.constant(Tensor::from_i64s(&[1, steps], &counted));
    let place = cx.emit.map_broadcast(&[first, counted], |b, p| {
        let (place, room) = (b.sum(p[0], p[1]), b.num(shape[axis] as f64));
        match mode.as_str() {
            "circular" => {
                let rounds = b.div(place, room);
                let passed = b.mul(rounds, room);
                b.sub(place, passed)
            }
            _ => place,
        }
    })?;
    let pick = |d: usize| match d == axis {
        true => Pick::Index(vec![0, axis as u32]),
        false => Pick::Dim(d as u32),
    };
    cx.emit.op(Scatter::replacing((0..rank).map(pick).collect()), &[cache, updates, place])
}
