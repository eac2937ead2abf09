//! Splits the loop over a parallel axis into full tiles, a remainder, and borders.

use super::Cx;
use edgecc_ir::affine::{Affine, Interval};
use edgecc_ir::kernel::{AxisId, Outside};

/// `count` tiles of `size` points from `start`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) start: usize,
    pub(super) count: usize,
    pub(super) size: usize,
}

/// Borders of up to this many points become straight code, longer ones a loop with tests.
const STRAIGHT_BORDER: usize = 4;

/// The segments of an axis, ascending; together they cover `0..extent` once.
pub(super) fn segments(cx: &Cx<'_>, axis: AxisId) -> Vec<Segment> {
    let extent = cx.kernel.extent(axis);
    let (lo, hi) = if cx.schedule.peel.contains(&axis) { interior(cx, axis) } else { (0, extent) };
    let mut all = border(0, lo);
    all.extend(tiles(lo, hi, cx.schedule.tile_of(axis) as usize));
    all.extend(border(hi, extent));
    all
}

fn tiles(lo: usize, hi: usize, size: usize) -> impl Iterator<Item = Segment> {
    let (count, rest) = ((hi - lo) / size, (hi - lo) % size);
    let full = Segment { start: lo, count, size };
    let remainder = Segment { start: lo + count * size, count: 1, size: rest };
    [full, remainder].into_iter().filter(|s| s.count > 0 && s.size > 0)
}

fn border(lo: usize, hi: usize) -> Vec<Segment> {
    if hi - lo > STRAIGHT_BORDER {
        return vec![Segment { start: lo, count: hi - lo, size: 1 }];
    }
    (lo..hi).map(|start| Segment { start, count: 1, size: 1 }).collect()
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
    use super::{Segment, border, tiles};

    #[test]
    fn tiles_leave_a_remainder() {
        let all: Vec<Segment> = tiles(1, 12, 4).collect();
        let full = Segment { start: 1, count: 2, size: 4 };
        assert_eq!(all, [full, Segment { start: 9, count: 1, size: 3 }]);
    }

    #[test]
    fn wide_borders_are_loops() {
        assert_eq!(border(0, 9), [Segment { start: 0, count: 9, size: 1 }]);
        assert_eq!(border(5, 7).len(), 2);
    }
}
