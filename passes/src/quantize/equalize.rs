//! Factors that make the channels of a value alike: a channel of the layer before is divided by
//! what the layer behind multiplies with (Nagel and others, Data-Free Quantization, ICCV 2019;
//! Xiao and others, SmoothQuant, ICML 2023).

/// The largest factor and the inverse of the smallest.
const LIMIT: f64 = 64.0;

/// How much of the spread of a value's channels weights take over when each row of them reads so many
/// channels. Half of it makes values and weights alike; a row that reads one channel takes over all,
/// since it has a scale of its own.
#[must_use]
pub fn share(channels: usize) -> f64 {
    if channels == 1 { 1.0 } else { 0.5 }
}

/// For each channel what to divide the value by and to multiply the weights behind with. `values`
/// are the largest magnitudes of the value's channels, `weights` those of the weights behind that
/// read them, which take over a `share` of the spread.
#[must_use]
pub fn factors(values: &[f32], weights: &[f32], share: f64) -> Vec<f32> {
    let raw = |(&x, &w): (&f32, &f32)| match x > 0.0 && w > 0.0 {
        true => f64::from(x).powf(share) / f64::from(w).powf(1.0 - share),
        false => f64::NAN,
    };
    let raw: Vec<f64> = values.iter().zip(weights).map(raw).collect();
    let logs: Vec<f64> = raw.iter().filter(|f| f.is_finite()).map(|f| f.ln()).collect();
    let mean = (logs.iter().sum::<f64>() / logs.len().max(1) as f64).exp();
    let bounded = |factor: f64| match factor.is_finite() {
        true => (factor / mean).clamp(1.0 / LIMIT, LIMIT) as f32,
        false => 1.0,
    };
    raw.into_iter().map(bounded).collect()
}

/// What is left of the error of codes, as a part of what it is without factors. `values` and
/// `factors` are as above, `squares` the sums of squares of the weights that read each channel.
#[must_use]
pub fn remaining_error(values: &[f32], squares: &[f64], factors: &[f32]) -> f64 {
    let error = |factor: &dyn Fn(usize) -> f64| {
        let step =
            values.iter().enumerate().map(|(c, &x)| f64::from(x) / factor(c)).fold(0.0, f64::max);
        let passed: f64 = squares.iter().enumerate().map(|(c, s)| s * factor(c).powi(2)).sum();
        step * step * passed
    };
    error(&|c| f64::from(factors[c])) / error(&|_| 1.0).max(f64::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::{factors, remaining_error, share};

    #[test]
    fn a_large_channel_becomes_smaller_and_its_weights_larger() {
        let found = factors(&[1.0, 1.0, 100.0], &[1.0, 1.0, 0.01], share(3));
        assert!(found[2] > 10.0 && found[0] < 1.0);
        let spread = |v: [f32; 3]| v[2] / v[0];
        let after = [0, 1, 2].map(|n| [1.0, 1.0, 100.0][n] / found[n]);
        assert!((spread(after) - 1.0).abs() < 1e-3, "{after:?}");
    }

    #[test]
    fn equal_channels_gain_nothing_and_an_outlier_much() {
        let left = |values: &[f32], weights: &[f32]| {
            let squares: Vec<f64> = weights.iter().map(|&w| f64::from(w * w)).collect();
            remaining_error(values, &squares, &factors(values, weights, share(2)))
        };
        assert!((left(&[2.0, 2.0], &[1.0, 1.0]) - 1.0).abs() < 1e-6);
        assert!(left(&[1.0, 100.0], &[1.0, 0.01]) < 0.01);
    }

    #[test]
    fn weights_take_over_all_of_the_spread() {
        let (values, weights) = ([0.5, 3.0, 20.0], [2.0, 1.0, 0.25]);
        let found = factors(&values, &weights, share(1));
        let after: Vec<f32> = values.iter().zip(&found).map(|(v, f)| v / f).collect();
        assert!(after.iter().all(|a| (a / after[0] - 1.0).abs() < 1e-3), "{after:?}");
    }

    #[test]
    fn a_channel_of_zeros_stays() {
        assert_eq!(factors(&[0.0, 2.0], &[1.0, 0.0], share(2)), [1.0, 1.0]);
    }
}
