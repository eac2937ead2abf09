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

/// Defines the struct of a model's state: arrays of elements with what they start with, laid out as
/// in C. Gaps between them are fields too, which is checked.
#[macro_export]
macro_rules! state_struct {
    ($(#[$meta:meta])* $vis:vis struct $name:ident {
        $($(#[$field_meta:meta])* $field_vis:vis $field:ident: [$elem:ty; $count:expr] = $initial:expr,)*
    }) => {
        $(#[$meta])*
        #[repr(C)]
        #[derive(Clone, Debug)]
        $vis struct $name { $($(#[$field_meta])* $field_vis $field: [$elem; $count],)* }

        #[allow(dead_code, reason = "not every program resets its state")]
        impl $name {
            /// The state before the first run.
            $vis const fn new() -> Self {
                $name { $($field: $initial,)* }
            }

            /// Makes it as it was before the first run.
            $vis fn reset(&mut self) {
                *self = Self::new();
            }

            /// The memory that a run takes.
            $vis fn as_bytes_mut(&mut self) -> &mut [u8] {
                const fn assert_element<T: $crate::buffer::Element>() {}
                const {
                    $(assert_element::<$elem>();)*
                    assert!(size_of::<$name>() == 0 $(+ size_of::<[$elem; $count]>())*);
                }
                // SAFETY: all fields are arrays of elements, which have no padding and for which
                // every bit pattern is valid, and there is nothing between them.
                unsafe {
                    core::slice::from_raw_parts_mut((&raw mut *self).cast(), size_of::<Self>())
                }
            }
        }
    };
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

    crate::state_struct! {
        struct State {
            a: [i8; 3] = [1; 3],
            gap: [u8; 1] = [0; 1],
            b: [f32; 1] = [0.5],
        }
    }

    #[test]
    fn a_state_is_its_fields() {
        let mut state = State::new();
        state.as_bytes_mut()[4..].copy_from_slice(&2.0_f32.to_le_bytes());
        assert_eq!((state.a, state.gap, state.b), ([1; 3], [0], [2.0]));
        state.reset();
        assert_eq!(state.b, [0.5]);
    }

    #[test]
    fn a_workspace_is_aligned_and_exact() {
        let space = Workspace::<100>::new();
        assert_eq!(space.len(), 100);
        assert_eq!(space.as_ptr().addr() % 64, 0);
    }
}
