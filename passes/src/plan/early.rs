//! In-place execution row by row: loads that come before every store of their row.
//!
//! A load of `a` does no harm to a store to `b` in the same memory when, inside some enclosing
//! loops, it comes in an earlier statement than every store, and different iterations of these
//! loops keep to different elements. Where a call is in parts, so do the iterations of all parts.

use edgecc_ir::affine::{Affine, Interval};
use edgecc_ir::loops::{IndexId, LoopFn, Stmt};

/// A load or store with its way down from the function's body: the position in each block, and the
/// loop that is entered there.
pub(super) struct Touch<'f> {
    pub(super) index: &'f [Affine<IndexId>],
    pub(super) lanes: u8,
    pub(super) path: Vec<(usize, Option<IndexId>)>,
}

/// Whether each of the `early` loads comes before all stores of its row. `loads` are all loads.
pub(super) fn are_early(
    func: &LoopFn,
    early: &[Touch<'_>],
    loads: &[Touch<'_>],
    stores: &[Touch<'_>],
) -> bool {
    early.iter().all(|load| {
        (0..load.path.len()).any(|depth| {
            let before = |s: &Touch<'_>| {
                s.path.len() > depth
                    && s.path[..depth] == load.path[..depth]
                    && load.path[depth].0 < s.path[depth].0
            };
            let rows: Vec<IndexId> = load.path[..depth].iter().filter_map(|p| p.1).collect();
            stores.iter().all(before) && keeps_to_rows(func, &rows, loads, stores)
        })
    })
}

/// Whether an index is the same all through a run of the function: the number of a part, or the
/// first iteration that the part does.
pub(super) fn is_fixed(func: &LoopFn, index: IndexId) -> bool {
    func.body.iter().any(|stmt| matches!(stmt, Stmt::Index { index: i, .. } if *i == index))
}

/// Whether the iterations of these nested loops, in all parts of a call, touch different elements of
/// a tensor with one dimension.
fn keeps_to_rows(
    func: &LoopFn,
    rows: &[IndexId],
    loads: &[Touch<'_>],
    stores: &[Touch<'_>],
) -> bool {
    let touches = || loads.iter().chain(stores);
    let Some(first) = stores.first() else { return true };
    let moves = first.index.iter().flat_map(Affine::terms).map(|term| term.0);
    let parts = moves.filter(|&i| is_fixed(func, i));
    let rows: Vec<IndexId> = parts.chain(rows.iter().copied()).collect();
    if rows.is_empty() {
        return true;
    }
    if touches().any(|p| p.index.len() != 1) {
        return false;
    }
    let alike = |p: &Touch<'_>| {
        rows.iter().all(|&r| p.index[0].coefficient(r) == first.index[0].coefficient(r))
    };
    let ranges = || touches().map(|p| range_without(func, p, &rows));
    let low = ranges().map(|r| r.lo).min().unwrap_or(0);
    let mut reach = ranges().map(|r| r.hi).max().unwrap_or(0) - low + 1;
    let apart = walks(func, &rows, &first.index[0]).into_iter().all(|(step, extent)| {
        let apart = step >= reach || extent == 1;
        reach += step.abs() * (extent - 1);
        apart
    });
    apart && touches().all(alike)
}

/// Steps and extents, by ascending step. A loop and the first iteration of its part have the same
/// step: together they count the rows of all parts, each of which is done once.
fn walks(func: &LoopFn, rows: &[IndexId], at: &Affine<IndexId>) -> Vec<(i64, i64)> {
    let walk = |row: IndexId| (at.coefficient(row), func.indices[row] as i64);
    let (firsts, loops): (Vec<IndexId>, Vec<IndexId>) =
        rows.iter().partition(|&&row| is_fixed(func, row));
    let mut walks: Vec<(i64, i64)> = loops.into_iter().map(walk).collect();
    for (step, extent) in firsts.into_iter().map(walk) {
        let mut same = walks.iter_mut().filter(|walk| walk.0 == step);
        match (same.next(), same.next()) {
            (Some(walk), None) => walk.1 += extent - 1,
            _ => walks.push((step, extent)),
        }
    }
    walks.sort_unstable();
    walks
}

fn range_without(func: &LoopFn, touch: &Touch<'_>, rows: &[IndexId]) -> Interval {
    let rest = rows.iter().fold(touch.index[0].clone(), |rest, &row| {
        let step = rest.coefficient(row);
        rest.plus(row, -step)
    });
    let range = rest.interval(|i| Interval::below(func.indices[i]));
    Interval { lo: range.lo, hi: range.hi + i64::from(touch.lanes) - 1 }
}

#[cfg(test)]
mod tests {
    use crate::plan::alias::runs_in_place;
    use edgecc_ir::affine::Affine;
    use edgecc_ir::loops::build::LoopBuilder;
    use edgecc_ir::loops::{IndexId, Param, ParamAccess, ParamId, VType};
    use edgecc_ir::tensor::Scalar;
    use edgecc_ir::types::{ElemType, TensorType};

    /// Three rows of four elements, each row summed before it is overwritten.
    fn in_place(
        shift: i64,
        build: impl Fn(&mut LoopBuilder, ParamId, ParamId, IndexId, i64),
    ) -> bool {
        let mut b = LoopBuilder::new("f");
        let ty = TensorType::new(ElemType::F32, &[16]);
        let x = b.param(Param { ty: ty.clone(), access: ParamAccess::Read });
        let y = b.param(Param { ty, access: ParamAccess::Write });
        b.for_each(3, |b, row| build(b, x, y, row, shift));
        runs_in_place(&b.finish(), x, y)
    }

    fn load(b: &mut LoopBuilder, x: ParamId, at: Affine<IndexId>) -> edgecc_ir::loops::ValueId {
        b.load(VType::scalar(ElemType::F32), x, vec![at], 1)
    }

    fn sum_then_store(b: &mut LoopBuilder, x: ParamId, y: ParamId, row: IndexId, shift: i64) {
        let at = |i: IndexId| Affine::scaled(row, 4).plus(i, 1);
        let first = load(b, x, Affine::scaled(row, 4).offset(shift));
        let sums = b.for_carried(4, &[first], |b, i, _| vec![load(b, x, at(i))]);
        b.for_each(4, |b, i| b.store(y, vec![at(i)], sums[0], 1));
    }

    #[test]
    fn a_row_may_be_read_before_it_is_overwritten() {
        assert!(in_place(0, sum_then_store));
    }

    #[test]
    fn a_neighbouring_row_may_not() {
        assert!(!in_place(4, sum_then_store));
        assert!(!in_place(-1, sum_then_store));
    }

    /// Rows of four elements, `run` of them in each part, the parts beginning at `first`.
    fn in_parts(run: usize, parts: usize, first: i64) -> bool {
        let mut b = LoopBuilder::new("f");
        let ty = TensorType::new(ElemType::F32, &[32]);
        let x = b.param(Param { ty: ty.clone(), access: ParamAccess::Read });
        let y = b.param(Param { ty, access: ParamAccess::Write });
        let zero = b.constant(Scalar::from_i64(ElemType::I64, 0), 1);
        let part = b.index(parts, zero);
        let row = |b: &mut LoopBuilder, from: Affine<IndexId>| {
            let at = |i: IndexId| from.clone().plus(i, 1);
            let first = load(b, x, from.clone());
            let sums = b.for_carried(4, &[first], |b, i, _| vec![load(b, x, at(i))]);
            b.for_each(4, |b, i| b.store(y, vec![at(i)], sums[0], 1));
        };
        match run {
            1 => row(&mut b, Affine::scaled(part, first)),
            _ => b.for_each(run, |b, i| row(b, Affine::scaled(part, first).plus(i, 4))),
        }
        runs_in_place(&b.finish(), x, y)
    }

    #[test]
    fn parts_may_overwrite_their_own_rows_only() {
        assert!(in_parts(1, 4, 4) && in_parts(2, 3, 8), "the parts divide the rows evenly");
        assert!(in_parts(2, 3, 4), "the last parts begin early");
        assert!(!in_parts(1, 4, 2) && !in_parts(2, 3, 6), "parts share rows");
    }

    #[test]
    fn a_load_after_the_store_may_not() {
        assert!(!in_place(0, |b, x, y, row, _| {
            let zero = load(b, x, Affine::scaled(row, 4));
            b.for_each(4, |b, i| b.store(y, vec![Affine::scaled(row, 4).plus(i, 1)], zero, 1));
            let late = load(b, x, Affine::scaled(row, 4));
            b.store(y, vec![Affine::scaled(row, 4)], late, 1);
        }));
    }
}
