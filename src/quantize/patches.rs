//! The elements of a layer's input that one of its results depends on.

use edgecc_frontend::quantize::{Layer, Reach, Window};
use edgecc_ir::rng::Rng;

/// Calls `visit` with the elements that some results depend on, at most `count` and chosen by
/// `seed`, for all groups one after the other. Does nothing for layers whose reach is not described.
pub(super) fn visit(
    layer: &Layer,
    dims: &[usize],
    values: &[f32],
    (count, seed): (usize, u64),
    mut visit: impl FnMut(&[f32]),
) {
    let mut random = Rng::new(seed);
    match &layer.reach {
        Reach::Row => {
            let len = dims.last().copied().unwrap_or(1).max(1);
            for row in places(values.len() / len, count, &mut random) {
                visit(&values[row * len..][..len]);
            }
        }
        Reach::Window(window) => {
            let Some(field) = Field::new(window, dims) else { return };
            for place in places(field.places(), count, &mut random) {
                visit(&field.patch(values, place));
            }
        }
        Reach::Other => {}
    }
}

/// All places, or `count` random ones.
fn places(all: usize, count: usize, random: &mut Rng) -> Vec<usize> {
    match all <= count {
        true => (0..all).collect(),
        false => (0..count).map(|_| random.below(all)).collect(),
    }
}

/// Windows over an image `[batch, channels, ...]`.
struct Field<'a> {
    window: &'a Window,
    dims: &'a [usize],
    /// Windows in each spatial dimension.
    counts: Vec<usize>,
    /// Zeros before the first element.
    pads: Vec<usize>,
}

impl<'a> Field<'a> {
    fn new(window: &'a Window, dims: &'a [usize]) -> Option<Field<'a>> {
        let size = dims.get(2..).filter(|size| size.len() == window.kernel.len())?;
        let reach = |n: usize| (window.kernel[n] - 1) * window.dilations[n] + 1;
        let same = |n: usize| size[n].div_ceil(window.strides[n]);
        let rank = size.len();
        let counts = (0..rank).map(|n| match &window.pads {
            Some(pads) => (size[n] + 2 * pads[n]).saturating_sub(reach(n)) / window.strides[n] + 1,
            None => same(n),
        });
        let before =
            |n: usize| ((same(n) - 1) * window.strides[n] + reach(n)).saturating_sub(size[n]) / 2;
        let pads = window.pads.clone().unwrap_or_else(|| (0..rank).map(before).collect());
        Some(Field { window, dims, counts: counts.collect(), pads })
    }

    fn places(&self) -> usize {
        self.dims[0] * self.counts.iter().product::<usize>()
    }

    /// For each channel the elements under the taps, zeros outside of the image.
    fn patch(&self, values: &[f32], place: usize) -> Vec<f32> {
        let (channels, area) = (self.dims[1], self.dims[2..].iter().product::<usize>());
        let windows: usize = self.counts.iter().product();
        let taps = self.taps(place % windows);
        let image = &values[place / windows * channels * area..][..channels * area];
        let tap = |plane: &[f32], at: Option<usize>| at.map_or(0.0, |at| plane[at]);
        let planes = image.chunks_exact(area.max(1));
        planes.flat_map(|plane| taps.iter().map(move |&at| tap(plane, at))).collect()
    }

    /// The places of a window's taps in a plane, in the order of weights.
    fn taps(&self, mut window: usize) -> Vec<Option<usize>> {
        let rank = self.counts.len();
        let mut start = vec![0; rank];
        for n in (0..rank).rev() {
            start[n] = window % self.counts[n] * self.window.strides[n];
            window /= self.counts[n];
        }
        let mut taps = vec![Some(0)];
        for (n, &start) in start.iter().enumerate() {
            let at = |k: usize| (start + k * self.window.dilations[n]).checked_sub(self.pads[n]);
            let size = self.dims[2 + n];
            let along: Vec<Option<usize>> =
                (0..self.window.kernel[n]).map(|k| at(k).filter(|&at| at < size)).collect();
            let next = |tap: &Option<usize>, at: &Option<usize>| Some((*tap)? * size + (*at)?);
            taps = taps.iter().flat_map(|t| along.iter().map(move |a| next(t, a))).collect();
        }
        taps
    }
}

#[cfg(test)]
mod tests {
    use super::Field;
    use edgecc_frontend::quantize::Window;

    fn window(pads: Option<Vec<usize>>, stride: usize) -> Window {
        Window { kernel: vec![2], strides: vec![stride], dilations: vec![1], pads }
    }

    #[test]
    fn patches_are_what_weights_are_applied_to() {
        let (window, dims) = (window(Some(vec![1]), 1), [1, 2, 3]);
        let field = Field::new(&window, &dims).expect("the ranks agree");
        let values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        assert_eq!(field.places(), 4);
        assert_eq!(field.patch(&values, 0), [0.0, 1.0, 0.0, 4.0]);
        assert_eq!(field.patch(&values, 3), [3.0, 0.0, 6.0, 0.0]);
    }

    #[test]
    fn pads_that_keep_the_size_go_to_the_end_first() {
        let (window, dims) = (window(None, 2), [1, 1, 3]);
        let field = Field::new(&window, &dims).expect("the ranks agree");
        assert_eq!(field.places(), 2);
        assert_eq!(field.patch(&[1.0, 2.0, 3.0], 1), [3.0, 0.0]);
    }
}
