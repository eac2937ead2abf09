//! `tanh`.

use super::Emit;
use super::exp::reduce_to_power;
use edgecc_ir::loops::ValueId;
use edgecc_ir::scalar::func::ScalarFn;

/// `(eʳ − 1 − r) / r²` on `|r| ≤ ln 2 / 2`; relative error of `eʳ − 1` below 2⁻²⁶.
const Q: [f32; 5] = [0.499_999_97, 0.166_665_39, 0.041_667_745, 0.008_367_057, 0.001_383_870_6];

/// `tanh |x| = t / (t + 2)` with `t = e^2|x| − 1`, accurate near zero because `t` is
/// `2ⁿ·(eʳ − 1) + (2ⁿ − 1)`. Beyond 9.5 the result is 1.
pub(super) fn tanh(e: &mut Emit<'_>, x: ValueId) -> ValueId {
    let magnitude = e.apply(ScalarFn::Abs, &[x]);
    let magnitude = e.at_most(9.5, magnitude);
    let twice = e.add(magnitude, magnitude);
    let (power, r) = reduce_to_power(e, 1.0, twice, 0);
    let q = e.polynomial(r, &Q);
    let square = e.mul(r, r);
    let small = e.madd(square, q, r);
    let (one, two) = (e.f32(1.0), e.f32(2.0));
    let less_one = e.sub(power, one);
    let t = e.madd(power, small, less_one);
    let t_plus_two = e.add(t, two);
    let ratio = e.apply(ScalarFn::Div, &[t, t_plus_two]);
    e.with_sign_of(ratio, x)
}

#[cfg(test)]
mod tests {
    use crate::loops::expand::testing::{check_ulps, eval};
    use edgecc_ir::scalar::func::ScalarFn;

    #[test]
    fn tanh_keeps_its_accuracy_over_all_floats() {
        check_ulps(ScalarFn::Tanh, f64::tanh);
    }

    #[test]
    fn tanh_saturates_and_keeps_signs() {
        let tanh = eval(ScalarFn::Tanh, &[f32::INFINITY, f32::NEG_INFINITY, -0.0]);
        assert_eq!(tanh.map_bits(), [1.0, -1.0, -0.0].map_bits());
        assert!(eval(ScalarFn::Tanh, &[f32::NAN])[0].is_nan());
    }

    trait Bits {
        fn map_bits(&self) -> Vec<u32>;
    }

    impl<T: AsRef<[f32]>> Bits for T {
        fn map_bits(&self) -> Vec<u32> {
            self.as_ref().iter().map(|x| x.to_bits()).collect()
        }
    }
}
