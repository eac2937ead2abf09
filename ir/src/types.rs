//! Element types, static shapes and tensor types.

use smallvec::SmallVec;
use std::fmt;
use std::ops::Deref;

/// The largest rank of any tensor (invariant G3).
pub const MAX_RANK: usize = 8;

macro_rules! elem_types {
    ($($variant:ident $name:literal $bytes:literal $code:literal;)*) => {
        /// The type of one tensor element.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[allow(missing_docs, reason = "the variants are their own names")]
        pub enum ElemType { $($variant),* }

        impl ElemType {
            /// Every element type.
            pub const ALL: &[ElemType] = &[$(ElemType::$variant),*];

            /// The name in text dumps and reports.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(ElemType::$variant => $name),* }
            }

            /// Size of one element in bytes.
            #[must_use]
            pub fn bytes(self) -> usize {
                match self { $(ElemType::$variant => $bytes),* }
            }

            /// The code of ONNX `TensorProto.DataType`, also used in the descriptor.
            #[must_use]
            pub fn onnx_code(self) -> u32 {
                match self { $(ElemType::$variant => $code),* }
            }
        }
    };
}

elem_types! {
    F32 "f32" 4 1;
    F16 "f16" 2 10;
    F64 "f64" 8 11;
    I8 "i8" 1 3;
    U8 "u8" 1 2;
    I16 "i16" 2 5;
    U16 "u16" 2 4;
    I32 "i32" 4 6;
    U32 "u32" 4 12;
    I64 "i64" 8 7;
    U64 "u64" 8 13;
    Bool "bool" 1 9;
}

impl ElemType {
    /// The type with this text name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<ElemType> {
        Self::ALL.iter().copied().find(|e| e.name() == name)
    }

    /// The type with this ONNX code.
    #[must_use]
    pub fn from_onnx_code(code: u32) -> Option<ElemType> {
        Self::ALL.iter().copied().find(|e| e.onnx_code() == code)
    }

    /// f16, f32 or f64.
    #[must_use]
    pub fn is_float(self) -> bool {
        matches!(self, ElemType::F16 | ElemType::F32 | ElemType::F64)
    }

    /// A signed or unsigned integer; `bool` is neither.
    #[must_use]
    pub fn is_int(self) -> bool {
        !self.is_float() && self != ElemType::Bool
    }

    /// A signed integer.
    #[must_use]
    pub fn is_signed_int(self) -> bool {
        matches!(self, ElemType::I8 | ElemType::I16 | ElemType::I32 | ElemType::I64)
    }

    /// The smallest and largest value of an integer type (`u64` is capped at `i64::MAX`).
    #[must_use]
    pub fn int_range(self) -> Option<(i64, i64)> {
        if !self.is_int() {
            return None;
        }
        let bits = 8 * self.bytes() as u32;
        if self.is_signed_int() {
            return Some((i64::MIN >> (64 - bits), i64::MAX >> (64 - bits)));
        }
        Some((0, if bits == 64 { i64::MAX } else { (1i64 << bits) - 1 }))
    }
}

impl fmt::Display for ElemType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A static shape: the extents of a dense row-major tensor, outermost first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Shape(SmallVec<[usize; 4]>);

impl Shape {
    /// A shape with these extents.
    #[must_use]
    pub fn new(dims: &[usize]) -> Shape {
        Shape(SmallVec::from_slice(dims))
    }

    /// Number of elements; saturates instead of overflowing.
    #[must_use]
    pub fn numel(&self) -> usize {
        self.0.iter().fold(1usize, |n, &d| n.saturating_mul(d))
    }

    /// Row-major strides in elements.
    #[must_use]
    pub fn strides(&self) -> SmallVec<[usize; 4]> {
        let mut strides: SmallVec<[usize; 4]> = SmallVec::from_elem(1, self.len());
        for d in (1..self.len()).rev() {
            strides[d - 1] = strides[d].saturating_mul(self.0[d].max(1));
        }
        strides
    }

    /// Number of dimensions.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// The extents, for editing.
    pub fn dims_mut(&mut self) -> &mut [usize] {
        &mut self.0
    }
}

impl Deref for Shape {
    type Target = [usize];
    fn deref(&self) -> &[usize] {
        &self.0
    }
}

impl FromIterator<usize> for Shape {
    fn from_iter<I: IntoIterator<Item = usize>>(dims: I) -> Shape {
        Shape(dims.into_iter().collect())
    }
}

/// Element type and shape.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TensorType {
    /// Type of every element.
    pub elem: ElemType,
    /// Extents, outermost first.
    pub shape: Shape,
}

impl TensorType {
    /// A tensor type.
    #[must_use]
    pub fn new(elem: ElemType, dims: &[usize]) -> TensorType {
        TensorType { elem, shape: Shape::new(dims) }
    }

    /// Size of the dense tensor in bytes; saturates.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.shape.numel().saturating_mul(self.elem.bytes())
    }

    /// The same elements under another shape.
    #[must_use]
    pub fn with_shape(&self, shape: Shape) -> TensorType {
        TensorType { elem: self.elem, shape }
    }

    /// The same shape with another element type.
    #[must_use]
    pub fn with_elem(&self, elem: ElemType) -> TensorType {
        TensorType { elem, shape: self.shape.clone() }
    }
}

impl fmt::Display for TensorType {
    /// `f32[1,3,224,224]`, `i64[]` for a scalar.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dims: Vec<String> = self.shape.iter().map(ToString::to_string).collect();
        write!(f, "{}[{}]", self.elem, dims.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::{ElemType, Shape, TensorType};

    #[test]
    fn integer_ranges_follow_width_and_sign() {
        assert_eq!(ElemType::I8.int_range(), Some((-128, 127)));
        assert_eq!(ElemType::U16.int_range(), Some((0, 65535)));
        assert_eq!(ElemType::I64.int_range(), Some((i64::MIN, i64::MAX)));
        assert_eq!(ElemType::F32.int_range(), None);
    }

    #[test]
    fn strides_are_row_major() {
        assert_eq!(Shape::new(&[2, 3, 4]).strides().as_slice(), &[12, 4, 1]);
        assert_eq!(TensorType::new(ElemType::F32, &[2, 3]).to_string(), "f32[2,3]");
    }
}
