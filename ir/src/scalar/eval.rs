//! Reference evaluation of scalar functions: the meaning of every row of the table.

use super::func::ScalarFn;
use super::{ScalarExpr, ScalarNode};
use crate::tensor::{Scalar, Tensor};
use crate::types::ElemType;
use smallvec::SmallVec;

/// Evaluates an expression; the arguments have the types that it was checked with.
#[must_use]
pub fn eval(expr: &ScalarExpr, args: &[Scalar]) -> Scalar {
    let mut values: SmallVec<[Scalar; 16]> = SmallVec::new();
    for node in expr.nodes() {
        let value = match node {
            ScalarNode::Param(p) => args[*p as usize],
            ScalarNode::Const(c) => *c,
            ScalarNode::Cast(to, a) => cast(*to, values[*a as usize]),
            ScalarNode::Lookup(table, a) => table.apply(values[*a as usize]),
            ScalarNode::Call(func, operands) => {
                let operands: SmallVec<[Scalar; 3]> =
                    operands.iter().map(|&a| values[a as usize]).collect();
                apply(*func, &operands)
            }
        };
        values.push(value);
    }
    values[expr.root() as usize]
}

/// Converts a value (see `ScalarNode::Cast`).
#[must_use]
pub fn cast(to: ElemType, value: Scalar) -> Scalar {
    match (value.elem().is_float(), to) {
        (_, ElemType::Bool) => Scalar::bool(value.is_true()),
        (true, t) if t.is_int() => {
            let (lo, hi) = t.int_range().expect("an integer type");
            Scalar::from_i64(t, (value.as_f64() as i64).clamp(lo, hi))
        }
        (true, t) => Scalar::from_f64(t, value.as_f64()),
        (false, t) if value.elem() == ElemType::U64 && t.is_float() => {
            Scalar::from_f64(t, value.as_f64())
        }
        (false, t) => Scalar::from_i64(t, value.as_i64()),
    }
}

/// Converts each element of a tensor.
#[must_use]
pub fn cast_tensor(to: ElemType, tensor: &Tensor) -> Tensor {
    Tensor::from_fn(tensor.ty.with_elem(to), |at| cast(to, tensor.get(at)))
}

/// Applies one function of the table to operands of fitting types.
#[must_use]
pub fn apply(func: ScalarFn, args: &[Scalar]) -> Scalar {
    match (func, args[0].elem()) {
        (ScalarFn::Select, _) => args[if args[0].is_true() { 1 } else { 2 }],
        (ScalarFn::Bitcast, elem) => {
            let to = ScalarFn::Bitcast.infer(&[elem]).expect("a type of 32 or 64 bits");
            Scalar::from_bits(to, args[0].bits())
        }
        (ScalarFn::Eq | ScalarFn::Lt | ScalarFn::Le, _) => Scalar::bool(compare(func, args)),
        (_, ElemType::F32) => Scalar::f32(apply_f32(func, &each(args, Scalar::as_f32))),
        (_, e) if e.is_float() => Scalar::from_f64(e, apply_f64(func, &each(args, Scalar::as_f64))),
        (_, e) => Scalar::from_bits(e, apply_int(func, args) as u64),
    }
}

fn compare(func: ScalarFn, args: &[Scalar]) -> bool {
    let ordering = match args[0].elem() {
        e if e.is_float() => args[0].as_f64().partial_cmp(&args[1].as_f64()),
        ElemType::U64 => args[0].bits().partial_cmp(&args[1].bits()),
        _ => args[0].as_i64().partial_cmp(&args[1].as_i64()),
    };
    match func {
        ScalarFn::Eq => ordering.is_some_and(|o| o.is_eq()),
        ScalarFn::Lt => ordering.is_some_and(|o| o.is_lt()),
        _ => ordering.is_some_and(|o| o.is_le()),
    }
}

fn each<T>(args: &[Scalar], number: fn(Scalar) -> T) -> SmallVec<[T; 3]> {
    args.iter().map(|&a| number(a)).collect()
}

/// Applies a function of class `Number` or `Float` to `f32` operands.
#[must_use]
pub fn apply_f32(func: ScalarFn, args: &[f32]) -> f32 {
    let x = |i: usize| args[i];
    match func {
        ScalarFn::Add => x(0) + x(1),
        ScalarFn::Sub => x(0) - x(1),
        ScalarFn::Mul => x(0) * x(1),
        ScalarFn::Div => x(0) / x(1),
        ScalarFn::Fma => x(0).mul_add(x(1), x(2)),
        ScalarFn::Sqrt => x(0).sqrt(),
        ScalarFn::Neg => -x(0),
        ScalarFn::Abs => x(0).abs(),
        ScalarFn::Min if x(0) < x(1) => x(0),
        ScalarFn::Max if x(0) > x(1) => x(0),
        ScalarFn::Min | ScalarFn::Max => x(1),
        _ => apply_f64(func, &args.iter().map(|&a| f64::from(a)).collect::<SmallVec<[f64; 3]>>())
            as f32,
    }
}

fn apply_f64(func: ScalarFn, args: &[f64]) -> f64 {
    let x = |i: usize| args[i];
    match func {
        ScalarFn::Add => x(0) + x(1),
        ScalarFn::Sub => x(0) - x(1),
        ScalarFn::Mul => x(0) * x(1),
        ScalarFn::Div => x(0) / x(1),
        ScalarFn::Min => {
            if x(0) < x(1) {
                x(0)
            } else {
                x(1)
            }
        }
        ScalarFn::Max => {
            if x(0) > x(1) {
                x(0)
            } else {
                x(1)
            }
        }
        ScalarFn::Neg => -x(0),
        ScalarFn::Abs => x(0).abs(),
        ScalarFn::Fma => x(0).mul_add(x(1), x(2)),
        ScalarFn::Sqrt => x(0).sqrt(),
        ScalarFn::Floor => x(0).floor(),
        ScalarFn::Ceil => x(0).ceil(),
        ScalarFn::Trunc => x(0).trunc(),
        ScalarFn::Round => x(0).round_ties_even(),
        ScalarFn::Exp => x(0).exp(),
        ScalarFn::Log => x(0).ln(),
        ScalarFn::Tanh => x(0).tanh(),
        ScalarFn::Erf => erf(x(0)),
        ScalarFn::Sin => x(0).sin(),
        ScalarFn::Cos => x(0).cos(),
        ScalarFn::Pow => x(0).powf(x(1)),
        _ => unreachable!("{func:?} is not defined on floats"),
    }
}

fn apply_int(func: ScalarFn, args: &[Scalar]) -> i64 {
    let x = |i: usize| args[i].as_i64();
    let width = 8 * args[0].elem().bytes() as i64;
    let unsigned64 = args[0].elem() == ElemType::U64;
    match func {
        ScalarFn::Add => x(0).wrapping_add(x(1)),
        ScalarFn::Sub => x(0).wrapping_sub(x(1)),
        ScalarFn::Mul => x(0).wrapping_mul(x(1)),
        ScalarFn::Div if x(1) == 0 => 0,
        ScalarFn::Div if unsigned64 => (args[0].bits() / args[1].bits()) as i64,
        ScalarFn::Div => x(0).wrapping_div(x(1)),
        ScalarFn::Min => {
            if compare(ScalarFn::Lt, args) {
                x(0)
            } else {
                x(1)
            }
        }
        ScalarFn::Max => {
            if compare(ScalarFn::Lt, &[args[1], args[0]]) {
                x(0)
            } else {
                x(1)
            }
        }
        ScalarFn::Neg => x(0).wrapping_neg(),
        ScalarFn::Abs => x(0).wrapping_abs(),
        ScalarFn::And => x(0) & x(1),
        ScalarFn::Or => x(0) | x(1),
        ScalarFn::Xor => x(0) ^ x(1),
        ScalarFn::Not if args[0].elem() == ElemType::Bool => x(0) ^ 1,
        ScalarFn::Not => !x(0),
        ScalarFn::Shl => x(0) << (x(1) & (width - 1)),
        ScalarFn::Shr if unsigned64 => (args[0].bits() >> (x(1) & 63)) as i64,
        ScalarFn::Shr => x(0) >> (x(1) & (width - 1)),
        ScalarFn::DotU8 => x(2).wrapping_add(dot(x(0), x(1), |b| i64::from(b as u8), 8)),
        ScalarFn::DotI8 | ScalarFn::DotI8Narrow => {
            x(2).wrapping_add(dot(x(0), x(1), |b| i64::from(b as i8), 8))
        }
        ScalarFn::DotI16 => x(2).wrapping_add(dot(x(0), x(1), |b| i64::from(b as i16), 16)),
        _ => unreachable!("{func:?} is not defined on integers"),
    }
}

/// The sum of the products of the parts of two words of 32 bits, the second one's signed.
fn dot(a: i64, b: i64, first: fn(i64) -> i64, bits: u32) -> i64 {
    let signed = |b: i64| b << (64 - bits) >> (64 - bits);
    (0..32).step_by(bits as usize).map(|at| first(a >> at) * signed(b >> at)).sum()
}

/// The error function in double precision (W. J. Cody's approach through a Taylor series near zero
/// and a continued fraction for the complement elsewhere; error below 1e-14).
fn erf(x: f64) -> f64 {
    let a = x.abs();
    if x.is_nan() {
        return x;
    }
    if a > 6.0 {
        return x.signum();
    }
    if a < 2.5 { erf_series(x) } else { x.signum() * (1.0 - erfc_fraction(a)) }
}

fn erf_series(x: f64) -> f64 {
    let (mut term, mut sum) = (x, x);
    for n in 1..60 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * std::f64::consts::FRAC_2_SQRT_PI
}

fn erfc_fraction(x: f64) -> f64 {
    let tail = (1..=80).rev().fold(0.0, |f, k| f64::from(k) / 2.0 / (x + f));
    (-x * x).exp() / ((x + tail) * std::f64::consts::PI.sqrt())
}

#[cfg(test)]
mod tests {
    use super::{apply, cast, erf};
    use crate::scalar::func::ScalarFn;
    use crate::tensor::Scalar;
    use crate::types::ElemType;

    #[test]
    fn casts_saturate_from_float_and_wrap_between_integers() {
        assert_eq!(cast(ElemType::I8, Scalar::f32(300.7)).as_i64(), 127);
        assert_eq!(cast(ElemType::U8, Scalar::f32(f32::NAN)).as_i64(), 0);
        assert_eq!(cast(ElemType::U8, Scalar::from_i64(ElemType::I32, 257)).as_i64(), 1);
    }

    #[test]
    fn min_and_max_return_the_second_operand_when_unordered() {
        let (nan, one) = (Scalar::f32(f32::NAN), Scalar::f32(1.0));
        assert_eq!(apply(ScalarFn::Max, &[nan, one]), one);
        assert!(apply(ScalarFn::Max, &[one, nan]).as_f32().is_nan());
    }

    #[test]
    fn dots_multiply_the_parts_of_words() {
        let word =
            |bytes: [u8; 4]| Scalar::from_i64(ElemType::I32, i32::from_le_bytes(bytes).into());
        let of = |func, a, b| apply(func, &[word(a), word(b), word([5, 0, 0, 0])]).as_i64();
        let (a, b) = ([255, 1, 0, 128], [128, 3, 7, 127]);
        assert_eq!(of(ScalarFn::DotU8, a, b), 5 + 255 * -128 + 3 + 128 * 127);
        assert_eq!(of(ScalarFn::DotI8, a, b), 5 + 128 + 3 - 128 * 127);
        assert_eq!(of(ScalarFn::DotI8Narrow, a, [129, 3, 7, 127]), 5 + 127 + 3 - 128 * 127);
        assert_eq!(of(ScalarFn::DotI16, a, b), 5 + 511 * 896 + -32768 * 32519);
    }

    #[test]
    fn erf_matches_known_values() {
        for (x, y) in [
            (0.5, 0.520_499_877_813_046_5),
            (2.0, 0.995_322_265_018_952_7),
            (3.0, 0.999_977_909_503_001_4),
        ] {
            assert!((erf(x) - y).abs() < 1e-14 && (erf(-x) + y).abs() < 1e-14, "{x}");
        }
    }
}
