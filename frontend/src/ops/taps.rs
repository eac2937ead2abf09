//! Where the elements of a resampled dimension come from: coordinates, neighbours and weights.
//!
//! Coordinates are computed in `f32`, as the model's scales are, so that ties round as they do in
//! other engines.

/// A dimension that is resampled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dim {
    /// Elements before.
    pub extent: usize,
    /// Elements after.
    pub count: usize,
    /// Elements after over elements before; their product with `extent` need not be whole.
    pub scale: f32,
    /// The first and the last position of `Transform::Crop`, as parts of the dimension.
    pub roi: [f32; 2],
}

/// `coordinate_transformation_mode` of ONNX's `Resize`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transform {
    HalfPixel,
    HalfPixelSymmetric,
    HalfPixelOrFirst,
    HalfPixelForNearest,
    AlignCorners,
    Asymmetric,
    Crop,
}

/// How a coordinate between two positions is rounded: `nearest_mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rounding {
    PreferFloor,
    PreferCeil,
    Floor,
    Ceil,
}

/// The shape of the interpolation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Filter {
    /// Between two neighbours.
    Linear,
    /// Through four neighbours with this slope (Keys, "Cubic convolution interpolation for digital
    /// image processing").
    Cubic(f32),
}

/// What becomes of neighbours.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Edges {
    /// The filter widens with the distance of the results.
    pub antialias: bool,
    /// Neighbours outside have no weight; otherwise they repeat the outermost element.
    pub exclude_outside: bool,
}

/// One neighbour of each result: its position, and its weight.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tap {
    pub positions: Vec<i64>,
    pub weights: Vec<f32>,
}

impl Transform {
    /// The transform with ONNX's name for it.
    pub(super) fn from_name(name: &str) -> Option<Transform> {
        Some(match name {
            "half_pixel" => Transform::HalfPixel,
            "half_pixel_symmetric" => Transform::HalfPixelSymmetric,
            "pytorch_half_pixel" => Transform::HalfPixelOrFirst,
            "tf_half_pixel_for_nn" => Transform::HalfPixelForNearest,
            "align_corners" => Transform::AlignCorners,
            "asymmetric" => Transform::Asymmetric,
            "tf_crop_and_resize" => Transform::Crop,
            _ => return None,
        })
    }

    /// The coordinate of each result before the resampling.
    pub(super) fn coordinates(self, dim: Dim) -> Vec<f32> {
        (0..dim.count).map(|i| self.coordinate(dim, i as f32)).collect()
    }

    fn coordinate(self, dim: Dim, i: f32) -> f32 {
        let (last, length) = (dim.extent as f32 - 1.0, dim.scale * dim.extent as f32);
        let half_pixel = (i + 0.5) / dim.scale - 0.5;
        let [start, end] = dim.roi;
        match self {
            Transform::HalfPixel => half_pixel,
            Transform::HalfPixelSymmetric => {
                dim.extent as f32 / 2.0 * (1.0 - dim.count as f32 / length) + half_pixel
            }
            Transform::HalfPixelOrFirst if length <= 1.0 => 0.0,
            Transform::HalfPixelOrFirst => half_pixel,
            Transform::HalfPixelForNearest => (i + 0.5) / dim.scale,
            Transform::AlignCorners if length == 1.0 => 0.0,
            Transform::AlignCorners => i * last / (length - 1.0),
            Transform::Asymmetric => i / dim.scale,
            Transform::Crop if dim.count == 1 => 0.5 * (start + end) * last,
            Transform::Crop => start * last + i * (end - start) * last / (dim.count as f32 - 1.0),
        }
    }
}

impl Rounding {
    /// The rounding with ONNX's name for it.
    pub(super) fn from_name(name: &str) -> Option<Rounding> {
        Some(match name {
            "round_prefer_floor" => Rounding::PreferFloor,
            "round_prefer_ceil" => Rounding::PreferCeil,
            "floor" => Rounding::Floor,
            "ceil" => Rounding::Ceil,
            _ => return None,
        })
    }

    /// The nearest position in `0..extent`.
    pub(super) fn position(self, x: f32, extent: usize) -> i64 {
        let rounded = match self {
            Rounding::PreferFloor => (x - 0.5).ceil(),
            Rounding::PreferCeil => (x + 0.5).floor(),
            Rounding::Floor => x.floor(),
            Rounding::Ceil => x.ceil(),
        };
        (rounded as i64).clamp(0, extent as i64 - 1)
    }
}

impl Filter {
    /// The neighbours of all coordinates; those that never count are left out.
    pub(super) fn taps(self, coordinates: &[f32], dim: Dim, edges: Edges) -> Vec<Tap> {
        let shrink = if edges.antialias { f64::from(dim.scale).min(1.0) } else { 1.0 };
        let first = (-self.support() / shrink).floor() as i64 + 1;
        let rows: Vec<Vec<f64>> = coordinates
            .iter()
            .map(|&x| self.weights(x, first, shrink, dim.extent, edges))
            .collect();
        let tap = |n: usize| {
            let position = |x: &f32| x.floor() as i64 + first + n as i64;
            Tap {
                positions: coordinates
                    .iter()
                    .map(|x| position(x).clamp(0, dim.extent as i64 - 1))
                    .collect(),
                weights: rows.iter().map(|row| row[n] as f32).collect(),
            }
        };
        let counts = |n: &usize| rows.iter().any(|row| row[*n] != 0.0);
        let all = (0..(2 - 2 * first) as usize).filter(counts).collect::<Vec<usize>>();
        if all.is_empty() { vec![tap(0)] } else { all.into_iter().map(tap).collect() }
    }

    fn weights(self, x: f32, first: i64, shrink: f64, extent: usize, edges: Edges) -> Vec<f64> {
        let (base, ratio) = (x.floor() as i64, f64::from(x - x.floor()));
        let positions = first..=1 - first;
        let mut weights: Vec<f64> =
            positions.clone().map(|n| self.value(((n as f64 - ratio) * shrink).abs())).collect();
        if edges.exclude_outside {
            for (n, weight) in positions.zip(&mut weights) {
                if !(0..extent as i64).contains(&(base + n)) {
                    *weight = 0.0;
                }
            }
        }
        let sum: f64 = weights.iter().sum();
        if sum != 0.0 && (edges.exclude_outside || shrink < 1.0) {
            weights.iter_mut().for_each(|w| *w /= sum);
        }
        weights
    }

    /// Half the width outside of which the filter is zero.
    fn support(self) -> f64 {
        match self {
            Filter::Linear => 1.0,
            Filter::Cubic(_) => 2.0,
        }
    }

    fn value(self, x: f64) -> f64 {
        match self {
            Filter::Linear => (1.0 - x).max(0.0),
            Filter::Cubic(a) => cubic(f64::from(a), x),
        }
    }
}

fn cubic(a: f64, x: f64) -> f64 {
    if x <= 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::{Dim, Edges, Filter, Rounding, Transform};

    fn dim(extent: usize, count: usize) -> Dim {
        Dim { extent, count, scale: count as f32 / extent as f32, roi: [0.0, 1.0] }
    }

    #[test]
    fn halves_round_to_the_preferred_side() {
        let all = [Rounding::PreferFloor, Rounding::PreferCeil, Rounding::Floor, Rounding::Ceil];
        assert_eq!(all.map(|r| r.position(1.5, 9)), [1, 2, 1, 2]);
        assert_eq!(all.map(|r| r.position(1.75, 9)), [2, 2, 1, 2]);
        assert_eq!(all.map(|r| r.position(8.75, 9)), [8, 8, 8, 8]);
    }

    #[test]
    fn corners_are_aligned() {
        let x = Transform::AlignCorners.coordinates(dim(3, 5));
        assert_eq!(x, [0.0, 0.5, 1.0, 1.5, 2.0]);
        assert_eq!(Transform::HalfPixel.coordinates(dim(2, 4)), [-0.25, 0.25, 0.75, 1.25]);
    }

    #[test]
    fn a_point_between_two_elements_takes_from_both() {
        let taps = Filter::Linear.taps(&[0.25, 1.5], dim(3, 2), Edges::default());
        assert_eq!([&taps[0].positions, &taps[1].positions], [&[0, 1], &[1, 2]]);
        assert_eq!([&taps[0].weights, &taps[1].weights], [&[0.75, 0.5], &[0.25, 0.5]]);
    }

    #[test]
    fn weights_sum_to_one() {
        for antialias in [false, true] {
            for exclude_outside in [false, true] {
                let edges = Edges { antialias, exclude_outside };
                let coordinates = Transform::HalfPixel.coordinates(dim(10, 3));
                let taps = Filter::Cubic(-0.75).taps(&coordinates, dim(10, 3), edges);
                for result in 0..3 {
                    let sum: f32 = taps.iter().map(|tap| tap.weights[result]).sum();
                    assert!((sum - 1.0).abs() < 1e-6, "{sum}");
                }
            }
        }
    }

    #[test]
    fn neighbours_that_never_count_are_left_out() {
        let taps = Filter::Cubic(-0.5).taps(&[0.0, 1.0, 2.0], dim(3, 3), Edges::default());
        assert_eq!(taps.len(), 1);
        assert_eq!(taps[0].positions, [0, 1, 2]);
    }
}
