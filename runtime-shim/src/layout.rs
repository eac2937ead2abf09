//! The macros that declare ABI structs and codes, so that each is written in one place.
//!
//! From one field list come the `#[repr(C)]` struct, the table of offsets that documentation and
//! header are checked against, and, for structs that live inside an object file, the codec. From
//! one list of codes come the enum and its inverse.

/// The place of one field in an ABI struct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// The name, the same in Rust and in C.
    pub name: &'static str,
    /// Bytes from the start of the struct.
    pub offset: usize,
    /// Bytes taken.
    pub size: usize,
}

/// A value with a fixed little-endian byte form.
pub(crate) trait Wire: Sized {
    /// Appends the bytes of the value.
    #[cfg_attr(not(feature = "std"), allow(dead_code, reason = "only hosts write descriptors"))]
    fn put(&self, out: &mut impl Extend<u8>);

    /// Takes a value off the front of `from`; `None` when too few bytes are left.
    fn get(from: &mut &[u8]) -> Option<Self>;
}

macro_rules! wire_number {
    ($($t:ty),*) => { $(
        impl Wire for $t {
            fn put(&self, out: &mut impl Extend<u8>) {
                out.extend(self.to_le_bytes());
            }

            fn get(from: &mut &[u8]) -> Option<Self> {
                let (head, rest) = from.split_first_chunk()?;
                *from = rest;
                Some(Self::from_le_bytes(*head))
            }
        }
    )* };
}

wire_number!(u8, u32, u64, i32, f32);

impl<T: Wire + Copy + Default, const N: usize> Wire for [T; N] {
    fn put(&self, out: &mut impl Extend<u8>) {
        self.iter().for_each(|item| item.put(out));
    }

    fn get(from: &mut &[u8]) -> Option<Self> {
        let mut items = [T::default(); N];
        for item in &mut items {
            *item = T::get(from)?;
        }
        Some(items)
    }
}

/// Whether each field starts where the one before it ends and the last one ends the struct. The
/// codec writes fields back to back, so a struct with padding would not match its own bytes.
pub(crate) const fn is_packed(fields: &[Field], size: usize) -> bool {
    let (mut end, mut i) = (0, 0);
    while i < fields.len() {
        if fields[i].offset != end {
            return false;
        }
        end += fields[i].size;
        i += 1;
    }
    end == size
}

/// Declares a `#[repr(C)]` struct without padding, with its table of fields.
macro_rules! abi_struct {
    ($(#[$meta:meta])* pub struct $name:ident {
        $($(#[$field_meta:meta])* pub $field:ident: $ty:ty,)*
    }) => {
        $(#[$meta])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug)]
        pub struct $name { $($(#[$field_meta])* pub $field: $ty,)* }

        impl $name {
            /// Every field in order; `edgecc.h` and `docs/abi.md` are checked against it.
            pub const FIELDS: &'static [$crate::layout::Field] = &[$($crate::layout::Field {
                name: stringify!($field),
                offset: core::mem::offset_of!($name, $field),
                size: size_of::<$ty>(),
            },)*];
        }

        const _: () = assert!(
            $crate::layout::is_packed($name::FIELDS, size_of::<$name>()),
            "an ABI struct must have no padding",
        );
    };
}

/// Implements [`Wire`] for an ABI struct from the names of its fields, in order. A forgotten
/// field does not compile; a wrong order fails the round trip test.
macro_rules! wire_struct {
    ($name:ident { $($field:ident),* $(,)? }) => {
        impl $crate::layout::Wire for $name {
            fn put(&self, out: &mut impl Extend<u8>) {
                let Self { $($field),* } = self;
                $($field.put(out);)*
            }

            fn get(from: &mut &[u8]) -> Option<Self> {
                Some(Self { $($field: $crate::layout::Wire::get(from)?),* })
            }
        }
    };
}

/// Declares an enum of ABI codes with its inverse and the list of all members.
macro_rules! codes {
    ($(#[$meta:meta])* pub enum $name:ident: $repr:ident {
        $($(#[$row_meta:meta])* $row:ident = $code:literal,)*
    }) => {
        $(#[$meta])*
        #[repr($repr)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$row_meta])* $row = $code,)* }

        impl $name {
            /// Every member, in the order of the declaration.
            pub const ALL: &'static [$name] = &[$($name::$row,)*];

            /// The number that stands for it in the ABI.
            pub const fn code(self) -> $repr {
                self as $repr
            }

            /// The member with this number.
            pub const fn from_code(code: $repr) -> Option<Self> {
                match code {
                    $($code => Some($name::$row),)*
                    _ => None,
                }
            }
        }
    };
}

pub(crate) use {abi_struct, codes, wire_struct};
