//! `log`.

use super::Emit;
use super::exp::{LN2_HIGH, LN2_LOW};
use edgecc_ir::loops::ValueId;
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::types::ElemType;

/// Bits of √½.
const SQRT_HALF: i32 = 0x3f35_04f3;

/// `(log(1 + f) − f + f²/2) / f³` on `√½ ≤ 1 + f < √2`; relative error of the logarithm below 2⁻²⁹.
const P: [f32; 9] = [
    0.333_333_13,
    -0.250_001_67,
    0.200_022_22,
    -0.166_593_73,
    0.142_096_39,
    -0.125_495_69,
    0.121_078_84,
    -0.109_170_32,
    0.053_426_32,
];

/// `log x = k·ln 2 + log m` with `x = 2ᵏ·m` and `m` in `√½..√2`, where `m − 1` is exact.
pub(super) fn log(e: &mut Emit<'_>, x: ValueId) -> ValueId {
    let (k, f) = split(e, x);
    let p = e.polynomial(f, &P);
    let square = e.mul(f, f);
    let cube = e.mul(f, square);
    let tail = e.mul(cube, p);
    let tail = e.madd_f32(k, LN2_LOW, tail);
    let tail = e.madd_f32(square, -0.5, tail);
    let log = e.add(f, tail);
    let log = e.madd_f32(k, LN2_HIGH, log);
    at_the_borders(e, x, log)
}

/// `(k, m − 1)` with `|x| = 2ᵏ·m`, both `f32`; subnormals are scaled to normal numbers first.
pub(super) fn split(e: &mut Emit<'_>, x: ValueId) -> (ValueId, ValueId) {
    let smallest = e.f32(f32::MIN_POSITIVE);
    let subnormal = e.apply(ScalarFn::Lt, &[x, smallest]);
    let scaled = e.scale(x, (1u32 << 23) as f32);
    let x = e.select(subnormal, scaled, x);
    let (shift, none) = (e.f32(-23.0), e.f32(0.0));
    let shift = e.select(subnormal, shift, none);
    let bits = e.bitcast(x);
    let above = e.bits(ScalarFn::Sub, bits, SQRT_HALF);
    let k = e.bits(ScalarFn::Shr, above, 23);
    let mantissa = e.bits(ScalarFn::And, above, (1 << 23) - 1);
    let m = e.bits(ScalarFn::Add, mantissa, SQRT_HALF);
    let m = e.bitcast(m);
    let k = e.cast(ElemType::F32, k);
    let k = e.add(k, shift);
    let one = e.f32(1.0);
    (k, e.sub(m, one))
}

/// NaN and infinity stay, zero gives −∞, negative numbers give NaN.
fn at_the_borders(e: &mut Emit<'_>, x: ValueId, log: ValueId) -> ValueId {
    let (zero, infinity) = (e.f32(0.0), e.f32(f32::INFINITY));
    let finite = e.apply(ScalarFn::Lt, &[x, infinity]);
    let log = e.select(finite, log, x);
    let is_zero = e.apply(ScalarFn::Eq, &[x, zero]);
    let (pole, nan) = (e.f32(f32::NEG_INFINITY), e.f32(f32::NAN));
    let outside = e.select(is_zero, pole, nan);
    let positive = e.apply(ScalarFn::Le, &[x, zero]);
    e.select(positive, outside, log)
}

#[cfg(test)]
mod tests {
    use crate::loops::expand::testing::{check_ulps, eval};
    use edgecc_ir::scalar::func::ScalarFn;

    #[test]
    fn log_keeps_its_accuracy_over_all_floats() {
        check_ulps(ScalarFn::Log, f64::ln);
    }

    #[test]
    fn log_of_special_numbers() {
        let logs = eval(ScalarFn::Log, &[f32::INFINITY, 0.0, -0.0, 1.0]);
        assert_eq!(logs, [f32::INFINITY, f32::NEG_INFINITY, f32::NEG_INFINITY, 0.0]);
        let nans = eval(ScalarFn::Log, &[f32::NAN, -1.0, f32::NEG_INFINITY]);
        assert!(nans.iter().all(|x| x.is_nan()), "{nans:?}");
    }
}
