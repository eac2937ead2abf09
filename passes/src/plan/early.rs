//! In-place execution row by row: loads that come before every store of their row.
//!
//! A load of `a` does no harm to a store to `b` in the same memory when, inside some enclosing
//! loops, it comes in an earlier statement than every store, and different iterations of these
//! loops keep to different elements.

use edgecc_ir::affine::{Affine, Interval};
use edgecc_ir::loops::{IndexId, LoopFn};

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

/// Whether the iterations of these nested loops, outermost first, touch different elements of a
/// tensor with one dimension.
fn keeps_to_rows(
    func: &LoopFn,
    rows: &[IndexId],
    loads: &[Touch<'_>],
    stores: &[Touch<'_>],
) -> bool {
    let touches = || loads.iter().chain(stores);
    if rows.is_empty() {
        return true;
    }
    if touches().any(|p| p.index.len() != 1) {
        return false;
    }
    let Some(first) = stores.first() else { return true };
    let steps: Vec<i64> = rows.iter().map(|&r| first.index[0].coefficient(r)).collect();
    let alike = |p: &Touch<'_>| {
        rows.iter().zip(&steps).all(|(&r, &step)| p.index[0].coefficient(r) == step)
    };
    let ranges = || touches().map(|p| range_without(func, p, rows));
    let low = ranges().map(|r| r.lo).min().unwrap_or(0);
    let mut reach = ranges().map(|r| r.hi).max().unwrap_or(0) - low + 1;
    let apart = rows.iter().zip(&steps).rev().all(|(&row, &step)| {
        let apart = step >= reach || func.indices[row] == 1;
        reach += step.abs() * (func.indices[row] as i64 - 1);
        apart
    });
    apart && touches().all(alike)
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
