//! Affine index expressions: `a2*2+a5-1`.

use super::cursor::{Cursor, Parse};
use super::lex::{Kind, Token};
use crate::affine::Affine;
use cranelift_entity::EntityRef;
use std::fmt::{self, Write};

/// The largest coefficient, constant or extent in a text, so that sums of a few products fit.
const MAX_FACTOR: i64 = 1 << 48;
/// The most terms of one expression.
const MAX_TERMS: usize = 64;

/// Writes `Σ coefficient·{prefix}{variable} + constant`.
pub(crate) fn write_affine(
    out: &mut String,
    prefix: char,
    terms: impl IntoIterator<Item = (u32, i64)>,
    constant: i64,
) -> fmt::Result {
    let start = out.len();
    for (variable, coefficient) in terms {
        if coefficient < 0 || out.len() > start {
            out.push(if coefficient < 0 { '-' } else { '+' });
        }
        write!(out, "{prefix}{variable}")?;
        if coefficient.abs() != 1 {
            write!(out, "*{}", coefficient.unsigned_abs())?;
        }
    }
    match out.len() > start {
        true if constant == 0 => Ok(()),
        true => write!(out, "{constant:+}"),
        false => write!(out, "{constant}"),
    }
}

/// The counterpart of `write_affine`; `variable` gives names their meaning.
pub(crate) fn parse_affine<'a, V: EntityRef + Ord>(
    c: &mut Cursor<'a>,
    variable: impl Fn(Token<'a>) -> Parse<V>,
) -> Parse<Affine<V>> {
    let mut sum = Affine::constant(0);
    for _ in 0..MAX_TERMS {
        let sign = if c.eat("-") { -1 } else { 1 };
        sum = match c.at_kind(Kind::Word) {
            true => {
                let var = variable(c.advance())?;
                let factor = if c.eat("*") { parse_factor(c)? } else { 1 };
                sum.plus(var, sign * factor)
            }
            false => sum.offset(sign * parse_factor(c)?),
        };
        if !c.eat("+") && !c.at("-") {
            return Ok(sum);
        }
    }
    Err(c.error(format!("an index of more than {MAX_TERMS} terms")))
}

fn parse_factor(c: &mut Cursor<'_>) -> Parse<i64> {
    let token = c.peek();
    let value: i64 = c.integer()?;
    match (0..=MAX_FACTOR).contains(&value) {
        true => Ok(value),
        false => Err(token.error(format!("the number is not in 0..={MAX_FACTOR}"))),
    }
}

/// The number of points of an axis or a loop.
pub(crate) fn parse_extent(c: &mut Cursor<'_>) -> Parse<usize> {
    Ok(parse_factor(c)? as usize)
}

#[cfg(test)]
mod tests {
    use super::super::cursor::Cursor;
    use super::super::write::text_of;
    use super::{parse_affine, write_affine};
    use crate::affine::Affine;
    use crate::kernel::AxisId;
    use cranelift_entity::EntityRef;

    #[test]
    fn expressions_round_trip() {
        let axis = AxisId::new;
        let cases = [
            (Affine::constant(0), "0"),
            (Affine::constant(-3), "-3"),
            (Affine::scaled(axis(2), 2).plus(axis(5), 1).offset(-1), "a2*2+a5-1"),
            (Affine::scaled(axis(0), -1).offset(7), "-a0+7"),
            (Affine::scaled(axis(0), -4).plus(axis(1), -1), "-a0*4-a1"),
        ];
        for (expr, text) in cases {
            let terms = expr.terms().iter().map(|&(v, c)| (v.as_u32(), c));
            assert_eq!(text_of(|out| write_affine(out, 'a', terms, expr.constant)), text);
            let number = |t: super::Token<'_>| Ok(axis(t.text[1..].parse().expect("a number")));
            assert_eq!(parse_affine(&mut Cursor::new(text), number), Ok(expr));
        }
    }

    #[test]
    fn numbers_that_could_overflow_are_errors() {
        let zero = |_: super::Token<'_>| Ok(AxisId::new(0));
        let endless = "a0+".repeat(1000);
        for bad in ["a0*999999999999999999", "a0+", "a0*-1", endless.as_str()] {
            assert!(parse_affine(&mut Cursor::new(bad), zero).is_err(), "{bad}");
        }
    }
}
