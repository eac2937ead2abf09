//! Element-wise operators with attributes or with operands that act like attributes.

use super::Import::One;
use super::{ANY, OnnxOp, elementwise, row};
use crate::code::Code;
use crate::context::{ImportCx, invalid};
use crate::emit::Body;
use crate::format::{Conversion, Direction};
use crate::tensor::{DataType, data_type};
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::graph::OpId;
use edgecc_ir::scalar::NodeId;
use edgecc_ir::scalar::func::ScalarFn as F;
use edgecc_ir::tensor::Scalar;
use edgecc_ir::types::ElemType;

pub(super) const OPS: &[OnnxOp] = &[
    row("BitShift", 11, 2..=2, One(bit_shift)),
    row("Cast", 6, 1..=1, One(cast))
        .limits("no strings; floats saturate when cast to integers")
        .keeps_count(),
    row("CastLike", 15, 2..=2, One(cast_like)).limits("as Cast"),
    row("Celu", 12, 1..=1, One(celu)),
    row("Clip", 6, 1..=1, One(clip_attributes)),
    row("Clip", 11, 1..=3, One(clip)),
    row("Elu", 6, 1..=1, One(elu)),
    row("Gelu", 20, 1..=1, One(gelu)),
    row("HardSigmoid", 6, 1..=1, One(hard_sigmoid)),
    row("IsInf", 10, 1..=1, One(is_inf)),
    row("Mean", 6, 1..=ANY, One(mean)),
    row("LeakyRelu", 6, 1..=1, One(leaky_relu)),
    row("Mod", 10, 2..=2, One(modulo)),
    row("PRelu", 7, 2..=2, One(prelu)),
    row("Pow", 7, 2..=2, One(pow)),
    row("Selu", 6, 1..=1, One(selu)),
    row("Shrink", 9, 1..=1, One(shrink)),
    row("Swish", 24, 1..=1, One(swish)),
    row("ThresholdedRelu", 10, 1..=1, One(thresholded_relu)),
    row("Where", 9, 3..=3, One(select)),
];

fn mean(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let inputs = cx.inputs()?;
    cx.emit.map_broadcast(&inputs, |b, p| {
        let total = p[1..].iter().fold(p[0], |sum, &x| b.sum(sum, x));
        let factor = b.num(1.0 / p.len() as f64);
        b.mul(total, factor)
    })
}

fn bit_shift(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let func = match cx.string("direction", "")?.as_str() {
        "LEFT" => F::Shl,
        "RIGHT" => F::Shr,
        _ => return Err(invalid("direction", "must be LEFT or RIGHT")),
    };
    let inputs = cx.inputs()?;
    let width = 8 * cx.emit.elem(inputs[0]).bytes() as u32;
    cx.emit.map_broadcast(&inputs, |b, p| shift(b, func, width, p))
}

/// A shift by the width or more, or by a negative amount, shifts everything out.
fn shift(b: &mut Body<'_>, func: F, width: u32, p: &[NodeId]) -> NodeId {
    let (zero, most) = (b.num(0.0), b.num(f64::from(width - 1)));
    let (below, above) = (b.f2(F::Lt, p[1], zero), b.f2(F::Lt, most, p[1]));
    let outside = b.f2(F::Or, below, above);
    let shifted = b.f2(func, p[0], p[1]);
    let sign = if b.elem.is_signed_int() { b.f2(F::Shr, p[0], most) } else { zero };
    let rest = if func == F::Shr { sign } else { zero };
    b.select(outside, rest, shifted)
}

fn cast(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let to = cx.int("to")?.ok_or_else(|| invalid("to", "is missing"))?;
    let to = data_type(i32::try_from(to).unwrap_or(0))?;
    convert(cx, to)
}

fn cast_like(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let to = cx.data_type(1)?;
    convert(cx, to)
}

fn convert(cx: &mut ImportCx<'_>, to: DataType) -> Result<OpId, Diagnostic> {
    let direction = match cx.string("round_mode", "up")?.as_str() {
        "up" => Direction::Up,
        "down" => Direction::Down,
        "nearest" => Direction::Nearest,
        _ => return Err(invalid("round_mode", "must be up, down or nearest")),
    };
    let how = Conversion { saturate: cx.flag("saturate", true)?, direction };
    let x = cx.input(0)?;
    cx.state_format(to.format);
    match to.format {
        None => cx.emit.cast(x, to.elem),
        Some(_) if cx.data_type(0)? == to => Ok(x),
        Some(format) => format.convert(cx.emit, x, how),
    }
}

/// Opset 6: the bounds are attributes.
fn clip_attributes(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let (lo, hi) = (cx.float("min", f32::MIN)?, cx.float("max", f32::MAX)?);
    let x = cx.input(0)?;
    cx.emit.map(&[x], |b, p| {
        let (lo, hi) = (b.num(f64::from(lo)), b.num(f64::from(hi)));
        b.clamp(p[0], lo, hi)
    })
}

/// Opset 11: the bounds are optional scalar operands.
fn clip(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let mut y = cx.input(0)?;
    for (n, func) in [(1, F::Max), (2, F::Min)] {
        let Some(bound) = cx.optional(n) else { continue };
        y = match cx.emit.const_scalar(bound) {
            Some(value) if value.elem() == cx.emit.elem(y) => cx.emit.map(&[y], |b, p| {
                let bound = b.literal(value);
                b.f2(func, bound, p[0])
            })?,
            Some(_) | None => cx.emit.map_broadcast(&[y, bound], |b, p| b.f2(func, p[1], p[0]))?,
        };
    }
    Ok(y)
}

/// `if x < 0 then negative(x) else x`; NaN stays NaN.
fn below_zero(
    cx: &mut ImportCx<'_>,
    negative: impl FnOnce(&mut Body<'_>, NodeId) -> NodeId,
) -> Result<OpId, Diagnostic> {
    let x = cx.input(0)?;
    cx.emit.map(&[x], |b, p| {
        let zero = b.num(0.0);
        let below = b.f2(F::Lt, p[0], zero);
        let other = negative(b, p[0]);
        b.select(below, other, p[0])
    })
}

/// `scale · (exp(x / divisor) − 1)`.
fn exp_minus_one(b: &mut Body<'_>, x: NodeId, scale: f32, divisor: f32) -> NodeId {
    let divisor = b.num(f64::from(divisor));
    let x = b.div(x, divisor);
    let (power, one, scale) = (b.f1(F::Exp, x), b.num(1.0), b.num(f64::from(scale)));
    let shifted = b.sub(power, one);
    b.mul(scale, shifted)
}

fn elu(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let alpha = cx.float("alpha", 1.0)?;
    below_zero(cx, |b, x| {
        let (power, one, alpha) = (b.f1(F::Exp, x), b.num(1.0), b.num(f64::from(alpha)));
        let shifted = b.sub(power, one);
        b.mul(alpha, shifted)
    })
}

fn celu(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let alpha = cx.float("alpha", 1.0)?;
    below_zero(cx, |b, x| exp_minus_one(b, x, alpha, alpha))
}

/// Defaults are the constants of the ONNX specification (Klambauer et al. 2017).
fn selu(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let alpha = cx.float("alpha", 1.673_263_2)?;
    let gamma = cx.float("gamma", 1.050_701)?;
    let y = below_zero(cx, |b, x| exp_minus_one(b, x, alpha, 1.0))?;
    cx.emit.map(&[y], |b, p| {
        let gamma = b.num(f64::from(gamma));
        b.mul(gamma, p[0])
    })
}

fn leaky_relu(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let alpha = cx.float("alpha", 0.01)?;
    below_zero(cx, |b, x| {
        let alpha = b.num(f64::from(alpha));
        b.mul(alpha, x)
    })
}

/// The slope broadcasts to the operand, not the other way round.
fn prelu(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let x = cx.input(0)?;
    let slope = cx.input(1)?;
    let slope = cx.emit.broadcast(slope, &cx.emit.shape(x))?;
    cx.emit.map(&[x, slope], |b, p| {
        let zero = b.num(0.0);
        let below = b.f2(F::Lt, p[0], zero);
        let scaled = b.mul(p[1], p[0]);
        b.select(below, scaled, p[0])
    })
}

/// `x/2 · (1 + erf(x/√2))`, or with tanh (Hendrycks and Gimpel 2016).
fn gelu(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let approximate = cx.string("approximate", "none")?;
    let gate: fn(&mut Body<'_>, NodeId) -> NodeId = match approximate.as_str() {
        "none" => gelu_erf,
        "tanh" => gelu_tanh,
        _ => return Err(invalid("approximate", "must be none or tanh")),
    };
    let x = cx.input(0)?;
    cx.emit.map(&[x], |b, p| {
        let gate = gate(b, p[0]);
        let (one, half) = (b.num(1.0), b.num(0.5));
        let (sum, halved) = (b.sum(one, gate), b.mul(half, p[0]));
        b.mul(halved, sum)
    })
}

fn gelu_erf(b: &mut Body<'_>, x: NodeId) -> NodeId {
    let root = b.num(std::f64::consts::FRAC_1_SQRT_2);
    let scaled = b.mul(x, root);
    b.f1(F::Erf, scaled)
}

/// `tanh(√(2/π) · (x + 0.044715·x³))`.
fn gelu_tanh(b: &mut Body<'_>, x: NodeId) -> NodeId {
    let root = b.num((2.0 / std::f64::consts::PI).sqrt());
    let (square, cubic) = (b.mul(x, x), b.num(0.044_715));
    let cube = b.mul(square, x);
    let bend = b.mul(cubic, cube);
    let sum = b.sum(x, bend);
    let scaled = b.mul(root, sum);
    b.f1(F::Tanh, scaled)
}

fn hard_sigmoid(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let (alpha, beta) = (cx.float("alpha", 0.2)?, cx.float("beta", 0.5)?);
    let x = cx.input(0)?;
    cx.emit.map(&[x], |b, p| elementwise::hard_sigmoid(b, p[0], alpha, beta))
}

/// `x · sigmoid(α·x)`.
fn swish(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let alpha = cx.float("alpha", 1.0)?;
    let x = cx.input(0)?;
    cx.emit.map(&[x], |b, p| {
        let alpha = b.num(f64::from(alpha));
        let scaled = b.mul(alpha, p[0]);
        let gate = elementwise::sigmoid(b, scaled);
        b.mul(p[0], gate)
    })
}

fn is_inf(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let (negative, positive) =
        (cx.flag("detect_negative", true)?, cx.flag("detect_positive", true)?);
    let x = cx.input(0)?;
    cx.emit.map(&[x], |b, p| {
        let (low, high) = (b.num(f64::NEG_INFINITY), b.num(f64::INFINITY));
        let (below, above) = (b.f2(F::Eq, p[0], low), b.f2(F::Eq, p[0], high));
        let never = b.literal(Scalar::bool(false));
        let below = if negative { below } else { never };
        let above = if positive { above } else { never };
        b.f2(F::Or, below, above)
    })
}

/// `fmod = 1`: the sign of the dividend (C); otherwise the sign of the divisor (Python).
fn modulo(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let c_like = cx.flag("fmod", false)?;
    let inputs = cx.inputs()?;
    cx.emit.map_broadcast(&inputs, |b, p| {
        let rest = remainder(b, p[0], p[1]);
        if c_like {
            return rest;
        }
        let zero = b.num(0.0);
        let (rest_below, divisor_below) = (b.f2(F::Lt, rest, zero), b.f2(F::Lt, p[1], zero));
        let differ = b.f2(F::Xor, rest_below, divisor_below);
        let is_zero = b.f2(F::Eq, rest, zero);
        let moved = b.sum(rest, p[1]);
        let signed = b.select(differ, moved, rest);
        b.select(is_zero, rest, signed)
    })
}

/// `x − y · trunc(x / y)`, which is `x` itself where the quotient vanishes, also for infinite `y`.
fn remainder(b: &mut Body<'_>, x: NodeId, y: NodeId) -> NodeId {
    let quotient = b.div(x, y);
    let whole = if b.elem.is_float() { b.f1(F::Trunc, quotient) } else { quotient };
    let product = b.mul(y, whole);
    let rest = b.sub(x, product);
    if !b.elem.is_float() {
        return rest;
    }
    let zero = b.num(0.0);
    let vanishes = b.f2(F::Eq, whole, zero);
    b.select(vanishes, x, rest)
}

/// Squares and cubes are products, as in ONNX Runtime; integer bases go through `f64`.
fn pow(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let (x, mut exponent) = (cx.input(0)?, cx.input(1)?);
    let elem = cx.emit.elem(x);
    let constant = cx.emit.const_scalar(exponent).map(Scalar::as_f64);
    if let (Some(n @ (1.0 | 2.0 | 3.0)), true) =
        (constant, cx.emit.rank(exponent) <= cx.emit.rank(x))
    {
        return cx.emit.map(&[x], |b, p| (1..n as u32).fold(p[0], |power, _| b.mul(power, p[0])));
    }
    let real = if elem.is_float() { elem } else { ElemType::F64 };
    let base = cx.emit.cast(x, real)?;
    exponent = cx.emit.cast(exponent, real)?;
    let y = cx.emit.map_broadcast(&[base, exponent], |b, p| b.f2(F::Pow, p[0], p[1]))?;
    cx.emit.cast(y, elem)
}

/// `x + bias` below `−lambd`, `x − bias` above `lambd`, else 0.
fn shrink(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let (bias, lambda) = (cx.float("bias", 0.0)?, cx.float("lambd", 0.5)?);
    let x = cx.input(0)?;
    cx.emit.map(&[x], |b, p| {
        let (bias, zero) = (b.num(f64::from(bias)), b.num(0.0));
        let (low, high) = (b.num(-f64::from(lambda)), b.num(f64::from(lambda)));
        let (up, down) = (b.sum(p[0], bias), b.sub(p[0], bias));
        let (below, above) = (b.f2(F::Lt, p[0], low), b.f2(F::Lt, high, p[0]));
        let rest = b.select(above, down, zero);
        b.select(below, up, rest)
    })
}

fn thresholded_relu(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let alpha = cx.float("alpha", 1.0)?;
    let x = cx.input(0)?;
    cx.emit.map(&[x], |b, p| {
        let (alpha, zero) = (b.num(f64::from(alpha)), b.num(0.0));
        let above = b.f2(F::Lt, alpha, p[0]);
        b.select(above, p[0], zero)
    })
}

fn select(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let inputs = cx.inputs()?;
    if cx.emit.elem(inputs[0]) != ElemType::Bool {
        return Err(Code::UnsupportedType.error("the condition of Where must be bool"));
    }
    cx.emit.map_broadcast(&inputs, |b, p| b.select(p[0], p[1], p[2]))
}
