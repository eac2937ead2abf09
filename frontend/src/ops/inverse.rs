//! Inverse circular and hyperbolic functions, and sinh.

use super::Import::Unary;
use super::elementwise::log_of_one_plus;
use super::{OnnxOp, row};
use crate::emit::Body;
use edgecc_ir::scalar::NodeId;
use edgecc_ir::scalar::func::ScalarFn as F;
use edgecc_ir::types::ElemType;
use std::f64::consts::{FRAC_PI_2, FRAC_PI_4};

pub(super) const OPS: &[OnnxOp] = &[
    row("Acos", 7, 1..=1, Unary(acos)),
    row("Acosh", 9, 1..=1, Unary(acosh)),
    row("Asin", 7, 1..=1, Unary(asin)),
    row("Asinh", 9, 1..=1, Unary(asinh)),
    row("Atan", 7, 1..=1, Unary(atan)),
    row("Atanh", 9, 1..=1, Unary(atanh)),
    row("Sinh", 9, 1..=1, Unary(sinh)),
];

/// `magnitude`, which is not negative, with the sign of `x`; NaN passes.
fn signed(b: &mut Body<'_>, magnitude: NodeId, x: NodeId) -> NodeId {
    let (zero, negated) = (b.num(0.0), b.f1(F::Neg, magnitude));
    let negative = b.f2(F::Lt, x, zero);
    b.select(negative, negated, magnitude)
}

/// `log(1 + v)`, also of infinity.
fn log_one_plus(b: &mut Body<'_>, v: NodeId) -> NodeId {
    let (log, infinity) = (log_of_one_plus(b, v), b.num(f64::INFINITY));
    let is_infinite = b.f2(F::Eq, v, infinity);
    b.select(is_infinite, v, log)
}

/// By `atan(1/v) = π/2 − atan(v)` and `atan(v) = π/4 + atan((v − 1) / (v + 1))` the series runs
/// over `|v| ≤ tan(π/8)` only.
fn atan(b: &mut Body<'_>, x: NodeId) -> NodeId {
    let (one, size) = (b.num(1.0), b.f1(F::Abs, x));
    let large = b.f2(F::Lt, one, size);
    let reciprocal = b.div(one, size);
    let v = b.select(large, reciprocal, size);
    let eighth = b.num(std::f64::consts::FRAC_PI_8.tan());
    let middle = b.f2(F::Lt, eighth, v);
    let (less, more) = (b.sub(v, one), b.sum(v, one));
    let turned = b.div(less, more);
    let reduced = b.select(middle, turned, v);
    let near = atan_series(b, reduced);
    let quarter = b.num(FRAC_PI_4);
    let moved = b.sum(quarter, near);
    let angle = b.select(middle, moved, near);
    let half = b.num(FRAC_PI_2);
    let complement = b.sub(half, angle);
    let angle = b.select(large, complement, angle);
    signed(b, angle, x)
}

/// `v − v³/3 + v⁵/5 − …` until the terms are below the type's precision for `v ≤ tan(π/8)`.
fn atan_series(b: &mut Body<'_>, v: NodeId) -> NodeId {
    let terms = if b.elem == ElemType::F64 { 21 } else { 10 };
    let square = b.mul(v, v);
    let coefficient = |n: i32| if n % 2 == 0 { 1.0 } else { -1.0 } / f64::from(2 * n + 1);
    let mut sum = b.num(coefficient(terms));
    for n in (0..terms).rev() {
        let product = b.mul(sum, square);
        let next = b.num(coefficient(n));
        sum = b.sum(product, next);
    }
    b.mul(v, sum)
}

/// `√((1 − x)·(1 + x))`.
fn cosine_of_sine(b: &mut Body<'_>, x: NodeId) -> NodeId {
    let one = b.num(1.0);
    let (less, more) = (b.sub(one, x), b.sum(one, x));
    let product = b.mul(less, more);
    b.f1(F::Sqrt, product)
}

/// `2 · atan(x / (1 + √(1 − x²)))`.
fn asin(b: &mut Body<'_>, x: NodeId) -> NodeId {
    let (one, two, cosine) = (b.num(1.0), b.num(2.0), cosine_of_sine(b, x));
    let divisor = b.sum(one, cosine);
    let tangent = b.div(x, divisor);
    let half = atan(b, tangent);
    b.mul(two, half)
}

/// `2 · atan(√((1 − x) / (1 + x)))`.
fn acos(b: &mut Body<'_>, x: NodeId) -> NodeId {
    let (one, two) = (b.num(1.0), b.num(2.0));
    let (less, more) = (b.sub(one, x), b.sum(one, x));
    let ratio = b.div(less, more);
    let tangent = b.f1(F::Sqrt, ratio);
    let half = atan(b, tangent);
    b.mul(two, half)
}

/// `log(1 + |x| + |x|·r)` with `r = |x| / (1 + √(x² + 1))`, which is 1 where the square overflows.
fn asinh(b: &mut Body<'_>, x: NodeId) -> NodeId {
    let (one, size) = (b.num(1.0), b.f1(F::Abs, x));
    let square = b.mul(size, size);
    let sum = b.sum(square, one);
    let root = b.f1(F::Sqrt, sum);
    let divisor = b.sum(one, root);
    let (ratio, infinity) = (b.div(size, divisor), b.num(f64::INFINITY));
    let overflows = b.f2(F::Eq, square, infinity);
    let ratio = b.select(overflows, one, ratio);
    let part = b.mul(size, ratio);
    let excess = b.sum(size, part);
    let log = log_one_plus(b, excess);
    signed(b, log, x)
}

/// `log(1 + v + √v · √(v + 2))` with `v = x − 1`.
fn acosh(b: &mut Body<'_>, x: NodeId) -> NodeId {
    let (one, two) = (b.num(1.0), b.num(2.0));
    let v = b.sub(x, one);
    let longer = b.sum(v, two);
    let (short, long) = (b.f1(F::Sqrt, v), b.f1(F::Sqrt, longer));
    let root = b.mul(short, long);
    let excess = b.sum(v, root);
    log_one_plus(b, excess)
}

/// `log(1 + 2|x| / (1 − |x|)) / 2`.
fn atanh(b: &mut Body<'_>, x: NodeId) -> NodeId {
    let (one, half, size) = (b.num(1.0), b.num(0.5), b.f1(F::Abs, x));
    let (double, rest) = (b.sum(size, size), b.sub(one, size));
    let ratio = b.div(double, rest);
    let log = log_one_plus(b, ratio);
    let magnitude = b.mul(half, log);
    signed(b, magnitude, x)
}

/// `2t / (1 − t²)` with `t = tanh(x/2)` near zero, where the difference of powers cancels;
/// `(exp(x) − exp(−x)) / 2` elsewhere.
fn sinh(b: &mut Body<'_>, x: NodeId) -> NodeId {
    let (one, two, half) = (b.num(1.0), b.num(2.0), b.num(0.5));
    let middle = b.mul(half, x);
    let t = b.f1(F::Tanh, middle);
    let (double, square) = (b.mul(two, t), b.mul(t, t));
    let rest = b.sub(one, square);
    let near = b.div(double, rest);
    let negated = b.f1(F::Neg, x);
    let (up, down) = (b.f1(F::Exp, x), b.f1(F::Exp, negated));
    let difference = b.sub(up, down);
    let far = b.mul(half, difference);
    let size = b.f1(F::Abs, x);
    let is_near = b.f2(F::Lt, size, one);
    b.select(is_near, near, far)
}

#[cfg(test)]
mod tests {
    use crate::emit::Body;
    use edgecc_ir::scalar::NodeId;
    use edgecc_ir::scalar::eval::eval;
    use edgecc_ir::tensor::Scalar;
    use edgecc_ir::types::ElemType;

    fn check(
        function: fn(&mut Body<'_>, NodeId) -> NodeId,
        exact: fn(f64) -> f64,
        xs: impl Iterator<Item = f64>,
    ) {
        let expr = |elem| Body::expr(&[elem], |b, p| function(b, p[0]));
        let (double, single) = (expr(ElemType::F64), expr(ElemType::F32));
        for x in xs {
            let y = eval(&double, &[Scalar::from_f64(ElemType::F64, x)]).as_f64();
            let want = exact(x);
            assert!((y - want).abs() <= 1e-14 * want.abs(), "{x}: {y} is not {want}");
            let x = x as f32;
            let (y, want) = (eval(&single, &[Scalar::f32(x)]).as_f64(), exact(f64::from(x)));
            assert!((y - want).abs() <= 1e-6 * want.abs(), "{x}: {y} is not {want}");
        }
    }

    fn between(lo: f64, hi: f64) -> impl Iterator<Item = f64> {
        (0..=400).map(move |i| lo + (hi - lo) * f64::from(i) / 400.0)
    }

    #[test]
    fn inverses_are_accurate_over_their_domains() {
        check(super::atan, f64::atan, between(-9.0, 9.0).chain([1e-9, 1e30, f64::INFINITY]));
        check(super::asin, f64::asin, between(-1.0, 1.0));
        check(super::acos, f64::acos, between(-0.99, 0.99).chain([-1.0, 1.0]));
        check(super::asinh, f64::asinh, between(-20.0, 20.0).chain([1e-9]));
        check(super::acosh, f64::acosh, between(1.5, 90.0));
        check(super::atanh, f64::atanh, between(-0.9, 0.9).chain([1e-9]));
        check(super::sinh, f64::sinh, between(-20.0, 20.0).chain([1e-9]));
    }

    #[test]
    fn ends_of_the_domain_are_infinite() {
        let expr = |f: fn(&mut Body<'_>, NodeId) -> NodeId| {
            Body::expr(&[ElemType::F32], |b, p| f(b, p[0]))
        };
        let y = |f, x| eval(&expr(f), &[Scalar::f32(x)]).as_f32();
        assert_eq!(y(super::atanh, -1.0), f32::NEG_INFINITY);
        assert_eq!(y(super::asinh, f32::INFINITY), f32::INFINITY);
        assert!((y(super::acosh, 1e30) - 69.770_7).abs() < 1e-3);
    }

    #[test]
    fn values_outside_the_domain_are_nan() {
        for (function, x) in [
            (super::asin as fn(&mut Body<'_>, NodeId) -> NodeId, 1.5),
            (super::acos, -2.0),
            (super::acosh, 0.5),
            (super::atanh, 2.0),
        ] {
            let expr = Body::expr(&[ElemType::F32], |b, p| function(b, p[0]));
            assert!(eval(&expr, &[Scalar::f32(x)]).as_f32().is_nan());
        }
    }
}
