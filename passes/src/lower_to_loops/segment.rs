//! Splits the loop over a parallel axis into full tiles, those at borders apart, and a remainder.

use super::Cx;
use edgecc_ir::affine::{Affine, Interval};
use edgecc_ir::kernel::{AxisId, Outside};
use std::ops::Range;

/// `count` tiles of `size` points from `start`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) start: usize,
    pub(super) count: usize,
    pub(super) size: usize,
}

/// So many tiles of a border become straight code; more of them a loop with tests.
const STRAIGHT_BORDER: usize = 4;

/// The segments of an axis, ascending, for stages that share it; together they cover `0..extent`
/// once. Along a peeled axis no segment has both tiles of the border and tiles of the interior.
pub(super) fn segments(all: &[Cx<'_>], axis: AxisId) -> Vec<Segment> {
    let cx = &all[0];
    let (extent, size) = (cx.kernel.extent(axis), cx.schedule.tile_of(axis) as usize);
    match cx.schedule.peel.contains(&axis) {
        true => {
            let interiors = all.iter().map(|cx| interior(cx, axis));
            let common = interiors.fold((0, extent), |a, b| (a.0.max(b.0), a.1.min(b.1)));
            peeled(extent, size, if common.0 < common.1 { common } else { (extent, extent) })
        }
        false => peeled(extent, size, (0, extent)),
    }
}

/// Tiles of `0..extent` with those inside `lo..hi` apart from the others.
fn peeled(extent: usize, size: usize, (lo, hi): (usize, usize)) -> Vec<Segment> {
    let count = extent / size;
    let (first, last) = (lo.div_ceil(size).min(count), (hi / size).min(count));
    let interior =
        (last > first).then(|| Segment { start: first * size, count: last - first, size });
    let mut all = border(0..first, size);
    all.extend(interior);
    all.extend(border(last.max(first)..count, size));
    let rest = extent % size;
    all.extend((rest > 0).then_some(Segment { start: extent - rest, count: 1, size: rest }));
    all
}

fn border(tiles: Range<usize>, size: usize) -> Vec<Segment> {
    match tiles.len() {
        0 => Vec::new(),
        1..=STRAIGHT_BORDER => tiles.map(|n| Segment { start: n * size, count: 1, size }).collect(),
        count => vec![Segment { start: tiles.start * size, count, size }],
    }
}

/// The points of `axis` at which no padded read leaves its operand through a dimension that moves
/// with the axis, whatever the reduce axes are; empty ranges are `(extent, extent)`.
fn interior(cx: &Cx<'_>, axis: AxisId) -> (usize, usize) {
    let extent = cx.kernel.extent(axis) as i64;
    let (mut lo, mut hi) = (0, extent);
    for read in cx.stage.all_reads().filter(|r| r.outside != Outside::Never) {
        for (index, &size) in read.index.iter().zip(cx.shape(read).iter()) {
            let Some(index) = index.affine() else { continue };
            let step = index.coefficient(axis);
            if step > 0 {
                let rest = rest_range(cx, index, axis);
                lo = lo.max((-rest.lo + step - 1).div_euclid(step));
                hi = hi.min((size as i64 - 1 - rest.hi).div_euclid(step) + 1);
            }
        }
    }
    if lo >= hi { (extent as usize, extent as usize) } else { (lo as usize, hi as usize) }
}

fn rest_range(cx: &Cx<'_>, index: &Affine<AxisId>, axis: AxisId) -> Interval {
    let rest = index.clone().plus(axis, -index.coefficient(axis));
    rest.interval(|a| Interval::below(cx.kernel.extent(a)))
}

#[cfg(test)]
mod tests {
    use super::{Segment, peeled};

    fn parts(extent: usize, size: usize, interior: (usize, usize)) -> Vec<[usize; 3]> {
        let all = peeled(extent, size, interior);
        all.into_iter().map(|Segment { start, count, size }| [start, count, size]).collect()
    }

    #[test]
    fn tiles_leave_a_remainder() {
        assert_eq!(parts(11, 4, (0, 11)), [[0, 2, 4], [8, 1, 3]]);
        assert_eq!(parts(3, 3, (0, 3)), [[0, 1, 3]]);
    }

    #[test]
    fn tiles_that_touch_the_border_stand_alone() {
        assert_eq!(parts(14, 4, (1, 13)), [[0, 1, 4], [4, 2, 4], [12, 1, 2]]);
        assert_eq!(parts(8, 8, (1, 7)), [[0, 1, 8]]);
        assert_eq!(parts(12, 4, (12, 12)), [[0, 1, 4], [4, 1, 4], [8, 1, 4]]);
    }

    #[test]
    fn wide_borders_are_loops() {
        assert_eq!(parts(20, 2, (10, 20)), [[0, 5, 2], [10, 5, 2]]);
    }
}
