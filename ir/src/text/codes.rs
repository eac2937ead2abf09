//! Tables of codes: `table u8 "00017f…"`, the results as hexadecimal digits, two for each code.

use super::cursor::{Cursor, Parse};
use crate::scalar::table::{CODES, Table, is_byte};
use std::fmt::{self, Write};

/// The word in front of a table.
pub(crate) const TABLE: &str = "table";

/// A table.
pub(crate) fn write_table(out: &mut String, table: &Table) -> fmt::Result {
    write!(out, "{TABLE} {} \"", table.elem())?;
    table.codes().iter().try_for_each(|code| write!(out, "{code:02x}"))?;
    out.write_char('"')
}

/// The counterpart of `write_table`, behind its first word.
pub(crate) fn parse_table(c: &mut Cursor<'_>) -> Parse<Table> {
    let elem = c.peek();
    let ty = c.elem()?;
    if !is_byte(ty) {
        return Err(elem.error("a table holds `i8` or `u8`"));
    }
    let digits = c.peek();
    let codes = parse_codes(&c.string()?);
    let codes =
        codes.ok_or_else(|| digits.error(format!("expected {CODES} codes in hexadecimal")))?;
    Ok(Table::new(ty, |bits| codes[usize::from(bits)]))
}

fn parse_codes(digits: &str) -> Option<Vec<u8>> {
    let nibbles: Option<Vec<u8>> = digits.chars().map(|c| Some(c.to_digit(16)? as u8)).collect();
    let nibbles = nibbles.filter(|nibbles| nibbles.len() == 2 * CODES)?;
    Some(nibbles.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

#[cfg(test)]
mod tests {
    use super::super::cursor::Cursor;
    use super::super::write::text_of;
    use super::{TABLE, parse_table, write_table};
    use crate::scalar::table::Table;
    use crate::types::ElemType;

    fn parsed(text: &str) -> Option<Table> {
        let mut c = Cursor::new(text);
        c.expect(TABLE).ok()?;
        parse_table(&mut c).ok()
    }

    #[test]
    fn tables_round_trip() {
        for elem in [ElemType::U8, ElemType::I8] {
            let table = Table::new(elem, |bits| bits.wrapping_mul(13));
            assert_eq!(parsed(&text_of(|out| write_table(out, &table))), Some(table));
        }
    }

    #[test]
    fn other_types_and_lengths_are_errors() {
        let codes = "0a".repeat(256);
        assert!(parsed(&format!("table u8 \"{codes}\"")).is_some());
        for bad in
            ["f32 \"00\"", "u8 \"00\"", &format!("i16 \"{codes}\""), &format!("u8 \"{codes}f\"")]
        {
            assert_eq!(parsed(&format!("table {bad}")), None, "{bad}");
        }
    }
}
