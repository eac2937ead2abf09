//! The memory plan: where each arena buffer lives. Data only; `passes` computes and checks it.

use crate::kernel::BufferId;
use cranelift_entity::SecondaryMap;

/// Places of all arena buffers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryPlan {
    /// Size of the arena in bytes.
    pub arena_bytes: usize,
    /// Alignment of the arena and of every slot, in bytes.
    pub align: usize,
    /// The largest sum of the sizes of simultaneously live buffers: no plan can be smaller.
    pub lower_bound: usize,
    /// One slot per arena buffer that a step uses; `None` for others.
    pub slots: SecondaryMap<BufferId, Option<Slot>>,
    /// Pairs `(old, new)` in one slot: the step that writes `new` is the last one that reads `old`,
    /// and runs in place.
    pub shared: Vec<(BufferId, BufferId)>,
}

/// A range of the arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot {
    /// Byte offset from the arena's start.
    pub offset: usize,
    /// Size in bytes.
    pub bytes: usize,
}
