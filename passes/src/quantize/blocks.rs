//! Weights as codes of few bits without data: symmetric around zero, a scale for each channel or
//! for each block of a dimension.

use super::weights::to_rows;
use super::width::Width;

/// Which weights share a scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// All with the same place in this dimension.
    Channel(usize),
    /// So many that follow each other in this dimension; the last block may have fewer.
    Block {
        /// The dimension.
        axis: usize,
        /// Weights of a block.
        size: usize,
    },
}

/// Codes in the order of the weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Coded {
    /// One for each weight.
    pub codes: Vec<i32>,
    /// Row-major.
    pub scales: Vec<f32>,
    /// The dimensions of `scales`: one of channels, or those of the weights with one of blocks.
    pub scale_dims: Vec<usize>,
    /// The sum of squares of what codes change.
    pub error: f64,
}

/// The codes of weights with these dimensions.
#[must_use]
pub fn encode(values: &[f32], dims: &[usize], width: Width, sharing: Sharing) -> Coded {
    let (groups, scale_dims) = groups(dims, sharing);
    let (mut codes, mut scales) = (vec![0; values.len()], Vec::with_capacity(groups.len()));
    let mut error = 0.0;
    for places in groups {
        let weights: Vec<f32> = places.iter().map(|&at| values[at]).collect();
        let scale = width.scale(&weights, &vec![1.0; weights.len()]);
        for (&at, &w) in places.iter().zip(&weights) {
            let code = width.code(w, scale);
            codes[at] = code as i32;
            error += f64::from(w - code * scale).powi(2);
        }
        scales.push(scale);
    }
    Coded { codes, scales, scale_dims, error }
}

/// The places of the weights that share each scale, and the dimensions of the scales.
fn groups(dims: &[usize], sharing: Sharing) -> (Vec<Vec<usize>>, Vec<usize>) {
    let count: usize = dims.iter().product();
    match sharing {
        Sharing::Channel(axis) => {
            let places: Vec<usize> = (0..count).collect();
            let len = (count / dims[axis].max(1)).max(1);
            let rows = to_rows(&places, dims, axis);
            (rows.chunks(len).map(<[usize]>::to_vec).collect(), vec![dims[axis]])
        }
        Sharing::Block { axis, size } => {
            let (inner, blocks) =
                (dims[axis + 1..].iter().product::<usize>(), dims[axis].div_ceil(size));
            let outer: usize = dims[..axis].iter().product();
            let block = |o: usize, b: usize, i: usize| -> Vec<usize> {
                let along = b * size..((b + 1) * size).min(dims[axis]);
                along.map(|k| (o * dims[axis] + k) * inner + i).collect()
            };
            let all = (0..outer).flat_map(|o| (0..blocks).map(move |b| (o, b)));
            let groups = all.flat_map(|(o, b)| (0..inner).map(move |i| block(o, b, i))).collect();
            let mut scale_dims = dims.to_vec();
            scale_dims[axis] = blocks;
            (groups, scale_dims)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Sharing, encode};
    use crate::quantize::width::Width;

    fn waves(count: usize) -> Vec<f32> {
        (0..count).map(|n| (n as f32 * 0.7).sin() * (1 + n % 5) as f32).collect()
    }

    #[test]
    fn each_weight_is_within_half_a_step_or_cut_off() {
        let values = waves(60);
        for width in [Width::Int8, Width::Int4] {
            let coded = encode(&values, &[5, 12], width, Sharing::Channel(0));
            assert_eq!((coded.scales.len(), &coded.scale_dims[..]), (5, &[5][..]));
            let (lo, hi) = width.range();
            for (n, (&w, &code)) in values.iter().zip(&coded.codes).enumerate() {
                assert!((lo..=hi).contains(&code));
                let scale = coded.scales[n / 12];
                let is_cut = code == lo || code == hi;
                assert!((w - code as f32 * scale).abs() <= 0.501 * scale || is_cut, "{w} {code}");
            }
        }
    }

    #[test]
    fn blocks_of_a_dimension_have_scales_of_their_own() {
        let values = waves(2 * 7 * 3);
        let sharing = Sharing::Block { axis: 1, size: 4 };
        let coded = encode(&values, &[2, 7, 3], Width::Int4, sharing);
        assert_eq!(coded.scale_dims, [2, 2, 3]);
        let scale = |n: usize| coded.scales[(n / 21 * 2 + n / 3 % 7 / 4) * 3 + n % 3];
        let lost = |(n, &w): (usize, &f32)| (w - coded.codes[n] as f32 * scale(n)).powi(2);
        let error: f32 = values.iter().enumerate().map(lost).sum();
        assert!((f64::from(error) - coded.error).abs() < 1e-4);
        let whole = encode(&values, &[2, 7, 3], Width::Int4, Sharing::Channel(0));
        assert!(coded.error < whole.error);
    }

    #[test]
    fn zeros_have_a_scale_too() {
        let coded = encode(&[0.0; 4], &[4], Width::Int4, Sharing::Channel(0));
        assert!(coded.codes.iter().all(|&c| c == 0) && coded.scales.iter().all(|&s| s > 0.0));
    }
}
