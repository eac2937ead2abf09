//! Memory that a caller owns: the workspace, and tensors seen as bytes.

#![allow(unsafe_code, reason = "typed slices are passed to the C ABI as bytes")]

use core::ops::{Deref, DerefMut};

use crate::abi::Elem;

/// `N` bytes aligned to 64, enough for any model whose descriptor asks for at most that. It may be
/// a `static`, a local or a field; it is never initialised at run time.
#[repr(C, align(64))]
pub struct Workspace<const N: usize>([u8; N]);

impl<const N: usize> Workspace<N> {
    /// A workspace of zeros.
    pub const fn new() -> Self {
        Workspace([0; N])
    }
}

impl<const N: usize> Default for Workspace<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Deref for Workspace<N> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl<const N: usize> DerefMut for Workspace<N> {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

mod sealed {
    /// Keeps [`super::Element`] closed: its safety argument is about the types listed below.
    pub trait Sealed {}
}

/// A Rust type whose values are exactly the bit patterns of a tensor element: no padding, no
/// invalid pattern. `bool` is not one, as a buffer may hold other bytes than 0 and 1; pass `u8`.
pub trait Element: Copy + sealed::Sealed {
    /// The element type in the ABI.
    const ELEM: Elem;
}

macro_rules! elements {
    ($($ty:ty => $elem:ident),* $(,)?) => { $(
        impl sealed::Sealed for $ty {}

        impl Element for $ty {
            const ELEM: Elem = Elem::$elem;
        }

        const _: () = assert!(size_of::<$ty>() == Elem::$elem.size());
    )* };
}

elements! {
    f32 => F32, u8 => U8, i8 => I8, u16 => U16, i16 => I16, i32 => I32, i64 => I64, f64 => F64,
    u32 => U32, u64 => U64,
}

/// The bytes of a typed slice.
pub fn as_bytes<T: Element>(values: &[T]) -> &[u8] {
    // SAFETY: an `Element` has no padding, so all bytes are initialised; `u8` has no alignment;
    // the length in bytes is that of the slice and the lifetime is the same.
    unsafe { core::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

/// The bytes of a typed slice, to be written.
pub fn as_bytes_mut<T: Element>(values: &mut [T]) -> &mut [u8] {
    // SAFETY: as in `as_bytes`; and every bit pattern written is a valid `Element`.
    unsafe { core::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), size_of_val(values)) }
}

/// Bytes as typed values; `None` when they are misaligned or do not divide into whole values.
pub fn from_bytes<T: Element>(bytes: &[u8]) -> Option<&[T]> {
    // SAFETY: every bit pattern is a valid `Element`.
    let (before, values, after) = unsafe { bytes.align_to::<T>() };
    (before.is_empty() && after.is_empty()).then_some(values)
}

#[cfg(test)]
mod tests {
    use super::{Workspace, as_bytes, as_bytes_mut, from_bytes};

    #[test]
    fn bytes_and_values_are_the_same_memory() {
        let mut values = [1.0_f32, -2.0];
        as_bytes_mut(&mut values)[4..].copy_from_slice(&3.0_f32.to_le_bytes());
        assert_eq!(values, [1.0, 3.0]);
        assert_eq!(from_bytes::<f32>(as_bytes(&values)), Some(&values[..]));
        assert_eq!(from_bytes::<f32>(&as_bytes(&values)[1..5]), None);
        assert_eq!(from_bytes::<f32>(&as_bytes(&values)[..7]), None);
    }

    #[test]
    fn a_workspace_is_aligned_and_exact() {
        let space = Workspace::<100>::new();
        assert_eq!(space.len(), 100);
        assert_eq!(space.as_ptr().addr() % 64, 0);
    }
}
