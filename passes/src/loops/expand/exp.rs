//! `exp`.

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

/// `(n, r)` with `x = n·ln 2 + r` and `|r| ≤ ln 2 / 2` up to rounding.
pub(super) fn reduce(e: &mut Emit<'_>, x: ValueId) -> (ValueId, ValueId) {
    let (float, n) = e.nearest(x, LOG2_E);
    let r = e.madd_f32(float, -LN2_HIGH, x);
    (n, e.madd_f32(float, -LN2_LOW, r))
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
    use crate::loops::expand::testing::{check_ulps, eval};
    use edgecc_ir::scalar::func::ScalarFn;

    #[test]
    fn exp_keeps_its_accuracy_over_all_floats() {
        check_ulps(ScalarFn::Exp, f64::exp);
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
