//! Indices as numbers: affine functions, guards, computed indices.

use super::Selector;
use crate::wide::row::Op;
use edgecc_ir::affine::Affine;
use edgecc_ir::loops::{Guard, IndexId, ValueId};
use regalloc2::VReg;

impl Selector<'_> {
    /// An affine function of kept indices.
    pub(super) fn affine(&mut self, expr: &Affine<IndexId>) -> VReg {
        let mut sum = None;
        for &(index, coefficient) in expr.terms() {
            let value = self.indices[index].expect("indices of guards and values are kept");
            let term = self.scaled(value, coefficient);
            sum = Some(sum.map_or(term, |sum| self.tied(Op::Add, sum, term)));
        }
        match sum {
            Some(sum) => self.offset(sum, expr.constant),
            None => self.number(expr.constant),
        }
    }

    /// `0 <= expr < extent` in one unsigned comparison.
    pub(super) fn compare_guard(&mut self, guard: &Guard) {
        let value = self.affine(&guard.expr);
        self.compare_with(value, guard.extent as i64);
    }

    /// Clamps the value and starts the pointers that depend on it.
    pub(super) fn computed_index(&mut self, index: IndexId, value: ValueId) {
        let raw = self.take(value);
        let clamped = self.clamped(raw, 0, self.func.indices[index] as i64 - 1);
        self.indices[index] = Some(clamped);
        for pointer in self.plan.of_index[index].clone() {
            self.start_pointer(pointer, None);
            let (_, stride) = *self.plan.pointers[pointer].strides.last().expect("has the index");
            let start = self.pointers[pointer].expect("just started");
            let distance = self.scaled(clamped, stride);
            self.pointers[pointer] = Some(self.tied(Op::Add, start, distance));
        }
    }
}
