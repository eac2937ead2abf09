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

/// `eˣ = 2ⁿ·eʳ` with `n = round(x / ln 2)` and `r = x − n·ln 2` in two parts (Cody and Waite).
///
/// Outside of the clamped range the result is 0 or infinity by itself; `2ⁿ` is two factors, so that
/// subnormal results and the overflow at `n = 128` come from the last multiplication.
pub(super) fn exp(e: &mut Emit<'_>, x: ValueId) -> ValueId {
    let x = e.at_least(-104.0, x);
    let x = e.at_most(89.0, x);
    let (n, r) = reduce(e, x);
    let q = e.polynomial(r, &Q);
    let square = e.mul(r, r);
    let p = e.madd(square, q, r);
    let one = e.f32(1.0);
    let p = e.add(p, one);
    times_power_of_two(e, p, n)
}

/// `eˣ + c` for `c` from `LEAST_SUMMAND` on, within the accuracy of `exp` and a rounded sum.
///
/// Subnormal results of `exp` do not count here, so that one factor does: `2ⁿ⁻¹` for `2·eʳ`, which
/// overflows when the sum does.
pub(in crate::loops) fn exp_plus(e: &mut Emit<'_>, x: ValueId, c: ValueId) -> ValueId {
    let x = e.at_least(-86.0, x);
    let x = e.at_most(89.0, x);
    let (power, r) = reduce_to_power(e, x, -1);
    let p = e.polynomial(r, &TWICE);
    e.madd(p, power, c)
}

/// `(2ⁿ⁺ᵘ, r)` with `x = n·ln 2 + r` and `|r| ≤ ln 2 / 2` up to rounding; `n + up` is in `-126..=128`.
pub(super) fn reduce_to_power(e: &mut Emit<'_>, x: ValueId, up: i32) -> (ValueId, ValueId) {
    let (float, biased) = e.nearest_biased(x, LOG2_E, 127 + up);
    let shifted = e.bits(ScalarFn::Shl, biased, 23);
    let power = e.bitcast(shifted);
    (power, remainder(e, x, float))
}

/// `(n, r)` with `x = n·ln 2 + r` and `|r| ≤ ln 2 / 2` up to rounding.
pub(super) fn reduce(e: &mut Emit<'_>, x: ValueId) -> (ValueId, ValueId) {
    let (float, n) = e.nearest(x, LOG2_E);
    (n, remainder(e, x, float))
}

/// `x − n·ln 2`.
fn remainder(e: &mut Emit<'_>, x: ValueId, n: ValueId) -> ValueId {
    let r = e.madd_f32(n, -LN2_HIGH, x);
    e.madd_f32(n, -LN2_LOW, r)
}

/// `p·2ⁿ` for `n` in `-252..=256`.
pub(super) fn times_power_of_two(e: &mut Emit<'_>, p: ValueId, n: ValueId) -> ValueId {
    let half = e.bits(ScalarFn::Shr, n, 1);
    let rest = e.sub(n, half);
    let first = e.power_of_two(half);
    let second = e.power_of_two(rest);
    let p = e.mul(p, first);
    e.mul(p, second)
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
        for literal in [1.0, LEAST_SUMMAND, 3e38] {
            let sum = |b: &mut LoopBuilder, x: &[ValueId]| {
                let literal = b.constant(Scalar::f32(literal), 1);
                let power = b.apply(ScalarFn::Exp, x);
                b.apply(ScalarFn::Add, &[literal, power])
            };
            check_ulps_of(&sum, of_two, |x| x.exp() + f64::from(literal));
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
