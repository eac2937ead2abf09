//! `erf`.

use super::Emit;
use edgecc_ir::loops::ValueId;
use edgecc_ir::scalar::func::ScalarFn;
use std::f32::consts::FRAC_2_SQRT_PI;

/// Where `erf` rounds to 1.
const LIMIT: f32 = 3.93;

/// Numerator and denominator of `erf(x)/x` in powers of `x²` on `|x| ≤ 3.93`.
///
/// A rational minimax fit by iteratively reweighted least squares (Lawson) on the linearised
/// problem; relative error below 2⁻²⁵. All coefficients are positive, so nothing cancels.
const P: [f32; 6] =
    [FRAC_2_SQRT_PI, 0.190_758_3, 0.052_786_47, 0.003_778_393, 2.847_609_4e-4, 2.041_902_2e-6];
const Q: [f32; 6] = [1.0, 0.502_387_9, 0.114_246_57, 0.014_995_02, 0.001_164_879_7, 3.800_086_8e-5];

/// `erf |x| = |x|·P(x²)/Q(x²)`, never above 1.
pub(super) fn erf(e: &mut Emit<'_>, x: ValueId) -> ValueId {
    let magnitude = e.apply(ScalarFn::Abs, &[x]);
    let magnitude = e.at_most(LIMIT, magnitude);
    let square = e.mul(magnitude, magnitude);
    let p = e.polynomial(square, &P);
    let q = e.polynomial(square, &Q);
    let p = e.mul(magnitude, p);
    let ratio = e.apply(ScalarFn::Div, &[p, q]);
    let ratio = e.at_most(1.0, ratio);
    e.with_sign_of(ratio, x)
}

#[cfg(test)]
mod tests {
    use crate::loops::expand::testing::{check_ulps, eval};
    use edgecc_ir::scalar::eval::apply;
    use edgecc_ir::scalar::func::ScalarFn;
    use edgecc_ir::tensor::Scalar;
    use edgecc_ir::types::ElemType;

    #[test]
    fn erf_keeps_its_accuracy_over_all_floats() {
        check_ulps(ScalarFn::Erf, |x| {
            apply(ScalarFn::Erf, &[Scalar::from_f64(ElemType::F64, x)]).as_f64()
        });
    }

    #[test]
    fn erf_saturates() {
        let erf = eval(ScalarFn::Erf, &[f32::INFINITY, -4.0, 1e30]);
        assert_eq!(erf, [1.0, -1.0, 1.0]);
        assert!(eval(ScalarFn::Erf, &[f32::NAN])[0].is_nan());
    }
}
