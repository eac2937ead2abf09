//! Element-wise operators without attributes: one table.

use super::Import::{Binary, Fold, Unary};
use super::{ANY, OnnxOp, row};
use crate::emit::Body;
use edgecc_ir::scalar::NodeId;
use edgecc_ir::scalar::func::ScalarFn as F;

pub(super) const OPS: &[OnnxOp] = &[
    row("Abs", 6, 1..=1, Unary(|b, x| b.f1(F::Abs, x))),
    row("Add", 7, 2..=2, Binary(|b, x, y| b.sum(x, y))),
    row("And", 7, 2..=2, Binary(|b, x, y| b.f2(F::And, x, y))),
    row("BitwiseAnd", 18, 2..=2, Binary(|b, x, y| b.f2(F::And, x, y))),
    row("BitwiseNot", 18, 1..=1, Unary(|b, x| b.f1(F::Not, x))),
    row("BitwiseOr", 18, 2..=2, Binary(|b, x, y| b.f2(F::Or, x, y))),
    row("BitwiseXor", 18, 2..=2, Binary(|b, x, y| b.f2(F::Xor, x, y))),
    row("Ceil", 6, 1..=1, Unary(|b, x| b.f1(F::Ceil, x))),
    row("Cos", 7, 1..=1, Unary(|b, x| b.f1(F::Cos, x))),
    row("Cosh", 9, 1..=1, Unary(cosh)).limits("near the accuracy of exp"),
    row("Div", 7, 2..=2, Binary(|b, x, y| b.div(x, y))),
    row("Equal", 7, 2..=2, Binary(|b, x, y| b.f2(F::Eq, x, y))),
    row("Erf", 9, 1..=1, Unary(|b, x| b.f1(F::Erf, x))),
    row("Exp", 6, 1..=1, Unary(|b, x| b.f1(F::Exp, x))),
    row("Floor", 6, 1..=1, Unary(|b, x| b.f1(F::Floor, x))),
    row("Greater", 7, 2..=2, Binary(|b, x, y| b.f2(F::Lt, y, x))),
    row("GreaterOrEqual", 12, 2..=2, Binary(|b, x, y| b.f2(F::Le, y, x))),
    row("HardSwish", 14, 1..=1, Unary(hard_swish)),
    row("IsNaN", 9, 1..=1, Unary(is_nan)),
    row("Less", 7, 2..=2, Binary(|b, x, y| b.f2(F::Lt, x, y))),
    row("LessOrEqual", 12, 2..=2, Binary(|b, x, y| b.f2(F::Le, x, y))),
    row("Log", 6, 1..=1, Unary(|b, x| b.f1(F::Log, x))),
    row("Max", 6, 1..=ANY, Fold(|b, x, y| extremum(b, F::Max, x, y))),
    row("Min", 6, 1..=ANY, Fold(|b, x, y| extremum(b, F::Min, x, y))),
    row("Mish", 18, 1..=1, Unary(mish)),
    row("Mul", 7, 2..=2, Binary(|b, x, y| b.mul(x, y))),
    row("Neg", 6, 1..=1, Unary(|b, x| b.f1(F::Neg, x))),
    row("Not", 1, 1..=1, Unary(|b, x| b.f1(F::Not, x))),
    row("Or", 7, 2..=2, Binary(|b, x, y| b.f2(F::Or, x, y))),
    row("Reciprocal", 6, 1..=1, Unary(reciprocal)),
    row("Relu", 6, 1..=1, Unary(relu)),
    row("Round", 11, 1..=1, Unary(|b, x| b.f1(F::Round, x))),
    row("Sigmoid", 6, 1..=1, Unary(sigmoid)),
    row("Sign", 9, 1..=1, Unary(sign)),
    row("Sin", 7, 1..=1, Unary(|b, x| b.f1(F::Sin, x))),
    row("Softplus", 1, 1..=1, Unary(softplus)),
    row("Softsign", 1, 1..=1, Unary(softsign)),
    row("Sqrt", 6, 1..=1, Unary(|b, x| b.f1(F::Sqrt, x))),
    row("Sub", 7, 2..=2, Binary(|b, x, y| b.sub(x, y))),
    row("Sum", 6, 1..=ANY, Fold(|b, x, y| b.sum(x, y))),
    row("Tan", 7, 1..=1, Unary(tan)),
    row("Tanh", 6, 1..=1, Unary(|b, x| b.f1(F::Tanh, x))),
    row("Xor", 7, 2..=2, Binary(|b, x, y| b.f2(F::Xor, x, y))),
];

/// `max(0, x)`; NaN stays NaN because it is the second operand.
pub(super) fn relu(b: &mut Body<'_>, x: NodeId) -> NodeId {
    let zero = b.num(0.0);
    b.f2(F::Max, zero, x)
}

/// `1 / (1 + exp(−x))`.
pub(super) fn sigmoid(b: &mut Body<'_>, x: NodeId) -> NodeId {
    let negated = b.f1(F::Neg, x);
    let power = b.f1(F::Exp, negated);
    let one = b.num(1.0);
    let sum = b.sum(one, power);
    b.div(one, sum)
}

/// `max(0, min(1, α·x + β))`; NaN stays NaN.
pub(super) fn hard_sigmoid(b: &mut Body<'_>, x: NodeId, alpha: f32, beta: f32) -> NodeId {
    let (alpha, beta) = (b.num(f64::from(alpha)), b.num(f64::from(beta)));
    let scaled = b.mul(x, alpha);
    let shifted = b.sum(scaled, beta);
    let (zero, one) = (b.num(0.0), b.num(1.0));
    let capped = b.f2(F::Min, one, shifted);
    b.f2(F::Max, zero, capped)
}

/// `x · hard_sigmoid(x, 1/6, 1/2)`.
fn hard_swish(b: &mut Body<'_>, x: NodeId) -> NodeId {
    let gate = hard_sigmoid(b, x, 1.0 / 6.0, 0.5);
    b.mul(x, gate)
}

/// `exp(−|x|)`, which never overflows.
fn decay(b: &mut Body<'_>, x: NodeId) -> NodeId {
    let size = b.f1(F::Abs, x);
    let negated = b.f1(F::Neg, size);
    b.f1(F::Exp, negated)
}

/// `log(1 + exp(x))` as `max(0, x) + log(1 + exp(−|x|))`.
pub(super) fn softplus(b: &mut Body<'_>, x: NodeId) -> NodeId {
    let power = decay(b, x);
    let log = log_of_one_plus(b, power);
    let ramp = relu(b, x);
    b.sum(ramp, log)
}

/// `log(1 + v)` for `v > −1` without losing a small `v`: the rounding error of `u = 1 + v` cancels
/// in `log(u) · (v / (u − 1))` (Kahan; Goldberg 1991, theorem 4).
pub(super) fn log_of_one_plus(b: &mut Body<'_>, v: NodeId) -> NodeId {
    let one = b.num(1.0);
    let u = b.sum(one, v);
    let (log, excess) = (b.f1(F::Log, u), b.sub(u, one));
    let ratio = b.div(v, excess);
    let corrected = b.mul(log, ratio);
    let vanishes = b.f2(F::Eq, u, one);
    b.select(vanishes, v, corrected)
}

/// `x · tanh(log(1 + exp(x)))` as `x · a / (a + b)`; with `v = exp(−|x|)`, `a = v·(v + 2)` and
/// `b = 2` below zero, `a = 1 + 2·v` and `b = 2·v²` above.
fn mish(b: &mut Body<'_>, x: NodeId) -> NodeId {
    let v = decay(b, x);
    let (zero, one, two) = (b.num(0.0), b.num(1.0), b.num(2.0));
    let below = b.f2(F::Lt, x, zero);
    let (longer, double) = (b.sum(v, two), b.mul(two, v));
    let (low, high) = (b.mul(v, longer), b.sum(one, double));
    let square = b.mul(double, v);
    let (part, rest) = (b.select(below, low, high), b.select(below, two, square));
    let whole = b.sum(part, rest);
    let gate = b.div(part, whole);
    b.mul(x, gate)
}

/// `x / (1 + |x|)`.
pub(super) fn softsign(b: &mut Body<'_>, x: NodeId) -> NodeId {
    let (size, one) = (b.f1(F::Abs, x), b.num(1.0));
    let sum = b.sum(one, size);
    b.div(x, sum)
}

fn reciprocal(b: &mut Body<'_>, x: NodeId) -> NodeId {
    let one = b.num(1.0);
    b.div(one, x)
}

fn tan(b: &mut Body<'_>, x: NodeId) -> NodeId {
    let (sin, cos) = (b.f1(F::Sin, x), b.f1(F::Cos, x));
    b.div(sin, cos)
}

/// `(exp(x) + exp(−x)) / 2`.
fn cosh(b: &mut Body<'_>, x: NodeId) -> NodeId {
    let negated = b.f1(F::Neg, x);
    let (up, down, half) = (b.f1(F::Exp, x), b.f1(F::Exp, negated), b.num(0.5));
    let sum = b.sum(up, down);
    b.mul(half, sum)
}

/// −1, 1, or the operand itself, which is a zero or NaN.
fn sign(b: &mut Body<'_>, x: NodeId) -> NodeId {
    let (zero, one, minus) = (b.num(0.0), b.num(1.0), b.num(-1.0));
    let (positive, negative) = (b.f2(F::Lt, zero, x), b.f2(F::Lt, x, zero));
    let rest = b.select(negative, minus, x);
    b.select(positive, one, rest)
}

/// NaN is the only value that differs from itself.
fn is_nan(b: &mut Body<'_>, x: NodeId) -> NodeId {
    let same = b.f2(F::Eq, x, x);
    b.f1(F::Not, same)
}

/// The larger or smaller value; NaN when either operand is, as ONNX Runtime and NumPy do.
pub(super) fn extremum(b: &mut Body<'_>, func: F, x: NodeId, y: NodeId) -> NodeId {
    let best = b.f2(func, x, y);
    if !b.elem.is_float() {
        return best;
    }
    let ordered = b.f2(F::Eq, x, x);
    b.select(ordered, best, x)
}
