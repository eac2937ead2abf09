//! Numbers as codes times a scale, found again after a model's arithmetic on constants.

/// Codes of 8 bits.
const CODES: std::ops::RangeInclusive<f64> = -128.0..=127.0;

/// How far a number may be from its code times the scale, as a part of it: two roundings to `f32`,
/// that of the model's product and that of a factor which moved into the constant.
const ROUNDING: f64 = 1.0 / (1u32 << 23) as f64;

/// The scale of numbers that share one, and the code of each: the least codes with which
/// `code · scale` is each number but for rounding.
pub(super) fn recover(numbers: &[f32]) -> Option<(f32, Vec<i32>)> {
    let largest = numbers.iter().fold(0.0, |most: f64, w| most.max(f64::from(w.abs())));
    if largest == 0.0 {
        return numbers.iter().all(|w| *w == 0.0).then(|| (1.0, vec![0; numbers.len()]));
    }
    let scales = (1..=128).map(|code| largest / f64::from(code));
    scales.filter(|scale| scale.is_finite()).find_map(|scale| near(numbers, scale))
}

/// The codes next to a scale, and the middle of the scales that give all the numbers.
fn near(numbers: &[f32], first: f64) -> Option<(f32, Vec<i32>)> {
    let (mut least, mut most) = (0.0, f64::INFINITY);
    let mut codes = Vec::with_capacity(numbers.len());
    for &number in numbers {
        let code = (f64::from(number) / first).round();
        let size = f64::from(number.abs());
        if code != 0.0 {
            least = f64::max(least, size * (1.0 - ROUNDING) / code.abs());
            most = f64::min(most, size * (1.0 + ROUNDING) / code.abs());
        }
        let fits = CODES.contains(&code) && (code != 0.0 || number == 0.0);
        if !fits || least > most {
            return None;
        }
        codes.push(code as i32);
    }
    let scale = ((least + most) / 2.0) as f32;
    (scale.is_normal()).then_some((scale, codes))
}

#[cfg(test)]
mod tests {
    use super::recover;

    /// Codes around zero with some zeros among them.
    fn codes(count: i32) -> Vec<i32> {
        (0..count).map(|n| (n * 37 + 5) % 255 - 127).collect()
    }

    #[test]
    fn decoded_numbers_have_their_codes_and_scale_again() {
        for scale in [0.003_913_2, 1.0 / 3.0, 7e-12, 41.7] {
            let codes = codes(255);
            let numbers: Vec<f32> = codes.iter().map(|&c| c as f32 * scale).collect();
            assert_eq!(recover(&numbers), Some((scale, codes)));
        }
    }

    #[test]
    fn a_factor_that_moved_in_becomes_one_of_the_scale() {
        let codes = codes(64);
        let numbers: Vec<f32> = codes.iter().map(|&c| c as f32 * 0.013_7 * -1.73).collect();
        let (scale, found) = recover(&numbers).expect("codes");
        let error = |(&w, &c): (&f32, &i32)| (w - c as f32 * scale).abs() / w.abs().max(1e-30);
        assert!(numbers.iter().zip(&found).map(error).all(|e| e < 2e-7), "{scale}");
    }

    #[test]
    fn other_numbers_have_none() {
        let waves: Vec<f32> = (0..16).map(|n| (n as f32 * 0.7).sin()).collect();
        assert_eq!(recover(&waves), None);
        assert_eq!(recover(&[1.0, f32::NAN]), None);
        assert_eq!(recover(&[1.0, f32::INFINITY]), None);
        assert_eq!(recover(&[1.0, 300.0]), None);
    }

    #[test]
    fn zeros_have_a_scale_too() {
        assert_eq!(recover(&[0.0, -0.0]), Some((1.0, vec![0, 0])));
    }
}
