//! Weights as rows, one for each channel, which has a scale of its own.

use super::width::Width;

/// Largest code of a bias, with room for the sum of products.
const BIAS_TOP: f64 = (1u32 << 29) as f64;

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

/// The scale of one channel whose weights matter as `importance` says. `unit` is the input's scale;
/// the channel's bias must have a code too.
#[must_use]
pub fn scale(row: &[f32], importance: &[f32], bias: f32, unit: f32) -> f32 {
    let floor = f64::from(bias.abs()) / (BIAS_TOP * f64::from(unit));
    Width::Int8.scale(row, importance).max(floor as f32)
}

#[cfg(test)]
mod tests {
    use super::{Rows, from_rows, scale, to_rows};

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
    fn a_channel_of_zeros_has_room_for_its_bias() {
        let scale = scale(&[0.0; 4], &[1.0; 4], 3.0, 0.1);
        assert!(3.0 / (scale * 0.1) < 2f32.powi(30) && scale > 0.0);
    }
}
