//! Rounding in loops over many numbers: two additions where a function of a library would be called.

/// Spaces numbers next to it by 1.
const SPACING: f32 = 12_582_912.0;

/// The nearest whole number, ties to even, of a number below 2^22 in magnitude.
#[must_use]
pub fn nearest(x: f32) -> f32 {
    (x + SPACING) - SPACING
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn numbers_are_rounded_as_ieee_754_says() {
        let ties = [0.5, 1.5, -0.5, -2.5, 126.5, -254.5];
        for x in ties.into_iter().chain([0.49999997, -3.2, 4_194_303.0, 1e-30, 77.75]) {
            assert_eq!(nearest(x), x.round_ties_even(), "{x}");
        }
        assert!(nearest(f32::NAN).is_nan());
    }
}
