//! `sin` and `cos`.

use super::Emit;
use super::payne_hanek;
use edgecc_ir::loops::ValueId;
use edgecc_ir::scalar::func::ScalarFn;
use std::f32::consts::FRAC_2_PI;

/// Arguments from here on are reduced with an exact product.
const LARGE: f32 = 8192.0;

/// π/2 in three parts of 11 bits, whose products with the quadrant are exact, and a rest.
const HALF_PI: [f32; 4] = [1.570_312_5, 4.837_513e-4, 7.549_533_6e-8, 2.563_344_2e-12];

/// `(sin r − r) / r³` in powers of `r²` on `|r| ≤ π/4`; relative error of `sin r` below 2⁻²⁷.
const SIN: [f32; 3] = [-0.166_666_54, 0.008_332_102, -1.950_684_7e-4];

/// `(cos r − 1 + r²/2) / r⁴` in powers of `r²` on `|r| ≤ π/4`; error below 2⁻³³.
const COS: [f32; 3] = [0.041_666_646, -0.001_388_730_1, 2.443_067e-5];

/// `sin x = ±sin r` or `±cos r` by the quadrant of `|x|`, with the sign of `x`.
pub(super) fn sin(e: &mut Emit<'_>, x: ValueId) -> ValueId {
    let (quadrant, r) = reduce(e, x);
    let sine = in_quadrant(e, quadrant, r);
    let (bits, x_bits) = (e.bitcast(sine), e.bitcast(x));
    let sign = e.bits(ScalarFn::And, x_bits, i32::MIN);
    let bits = e.apply(ScalarFn::Xor, &[bits, sign]);
    e.bitcast(bits)
}

/// `cos x = sin(|x| + π/2)`: one quadrant further.
pub(super) fn cos(e: &mut Emit<'_>, x: ValueId) -> ValueId {
    let (quadrant, r) = reduce(e, x);
    let next = e.bits(ScalarFn::Add, quadrant, 1);
    in_quadrant(e, next, r)
}

/// `(n, r)` with `|x| = n·π/2 + r` and `|r| ≤ π/4` up to rounding; `n` modulo 4. NaN for infinity.
fn reduce(e: &mut Emit<'_>, x: ValueId) -> (ValueId, ValueId) {
    let x = e.apply(ScalarFn::Abs, &[x]);
    let near = near(e, x);
    let far = payne_hanek::reduce(e, x);
    let (limit, infinity, nan) = (e.f32(LARGE), e.f32(f32::INFINITY), e.f32(f32::NAN));
    let is_near = e.apply(ScalarFn::Lt, &[x, limit]);
    let is_finite = e.apply(ScalarFn::Lt, &[x, infinity]);
    let far_r = e.select(is_finite, far.1, nan);
    (e.select(is_near, near.0, far.0), e.select(is_near, near.1, far_r))
}

/// Cody and Waite's reduction.
fn near(e: &mut Emit<'_>, x: ValueId) -> (ValueId, ValueId) {
    let (float, n) = e.nearest(x, FRAC_2_PI);
    let r = HALF_PI.iter().fold(x, |r, part| e.madd_f32(float, -part, r));
    (n, r)
}

fn in_quadrant(e: &mut Emit<'_>, quadrant: ValueId, r: ValueId) -> ValueId {
    let square = e.mul(r, r);
    let sine = sin_polynomial(e, r, square);
    let cosine = cos_polynomial(e, square);
    let (odd, one) = (e.bits(ScalarFn::And, quadrant, 1), e.i32(1));
    let is_odd = e.apply(ScalarFn::Eq, &[odd, one]);
    let result = e.select(is_odd, cosine, sine);
    let half_turn = e.bits(ScalarFn::And, quadrant, 2);
    let sign = e.bits(ScalarFn::Shl, half_turn, 30);
    let bits = e.bitcast(result);
    let bits = e.apply(ScalarFn::Xor, &[bits, sign]);
    e.bitcast(bits)
}

fn sin_polynomial(e: &mut Emit<'_>, r: ValueId, square: ValueId) -> ValueId {
    let p = e.polynomial(square, &SIN);
    let cube = e.mul(r, square);
    e.madd(p, cube, r)
}

fn cos_polynomial(e: &mut Emit<'_>, square: ValueId) -> ValueId {
    let p = e.polynomial(square, &COS);
    let one = e.f32(1.0);
    let base = e.madd_f32(square, -0.5, one);
    let fourth = e.mul(square, square);
    e.madd(p, fourth, base)
}

#[cfg(test)]
mod tests {
    use crate::loops::expand::testing::{check_ulps, eval};
    use edgecc_ir::scalar::func::ScalarFn;
    use std::f32::consts::{FRAC_PI_2, PI};

    #[test]
    fn sin_keeps_its_accuracy_over_all_floats() {
        check_ulps(ScalarFn::Sin, f64::sin);
    }

    #[test]
    fn cos_keeps_its_accuracy_over_all_floats() {
        check_ulps(ScalarFn::Cos, f64::cos);
    }

    #[test]
    fn the_worst_cases_of_reduction_are_accurate() {
        for x in [FRAC_PI_2, PI, 16_367_173.0 * 2f32.powi(72), 2.608_3e37, 8191.9] {
            let (got, want) = (eval(ScalarFn::Cos, &[x])[0], f64::from(x).cos());
            assert!((f64::from(got) - want).abs() <= 4e-7 * want.abs(), "cos({x}) = {got}, {want}");
        }
    }

    #[test]
    fn sin_of_special_numbers() {
        assert_eq!(eval(ScalarFn::Sin, &[-0.0])[0].to_bits(), (-0.0f32).to_bits());
        let nans = eval(ScalarFn::Sin, &[f32::NAN, f32::INFINITY, f32::NEG_INFINITY]);
        assert!(nans.iter().all(|x| x.is_nan()), "{nans:?}");
    }
}
