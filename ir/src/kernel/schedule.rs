//! Schedules: how a kernel runs, as plain data. One schedule serves the kernel's only stage, or
//! each stage of a copy-like kernel alike.

use super::{Access, AxisId, OperandId};

/// How to run a kernel. Clauses name axes; an axis named in no clause is an ordinary loop.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Schedule {
    /// Loops over the tiles of the parallel axes, outermost first; axes missing here come first in
    /// their stage's order.
    pub order: Vec<AxisId>,
    /// Register tile: this many consecutive points of an axis are computed together, fully
    /// unrolled. A remainder gets its own, smaller tile. Along a reduce axis, which has vector lanes
    /// then, each lane of the tile has an accumulator of its own; these are combined at the end.
    pub tile: Vec<(AxisId, u32)>,
    /// Axes whose consecutive points fill a vector, and the number of lanes; one per stage at most.
    pub vector: Vec<(AxisId, u32)>,
    /// Reduce axes whose loop body is repeated this many times; the extent itself means no loop.
    pub unroll: Vec<(AxisId, u32)>,
    /// Parallel axes whose tiles at a border are apart from those in the interior, so that neither
    /// need bounds tests on padded reads: the ones know which points read the pad, the others that
    /// none does.
    pub peel: Vec<AxisId>,
    /// Parallel axes that are the rows of matrix tiles, in which the sums of a stage's dot products
    /// are then made, and the rows of such a tile. Its columns are the lanes of the vectors, and a
    /// register tile is of whole ones; the rows of the last ones may be rows of others too.
    pub matrix: Vec<(AxisId, u32)>,
    /// Operands in another order.
    pub pack: Vec<Pack>,
    /// Parallel axes whose tiles are divided among parts of the call that may run at the same time,
    /// and the number of parts, which is that of the kernel: one axis per stage at most. A stage
    /// without one is all done by the first part.
    pub parts: Vec<(AxisId, u32)>,
}

/// An operand's packed order: `[other parallel axes][axis / block][reduce axes][block]`, where only
/// axes that the access uses occur, in stage order, and the last block is filled with zeros. `block`
/// is the axis' register tile.
///
/// For a product over `k` with `tile(n:12)`, `pack(w by n)` stores `[ceil(N/12)][K][12]`.
///
/// A constant is stored so. Another operand is copied when the kernel runs, as soon as the other
/// parallel axes, which are not tiled, have a place: the copy starts at the blocks, and the one read
/// that follows `axis` finds it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pack {
    /// The operand.
    pub operand: OperandId,
    /// The axis that is blocked by `block`.
    pub axis: AxisId,
    /// Points per block.
    pub block: u32,
}

impl Pack {
    /// Whether an access is the one that finds a packed copy.
    #[must_use]
    pub fn reads(&self, access: &Access) -> bool {
        access.operand == self.operand && access.index.iter().any(|i| i.follows(self.axis))
    }
}

impl Schedule {
    /// Points of `axis` in one register tile.
    #[must_use]
    pub fn tile_of(&self, axis: AxisId) -> u32 {
        self.tile.iter().find(|t| t.0 == axis).map_or(1, |t| t.1)
    }

    /// Unroll factor of a reduce axis.
    #[must_use]
    pub fn unroll_of(&self, axis: AxisId) -> u32 {
        self.unroll.iter().find(|u| u.0 == axis).map_or(1, |u| u.1)
    }

    /// Parts that a call is divided into, if any.
    #[must_use]
    pub fn part_count(&self) -> Option<usize> {
        self.parts.first().map(|&(_, count)| count as usize)
    }

    /// Whether the tiles of `axis` are divided among the parts.
    #[must_use]
    pub fn divides(&self, axis: AxisId) -> bool {
        self.parts.iter().any(|p| p.0 == axis)
    }

    /// Lanes along `axis`: 1 unless it is the vector axis.
    #[must_use]
    pub fn lanes_of(&self, axis: AxisId) -> u32 {
        self.vector.iter().find(|v| v.0 == axis).map_or(1, |v| v.1)
    }
}
