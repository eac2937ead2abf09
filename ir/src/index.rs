//! Walks over row-major boxes: indices in order, and strided copies of elements.

use crate::types::Shape;
use smallvec::{SmallVec, smallvec};

/// Positions `offset + Σ strides[d]·index[d]` of the points of a box, in elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walk {
    /// Position of index 0.
    pub offset: i64,
    /// Step along each dimension of the box.
    pub strides: SmallVec<[i64; 8]>,
}

/// Consecutive points of two walks along their innermost dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Number of points.
    pub len: usize,
    /// Position of the first point in the first walk.
    pub from: i64,
    /// Step in the first walk.
    pub from_stride: i64,
    /// Position of the first point in the second walk.
    pub to: i64,
    /// Step in the second walk.
    pub to_stride: i64,
}

impl Walk {
    /// The positions of all elements of a dense tensor.
    #[must_use]
    pub fn dense(shape: &Shape) -> Walk {
        Walk { offset: 0, strides: shape.strides().iter().map(|&s| s as i64).collect() }
    }
}

impl Row {
    /// The same row further on in both walks.
    #[must_use]
    pub fn shifted(self, from: i64, to: i64) -> Row {
        Row { from: self.from + from, to: self.to + to, ..self }
    }

    /// The positions of the points in both walks; all are positive once bounds are checked.
    pub fn points(self) -> impl Iterator<Item = (usize, usize)> {
        (0..self.len as i64).map(move |i| {
            ((self.from + i * self.from_stride) as usize, (self.to + i * self.to_stride) as usize)
        })
    }
}

/// Calls `visit` with each index of the box `extents`, last dimension fastest.
pub fn for_each_index(extents: &[usize], mut visit: impl FnMut(&[usize])) {
    if extents.contains(&0) {
        return;
    }
    let mut index: SmallVec<[usize; 8]> = smallvec![0; extents.len()];
    loop {
        visit(&index);
        let Some(d) = (0..extents.len()).rev().find(|&d| index[d] + 1 < extents[d]) else {
            return;
        };
        index[d] += 1;
        index[d + 1..].fill(0);
    }
}

/// Calls `visit` with rows that cover two walks over the box `extents` in row-major order.
pub fn for_each_row(extents: &[usize], from: &Walk, to: &Walk, mut visit: impl FnMut(Row)) {
    let dims = merged(extents, from, to);
    let Some((last, outer)) = dims.split_last() else {
        return visit(Row {
            len: 1,
            from: from.offset,
            from_stride: 0,
            to: to.offset,
            to_stride: 0,
        });
    };
    let outer_extents: SmallVec<[usize; 8]> = outer.iter().map(|d| d.extent).collect();
    if last.extent == 0 {
        return;
    }
    for_each_index(&outer_extents, |index| {
        let at = |offset: i64, stride: fn(&Dim) -> i64| {
            index.iter().zip(outer).fold(offset, |sum, (&i, d)| sum + i as i64 * stride(d))
        };
        visit(Row {
            len: last.extent,
            from: at(from.offset, |d| d.from),
            from_stride: last.from,
            to: at(to.offset, |d| d.to),
            to_stride: last.to,
        });
    });
}

/// Copies the elements of a box, each `size` bytes (1, 2, 4 or 8), between two byte buffers.
///
/// # Panics
/// When a walk leaves its buffer.
pub fn copy_box(
    extents: &[usize],
    size: usize,
    (source, from): (&[u8], &Walk),
    (target, to): (&mut [u8], &Walk),
) {
    for_each_row(extents, from, to, |row| {
        if row.from_stride == 1 && row.to_stride == 1 {
            let (from, to, len) =
                (row.from as usize * size, row.to as usize * size, row.len * size);
            return target[to..to + len].copy_from_slice(&source[from..from + len]);
        }
        match size {
            1 => copy_row::<1>(row, source, target),
            2 => copy_row::<2>(row, source, target),
            4 => copy_row::<4>(row, source, target),
            8 => copy_row::<8>(row, source, target),
            _ => unreachable!("elements have 1, 2, 4 or 8 bytes, not {size}"),
        }
    });
}

fn copy_row<const SIZE: usize>(row: Row, source: &[u8], target: &mut [u8]) {
    let (source, _) = source.as_chunks::<SIZE>();
    let (target, _) = target.as_chunks_mut::<SIZE>();
    for (from, to) in row.points() {
        target[to] = source[from];
    }
}

/// A dimension of two walks.
#[derive(Clone, Copy)]
struct Dim {
    extent: usize,
    from: i64,
    to: i64,
}

/// The dimensions without those of extent 1, and with neighbours joined where both walks continue
/// across them.
fn merged(extents: &[usize], from: &Walk, to: &Walk) -> SmallVec<[Dim; 8]> {
    let mut dims: SmallVec<[Dim; 8]> = SmallVec::new();
    for (d, &extent) in extents.iter().enumerate().filter(|&(_, &e)| e != 1) {
        let dim = Dim { extent, from: from.strides[d], to: to.strides[d] };
        match dims.last_mut() {
            Some(outer) if continues(outer, &dim) => {
                *outer = Dim { extent: outer.extent * extent, ..dim };
            }
            _ => dims.push(dim),
        }
    }
    dims
}

fn continues(outer: &Dim, inner: &Dim) -> bool {
    let extent = inner.extent as i64;
    outer.from == inner.from * extent && outer.to == inner.to * extent
}

#[cfg(test)]
mod tests {
    use super::{Walk, copy_box, for_each_index, for_each_row};
    use crate::types::Shape;
    use smallvec::smallvec;

    #[test]
    fn indices_are_visited_in_row_major_order() {
        let mut seen = Vec::new();
        for_each_index(&[2, 1, 2], |i| seen.push(i.to_vec()));
        assert_eq!(seen, [[0, 0, 0], [0, 0, 1], [1, 0, 0], [1, 0, 1]]);
    }

    #[test]
    fn a_scalar_has_one_index_and_an_empty_box_none() {
        let count = |extents: &[usize]| {
            let mut count = 0;
            for_each_index(extents, |_| count += 1);
            count
        };
        assert_eq!((count(&[]), count(&[3, 0]), count(&[0, 3])), (1, 0, 0));
    }

    #[test]
    fn dense_walks_join_into_one_row() {
        let dense = Walk::dense(&Shape::new(&[2, 3, 4]));
        let mut rows = Vec::new();
        for_each_row(&[2, 3, 4], &dense, &dense, |r| rows.push(r.len));
        assert_eq!(rows, [24]);
    }

    #[test]
    fn a_reversed_walk_copies_backwards() {
        let mut out = [0; 3];
        let back = Walk { offset: 2, strides: smallvec![-1] };
        copy_box(&[3], 1, (&[1, 2, 3], &back), (&mut out, &Walk::dense(&Shape::new(&[3]))));
        assert_eq!(out, [3, 2, 1]);
    }
}
