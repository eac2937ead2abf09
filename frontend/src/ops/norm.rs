//! Normalisation layers.

use super::Import::{Many, One};
use super::reduce::mean;
use super::{OnnxOp, row};
use crate::code::Code;
use crate::context::{ImportCx, invalid};
use crate::emit::Emit;
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::graph::OpId;
use edgecc_ir::scalar::func::ScalarFn as F;
use edgecc_ir::types::ElemType;

pub(super) const OPS: &[OnnxOp] = &[
    row("BatchNormalization", 7, 5..=5, Many(batch_norm)),
    row("GroupNormalization", 18, 3..=3, One(group_norm)),
    row("InstanceNormalization", 6, 3..=3, One(instance_norm)),
    row("LayerNormalization", 17, 2..=3, Many(layer_norm)),
    row("LpNormalization", 1, 1..=1, One(lp_norm)),
    row("MeanVarianceNormalization", 9, 1..=1, One(mean_variance)),
    row("RMSNormalization", 23, 2..=2, One(rms_norm)),
];

/// With stored statistics, or in training mode with those of the operand, which then also move
/// the stored ones.
fn batch_norm(cx: &mut ImportCx<'_>) -> Result<Vec<OpId>, Diagnostic> {
    let momentum = cx.float("momentum", 0.9)?;
    cx.require("spatial", 1)?;
    let stored = [cx.input(3)?, cx.input(4)?];
    if !cx.flag("training_mode", false)? {
        return Ok(vec![batch_norm_with(cx, stored)?]);
    }
    let found = channel_statistics(cx)?;
    let y = batch_norm_with(cx, found)?;
    let mut results = vec![y];
    for (old, new) in stored.into_iter().zip(found) {
        results.push(cx.emit.map(&[old, new], |b, p| {
            let momentum = f64::from(momentum);
            let (keep, take) = (b.num(momentum), b.num(1.0 - momentum));
            let (kept, taken) = (b.mul(keep, p[0]), b.mul(take, p[1]));
            b.sum(kept, taken)
        })?);
    }
    Ok(results)
}

/// Mean and variance of each channel.
fn channel_statistics(cx: &mut ImportCx<'_>) -> Result<[OpId; 2], Diagnostic> {
    let x = cx.input(0)?;
    let shape = cx.emit.shape(x);
    let dims: Vec<usize> = (0..shape.rank()).filter(|&d| d != 1).collect();
    let centre = mean(cx.emit, x, &dims)?;
    let square = cx.emit.map_broadcast(&[x, centre], |b, p| {
        let centred = b.sub(p[0], p[1]);
        b.mul(centred, centred)
    })?;
    let variance = mean(cx.emit, square, &dims)?;
    let channels = cx.emit.ty(centre).shape.numel();
    Ok([cx.emit.reshape(centre, &[channels])?, cx.emit.reshape(variance, &[channels])?])
}

/// `x · s + b` with `s = scale / √(var + ε)` and `b = bias − mean · s`, which fold.
fn batch_norm_with(cx: &mut ImportCx<'_>, [mean, var]: [OpId; 2]) -> Result<OpId, Diagnostic> {
    let epsilon = cx.float("epsilon", 1e-5)?;
    let (x, scale, bias) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let factor = cx.emit.map(&[scale, var], |b, p| {
        let epsilon = b.num(f64::from(epsilon));
        let sum = b.sum(p[1], epsilon);
        let deviation = b.f1(F::Sqrt, sum);
        b.div(p[0], deviation)
    })?;
    let offset = cx.emit.map(&[bias, mean, factor], |b, p| {
        let shift = b.mul(p[1], p[2]);
        b.sub(p[0], shift)
    })?;
    scale_channels(cx.emit, x, factor, offset)
}

/// `x · s[c] + b[c]` over the channels, dimension 1.
fn scale_channels(emit: &mut Emit, x: OpId, s: OpId, b: OpId) -> Result<OpId, Diagnostic> {
    let shape = emit.shape(x);
    if shape.rank() < 2 {
        return Err(Code::ShapeMismatch.error(format!("{} has no channels", emit.ty(x))));
    }
    let (s, b) = (emit.spread(s, 1, &shape)?, emit.spread(b, 1, &shape)?);
    emit.map(&[x, s, b], |body, p| {
        let scaled = body.mul(p[0], p[1]);
        body.sum(scaled, p[2])
    })
}

/// A value with mean 0 and variance 1 over some dimensions, and how it was made.
struct Standard {
    value: OpId,
    mean: OpId,
    inverse_deviation: OpId,
}

fn standardise(
    emit: &mut Emit,
    x: OpId,
    dims: &[usize],
    epsilon: f32,
) -> Result<Standard, Diagnostic> {
    let centre = mean(emit, x, dims)?;
    let centred = emit.map_broadcast(&[x, centre], |b, p| b.sub(p[0], p[1]))?;
    let inverse_deviation = inverse_root_mean_square(emit, centred, dims, epsilon)?;
    let value = emit.map_broadcast(&[centred, inverse_deviation], |b, p| b.mul(p[0], p[1]))?;
    Ok(Standard { value, mean: centre, inverse_deviation })
}

/// `1 / √(mean x² + ε)`.
fn inverse_root_mean_square(
    emit: &mut Emit,
    x: OpId,
    dims: &[usize],
    epsilon: f32,
) -> Result<OpId, Diagnostic> {
    let square = emit.map(&[x], |b, p| b.mul(p[0], p[0]))?;
    let variance = mean(emit, square, dims)?;
    emit.map(&[variance], |b, p| {
        let (epsilon, one) = (b.num(f64::from(epsilon)), b.num(1.0));
        let sum = b.sum(p[0], epsilon);
        let root = b.f1(F::Sqrt, sum);
        b.div(one, root)
    })
}

fn instance_norm(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let epsilon = cx.float("epsilon", 1e-5)?;
    let (x, scale, bias) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let dims: Vec<usize> = (2..cx.emit.rank(x)).collect();
    let standard = standardise(cx.emit, x, &dims, epsilon)?;
    scale_channels(cx.emit, standard.value, scale, bias)
}

/// Statistics over groups of channels; opset 18 has one scale per group, opset 21 per channel.
fn group_norm(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    cx.ignore(&["stash_type"]);
    let epsilon = cx.float("epsilon", 1e-5)?;
    let (x, scale, bias) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let shape = cx.emit.shape(x);
    let groups = cx.int("num_groups")?.and_then(|g| usize::try_from(g).ok()).unwrap_or(0);
    if shape.rank() < 2 || groups == 0 || !shape[1].is_multiple_of(groups) {
        return Err(invalid(
            "num_groups",
            format!("does not divide the channels of {}", cx.emit.ty(x)),
        ));
    }
    let rest = shape[1..].iter().product::<usize>() / groups;
    let grouped = cx.emit.reshape(x, &[shape[0], groups, rest])?;
    let standard = standardise(cx.emit, grouped, &[2], epsilon)?.value;
    if cx.opset < 21 {
        let y = scale_channels(cx.emit, standard, scale, bias)?;
        return cx.emit.reshape(y, &shape);
    }
    let image = cx.emit.reshape(standard, &shape)?;
    scale_channels(cx.emit, image, scale, bias)
}

/// Statistics over all dimensions from `axis` on, in `f32`.
fn layer_norm(cx: &mut ImportCx<'_>) -> Result<Vec<OpId>, Diagnostic> {
    cx.ignore(&["stash_type"]);
    let epsilon = cx.float("epsilon", 1e-5)?;
    let x = cx.input(0)?;
    let (elem, rank) = (cx.emit.elem(x), cx.emit.rank(x));
    let axis = cx.axis("axis", -1, rank)?;
    let dims: Vec<usize> = (axis..rank).collect();
    let wide = cx.emit.cast(x, widened(elem))?;
    let standard = standardise(cx.emit, wide, &dims, epsilon)?;
    let normal = cx.emit.cast(standard.value, elem)?;
    let y = affine(cx, normal, 1, 2)?;
    Ok(vec![y, standard.mean, standard.inverse_deviation])
}

/// The type in which statistics are computed.
fn widened(elem: ElemType) -> ElemType {
    if elem == ElemType::F16 { ElemType::F32 } else { elem }
}

/// `x · scale + bias` with operands that broadcast; the bias is optional.
fn affine(cx: &mut ImportCx<'_>, x: OpId, scale: usize, bias: usize) -> Result<OpId, Diagnostic> {
    let scale = cx.input(scale)?;
    match cx.optional(bias) {
        None => cx.emit.map_broadcast(&[x, scale], |b, p| b.mul(p[0], p[1])),
        Some(bias) => cx.emit.map_broadcast(&[x, scale, bias], |b, p| {
            let scaled = b.mul(p[0], p[1]);
            b.sum(scaled, p[2])
        }),
    }
}

fn rms_norm(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    cx.ignore(&["stash_type"]);
    let epsilon = cx.float("epsilon", 1e-5)?;
    let x = cx.input(0)?;
    let (elem, rank) = (cx.emit.elem(x), cx.emit.rank(x));
    let axis = cx.axis("axis", -1, rank)?;
    let dims: Vec<usize> = (axis..rank).collect();
    let wide = cx.emit.cast(x, widened(elem))?;
    let inverse = inverse_root_mean_square(cx.emit, wide, &dims, epsilon)?;
    let y = cx.emit.map_broadcast(&[wide, inverse], |b, p| b.mul(p[0], p[1]))?;
    let y = cx.emit.cast(y, elem)?;
    affine(cx, y, 1, 2)
}

/// `x / ‖x‖` along a dimension, with the 1- or 2-norm; 0 where the norm is 0.
fn lp_norm(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let x = cx.input(0)?;
    let axis = cx.axis("axis", -1, cx.emit.rank(x))?;
    let p = cx.int("p")?.unwrap_or(2);
    let powered = match p {
        1 => cx.emit.map(&[x], |b, v| b.f1(F::Abs, v[0]))?,
        2 => cx.emit.map(&[x], |b, v| b.mul(v[0], v[0]))?,
        _ => return Err(invalid("p", "must be 1 or 2")),
    };
    let sum = cx.emit.reduce(F::Add, powered, &[axis])?;
    cx.emit.map_broadcast(&[x, sum], |b, v| {
        let norm = if p == 1 { v[1] } else { b.f1(F::Sqrt, v[1]) };
        let zero = b.num(0.0);
        let (vanishes, quotient) = (b.f2(F::Eq, norm, zero), b.div(v[0], norm));
        b.select(vanishes, zero, quotient)
    })
}

/// `(x − mean) / (deviation + 1e-9)`.
fn mean_variance(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let x = cx.input(0)?;
    let axes = cx.ints("axes")?.unwrap_or_else(|| vec![0, 2, 3]);
    let dims = crate::context::normalise_axes(&axes, cx.emit.rank(x))?;
    let centre = mean(cx.emit, x, &dims)?;
    let centred = cx.emit.map_broadcast(&[x, centre], |b, p| b.sub(p[0], p[1]))?;
    let square = cx.emit.map(&[centred], |b, p| b.mul(p[0], p[0]))?;
    let variance = mean(cx.emit, square, &dims)?;
    cx.emit.map_broadcast(&[centred, variance], |b, p| {
        let (deviation, epsilon) = (b.f1(F::Sqrt, p[1]), b.num(1e-9));
        let divisor = b.sum(deviation, epsilon);
        b.div(p[0], divisor)
    })
}
