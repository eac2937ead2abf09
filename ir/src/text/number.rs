//! Numbers: bare where the type is known from elsewhere, with a type suffix otherwise.
//!
//! Floats print as the shortest decimal that reads back to the same bits; NaN and the infinities
//! print as the hexadecimal bit pattern, which any type accepts.

use super::cursor::{Cursor, Parse};
use super::lex::{Kind, Token};
use crate::tensor::Scalar;
use crate::types::ElemType;
use std::fmt::{self, Write};

/// A number whose type the reader knows: `0.5`, `-3`, `true`, `0x7fc00000`.
pub(crate) fn write_number(out: &mut String, value: Scalar) -> fmt::Result {
    let elem = value.elem();
    match elem {
        e if e.is_float() && !value.as_f64().is_finite() => {
            write!(out, "{:#0width$x}", value.bits(), width = 2 + 2 * e.bytes())
        }
        ElemType::F64 => write_decimal(out, &format!("{:?}", value.as_f64())),
        e if e.is_float() => write_decimal(out, &format!("{:?}", value.as_f32())),
        ElemType::Bool => write!(out, "{}", value.is_true()),
        ElemType::U64 => write!(out, "{}", value.bits()),
        _ => write!(out, "{}", value.as_i64()),
    }
}

fn write_decimal(out: &mut String, text: &str) -> fmt::Result {
    out.write_str(text.strip_suffix(".0").unwrap_or(text))
}

/// A number of any type: `f32` and `bool` bare, others with their type, as in `3:i32`.
pub(crate) fn write_scalar(out: &mut String, value: Scalar) -> fmt::Result {
    write_number(out, value)?;
    match value.elem() {
        ElemType::F32 | ElemType::Bool => Ok(()),
        elem => write!(out, ":{elem}"),
    }
}

/// The counterpart of `write_number`.
pub(crate) fn parse_number(c: &mut Cursor<'_>, elem: ElemType) -> Parse<Scalar> {
    Literal::parse(c)?.typed(elem)
}

/// The counterpart of `write_scalar`.
pub(crate) fn parse_scalar(c: &mut Cursor<'_>) -> Parse<Scalar> {
    parse_scalar_or(c, ElemType::F32)
}

/// A number whose type is `elem` unless it says otherwise.
pub(crate) fn parse_scalar_or(c: &mut Cursor<'_>, elem: ElemType) -> Parse<Scalar> {
    let literal = Literal::parse(c)?;
    let elem = match literal.token.kind {
        Kind::Word => ElemType::Bool,
        _ if c.eat(":") => c.elem()?,
        _ => elem,
    };
    literal.typed(elem)
}

/// A number as written.
struct Literal<'a> {
    negative: bool,
    token: Token<'a>,
}

impl<'a> Literal<'a> {
    fn parse(c: &mut Cursor<'a>) -> Parse<Literal<'a>> {
        let negative = c.eat("-");
        match !negative && (c.at("true") || c.at("false")) {
            true => Ok(Literal { negative, token: c.advance() }),
            false => Ok(Literal { negative, token: c.expect_kind(Kind::Number, "a number")? }),
        }
    }

    fn typed(&self, elem: ElemType) -> Parse<Scalar> {
        let value = match (self.token.text.strip_prefix("0x"), elem) {
            (Some(hex), _) => self.bits(hex, elem),
            (None, ElemType::Bool) => self.boolean(),
            (None, e) if e.is_float() => self.float(e),
            (None, e) => self.integer(e),
        };
        let sign = if self.negative { "-" } else { "" };
        value.ok_or_else(|| self.token.error(format!("`{sign}{}` is no {elem}", self.token.text)))
    }

    fn bits(&self, hex: &str, elem: ElemType) -> Option<Scalar> {
        let bits = u64::from_str_radix(hex, 16).ok()?;
        let value = Scalar::from_bits(elem, bits);
        let legal = elem != ElemType::Bool || bits <= 1;
        (legal && !self.negative && value.bits() == bits).then_some(value)
    }

    fn boolean(&self) -> Option<Scalar> {
        self.token.text.parse().ok().map(Scalar::bool)
    }

    fn float(&self, elem: ElemType) -> Option<Scalar> {
        let sign = if self.negative { -1.0 } else { 1.0 };
        let value = match elem {
            ElemType::F32 => Scalar::f32(sign as f32 * self.token.text.parse::<f32>().ok()?),
            _ => Scalar::from_f64(elem, sign * self.token.text.parse::<f64>().ok()?),
        };
        value.as_f64().is_finite().then_some(value)
    }

    fn integer(&self, elem: ElemType) -> Option<Scalar> {
        let magnitude = i128::from(self.token.text.parse::<u64>().ok()?);
        let value = if self.negative { -magnitude } else { magnitude };
        let bits = 8 * elem.bytes() as u32;
        let range = match elem.is_signed_int() {
            true => -(1i128 << (bits - 1))..=(1i128 << (bits - 1)) - 1,
            false => 0..=(1i128 << bits) - 1,
        };
        range.contains(&value).then(|| Scalar::from_bits(elem, value as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::super::cursor::Cursor;
    use super::super::write::text_of;
    use super::{parse_scalar, write_scalar};
    use crate::tensor::Scalar;
    use crate::types::ElemType;

    fn text(value: Scalar) -> String {
        text_of(|out| write_scalar(out, value))
    }

    #[test]
    fn floats_are_short_and_special_values_are_bits() {
        assert_eq!(text(Scalar::f32(0.1)), "0.1");
        assert_eq!(text(Scalar::f32(-0.0)), "-0");
        assert_eq!(text(Scalar::f32(1e30)), "1e30");
        assert_eq!(text(Scalar::f32(f32::NEG_INFINITY)), "0xff800000");
        assert_eq!(text(Scalar::from_bits(ElemType::F16, 0x7e01)), "0x7e01:f16");
        assert_eq!(text(Scalar::from_i64(ElemType::I8, -128)), "-128:i8");
    }

    #[test]
    fn every_bit_pattern_reads_back() {
        let patterns = [
            0,
            1,
            0x7f,
            0x80,
            0xff,
            0x7c00,
            0x7e01,
            0x8001,
            0xffff,
            0x0080_0000,
            0x7f80_0001,
            0xc000_0000,
            0x3dcc_cccd,
            1 << 63,
            u64::MAX,
            0x7ff0_0000_0000_0000,
            0x3fb9_9999_9999_999a,
        ];
        for &elem in ElemType::ALL.iter().filter(|&&e| e != ElemType::Bool) {
            for bits in patterns {
                let value = Scalar::from_bits(elem, bits);
                assert_eq!(parse_scalar(&mut Cursor::new(&text(value))), Ok(value));
            }
        }
        for bits in 0..=u16::MAX {
            let value = Scalar::from_bits(ElemType::F16, u64::from(bits));
            assert_eq!(parse_scalar(&mut Cursor::new(&text(value))), Ok(value));
        }
    }

    #[test]
    fn numbers_outside_their_type_are_refused() {
        for bad in
            ["128:i8", "-1:u8", "1e999", "70000:f16", "1.5:i32", "0x1ff:u8", "2:bool", "-0x1"]
        {
            assert!(parse_scalar(&mut Cursor::new(bad)).is_err(), "{bad}");
        }
    }
}
