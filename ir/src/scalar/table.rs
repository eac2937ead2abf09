//! Functions of one code of 8 bits as the list of their results.

use crate::tensor::Scalar;
use crate::types::ElemType;

/// Codes of 8 bits.
pub const CODES: usize = 256;
/// Codes that are looked up at once.
pub const BYTE_LANES: u32 = 16;

/// A function from codes of 8 bits to codes of 8 bits, signed or not.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Table {
    elem: ElemType,
    codes: Box<[u8; CODES]>,
}

impl Table {
    /// A function to codes of a type, `i8` or `u8`: what becomes of the code with these bits.
    #[must_use]
    pub fn new(elem: ElemType, code: impl Fn(u8) -> u8) -> Table {
        debug_assert!(is_byte(elem), "{elem} has no codes of 8 bits");
        Table { elem, codes: Box::new(std::array::from_fn(|bits| code(bits as u8))) }
    }

    /// Type of the results.
    #[must_use]
    pub fn elem(&self) -> ElemType {
        self.elem
    }

    /// The bits of the results, by the bits of the operand.
    #[must_use]
    pub fn codes(&self) -> &[u8; CODES] {
        &self.codes
    }

    /// The type of the result for an operand's, or `None` where that is not one of 8-bit codes.
    #[must_use]
    pub fn infer(&self, arg: ElemType) -> Option<ElemType> {
        is_byte(arg).then_some(self.elem)
    }

    /// What becomes of a code.
    #[must_use]
    pub fn apply(&self, code: Scalar) -> Scalar {
        Scalar::from_bits(self.elem, u64::from(self.codes[usize::from(code.bits() as u8)]))
    }
}

/// Whether values of a type are codes of 8 bits.
#[must_use]
pub fn is_byte(elem: ElemType) -> bool {
    matches!(elem, ElemType::I8 | ElemType::U8)
}

#[cfg(test)]
mod tests {
    use super::Table;
    use crate::tensor::Scalar;
    use crate::types::ElemType;

    #[test]
    fn codes_are_looked_up_by_their_bits() {
        let table = Table::new(ElemType::I8, |bits| !bits);
        let of = |elem, code| table.apply(Scalar::from_i64(elem, code)).as_i64();
        assert_eq!([of(ElemType::I8, -1), of(ElemType::U8, 255), of(ElemType::U8, 0)], [0, 0, -1]);
        assert_eq!(table.infer(ElemType::U8), Some(ElemType::I8));
        assert_eq!(table.infer(ElemType::I16), None);
    }
}
