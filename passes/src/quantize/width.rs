//! How weights become codes: symmetric around zero, with the scale that loses least.

use super::round::nearest;

/// How wide codes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// From -127 to 127.
    Int8,
    /// From -8 to 7.
    Int4,
}

/// Shares of the largest weight that are tried as the largest number with a code.
const SHARES: usize = 32;

/// How much the smallest of them cuts off.
const CUT: f64 = 0.4;

/// The smallest scale.
const SMALLEST_SCALE: f32 = 1e-12;

/// Sums of errors that are computed side by side.
const LANES: usize = 16;

impl Width {
    /// The smallest and the largest code.
    #[must_use]
    pub fn range(self) -> (i32, i32) {
        match self {
            Width::Int8 => (-127, 127),
            Width::Int4 => (-8, 7),
        }
    }

    /// The nearest code, as a number.
    #[must_use]
    pub fn code(self, weight: f32, scale: f32) -> f32 {
        let (lo, hi) = self.range();
        nearest((weight / scale).clamp(lo as f32, hi as f32))
    }

    /// The scale of weights that share one and matter as `importance` says: the least sum of
    /// weighted squares of what codes change.
    #[must_use]
    pub fn scale(self, weights: &[f32], importance: &[f32]) -> f32 {
        let largest = weights.iter().fold(0.0, |m: f32, w| m.max(w.abs()));
        let top = f64::from(largest) / f64::from(self.range().1);
        let share = |n: usize| (top * (1.0 - CUT * n as f64 / SHARES as f64)) as f32;
        let candidates = (0..=SHARES).map(share).map(|s| (s, self.lost(weights, importance, s)));
        let best = candidates.min_by(|a, b| a.1.total_cmp(&b.1)).map_or(0.0, |(scale, _)| scale);
        best.max(SMALLEST_SCALE)
    }

    /// The weighted sum of squares of what codes change, in several sums that do not wait for each
    /// other.
    fn lost(self, weights: &[f32], importance: &[f32], scale: f32) -> f32 {
        let square = |w: f32, i: f32| {
            let error = w - self.code(w, scale) * scale;
            i * error * error
        };
        let mut sums = [0.0; LANES];
        let (rows, all) = (weights.chunks_exact(LANES), importance.chunks_exact(LANES));
        let rest = rows.remainder().iter().zip(all.remainder());
        let rest: f32 = rest.map(|(&w, &i)| square(w, i)).sum();
        for (row, importance) in rows.zip(all) {
            for n in 0..LANES {
                sums[n] += square(row[n], importance[n]);
            }
        }
        rest + sums.iter().sum::<f32>()
    }
}

#[cfg(test)]
mod tests {
    use super::Width;

    #[test]
    fn every_weight_is_near_its_code() {
        let row = [0.5, -1.0, 0.25];
        for (width, bound) in [(Width::Int8, 0.02), (Width::Int4, 0.1)] {
            let scale = width.scale(&row, &[1.0; 3]);
            for weight in row {
                assert!((width.code(weight, scale) * scale - weight).abs() <= bound, "{width:?}");
            }
        }
    }

    #[test]
    fn what_matters_little_is_cut_off() {
        let mut row = [0.1; 40];
        row[7] = 1.0;
        let mut importance = [1.0; 40];
        let even = Width::Int4.scale(&row, &importance);
        importance[7] = 1e-6;
        let found = Width::Int4.scale(&row, &importance);
        assert!(found < even, "{found} {even}");
        assert_eq!(Width::Int4.code(1.0, found), 7.0);
    }

    #[test]
    fn zeros_have_a_scale_too() {
        assert!(Width::Int8.scale(&[0.0; 4], &[1.0; 4]) > 0.0);
        assert_eq!(Width::Int8.code(-9.0, 0.01), -127.0);
    }
}
