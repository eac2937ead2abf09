//! Weights as codes: a scale for each channel, symmetric around zero.

use super::round::nearest;

/// The largest code of weights; its negative is the smallest.
pub const TOP: i32 = 127;

/// Shares of a channel's largest weight that are tried as the largest number with a code.
const SHARES: usize = 24;

/// How much the smallest of them cuts off.
const CUT: f64 = 0.3;

/// The smallest scale.
const SMALLEST_SCALE: f64 = 1e-12;

/// Largest code of a bias, with room for the sum of products.
const BIAS_TOP: f64 = (1u32 << 29) as f64;

/// Sums of errors that are computed side by side.
const LANES: usize = 16;

/// A matrix of weights: a row for each channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    /// Row-major.
    pub values: Vec<f32>,
    /// Weights of a channel.
    pub len: usize,
}

impl Rows {
    /// Of a tensor with these dimensions, one of which is that of channels.
    #[must_use]
    pub fn of(values: &[f32], dims: &[usize], axis: usize) -> Rows {
        Rows { values: to_rows(values, dims, axis), len: values.len() / dims[axis].max(1) }
    }

    /// The weights of each channel.
    pub fn iter(&self) -> impl Iterator<Item = &[f32]> {
        self.values.chunks_exact(self.len.max(1))
    }
}

/// Elements with one dimension moved to the front.
#[must_use]
pub fn to_rows<T: Copy>(values: &[T], dims: &[usize], axis: usize) -> Vec<T> {
    let (count, inner) = (dims[axis], dims[axis + 1..].iter().product::<usize>());
    let outer = dims[..axis].iter().product::<usize>();
    let place = move |c: usize, o: usize, i: usize| (o * count + c) * inner + i;
    let places = (0..count)
        .flat_map(move |c| (0..outer).flat_map(move |o| (0..inner).map(move |i| place(c, o, i))));
    places.map(|at| values[at]).collect()
}

/// The inverse of `to_rows`.
#[must_use]
pub fn from_rows<T: Copy + Default>(rows: &[T], dims: &[usize], axis: usize) -> Vec<T> {
    let places: Vec<usize> = (0..rows.len()).collect();
    let mut values = vec![T::default(); rows.len()];
    for (at, value) in to_rows(&places, dims, axis).into_iter().zip(rows) {
        values[at] = *value;
    }
    values
}

/// The scale of one channel whose weights matter as `importance` says: the least sum of weighted
/// squares. `unit` is the input's scale; the channel's bias must have a code too.
#[must_use]
pub fn scale(row: &[f32], importance: &[f32], bias: f32, unit: f32) -> f32 {
    let largest = row.iter().fold(0.0, |m: f64, &w| m.max(f64::from(w.abs())));
    let floor = (f64::from(bias.abs()) / (BIAS_TOP * f64::from(unit))).max(SMALLEST_SCALE);
    let share = |n: usize| largest * (1.0 - CUT * n as f64 / SHARES as f64) / f64::from(TOP);
    let candidates = (0..=SHARES).map(share).map(|s| (s, lost(row, importance, s as f32)));
    let best = candidates.min_by(|a, b| a.1.total_cmp(&b.1)).map_or(0.0, |(s, _)| s);
    best.max(floor) as f32
}

/// The nearest code, as a number.
#[must_use]
pub fn code(weight: f32, scale: f32) -> f32 {
    nearest((weight / scale).clamp(-TOP as f32, TOP as f32))
}

/// The weighted sum of squares of what codes change, in several sums that do not wait for each
/// other.
fn lost(row: &[f32], importance: &[f32], scale: f32) -> f32 {
    let square = |w: f32, i: f32| {
        let error = w - code(w, scale) * scale;
        i * error * error
    };
    let mut sums = [0.0; LANES];
    let (rows, weights) = (row.chunks_exact(LANES), importance.chunks_exact(LANES));
    let rest: f32 =
        rows.remainder().iter().zip(weights.remainder()).map(|(&w, &i)| square(w, i)).sum();
    for (row, weights) in rows.zip(weights) {
        for n in 0..LANES {
            sums[n] += square(row[n], weights[n]);
        }
    }
    rest + sums.iter().sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::{Rows, TOP, code, from_rows, scale, to_rows};

    #[test]
    fn rows_are_channels() {
        let values: Vec<f32> = (0..6).map(|n| n as f32).collect();
        assert_eq!(Rows::of(&values, &[2, 3], 1).values, [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        for axis in 0..3 {
            let values: Vec<i32> = (0..24).collect();
            let rows = to_rows(&values, &[2, 3, 4], axis);
            assert_eq!(from_rows(&rows, &[2, 3, 4], axis), values);
        }
    }

    #[test]
    fn every_weight_is_near_its_code() {
        let row = [0.5, -1.0, 0.25];
        let scale = scale(&row, &[1.0; 3], 0.0, 1.0);
        for weight in row {
            assert!((code(weight, scale) * scale - weight).abs() <= 0.02);
        }
    }

    #[test]
    fn a_channel_of_zeros_has_room_for_its_bias() {
        let scale = scale(&[0.0; 4], &[1.0; 4], 3.0, 0.1);
        assert!(3.0 / (scale * 0.1) < 2f32.powi(30) && scale > 0.0);
        assert_eq!(code(-9.0, 0.01), -TOP as f32);
    }
}
