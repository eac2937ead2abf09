//! Writers that all levels share: names, strings and lists. The parsers are in `cursor`.

use super::lex::name_length;
use std::fmt::{self, Display, Write};

/// `@name`, quoted where the name is not a plain one.
pub(crate) fn write_symbol(out: &mut String, name: &str) -> fmt::Result {
    out.push('@');
    match !name.is_empty() && name_length(name) == name.len() {
        true => out.write_str(name),
        false => write_string(out, name),
    }
}

/// A double-quoted string on one line.
pub(crate) fn write_string(out: &mut String, text: &str) -> fmt::Result {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => write!(out, "\\u{{{:x}}}", c as u32)?,
            c => out.push(c),
        }
    }
    out.write_char('"')
}

/// Items separated by commas.
pub(crate) fn write_list<T>(
    out: &mut String,
    items: impl IntoIterator<Item = T>,
    mut item: impl FnMut(&mut String, T) -> fmt::Result,
) -> fmt::Result {
    for (at, value) in items.into_iter().enumerate() {
        if at > 0 {
            out.push_str(", ");
        }
        item(out, value)?;
    }
    Ok(())
}

/// Items as they display, in square brackets without blanks: `[1,2]`.
pub(crate) fn write_brackets<T: Display>(
    out: &mut String,
    items: impl IntoIterator<Item = T>,
) -> fmt::Result {
    let items: Vec<String> = items.into_iter().map(|i| i.to_string()).collect();
    write!(out, "[{}]", items.join(","))
}

/// The text that `write` makes.
pub(crate) fn text_of(write: impl FnOnce(&mut String) -> fmt::Result) -> String {
    let mut out = String::new();
    write(&mut out).expect("a String takes every write");
    out
}

#[cfg(test)]
mod tests {
    use super::super::cursor::Cursor;
    use super::{text_of, write_symbol};

    #[test]
    fn symbols_of_any_name_parse_back() {
        for name in ["mnist", "conv1.weight", "", "my model", "\"\\", "a\nb", "é"] {
            let text = text_of(|out| write_symbol(out, name));
            assert_eq!(Cursor::new(&text).symbol().as_deref(), Ok(name));
        }
    }
}
