//! `exp`, alone and as a part of a sum.

use super::Emit;
use edgecc_ir::loops::ValueId;
use edgecc_ir::scalar::func::ScalarFn;
use std::f32::consts::LOG2_E;

/// High part of ln 2: 355/512, whose product with an integer below 2¹⁵ is exact.
pub(super) const LN2_HIGH: f32 = 0.693_359_4;
/// ln 2 − 355/512.
pub(super) const LN2_LOW: f32 = -2.121_944_4e-4;

/// `(eʳ − 1 − r) / r²` on `|r| ≤ ln 2 / 2`; relative error of `eʳ` below 2⁻²⁸.
const Q: [f32; 5] = [0.499_999_94, 0.166_665_17, 0.041_668_106, 0.008_369_14, 0.001_383_671_4];

/// `2·eʳ` on `|r| ≤ ln 2 / 2` within 1.1 units in the last place of the result.
const TWICE: [f32; 6] = [2.0, 1.999_998_9, 0.999_982_9, 0.333_363_47, 0.083_797_11, 0.016_525_315];

/// The least `c` for which `exp_plus` may take what is below 2⁻¹²⁴ for nothing.
pub(in crate::loops) const LEAST_SUMMAND: f32 = f32::from_bits((127 - 98) << 23);

/// Where the biased exponent of `2ⁿ` is 0: n is −254.
const LEAST: f32 = -176.0;

/// `eˣ = 2ⁿ·eʳ` with `n = round(x / ln 2)` and `r = x − n·ln 2` in two parts (Cody and Waite).
///
/// Outside of the clamped range the result is 0 or infinity by itself; `2ⁿ` is two factors, so that
/// subnormal results and the overflow at `n = 128` come from the last multiplication. At the lower
/// end both factors are 0: products that underflow take many cycles, and a masked softmax, for one,
/// has an exponent far below in half of its elements.
pub(super) fn exp(e: &mut Emit<'_>, x: ValueId) -> ValueId {
    let x = e.at_least(LEAST, x);
    let x = e.at_most(89.0, x);
    let (float, biased) = e.nearest_biased(x, LOG2_E, BIAS_OF_TWO);
    let r = remainder(e, x, 1.0, float);
    let q = e.polynomial(r, &Q);
    let square = e.mul(r, r);
    let p = e.madd(square, q, r);
    let one = e.f32(1.0);
    let p = e.add(p, one);
    times_power_of_two(e, p, biased)
}

/// `e^(sign·x) + c` for `c` from `LEAST_SUMMAND` on and a sign of 1 or −1, within the accuracy of
/// `exp` and a rounded sum.
///
/// Subnormal results of `exp` do not count here, so that one factor does: `2ⁿ⁻¹` for `2·eʳ`, which
/// overflows when the sum does. The sign is in the literals alone.
pub(in crate::loops) fn exp_plus(e: &mut Emit<'_>, sign: f32, x: ValueId, c: ValueId) -> ValueId {
    let (least, most) = if sign < 0.0 { (-89.0, 86.0) } else { (-86.0, 89.0) };
    let x = e.at_least(least, x);
    let x = e.at_most(most, x);
    let (power, r) = reduce_to_power(e, sign, x, -1);
    let signs = [1.0, sign].into_iter().cycle();
    let coefficients: Vec<f32> = TWICE.iter().zip(signs).map(|(c, sign)| c * sign).collect();
    let p = e.polynomial(r, &coefficients);
    e.madd(p, power, c)
}

/// `(2ⁿ⁺ᵘ, sign·r)` with `sign·x = n·ln 2 + r` and `|r| ≤ ln 2 / 2` up to rounding; `n + up` is in
/// `-126..=128`.
pub(super) fn reduce_to_power(
    e: &mut Emit<'_>,
    sign: f32,
    x: ValueId,
    up: i32,
) -> (ValueId, ValueId) {
    let (float, biased) = e.nearest_biased(x, sign * LOG2_E, 127 + up);
    let shifted = e.bits(ScalarFn::Shl, biased, 23);
    let power = e.bitcast(shifted);
    (power, remainder(e, x, sign, float))
}

/// `x − sign·n·ln 2`.
fn remainder(e: &mut Emit<'_>, x: ValueId, sign: f32, n: ValueId) -> ValueId {
    let r = e.madd_f32(n, -sign * LN2_HIGH, x);
    e.madd_f32(n, -sign * LN2_LOW, r)
}

/// The bias of an exponent that is the sum of two.
pub(super) const BIAS_OF_TWO: i32 = 254;

/// `p·2ⁿ` for `n` in `-254..=254`, where the low nine bits of `biased` are those of `n + BIAS_OF_TWO`.
pub(super) fn times_power_of_two(e: &mut Emit<'_>, p: ValueId, biased: ValueId) -> ValueId {
    let half = e.bits(ScalarFn::Shr, biased, 1);
    let rest = e.sub(biased, half);
    [half, rest].into_iter().fold(p, |p, exponent| {
        let bits = e.bits(ScalarFn::Shl, exponent, 23);
        let power = e.bitcast(bits);
        e.mul(p, power)
    })
}

#[cfg(test)]
mod tests {
    use super::LEAST_SUMMAND;
    use crate::loops::expand::testing::{allowed, check_ulps, check_ulps_of, eval};
    use edgecc_ir::loops::ValueId;
    use edgecc_ir::loops::build::LoopBuilder;
    use edgecc_ir::scalar::func::ScalarFn;
    use edgecc_ir::tensor::Scalar;

    #[test]
    fn exp_keeps_its_accuracy_over_all_floats() {
        check_ulps(ScalarFn::Exp, f64::exp);
    }

    #[test]
    fn sums_with_literals_keep_the_accuracy_of_both_operations() {
        let of_two = allowed(ScalarFn::Exp) + 0.5;
        for (literal, sign) in [(1.0, 1.0), (1.0, -1.0), (LEAST_SUMMAND, -1.0), (3e38, 1.0)] {
            let sum = |b: &mut LoopBuilder, x: &[ValueId]| {
                let literal = b.constant(Scalar::f32(literal), 1);
                let negated = b.apply(ScalarFn::Neg, x);
                let exponent = if sign < 0.0 { negated } else { x[0] };
                let power = b.apply(ScalarFn::Exp, &[exponent]);
                b.apply(ScalarFn::Add, &[literal, power])
            };
            check_ulps_of(&sum, of_two, |x| (sign * x).exp() + f64::from(literal));
        }
    }

    #[test]
    fn exp_saturates() {
        let special = [f32::INFINITY, f32::NEG_INFINITY, 88.8, -104.5, 0.0, -0.0];
        assert_eq!(
            eval(ScalarFn::Exp, &special),
            [f32::INFINITY, 0.0, f32::INFINITY, 0.0, 1.0, 1.0]
        );
        assert!(eval(ScalarFn::Exp, &[f32::NAN])[0].is_nan());
    }
}
