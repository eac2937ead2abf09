//! The bytes of `edgecc_<name>_info`: written by [`encode()`], read through [`ModelView`].
//!
//! **In → Out** `ModelInfo` → bytes → `ModelView`. **Never** trusts the bytes: reading is bounds
//! checked and total. **Tests** round trip, truncation and corruption, in `view.rs`.

#[cfg(feature = "std")]
mod encode;
mod view;

#[cfg(feature = "std")]
pub use encode::{ModelInfo, TensorInfo, encode};
pub use view::{ModelView, TensorView};

use crate::abi::Elem;

/// How a quantised tensor's stored values stand for real ones.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quant {
    /// Real value of one step.
    pub scale: f32,
    /// The stored value that stands for 0.
    pub zero_point: i32,
}

/// How the states lie in the memory that a caller keeps for them: each behind the one before, at
/// the next multiple of its element size, as the members of a C struct.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg(feature = "std")]
pub struct StateLayout {
    /// Place of each state.
    pub offsets: Vec<usize>,
    /// Bytes of all, a multiple of `align`.
    pub bytes: usize,
    /// The largest element size; 1 without states.
    pub align: usize,
}

#[cfg(feature = "std")]
impl StateLayout {
    /// The layout of states of these element types and sizes in bytes.
    pub fn of(states: impl Iterator<Item = (Elem, usize)>) -> Self {
        let mut layout = StateLayout { offsets: Vec::new(), bytes: 0, align: 1 };
        for (elem, bytes) in states {
            let offset = layout.bytes.next_multiple_of(elem.size());
            layout.offsets.push(offset);
            layout.bytes = offset + bytes;
            layout.align = layout.align.max(elem.size());
        }
        layout.bytes = layout.bytes.next_multiple_of(layout.align);
        layout
    }
}

/// Bytes of a dense buffer; `None` when they do not fit 64 bits.
fn dense_bytes(elem: Elem, dims: &[u64]) -> Option<u64> {
    dims.iter().try_fold(elem.size() as u64, |bytes, &dim| bytes.checked_mul(dim))
}
