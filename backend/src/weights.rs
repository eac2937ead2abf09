//! The constant tensors as one read-only blob.

use cranelift_entity::SecondaryMap;
use edgecc_ir::kernel::{ConstId, Home};
use edgecc_ir::loops::Loops;
use std::collections::BTreeMap;

/// Alignment of each constant and of the blob: a cache line.
pub(crate) const ALIGN: usize = 64;

/// Where the constants of programs lie that share one blob.
#[derive(Debug, Default)]
pub(crate) struct WeightLayout {
    /// For each program, the offset of each used constant from the start of the blob.
    pub(crate) offsets: Vec<SecondaryMap<ConstId, usize>>,
    /// The constants to write, in order, by program; equal ones once.
    order: Vec<(usize, ConstId)>,
    /// Bytes of the blob.
    pub(crate) bytes: usize,
}

impl WeightLayout {
    /// The layout of the constants that the programs' buffers name, in the order of the pools.
    pub(crate) fn of(programs: &[&Loops]) -> WeightLayout {
        let mut layout = WeightLayout::default();
        let mut places: BTreeMap<&[u8], usize> = BTreeMap::new();
        for (program, loops) in programs.iter().enumerate() {
            let used = used(loops);
            let mut offsets = SecondaryMap::new();
            for (constant, tensor) in loops.consts.iter().filter(|(id, _)| used[*id]) {
                offsets[constant] = *places.entry(tensor.bytes()).or_insert_with(|| {
                    let place = layout.bytes.next_multiple_of(ALIGN);
                    layout.bytes = place + tensor.bytes().len();
                    layout.order.push((program, constant));
                    place
                });
            }
            layout.offsets.push(offsets);
        }
        layout
    }

    /// The blob, with room for `more` bytes behind it.
    pub(crate) fn blob(&self, programs: &[&Loops], more: usize) -> Vec<u8> {
        let mut blob = Vec::with_capacity(self.bytes + more);
        for &(program, constant) in &self.order {
            blob.resize(self.offsets[program][constant], 0);
            blob.extend_from_slice(programs[program].consts[constant].bytes());
        }
        blob
    }
}

fn used(loops: &Loops) -> SecondaryMap<ConstId, bool> {
    let mut used = SecondaryMap::new();
    for buffer in loops.buffers.values() {
        if let Home::Const(constant) = buffer.home {
            used[constant] = true;
        }
    }
    used
}
