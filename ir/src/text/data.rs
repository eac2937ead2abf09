//! The data of constants: `dense<[1, 2]>`, `dense<"00ff…">`, `splat<0>`, or only a hash.
//!
//! A dump without data still parses, verifies and schedules: the reader fills such a constant with a
//! placeholder that repeats its hash, and the hash of a placeholder is the hash that it repeats. So
//! constants that differed still differ, and the dump of what was read is the dump again.

use super::cursor::{Cursor, Parse};
use super::lex::{Kind, Token};
use super::number::{parse_number, write_number};
use super::write::write_list;
use crate::tensor::Tensor;
use crate::types::TensorType;
use std::fmt::{self, Write};

/// Most elements of a constant that prints as a list of decimals.
pub(crate) const LIST_ELEMENTS: usize = 16;

/// Most bytes that all constants together may take beyond the length of their text.
const MAX_IMPLIED_BYTES: usize = 1 << 28;

/// Whether the data is so short that a constant is written where it is used.
pub(crate) fn is_short(tensor: &Tensor) -> bool {
    tensor.numel() <= LIST_ELEMENTS || tensor.uniform().is_some()
}

/// Writes all elements.
pub(crate) fn write_data(out: &mut String, tensor: &Tensor) -> fmt::Result {
    if let Some(value) = tensor.uniform().filter(|_| tensor.numel() > 1) {
        out.push_str("splat<");
        write_number(out, value)?;
        return out.write_char('>');
    }
    out.push_str("dense<");
    match tensor.numel() <= LIST_ELEMENTS {
        true => {
            out.push('[');
            write_list(out, tensor.iter(), write_number)?;
            out.push(']');
        }
        false => write_hex(out, tensor.bytes())?,
    }
    out.write_char('>')
}

fn write_hex(out: &mut String, bytes: &[u8]) -> fmt::Result {
    out.push('"');
    for byte in bytes {
        write!(out, "{byte:02x}")?;
    }
    out.write_char('"')
}

/// Reads constants and bounds the memory that short texts may ask for.
#[derive(Debug, Default)]
pub(crate) struct DataParser {
    implied: usize,
}

impl DataParser {
    /// The counterpart of `write_data` for a constant of a known type.
    pub(crate) fn data(&mut self, c: &mut Cursor<'_>, ty: &TensorType) -> Parse<Tensor> {
        if c.eat("splat") {
            c.expect("<")?;
            let value = parse_number(c, ty.elem)?;
            c.expect(">")?;
            self.reserve(c, ty)?;
            return Ok(Tensor::splat(&ty.shape, value));
        }
        let start = c.peek();
        c.expect("dense")?;
        c.expect("<")?;
        let bytes = match c.at_kind(Kind::Text) {
            true => parse_hex(c.advance())?,
            false => parse_list(c, ty)?,
        };
        c.expect(">")?;
        match bytes.len() == ty.bytes() {
            true => Ok(Tensor::from_bytes(ty.clone(), bytes)),
            false => Err(start.error(format!("{} bytes of data for {ty}", bytes.len()))),
        }
    }

    /// A stand-in for data with this hash.
    pub(crate) fn placeholder(
        &mut self,
        c: &Cursor<'_>,
        ty: TensorType,
        hash: u64,
    ) -> Parse<Tensor> {
        self.reserve(c, &ty)?;
        let bytes = pattern(hash).cycle().take(ty.bytes()).collect();
        Ok(Tensor::from_bytes(ty, bytes))
    }

    fn reserve(&mut self, c: &Cursor<'_>, ty: &TensorType) -> Parse<()> {
        self.implied = self.implied.saturating_add(ty.bytes());
        match self.implied > MAX_IMPLIED_BYTES {
            true => Err(c.error(format!(
                "constants longer than their text exceed {MAX_IMPLIED_BYTES} bytes"
            ))),
            false => Ok(()),
        }
    }
}

fn parse_list(c: &mut Cursor<'_>, ty: &TensorType) -> Parse<Vec<u8>> {
    let mut bytes = Vec::new();
    c.list("[", "]", |c| {
        let value = parse_number(c, ty.elem)?;
        bytes.extend_from_slice(&value.bits().to_le_bytes()[..ty.elem.bytes()]);
        Ok(())
    })?;
    Ok(bytes)
}

fn parse_hex(token: Token<'_>) -> Parse<Vec<u8>> {
    let digits = &token.text.as_bytes()[1..token.text.len() - 1];
    let nibble = |&digit: &u8| char::from(digit).to_digit(16).map(|d| d as u8);
    let byte = |pair: &[u8]| Some(nibble(&pair[0])? << 4 | nibble(pair.get(1)?)?);
    let bytes: Option<Vec<u8>> = digits.chunks(2).map(byte).collect();
    bytes.ok_or_else(|| token.error("the data is not pairs of hexadecimal digits"))
}

/// A hash of a tensor's bytes (64-bit FNV-1a), the same on every host and in every version.
pub(crate) fn content_hash(bytes: &[u8]) -> u64 {
    let word = |at: usize| {
        bytes.get(at..at + 8).map(|w| u64::from_le_bytes(w.try_into().expect("8 bytes")))
    };
    if let (Some(hash), Some(check)) = (word(0), word(8))
        && check == !hash
        && bytes.iter().copied().eq(pattern(hash).cycle().take(bytes.len()))
    {
        return hash;
    }
    let step = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

/// The hash and its complement: never uniform, whatever the element type.
fn pattern(hash: u64) -> impl Iterator<Item = u8> + Clone {
    hash.to_le_bytes().into_iter().chain((!hash).to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::super::cursor::Cursor;
    use super::super::write::text_of;
    use super::{DataParser, content_hash, write_data};
    use crate::tensor::{Scalar, Tensor};
    use crate::types::{ElemType, TensorType};

    fn check(tensor: &Tensor) -> String {
        let text = text_of(|out| write_data(out, tensor));
        let parsed = DataParser::default().data(&mut Cursor::new(&text), &tensor.ty);
        assert_eq!(parsed.as_ref(), Ok(tensor), "{text}");
        text
    }

    #[test]
    fn data_of_each_form_and_type_round_trips() {
        for &elem in ElemType::ALL {
            for numel in [0, 1, 3, 17] {
                let ty = TensorType::new(elem, &[numel]);
                check(&Tensor::from_fn(ty, |i| Scalar::from_i64(elem, i as i64 % 2)));
            }
        }
        assert_eq!(check(&Tensor::from_f32s(&[2, 1], &[0.5, -1.0])), "dense<[0.5, -1]>");
        assert_eq!(check(&Tensor::from_i64s(&[3], &[7; 3])), "splat<7>");
        assert!(
            check(&Tensor::from_fn(TensorType::new(ElemType::U8, &[17]), |i| {
                Scalar::from_i64(ElemType::U8, i as i64)
            }))
            .starts_with("dense<\"000102")
        );
    }

    #[test]
    fn a_placeholder_has_the_hash_that_it_stands_for() {
        for elem in [ElemType::U8, ElemType::F32, ElemType::F64] {
            let ty = TensorType::new(elem, &[5, 5]);
            let hash = content_hash(b"weights");
            let tensor = DataParser::default().placeholder(&Cursor::new(""), ty, hash);
            let tensor = tensor.expect("a small constant");
            assert_eq!(content_hash(tensor.bytes()), hash);
            assert_eq!(tensor.uniform(), None);
        }
    }

    #[test]
    fn wrong_amounts_of_data_are_errors() {
        let ty = TensorType::new(ElemType::U8, &[2]);
        for bad in [
            "dense<[1]>",
            "dense<[1, 2, 3]>",
            "dense<\"000\">",
            "dense<\"zz00\">",
            "dense<[1, 256]>",
        ] {
            assert!(DataParser::default().data(&mut Cursor::new(bad), &ty).is_err(), "{bad}");
        }
        let huge = TensorType::new(ElemType::U8, &[1 << 40, 1 << 40]);
        assert!(DataParser::default().data(&mut Cursor::new("splat<0>"), &huge).is_err());
        assert!(DataParser::default().placeholder(&Cursor::new(""), huge, 0).is_err());
    }
}
