//! Classification losses.

use super::Import::{Many, One};
use super::softmax::log_softmax;
use super::{OnnxOp, row};
use crate::code::Code;
use crate::context::{ImportCx, invalid};
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::graph::OpId;
use edgecc_ir::scalar::func::ScalarFn as F;
use edgecc_ir::tensor::{Scalar, Tensor};
use edgecc_ir::types::{ElemType, TensorType};

pub(super) const OPS: &[OnnxOp] = &[
    row("NegativeLogLikelihoodLoss", 12, 2..=3, One(negative_log_likelihood)),
    row("SoftmaxCrossEntropyLoss", 12, 2..=3, Many(softmax_cross_entropy)),
];

fn negative_log_likelihood(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let x = cx.input(0)?;
    loss(cx, x)
}

/// The loss of the logarithm of softmax over the classes, and that logarithm.
fn softmax_cross_entropy(cx: &mut ImportCx<'_>) -> Result<Vec<OpId>, Diagnostic> {
    let x = cx.input(0)?;
    let log = log_softmax(cx.emit, x, &[1])?;
    Ok(vec![loss(cx, log)?, log])
}

/// `−Σ_c w[c] · x[n,c,…]` over the one class `c` that the target names; nothing for targets to
/// ignore. The mean divides by the sum of the weights.
fn loss(cx: &mut ImportCx<'_>, x: OpId) -> Result<OpId, Diagnostic> {
    let reduction = cx.string("reduction", "mean")?;
    let weight = class_weights(cx, x)?;
    let picked = cx.emit.map_broadcast(&[x, weight], |b, p| {
        let (zero, product) = (b.num(0.0), b.mul(p[0], p[1]));
        let negated = b.f1(F::Neg, product);
        let counts = b.f2(F::Eq, p[1], zero);
        b.select(counts, zero, negated)
    })?;
    let all: Vec<usize> = (0..cx.emit.rank(x)).collect();
    match reduction.as_str() {
        "none" => {
            let sums = cx.emit.reduce(F::Add, picked, &[1])?;
            let shape = cx.emit.ty(cx.input(1)?).shape.clone();
            cx.emit.reshape(sums, &shape)
        }
        "sum" => {
            let sum = cx.emit.reduce(F::Add, picked, &all)?;
            cx.emit.reshape(sum, &[])
        }
        "mean" => {
            let sum = cx.emit.reduce(F::Add, picked, &all)?;
            let total = cx.emit.reduce(F::Add, weight, &all)?;
            let mean = cx.emit.map(&[sum, total], |b, p| b.div(p[0], p[1]))?;
            cx.emit.reshape(mean, &[])
        }
        _ => Err(invalid("reduction", "must be none, sum or mean")),
    }
}

/// With the shape of `x`: the weight of the class that the target names, 0 for all other classes.
fn class_weights(cx: &mut ImportCx<'_>, x: OpId) -> Result<OpId, Diagnostic> {
    let shape = cx.emit.shape(x);
    let target = cx.input(1)?;
    let extents = cx.emit.shape(target);
    if shape.rank() < 2 || extents.rank() + 1 != shape.rank() || extents[..1] != shape[..1] {
        return Err(Code::ShapeMismatch.error(format!(
            "targets {} do not fit the scores {}",
            cx.emit.ty(target),
            cx.emit.ty(x)
        )));
    }
    let elem = cx.emit.elem(x);
    let ignored = cx.int("ignore_index")?;
    let target = cx.emit.cast(target, ElemType::I64)?;
    let others = (0..shape.rank() as u32).filter(|&d| d != 1).collect();
    let target = cx.emit.broadcast_at(target, others, &shape)?;
    let classes = Tensor::from_fn(TensorType::new(ElemType::I64, &[shape[1]]), |c| {
        Scalar::from_i64(ElemType::I64, c as i64)
    });
    let classes = cx.emit.constant(classes);
    let classes = cx.emit.spread(classes, 1, &shape)?;
    let weight = match cx.optional(2) {
        Some(weight) => weight,
        None => cx.emit.constant(Tensor::splat(&[], Scalar::from_i64(elem, 1))),
    };
    let weight = cx.emit.spread(weight, 1, &shape)?;
    cx.emit.map(&[target, classes, weight], |b, p| {
        let mut named = b.f2(F::Eq, p[0], p[1]);
        if let Some(ignored) = ignored {
            let ignored = b.literal(Scalar::from_i64(ElemType::I64, ignored));
            let is_ignored = b.f2(F::Eq, p[0], ignored);
            let is_valid = b.f1(F::Not, is_ignored);
            named = b.f2(F::And, named, is_valid);
        }
        let zero = b.literal(Scalar::from_i64(elem, 0));
        b.select(named, p[2], zero)
    })
}
