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

/// Bytes of a dense buffer; `None` when they do not fit 64 bits.
fn dense_bytes(elem: Elem, dims: &[u64]) -> Option<u64> {
    dims.iter().try_fold(elem.size() as u64, |bytes, &dim| bytes.checked_mul(dim))
}
