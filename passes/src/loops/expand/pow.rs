//! `pow`.

use super::Emit;
use super::exp::{BIAS_OF_TWO, times_power_of_two};
use super::log::split;
use edgecc_ir::loops::ValueId;
use edgecc_ir::scalar::func::ScalarFn;
use std::f32::consts::LN_2;

/// log₂ e in a part of 12 bits and a rest.
const LOG2_E: [f32; 2] = [1.442_382_8, 3.122_284e-4];

/// `(log(1 + f) − f + f²/2) / f³` as in `log`, times log₂ e.
const P: [f32; 9] = [
    0.480_898_06,
    -0.360_676_17,
    0.288_571_06,
    -0.240_343_95,
    0.205_001_76,
    -0.181_052_01,
    0.174_679_83,
    -0.157_499_48,
    0.077_077_88,
];

/// `(2ʳ − 1) / r` on `|r| ≤ ½`; relative error of `2ʳ` below 2⁻²⁶.
const EXP2: [f32; 6] =
    [LN_2, 0.240_225_94, 0.055_503_663, 0.009_625_425, 0.001_338_783_8, 1.334_214_3e-4];

/// Keeps the upper 12 bits of a mantissa, so that products of two such numbers are exact.
const UPPER_HALF: i32 = !0xfff;

/// `xʸ = ±2^(y·log₂|x|)`, with the logarithm and the product in two parts each: an exponent of 128
/// needs them to 2⁻³¹ relative for its fraction to be good to the accuracy class.
pub(super) fn pow(e: &mut Emit<'_>, x: ValueId, y: ValueId) -> ValueId {
    let magnitude = e.apply(ScalarFn::Abs, &[x]);
    let log = log2(e, magnitude);
    let power = exp2_product(e, y, log);
    let power = at_zero_and_infinity(e, magnitude, y, power);
    let power = of_negative_base(e, x, y, power);
    at_one_and_nan(e, x, y, power)
}

/// log₂ of a positive finite number as an unevaluated sum `(high, low)`.
fn log2(e: &mut Emit<'_>, x: ValueId) -> (ValueId, ValueId) {
    let (k, f) = split(e, x);
    let (f_high, f_low) = halves(e, f);
    let first = e.scale(f_high, LOG2_E[0]);
    let p = e.polynomial(f, &P);
    let half = e.f32(-0.5 * std::f32::consts::LOG2_E);
    let p = e.madd(f, p, half);
    let square = e.mul(f, f);
    let rest = e.mul(square, p);
    let rest = e.madd_f32(f, LOG2_E[1], rest);
    let rest = e.madd_f32(f_low, LOG2_E[0], rest);
    let (sum, error) = fast_two_sum(e, first, rest);
    let (high, carry) = fast_two_sum(e, k, sum);
    (high, e.add(carry, error))
}

/// `2^(y·(high + low))`.
fn exp2_product(e: &mut Emit<'_>, y: ValueId, log: (ValueId, ValueId)) -> ValueId {
    // Beyond this size every base but 1 overflows or underflows.
    let y = e.at_least(-1e10, y);
    let y = e.at_most(1e10, y);
    let product = e.mul(y, log.0);
    let error = product_error(e, y, log.0, product);
    let error = e.madd(y, log.1, error);
    let clamped = e.at_least(-160.0, product);
    let clamped = e.at_most(160.0, clamped);
    let exact = e.apply(ScalarFn::Eq, &[clamped, product]);
    let zero = e.f32(0.0);
    let error = e.select(exact, error, zero);
    let (float, biased) = e.nearest_biased(clamped, 1.0, BIAS_OF_TWO);
    let r = e.sub(clamped, float);
    let r = e.add(r, error);
    let p = e.polynomial(r, &EXP2);
    let one = e.f32(1.0);
    let p = e.madd(p, r, one);
    times_power_of_two(e, p, biased)
}

/// `a·b − product`, exactly up to underflow (Dekker).
fn product_error(e: &mut Emit<'_>, a: ValueId, b: ValueId, product: ValueId) -> ValueId {
    if e.fma {
        let negative = e.apply(ScalarFn::Neg, &[product]);
        return e.madd(a, b, negative);
    }
    let [(a1, a0), (b1, b0)] = [a, b].map(|x| halves(e, x));
    let high = e.mul(a1, b1);
    let high = e.sub(high, product);
    let cross = e.mul(a1, b0);
    let sum = e.add(high, cross);
    let cross = e.mul(a0, b1);
    let sum = e.add(sum, cross);
    let low = e.mul(a0, b0);
    e.add(sum, low)
}

/// The upper 12 bits of the mantissa and the rest.
fn halves(e: &mut Emit<'_>, x: ValueId) -> (ValueId, ValueId) {
    let bits = e.bitcast(x);
    let bits = e.bits(ScalarFn::And, bits, UPPER_HALF);
    let high = e.bitcast(bits);
    (high, e.sub(x, high))
}

/// `a + b` as rounded sum and error, for `|a| ≥ |b|` or `a = 0` (Dekker).
fn fast_two_sum(e: &mut Emit<'_>, a: ValueId, b: ValueId) -> (ValueId, ValueId) {
    let sum = e.add(a, b);
    let part = e.sub(sum, a);
    (sum, e.sub(b, part))
}

/// The power of 0 and of infinity is 0 or infinity by the exponent's sign.
fn at_zero_and_infinity(e: &mut Emit<'_>, x: ValueId, y: ValueId, power: ValueId) -> ValueId {
    let (zero, infinity) = (e.f32(0.0), e.f32(f32::INFINITY));
    let falls = e.apply(ScalarFn::Lt, &[y, zero]);
    let (of_zero, of_infinity) = (e.select(falls, infinity, zero), e.select(falls, zero, infinity));
    let is_zero = e.apply(ScalarFn::Eq, &[x, zero]);
    let is_infinite = e.apply(ScalarFn::Eq, &[x, infinity]);
    let power = e.select(is_zero, of_zero, power);
    e.select(is_infinite, of_infinity, power)
}

/// Odd integer exponents keep the base's sign; a fractional exponent of a negative base is NaN.
fn of_negative_base(e: &mut Emit<'_>, x: ValueId, y: ValueId, power: ValueId) -> ValueId {
    let half = e.scale(y, 0.5);
    let [y_floor, half_floor] = [y, half].map(|v| e.apply(ScalarFn::Floor, &[v]));
    let whole = e.apply(ScalarFn::Eq, &[y_floor, y]);
    let even = e.apply(ScalarFn::Eq, &[half_floor, half]);
    let signed = e.with_sign_of(power, x);
    let odd = e.select(whole, signed, power);
    let power = e.select(even, power, odd);
    let (zero, nan) = (e.f32(0.0), e.f32(f32::NAN));
    let lowest = e.f32(f32::MIN);
    let negative = e.apply(ScalarFn::Lt, &[x, zero]);
    let finite = e.apply(ScalarFn::Le, &[lowest, x]);
    let undefined = e.apply(ScalarFn::Not, &[whole]);
    let undefined = e.apply(ScalarFn::And, &[undefined, negative]);
    let undefined = e.apply(ScalarFn::And, &[undefined, finite]);
    e.select(undefined, nan, power)
}

/// The power is 1 for the base 1, for the exponent 0 and for −1 to an infinite exponent; else NaN
/// when an operand is.
fn at_one_and_nan(e: &mut Emit<'_>, x: ValueId, y: ValueId, power: ValueId) -> ValueId {
    let (zero, one) = (e.f32(0.0), e.f32(1.0));
    let sum = e.add(x, y);
    let [x_number, y_number] = [x, y].map(|v| e.apply(ScalarFn::Eq, &[v, v]));
    let numbers = e.apply(ScalarFn::And, &[x_number, y_number]);
    let power = e.select(numbers, power, sum);
    let trivial_base = e.apply(ScalarFn::Eq, &[x, one]);
    let trivial_exponent = e.apply(ScalarFn::Eq, &[y, zero]);
    let trivial = e.apply(ScalarFn::Or, &[trivial_base, trivial_exponent]);
    e.select(trivial, one, power)
}

#[cfg(test)]
mod tests {
    use crate::loops::expand::testing::{allowed, eval_with, worst};
    use edgecc_ir::scalar::func::ScalarFn;

    fn check(xs: &[f32], ys: &[f32]) {
        let pairs: Vec<(f32, f32)> =
            ys.iter().flat_map(|&y| xs.iter().map(move |&x| (x, y))).collect();
        let (xs, ys): (Vec<f32>, Vec<f32>) = pairs.iter().copied().unzip();
        for fma in [true, false] {
            let got = eval_with(ScalarFn::Pow, &[&xs, &ys], fma);
            let wants = pairs.iter().map(|&(x, y)| f64::from(x).powf(f64::from(y)));
            let (at, error) = worst(got.iter().copied().zip(wants)).expect("samples");
            assert!(error <= allowed(ScalarFn::Pow), "{:?} is {}: {error} ulp", pairs[at], got[at]);
        }
    }

    #[test]
    fn pow_keeps_its_accuracy_over_bases_and_exponents() {
        let xs: Vec<f32> = (0..=0x7f80_0000u32).step_by(3_271_111).map(f32::from_bits).collect();
        let mut ys: Vec<f32> = (-60..60).map(|n| 1.17f32.powi(n)).collect();
        ys.extend((1..200).map(|n| n as f32 * -0.63));
        check(&xs, &ys);
    }

    #[test]
    fn pow_is_accurate_near_base_one() {
        let xs: Vec<f32> = (-300..300).map(|n| 1.0 + n as f32 * 2f32.powi(-23)).collect();
        check(&xs, &[1.0, -3.5, 1e3, 123_456.7, -2e6, 4e7, 1e9]);
    }

    #[test]
    fn pow_follows_ieee_at_special_numbers() {
        let special = [
            0.0,
            -0.0,
            1.0,
            -1.0,
            2.0,
            -2.0,
            3.0,
            -3.0,
            0.5,
            -0.5,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::NAN,
            1e30,
            -1e30,
            1e-40,
            -1e-40,
        ];
        check(&special, &special);
    }
}
