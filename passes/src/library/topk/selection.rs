//! One pass over the row per result: the best of the elements that come after the last result.

use super::{Ranked, Rows};
use crate::library::{int, select};
use edgecc_ir::loops::IndexId;
use edgecc_ir::loops::build::LoopBuilder;
use edgecc_ir::scalar::func::ScalarFn;

pub(super) fn row(b: &mut LoopBuilder, rows: &Rows<'_>, row: [IndexId; 2]) {
    let before_all = [b.constant(rows.first_rank(), 1), int(b, -1)];
    b.for_carried(rows.op.k as usize, &before_all, |b, n, last| {
        let last = Ranked { rank: last[0], place: last[1] };
        let after_all = [b.constant(rows.last_rank(), 1), int(b, rows.extent as i64)];
        let best = b.for_carried(rows.extent, &after_all, |b, j, best| {
            let best = Ranked { rank: best[0], place: best[1] };
            let here = Ranked { rank: rows.rank(b, row, j), place: b.index_value(super::at(j)) };
            let left = rows.precedes(b, last, here);
            let better = rows.precedes(b, here, best);
            let taken = b.apply(ScalarFn::And, &[left, better]);
            vec![select(b, taken, here.rank, best.rank), select(b, taken, here.place, best.place)]
        });
        rows.store(b, row, n, best[1]);
        best
    });
}
