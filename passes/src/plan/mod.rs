//! Memory planning: places all arena buffers in one arena of nearly the least possible size.
//!
//! Reading order: `live` (lifetimes), `alias` (in-place execution), `place` (offsets); `order`
//! changes the step sequence before planning; `check` proves a plan without sharing code.

mod alias;
pub mod check;
mod live;
pub mod order;
mod place;

use cranelift_entity::SecondaryMap;
use edgecc_ir::loops::Loops;
use edgecc_ir::plan::{MemoryPlan, Slot};
use live::{Storage, peak, storages};

/// A cache line: slots start at one, so that vectors never straddle two by misalignment.
pub const ALIGN: usize = 64;

/// Plans the arena for the steps in their order; `align` is a power of two, usually `ALIGN`.
#[must_use]
pub fn plan(loops: &Loops, align: usize) -> MemoryPlan {
    let storages = storages(loops);
    let offsets = place::place(&storages, align);
    let mut slots = SecondaryMap::new();
    for (storage, &offset) in storages.iter().zip(&offsets) {
        for &buffer in &storage.buffers {
            slots[buffer] = Some(Slot { offset, bytes: storage.bytes });
        }
    }
    let ends = storages.iter().zip(&offsets).map(|(s, offset)| offset + s.bytes);
    MemoryPlan {
        arena_bytes: ends.max().unwrap_or(0).next_multiple_of(align),
        align,
        lower_bound: peak(&storages, loops.steps.len()),
        slots,
        shared: storages.iter().flat_map(replacements).collect(),
    }
}

fn replacements(
    storage: &Storage,
) -> impl Iterator<Item = (edgecc_ir::kernel::BufferId, edgecc_ir::kernel::BufferId)> + '_ {
    storage.buffers.windows(2).map(|pair| (pair[0], pair[1]))
}
