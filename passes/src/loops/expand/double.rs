//! The functions on `f64` lanes.
//!
//! Series run until their terms are below the precision of `f64`; their coefficients are factorials
//! and odd numbers, so no fits are needed but for `erf`. Relative errors are below 2⁻⁴⁸, those of
//! `pow` grow with the size of its exponent. `sin` and `cos` reduce arguments up to 2²⁰ without loss.

use super::Emit;
use edgecc_ir::loops::ValueId;
use edgecc_ir::scalar::func::ScalarFn as F;
use edgecc_ir::tensor::Scalar;
use edgecc_ir::types::ElemType;
use std::f64::consts::{FRAC_2_PI, FRAC_2_SQRT_PI, LN_2, LOG2_E};

/// Writes `func` of `f64` operands as a sequence whose last statement defines the result; `None`
/// when the function is itself an operation.
pub(in crate::loops) fn expand_f64(e: &mut Emit<'_>, func: F, args: &[ValueId]) -> Option<ValueId> {
    Some(match func {
        F::Exp => exp(e, args[0]),
        F::Log => log(e, args[0]),
        F::Tanh => tanh(e, args[0]),
        F::Erf => erf(e, args[0]),
        F::Sin => sin(e, args[0]),
        F::Cos => cos(e, args[0]),
        F::Pow => pow(e, args[0], args[1]),
        F::Fma => {
            let product = e.mul(args[0], args[1]);
            e.add(product, args[2])
        }
        F::Add
        | F::Sub
        | F::Mul
        | F::Div
        | F::Min
        | F::Max
        | F::Neg
        | F::Abs
        | F::Sqrt
        | F::Floor
        | F::Ceil
        | F::Trunc
        | F::Round
        | F::And
        | F::Or
        | F::Xor
        | F::Not
        | F::Shl
        | F::Shr
        | F::Eq
        | F::Lt
        | F::Le
        | F::Select
        | F::Bitcast
        | F::DotU8
        | F::DotI8
        | F::DotI8Narrow
        | F::DotI16 => return None,
    })
}

/// 1.5·2⁵²: a number of smaller size, added to it, leaves its nearest integer in the low bits.
const SHIFTER: f64 = 6_755_399_441_055_744.0;

/// Bits of √½.
const SQRT_HALF: i64 = 0x3fe6_a09e_667f_3bcd;

/// ln 2 in a part of 32 bits, whose products with exponents are exact, and the rest.
const LN2: [f64; 2] = [0.693_147_180_369_123_8, 1.908_214_929_270_587_7e-10];

/// π/2 in two parts of 33 bits, whose products with the quadrant are exact, and the rest.
const HALF_PI: [f64; 3] =
    [1.570_796_326_734_125_6, 6.077_100_506_303_966e-11, 2.022_266_248_795_950_6e-21];

/// `erfc(x)·exp(x²)·(2 + x)/2` in powers of `(2/(2 + x) − 0.525)/0.275` on `½ ≤ x ≤ 6`: the
/// interpolation at Chebyshev's points, computed with 90 digits; relative error below 2⁻⁵⁴.
const ERFC: [f64; 17] = [
    0.528_321_919_277_789_4,
    0.196_726_821_082_705_12,
    0.043_046_954_452_341_17,
    0.002_660_836_835_370_968_3,
    -0.001_052_833_761_864_934_8,
    -1.387_228_103_719_371_2e-4,
    4.618_617_472_452_405_5e-5,
    4.347_045_068_849_081e-6,
    -2.776_007_054_393_363e-6,
    7.517_265_788_264_431e-8,
    1.553_831_236_497_659_1e-7,
    -3.073_455_083_007_121e-8,
    -4.496_931_892_797_291e-9,
    3.077_998_525_502_968e-9,
    -3.488_665_830_409_269e-10,
    -1.493_765_972_797_999_2e-10,
    4.839_446_589_200_697e-11,
];

/// Operations with `f64` and `i64` literals.
impl Emit<'_> {
    fn double(&mut self, value: f64) -> ValueId {
        self.constant(Scalar::from_f64(ElemType::F64, value))
    }

    fn long(&mut self, func: F, a: ValueId, literal: i64) -> ValueId {
        let literal = self.constant(Scalar::from_i64(ElemType::I64, literal));
        self.apply(func, &[a, literal])
    }

    /// `func(literal, a)`: for `min` and `max`, NaN stays NaN.
    fn with_double(&mut self, func: F, literal: f64, a: ValueId) -> ValueId {
        let literal = self.double(literal);
        self.apply(func, &[literal, a])
    }

    /// `a·factor + c`.
    fn madd_double(&mut self, a: ValueId, factor: f64, c: ValueId) -> ValueId {
        let factor = self.double(factor);
        self.madd(a, factor, c)
    }

    /// `Σ coefficients[n]·xⁿ` by Horner's scheme.
    fn series(&mut self, x: ValueId, coefficients: &[f64]) -> ValueId {
        let (&last, rest) = coefficients.split_last().expect("a series has a coefficient");
        let top = self.double(last);
        rest.iter().rev().fold(top, |sum, &c| {
            let c = self.double(c);
            self.madd(sum, x, c)
        })
    }

    /// `x·factor` rounded to the nearest integer, as `f64` and as `i64`.
    fn nearest_double(&mut self, x: ValueId, factor: f64) -> (ValueId, ValueId) {
        let shifter = self.double(SHIFTER);
        let shifted = self.madd_double(x, factor, shifter);
        let float = self.sub(shifted, shifter);
        let bits = self.bitcast(shifted);
        (float, self.long(F::Sub, bits, SHIFTER.to_bits() as i64))
    }

    /// `2^k` for `k` of type `i64` in `-1022..=1024`; 1024 gives infinity.
    fn double_power_of_two(&mut self, k: ValueId) -> ValueId {
        let biased = self.long(F::Add, k, 1023);
        let shifted = self.long(F::Shl, biased, 52);
        self.bitcast(shifted)
    }

    /// `magnitude`, which has no sign, with the sign of `sign`.
    fn with_double_sign(&mut self, magnitude: ValueId, sign: ValueId) -> ValueId {
        let bits = self.bitcast(sign);
        let sign = self.long(F::And, bits, i64::MIN);
        let bits = self.bitcast(magnitude);
        let signed = self.apply(F::Or, &[sign, bits]);
        self.bitcast(signed)
    }
}

/// `1/(first)!, 1/(first + step)!, …` with alternating signs when `sign` is −1.
fn inverse_factorials(first: u32, step: u32, count: u32, sign: f64) -> Vec<f64> {
    let factorial = |n: u32| (1..=n).map(f64::from).product::<f64>();
    (0..count).map(|k| sign.powi(k as i32) / factorial(first + step * k)).collect()
}

/// `eˣ = 2ⁿ·eʳ`, as for `f32`.
fn exp(e: &mut Emit<'_>, x: ValueId) -> ValueId {
    let x = e.with_double(F::Max, -746.0, x);
    let x = e.with_double(F::Min, 710.0, x);
    let (n, r) = reduce_exponent(e, x);
    let p = e.series(r, &inverse_factorials(0, 1, 15, 1.0));
    let half = e.long(F::Shr, n, 1);
    let rest = e.sub(n, half);
    let (first, second) = (e.double_power_of_two(half), e.double_power_of_two(rest));
    let p = e.mul(p, first);
    e.mul(p, second)
}

/// `(n, r)` with `x = n·ln 2 + r` and `|r| ≤ ln 2 / 2` up to rounding.
fn reduce_exponent(e: &mut Emit<'_>, x: ValueId) -> (ValueId, ValueId) {
    let (float, n) = e.nearest_double(x, LOG2_E);
    let r = e.madd_double(float, -LN2[0], x);
    (n, e.madd_double(float, -LN2[1], r))
}

/// `log x = k·ln 2 + log m` with `log m = 2·artanh(s)`, `s = (m − 1)/(m + 1)`.
fn log(e: &mut Emit<'_>, x: ValueId) -> ValueId {
    let (k, m) = split(e, x);
    let one = e.double(1.0);
    let (less, more) = (e.sub(m, one), e.add(m, one));
    let s = e.apply(F::Div, &[less, more]);
    let square = e.mul(s, s);
    let odd: Vec<f64> = (1..12).map(|n| 2.0 / f64::from(2 * n + 1)).collect();
    let tail = e.series(square, &odd);
    let tail = e.mul(square, tail);
    let tail = e.mul(s, tail);
    let tail = e.madd_double(k, LN2[1], tail);
    let tail = e.madd_double(s, 2.0, tail);
    let log = e.madd_double(k, LN2[0], tail);
    at_the_borders(e, x, log)
}

/// `(k, m)` with `x = 2ᵏ·m` and `m` in `√½..√2`; subnormals are scaled to normal numbers first.
fn split(e: &mut Emit<'_>, x: ValueId) -> (ValueId, ValueId) {
    let smallest = e.double(f64::MIN_POSITIVE);
    let subnormal = e.apply(F::Lt, &[x, smallest]);
    let factor = e.double((1u64 << 54) as f64);
    let scaled = e.mul(x, factor);
    let x = e.select(subnormal, scaled, x);
    let (shift, none) = (e.double(-54.0), e.double(0.0));
    let shift = e.select(subnormal, shift, none);
    let bits = e.bitcast(x);
    let above = e.long(F::Sub, bits, SQRT_HALF);
    let k = e.long(F::Shr, above, 52);
    let mantissa = e.long(F::And, above, (1 << 52) - 1);
    let m = e.long(F::Add, mantissa, SQRT_HALF);
    let m = e.bitcast(m);
    let shifted = e.long(F::Add, k, SHIFTER.to_bits() as i64);
    let k = e.bitcast(shifted);
    let shifter = e.double(SHIFTER);
    let k = e.sub(k, shifter);
    (e.add(k, shift), m)
}

/// NaN and infinity stay, zero gives −∞, negative numbers give NaN.
fn at_the_borders(e: &mut Emit<'_>, x: ValueId, log: ValueId) -> ValueId {
    let (zero, infinity) = (e.double(0.0), e.double(f64::INFINITY));
    let finite = e.apply(F::Lt, &[x, infinity]);
    let log = e.select(finite, log, x);
    let is_zero = e.apply(F::Eq, &[x, zero]);
    let (pole, nan) = (e.double(f64::NEG_INFINITY), e.double(f64::NAN));
    let outside = e.select(is_zero, pole, nan);
    let positive = e.apply(F::Le, &[x, zero]);
    e.select(positive, outside, log)
}

/// `tanh |x| = t / (t + 2)` with `t = e^2|x| − 1`, as for `f32`.
fn tanh(e: &mut Emit<'_>, x: ValueId) -> ValueId {
    let size = e.apply(F::Abs, &[x]);
    let size = e.with_double(F::Min, 20.0, size);
    let twice = e.add(size, size);
    let (n, r) = reduce_exponent(e, twice);
    let q = e.series(r, &inverse_factorials(2, 1, 13, 1.0));
    let square = e.mul(r, r);
    let small = e.madd(square, q, r);
    let power = e.double_power_of_two(n);
    let (one, two) = (e.double(1.0), e.double(2.0));
    let less_one = e.sub(power, one);
    let t = e.madd(power, small, less_one);
    let longer = e.add(t, two);
    let ratio = e.apply(F::Div, &[t, longer]);
    e.with_double_sign(ratio, x)
}

/// The series of `erf` near zero, elsewhere `1 − erfc`.
fn erf(e: &mut Emit<'_>, x: ValueId) -> ValueId {
    let size = e.apply(F::Abs, &[x]);
    let size = e.with_double(F::Min, 6.0, size);
    let square = e.mul(size, size);
    let factorials = inverse_factorials(0, 1, 14, -1.0);
    let odd = |(n, c): (usize, &f64)| FRAC_2_SQRT_PI * c / (2 * n + 1) as f64;
    let near: Vec<f64> = factorials.iter().enumerate().map(odd).collect();
    let near = e.series(square, &near);
    let near = e.mul(size, near);
    let two = e.double(2.0);
    let longer = e.add(two, size);
    let t = e.apply(F::Div, &[two, longer]);
    let offset = e.double(-0.525 / 0.275);
    let u = e.madd_double(t, 1.0 / 0.275, offset);
    let scaled = e.series(u, &ERFC);
    let scaled = e.mul(t, scaled);
    let negative = e.apply(F::Neg, &[square]);
    let decay = exp(e, negative);
    let rest = e.mul(scaled, decay);
    let one = e.double(1.0);
    let far = e.sub(one, rest);
    let half = e.double(0.5);
    let is_near = e.apply(F::Lt, &[size, half]);
    let magnitude = e.select(is_near, near, far);
    let magnitude = e.with_double(F::Min, 1.0, magnitude);
    e.with_double_sign(magnitude, x)
}

/// `sin x = ±sin r` or `±cos r` by the quadrant of `|x|`, with the sign of `x`.
fn sin(e: &mut Emit<'_>, x: ValueId) -> ValueId {
    let (quadrant, r) = reduce_angle(e, x);
    let sine = in_quadrant(e, quadrant, r);
    let (bits, x_bits) = (e.bitcast(sine), e.bitcast(x));
    let sign = e.long(F::And, x_bits, i64::MIN);
    let bits = e.apply(F::Xor, &[bits, sign]);
    e.bitcast(bits)
}

/// `cos x = sin(|x| + π/2)`: one quadrant further.
fn cos(e: &mut Emit<'_>, x: ValueId) -> ValueId {
    let (quadrant, r) = reduce_angle(e, x);
    let next = e.long(F::Add, quadrant, 1);
    in_quadrant(e, next, r)
}

/// `(n, r)` with `|x| = n·π/2 + r` and `|r| ≤ π/4` up to rounding. NaN for infinity.
fn reduce_angle(e: &mut Emit<'_>, x: ValueId) -> (ValueId, ValueId) {
    let x = e.apply(F::Abs, &[x]);
    let (float, n) = e.nearest_double(x, FRAC_2_PI);
    let r = HALF_PI.iter().fold(x, |r, part| e.madd_double(float, -part, r));
    (n, r)
}

fn in_quadrant(e: &mut Emit<'_>, quadrant: ValueId, r: ValueId) -> ValueId {
    let square = e.mul(r, r);
    let sine = e.series(square, &inverse_factorials(3, 2, 8, -1.0));
    let sine = e.mul(sine, square);
    let less = e.apply(F::Neg, &[sine]);
    let sine = e.madd(less, r, r);
    let cosine = e.series(square, &inverse_factorials(0, 2, 10, -1.0));
    let odd = e.long(F::And, quadrant, 1);
    let is_odd = e.long(F::Eq, odd, 1);
    let result = e.select(is_odd, cosine, sine);
    let half_turn = e.long(F::And, quadrant, 2);
    let sign = e.long(F::Shl, half_turn, 62);
    let bits = e.bitcast(result);
    let bits = e.apply(F::Xor, &[bits, sign]);
    e.bitcast(bits)
}

/// `xʸ = ±e^(y·log|x|)`.
fn pow(e: &mut Emit<'_>, x: ValueId, y: ValueId) -> ValueId {
    let size = e.apply(F::Abs, &[x]);
    let log = log(e, size);
    let product = e.mul(y, log);
    let power = exp(e, product);
    let power = of_negative_base(e, x, y, power);
    at_one(e, x, y, power)
}

/// Odd integer exponents keep the base's sign; a fractional exponent of a negative base is NaN.
fn of_negative_base(e: &mut Emit<'_>, x: ValueId, y: ValueId, power: ValueId) -> ValueId {
    let factor = e.double(0.5);
    let half = e.mul(y, factor);
    let [y_floor, half_floor] = [y, half].map(|v| e.apply(F::Floor, &[v]));
    let whole = e.apply(F::Eq, &[y_floor, y]);
    let even = e.apply(F::Eq, &[half_floor, half]);
    let signed = e.with_double_sign(power, x);
    let odd = e.select(whole, signed, power);
    let power = e.select(even, power, odd);
    let (zero, nan, lowest) = (e.double(0.0), e.double(f64::NAN), e.double(f64::MIN));
    let negative = e.apply(F::Lt, &[x, zero]);
    let finite = e.apply(F::Le, &[lowest, x]);
    let undefined = e.apply(F::Not, &[whole]);
    let undefined = e.apply(F::And, &[undefined, negative]);
    let undefined = e.apply(F::And, &[undefined, finite]);
    e.select(undefined, nan, power)
}

/// The power is 1 for the base 1, for the exponent 0 and for −1 to an infinite exponent.
fn at_one(e: &mut Emit<'_>, x: ValueId, y: ValueId, power: ValueId) -> ValueId {
    let (zero, one, infinity) = (e.double(0.0), e.double(1.0), e.double(f64::INFINITY));
    let [x_size, y_size] = [x, y].map(|v| e.apply(F::Abs, &[v]));
    let unit = e.apply(F::Eq, &[x_size, one]);
    let infinite = e.apply(F::Eq, &[y_size, infinity]);
    let turned = e.apply(F::And, &[unit, infinite]);
    let base = e.apply(F::Eq, &[x, one]);
    let exponent = e.apply(F::Eq, &[y, zero]);
    let is_one = e.apply(F::Or, &[turned, base]);
    let is_one = e.apply(F::Or, &[is_one, exponent]);
    e.select(is_one, one, power)
}

/// ln 2 is the sum of its parts.
const _: () = assert!(LN2[0] + LN2[1] == LN_2);

#[cfg(test)]
mod tests {
    use crate::loops::expand::testing::eval_f64;
    use edgecc_ir::scalar::func::ScalarFn as F;

    /// Numbers of both signs from `lo` to `hi` in geometric steps.
    fn sweep(lo: f64, hi: f64) -> Vec<f64> {
        let ratio = (hi / lo).ln() / 999.0;
        let sizes = (0..1000).map(|i| lo * (ratio * f64::from(i)).exp());
        sizes.flat_map(|v| [v, -v]).collect()
    }

    fn check(func: F, exact: fn(f64) -> f64, xs: &[f64], bound: f64) {
        for fma in [true, false] {
            for (x, y) in xs.iter().zip(eval_f64(func, &[xs], fma)) {
                let want = exact(*x);
                let same = y == want || (y.is_nan() && want.is_nan());
                let error = ((y - want) / want).abs();
                assert!(same || error <= bound, "{func:?}({x}) is {y}, not {want}");
            }
        }
    }

    #[test]
    fn functions_are_accurate_to_a_few_units() {
        check(F::Exp, f64::exp, &sweep(1e-12, 700.0), 1e-15);
        check(F::Exp, f64::exp, &[f64::INFINITY, -f64::INFINITY, f64::NAN, 720.0], 0.0);
        let positive: Vec<f64> = sweep(1e-300, 1e300).into_iter().step_by(2).collect();
        check(F::Log, f64::ln, &positive, 2e-15);
        check(F::Log, f64::ln, &[5e-324, 0.0, -1.0, f64::INFINITY, f64::NAN], 1e-15);
        check(F::Tanh, f64::tanh, &sweep(1e-12, 700.0), 2e-15);
        check(F::Sin, f64::sin, &sweep(1e-12, 3.0), 1e-15);
        check(F::Cos, f64::cos, &sweep(1e-12, 1.5), 2e-15);
    }

    #[test]
    fn angles_are_reduced() {
        for func in [F::Sin, F::Cos] {
            let xs = sweep(1.0, 1e6);
            let exact = if func == F::Sin { f64::sin } else { f64::cos };
            for (x, y) in xs.iter().zip(eval_f64(func, &[&xs], true)) {
                assert!((y - exact(*x)).abs() <= 1e-15, "{func:?}({x}) is {y}");
            }
        }
        assert!(eval_f64(F::Cos, &[&[f64::INFINITY]], true)[0].is_nan());
    }

    #[test]
    fn the_error_function_joins_its_parts() {
        use edgecc_ir::scalar::eval::apply;
        use edgecc_ir::tensor::Scalar;
        use edgecc_ir::types::ElemType;
        let exact = |x| apply(F::Erf, &[Scalar::from_f64(ElemType::F64, x)]).as_f64();
        check(F::Erf, exact, &sweep(1e-9, 9.0), 2e-14);
    }

    #[test]
    fn powers_follow_their_rules() {
        let bases: Vec<f64> = sweep(1e-20, 1e20).into_iter().step_by(2).collect();
        for exponent in [-3.0, 0.5, 2.25, 10.0] {
            let exponents = vec![exponent; bases.len()];
            let ys = eval_f64(F::Pow, &[&bases, &exponents], true);
            for (x, y) in bases.iter().zip(ys) {
                let want = x.powf(exponent);
                assert!(((y - want) / want).abs() <= 1e-12, "{x}^{exponent} is {y}, not {want}");
            }
        }
        let xs = [-2.0, -2.0, 0.0, 0.0, 1.0, -1.0, 5.0, -2.0, f64::INFINITY];
        let ys = [3.0, 2.0, -1.0, 2.0, f64::NAN, f64::INFINITY, 0.0, 0.5, -1.0];
        let found = eval_f64(F::Pow, &[&xs, &ys], false);
        for (i, y) in found.iter().enumerate() {
            let want = xs[i].powf(ys[i]);
            let near = (y - want).abs() <= 1e-14 * want.abs();
            assert!(
                near || *y == want || (y.is_nan() && want.is_nan()),
                "{}^{} is {y}",
                xs[i],
                ys[i]
            );
        }
    }
}
