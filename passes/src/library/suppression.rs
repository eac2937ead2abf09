//! `non_max_suppression`: for each batch and class, the best remaining box until none is left.
//!
//! Scratch memory holds the scores of the boxes that may still be selected, `−∞` for the others.

use super::overlap::{Area, overlap};
use super::{at, clear, int, load, params, scratch, select, types, when};
use edgecc_ir::affine::Affine;
use edgecc_ir::graph::ops::NonMaxSuppression;
use edgecc_ir::kernel::Kernel;
use edgecc_ir::loops::build::LoopBuilder;
use edgecc_ir::loops::{IndexId, ParamId, ValueId};
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::tensor::Scalar;
use edgecc_ir::types::{ElemType, TensorType};

/// The operands, and what is read once.
struct Search {
    boxes: ParamId,
    scores: ParamId,
    rows: ParamId,
    left: ParamId,
    count_limit: ValueId,
    overlap_limit: ValueId,
    score_limit: ValueId,
    centred: bool,
    /// Number of boxes.
    extent: usize,
    /// Number of rows.
    bound: usize,
}

pub(super) fn lower(b: &mut LoopBuilder, op: &NonMaxSuppression, kernel: &Kernel) {
    let [boxes, scores, count, overlap, score, rows, found] = types::<7>(kernel);
    let [batches, classes, extent] = [0, 1, 2].map(|d| scores.shape[d]);
    let bound = rows.shape[0];
    let [count, overlap, score] = [count, overlap, score].map(|t| TensorType::new(t.elem, &[1]));
    let all = [boxes, scores, count, overlap, score, rows, found];
    let [boxes, scores, count, overlap, score, rows, found] = params(b, kernel, all);
    let left = scratch(b, ElemType::F32, extent);
    clear(b, rows);
    let [count_limit, overlap_limit, score_limit] =
        [count, overlap, score].map(|p| load(b, p, vec![Affine::constant(0)]));
    let (centred, per_class) = (op.centred, op.per_class as usize);
    let search = Search {
        boxes,
        scores,
        rows,
        left,
        count_limit,
        overlap_limit,
        score_limit,
        centred,
        extent,
        bound,
    };
    let none = int(b, 0);
    let total = b.for_carried(batches, &[none], |b, batch, total| {
        b.for_carried(classes, total, |b, class, total| {
            search.start(b, [batch, class]);
            vec![search.class(b, [batch, class], per_class, total[0])]
        })
    });
    b.store(found, vec![], total[0], 1);
}

fn nothing(b: &mut LoopBuilder) -> ValueId {
    b.constant(Scalar::f32(f32::NEG_INFINITY), 1)
}

impl Search {
    /// Keeps the scores that exceed the limit.
    fn start(&self, b: &mut LoopBuilder, [batch, class]: [IndexId; 2]) {
        b.for_each(self.extent, |b, i| {
            let score = load(b, self.scores, vec![at(batch), at(class), at(i)]);
            let usable = b.apply(ScalarFn::Lt, &[self.score_limit, score]);
            let nothing = nothing(b);
            let kept = select(b, usable, score, nothing);
            b.store(self.left, vec![at(i)], kept, 1);
        });
    }

    /// Selects boxes of one class; the number of rows in use, before and after.
    fn class(
        &self,
        b: &mut LoopBuilder,
        class: [IndexId; 2],
        per_class: usize,
        total: ValueId,
    ) -> ValueId {
        let more = b.constant(Scalar::bool(true), 1);
        let results = b.for_carried(per_class, &[total, more], |b, n, state| {
            let (total, more) = (state[0], state[1]);
            when(b, more, &[total, more], |b| {
                let (score, place) = self.best(b);
                let (nothing, number) = (nothing(b), b.index_value(at(n)));
                let exists = b.apply(ScalarFn::Lt, &[nothing, score]);
                let allowed = b.apply(ScalarFn::Lt, &[number, self.count_limit]);
                let selected = b.apply(ScalarFn::And, &[exists, allowed]);
                let next = when(b, selected, &[total], |b| {
                    self.take(b, class, place, total);
                    let one = int(b, 1);
                    vec![b.apply(ScalarFn::Add, &[total, one])]
                });
                vec![next[0], selected]
            })
        });
        results[0]
    }

    /// The best remaining score and the first position that has it.
    fn best(&self, b: &mut LoopBuilder) -> (ValueId, ValueId) {
        let init = [nothing(b), int(b, 0)];
        let best = b.for_carried(self.extent, &init, |b, i, best| {
            let score = load(b, self.left, vec![at(i)]);
            let (better, place) = (b.apply(ScalarFn::Lt, &[best[0], score]), b.index_value(at(i)));
            vec![select(b, better, score, best[0]), select(b, better, place, best[1])]
        });
        (best[0], best[1])
    }

    /// Stores the row of a box, and removes the box and all that it overlaps.
    fn take(&self, b: &mut LoopBuilder, class: [IndexId; 2], place: ValueId, total: ValueId) {
        let row = b.index(self.bound, total);
        let [batch_value, class_value] = class.map(|i| b.index_value(at(i)));
        for (column, value) in [batch_value, class_value, place].into_iter().enumerate() {
            b.store(self.rows, vec![at(row), Affine::constant(column as i64)], value, 1);
        }
        let best = b.index(self.extent, place);
        let area = Area::load(b, self.boxes, [class[0], best], self.centred);
        b.for_each(self.extent, |b, i| {
            let other = Area::load(b, self.boxes, [class[0], i], self.centred);
            let (share, here) = (overlap(b, area, other), b.index_value(at(i)));
            let covered = b.apply(ScalarFn::Lt, &[self.overlap_limit, share]);
            let itself = b.apply(ScalarFn::Eq, &[here, place]);
            let removed = b.apply(ScalarFn::Or, &[covered, itself]);
            let (score, nothing) = (load(b, self.left, vec![at(i)]), nothing(b));
            let score = select(b, removed, nothing, score);
            b.store(self.left, vec![at(i)], score, 1);
        });
    }
}

#[cfg(test)]
mod tests {
    use crate::library::testing::check;
    use edgecc_ir::graph::ops::OpTag;

    #[test]
    fn selections_are_those_of_the_evaluator() {
        check(OpTag::NonMaxSuppression, 200);
    }
}
