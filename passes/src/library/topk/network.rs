//! A bitonic sorting network (Batcher 1968) over blocks of at least `k` elements, then rounds that
//! keep the better half of each pair of blocks: `O(n log² k)` steps at addresses known at compile
//! time.
//!
//! Every comparator puts the better element at the lower address, because the first step of a merge
//! compares a block with the mirror image of its neighbour.

use super::{Ranked, Rows};
use crate::library::{at, load, scratch, select};
use edgecc_ir::affine::Affine;
use edgecc_ir::loops::build::LoopBuilder;
use edgecc_ir::loops::{IndexId, ParamId};
use edgecc_ir::tensor::Scalar;
use edgecc_ir::types::ElemType;

/// Scratch memory for one row.
pub(super) struct Network {
    ranks: ParamId,
    places: ParamId,
    /// Elements of a block, a power of two.
    block: usize,
    blocks: usize,
    /// The type of positions.
    place: ElemType,
}

impl Network {
    pub(super) fn new(b: &mut LoopBuilder, rows: &Rows<'_>) -> Network {
        let block = (rows.op.k as usize).next_power_of_two();
        let blocks = rows.extent.div_ceil(block);
        let small = block * blocks <= i32::MAX as usize;
        let place = if small { ElemType::I32 } else { ElemType::I64 };
        let ranks = scratch(b, rows.rank_type(), block * blocks);
        let places = scratch(b, place, block * blocks);
        Network { ranks, places, block, blocks, place }
    }

    /// Sorts one row and stores its first elements.
    pub(super) fn row(&self, b: &mut LoopBuilder, rows: &Rows<'_>, row: [IndexId; 2]) {
        self.fill(b, rows, row);
        let mut size = 2;
        while size <= self.block {
            self.mirror(b, rows, size);
            self.halve(b, rows, size / 4, self.blocks);
            size *= 2;
        }
        let mut blocks = self.blocks;
        while blocks > 1 {
            self.keep_better(b, rows, blocks);
            blocks = blocks.div_ceil(2);
            self.halve(b, rows, self.block / 2, blocks);
        }
        b.for_each(rows.op.k as usize, |b, n| {
            let place = load(b, self.places, vec![at(n)]);
            rows.store(b, row, n, place);
        });
    }

    /// Copies the row; the rest of the last block comes after it.
    fn fill(&self, b: &mut LoopBuilder, rows: &Rows<'_>, row: [IndexId; 2]) {
        b.for_each(rows.extent, |b, j| {
            let (rank, place) = (rows.rank(b, row, j), b.index_value(at(j)));
            let place = b.cast(self.place, place);
            self.store(b, at(j), Ranked { rank, place });
        });
        let rest = self.block * self.blocks - rows.extent;
        if rest == 0 {
            return;
        }
        let after = Scalar::from_i64(self.place, rows.extent as i64);
        let after_all =
            Ranked { rank: b.constant(rows.last_rank(), 1), place: b.constant(after, 1) };
        b.for_each(rest, |b, j| self.store(b, at(j).offset(rows.extent as i64), after_all));
    }

    /// Compares each element of blocks of `size` with its mirror image.
    fn mirror(&self, b: &mut LoopBuilder, rows: &Rows<'_>, size: usize) {
        let step = size as i64;
        b.for_each(self.block * self.blocks / size, |b, c| {
            b.for_each(size / 2, |b, p| {
                let low = Affine::scaled(c, step).add_scaled(&at(p), 1);
                let high = Affine::scaled(c, step).add_scaled(&at(p), -1).offset(step - 1);
                self.exchange(b, rows, low, high);
            });
        });
    }

    /// Compares elements at distances `half`, `half / 2`, …, 1 in the first blocks.
    fn halve(&self, b: &mut LoopBuilder, rows: &Rows<'_>, half: usize, blocks: usize) {
        let mut half = half;
        while half > 0 {
            let step = half as i64;
            b.for_each(self.block * blocks / (2 * half), |b, c| {
                b.for_each(half, |b, p| {
                    let low = Affine::scaled(c, 2 * step).add_scaled(&at(p), 1);
                    self.exchange(b, rows, low.clone(), low.offset(step));
                });
            });
            half /= 2;
        }
    }

    /// Puts the better half of blocks `2·c` and `2·c + 1`, both sorted, into block `c`, which has
    /// been read by then; a last block without a partner moves.
    fn keep_better(&self, b: &mut LoopBuilder, rows: &Rows<'_>, blocks: usize) {
        let step = self.block as i64;
        b.for_each(blocks / 2, |b, c| {
            b.for_each(self.block, |b, p| {
                let pair = Affine::scaled(c, 2 * step);
                let first = self.load(b, pair.add_scaled(&at(p), 1));
                let second = self.load(b, pair.add_scaled(&at(p), -1).offset(2 * step - 1));
                let swap = rows.precedes(b, second, first);
                let better = choose(b, swap, second, first);
                self.store(b, Affine::scaled(c, step).add_scaled(&at(p), 1), better);
            });
        });
        if blocks % 2 == 1 {
            b.for_each(self.block, |b, p| {
                let last = self.load(b, at(p).offset((blocks as i64 - 1) * step));
                self.store(b, at(p).offset((blocks / 2) as i64 * step), last);
            });
        }
    }

    fn exchange(
        &self,
        b: &mut LoopBuilder,
        rows: &Rows<'_>,
        low: Affine<IndexId>,
        high: Affine<IndexId>,
    ) {
        let (first, second) = (self.load(b, low.clone()), self.load(b, high.clone()));
        let swap = rows.precedes(b, second, first);
        let (better, worse) = (choose(b, swap, second, first), choose(b, swap, first, second));
        self.store(b, low, better);
        self.store(b, high, worse);
    }

    fn load(&self, b: &mut LoopBuilder, from: Affine<IndexId>) -> Ranked {
        let rank = load(b, self.ranks, vec![from.clone()]);
        Ranked { rank, place: load(b, self.places, vec![from]) }
    }

    fn store(&self, b: &mut LoopBuilder, to: Affine<IndexId>, element: Ranked) {
        b.store(self.ranks, vec![to.clone()], element.rank, 1);
        b.store(self.places, vec![to], element.place, 1);
    }
}

fn choose(
    b: &mut LoopBuilder,
    condition: edgecc_ir::loops::ValueId,
    then: Ranked,
    otherwise: Ranked,
) -> Ranked {
    let rank = select(b, condition, then.rank, otherwise.rank);
    Ranked { rank, place: select(b, condition, then.place, otherwise.place) }
}
