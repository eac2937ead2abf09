//! Weights at the points of the transforms, computed once, at compile time.

use super::points::{TAPS, Transform};
use super::site::Site;
use super::tiling::Tiling;
use crate::form_kernels::position;
use edgecc_ir::index::for_each_index;
use edgecc_ir::kernel::{AxisId, Kernel};
use edgecc_ir::tensor::{Scalar, Tensor};

/// The weights of a kernel's convolution as `[block of channels, point, channel of the image,
/// channel of the result in its block]`, each `G g Gᵀ` in `f64`, rounded once.
pub(super) fn transformed(
    kernel: &Kernel,
    site: &Site,
    tiling: &Tiling,
    weights: &Tensor,
) -> Tensor {
    let at = position(kernel, &kernel.stages[0].reads[site.weights]).expect("no lookups");
    let step = |axis: AxisId| at.coefficient(axis);
    let taps = site.slides.map(|s| step(s.tap));
    let values = weights.to_f32s();
    let ty = tiling.weights_type();
    let (points, from, to) = (tiling.all_points(), tiling.from, tiling.to);
    let transforms = tiling.tile.map(Transform::of);
    let mut result = vec![0.0; ty.shape.numel()];
    for_each_index(&[tiling.channel_blocks(), from, to], |index| {
        let &[block, c, k] = index else { unreachable!("three extents") };
        let channel = (block * to + k) as i64;
        let first = at.constant + step(site.to) * channel + step(site.from) * c as i64;
        let tap = |i: usize, j: usize| {
            let place = first + taps[0] * i as i64 + taps[1] * j as i64;
            f64::from(values[place as usize])
        };
        let spectrum = both_sides(&transforms, tap);
        for (point, value) in spectrum.into_iter().enumerate() {
            result[((block * points + point) * from + c) * to + k] = value as f32;
        }
    });
    Tensor::from_fn(ty, |n| Scalar::f32(result[n]))
}

/// `G g Gᵀ` in row-major order.
fn both_sides([outer, inner]: &[Transform; 2], g: impl Fn(usize, usize) -> f64) -> Vec<f64> {
    let row = |a: &Vec<f64>, j: usize| -> f64 { (0..TAPS).map(|i| a[i] * g(i, j)).sum() };
    let rows = outer.weights.iter().map(|a| [0, 1, 2].map(|j| row(a, j)));
    let point = |r: &[f64; TAPS], b: &[f64]| -> f64 { (0..TAPS).map(|j| r[j] * b[j]).sum() };
    rows.flat_map(|r| inner.weights.iter().map(move |b| point(&r, b))).collect()
}
