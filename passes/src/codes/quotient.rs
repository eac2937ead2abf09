//! Quotients by a scale that are rounded to a few whole numbers, as products.

use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::scalar::{ExprBuilder, NodeId};

/// `x / s` as `fma(x, high, x·low)`, or as `x·high` where nothing is `low`: after rounding, the same
/// whole numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Quotient {
    high: f32,
    low: Option<f32>,
}

/// Most whole numbers that are compared.
const MOST: f32 = 1024.0;
/// Scales whose reciprocals, and their errors, are normal numbers.
const SCALES: std::ops::Range<f32> = 1e-20..1e20;

impl Quotient {
    /// The first form with the same `round(x / scale)` for every `x` for which that is within
    /// `lo..=hi`. Where a product may not be `fused` with a sum there is only one form.
    pub(super) fn of(scale: f32, [lo, hi]: [f32; 2], fused: bool) -> Option<Quotient> {
        if !SCALES.contains(&scale) || hi - lo > MOST {
            return None;
        }
        let exact = 1.0 / f64::from(scale);
        let high = exact as f32;
        let near = [high, high.next_up(), high.next_down()];
        let single = near.map(|high| Quotient { high, low: None });
        let low = (exact - f64::from(high)) as f32;
        let double = fused.then_some(Quotient { high, low: Some(low) });
        let steps: Vec<(f32, f32)> =
            (lo as i32..hi as i32).map(|n| (n as f32, first_above(n as f32, scale))).collect();
        single.into_iter().chain(double).find(|q| steps.iter().all(|&step| q.has(step)))
    }

    /// The quotient of a number.
    pub(super) fn expr(self, b: &mut ExprBuilder, x: NodeId) -> NodeId {
        let high = b.f32(self.high);
        let Some(low) = self.low else { return b.call(ScalarFn::Mul, &[x, high]) };
        let low = b.f32(low);
        let rest = b.call(ScalarFn::Mul, &[x, low]);
        b.call(ScalarFn::Fma, &[x, high, rest])
    }

    /// Whether the quotients are rounded to more than `n` from this number on. Both forms are off
    /// by so little that only this number and the one before could be on the wrong side.
    fn has(self, (n, above): (f32, f32)) -> bool {
        let rounded = |x: f32| self.value(x).round_ties_even();
        rounded(above) > n && rounded(above.next_down()) <= n
    }

    fn value(self, x: f32) -> f32 {
        match self.low {
            Some(low) => x.mul_add(self.high, x * low),
            None => x * self.high,
        }
    }
}

/// The least number whose quotient is rounded to more than `n`.
fn first_above(n: f32, scale: f32) -> f32 {
    let is_above = |x: f32| (x / scale).round_ties_even() > n;
    let mut x = (n + 0.5) * scale;
    while is_above(x) {
        x = x.next_down();
    }
    while !is_above(x) {
        x = x.next_up();
    }
    x
}

#[cfg(test)]
mod tests {
    use super::{Quotient, first_above};

    #[test]
    fn every_number_near_a_step_is_rounded_as_its_quotient() {
        let scales = (1..400).map(|n| n as f32 * 0.000_731_7).chain([0.5, 1.0, 3.0]);
        for scale in scales {
            let quotient = Quotient::of(scale, [-128.0, 127.0], true).expect("a scale");
            for n in -128..127 {
                let above = first_above(n as f32, scale);
                let mut x = above.next_down().next_down().next_down();
                for _ in 0..7 {
                    let expected = (x / scale).round_ties_even();
                    assert_eq!(quotient.value(x).round_ties_even(), expected, "{x} / {scale}");
                    x = x.next_up();
                }
            }
        }
    }

    #[test]
    fn powers_of_two_need_one_product() {
        let quotient = Quotient::of(0.125, [0.0, 255.0], false);
        assert_eq!(quotient, Some(Quotient { high: 8.0, low: None }));
    }

    #[test]
    fn numbers_without_a_reciprocal_have_none() {
        for scale in [0.0, -1.0, f32::NAN, f32::INFINITY, 1e-40] {
            assert_eq!(Quotient::of(scale, [0.0, 255.0], true), None);
        }
    }
}
