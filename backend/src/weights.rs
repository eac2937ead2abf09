//! The constant tensors as one read-only blob.

use cranelift_entity::SecondaryMap;
use edgecc_ir::kernel::{ConstId, Home};
use edgecc_ir::loops::Loops;
use std::collections::BTreeMap;

/// Alignment of each constant and of the blob: a cache line.
pub(crate) const ALIGN: usize = 64;

/// Where each constant lies.
#[derive(Debug, Default)]
pub(crate) struct WeightLayout {
    /// Offset of each used constant from the start of the blob.
    pub(crate) offsets: SecondaryMap<ConstId, usize>,
    /// The constants to write, in order; equal ones once.
    order: Vec<ConstId>,
    /// Bytes of the blob.
    pub(crate) bytes: usize,
}

impl WeightLayout {
    /// The layout of the constants that a program's buffers name, in the order of the pool.
    pub(crate) fn of(loops: &Loops) -> WeightLayout {
        let mut used: SecondaryMap<ConstId, bool> = SecondaryMap::new();
        for buffer in loops.buffers.values() {
            if let Home::Const(constant) = buffer.home {
                used[constant] = true;
            }
        }
        let mut layout = WeightLayout::default();
        let mut places: BTreeMap<&[u8], usize> = BTreeMap::new();
        for (constant, tensor) in loops.consts.iter().filter(|(id, _)| used[*id]) {
            layout.offsets[constant] = *places.entry(tensor.bytes()).or_insert_with(|| {
                let place = layout.bytes.next_multiple_of(ALIGN);
                layout.bytes = place + tensor.bytes().len();
                layout.order.push(constant);
                place
            });
        }
        layout
    }

    /// The blob, with room for `more` bytes behind it.
    pub(crate) fn blob(&self, loops: &Loops, more: usize) -> Vec<u8> {
        let mut blob = Vec::with_capacity(self.bytes + more);
        for &constant in &self.order {
            blob.resize(self.offsets[constant], 0);
            blob.extend_from_slice(loops.consts[constant].bytes());
        }
        blob
    }
}
