//! A position in the token stream, with the small parsers that all levels share.

use super::lex::{Kind, Lexer, Token};
use crate::types::{ElemType, Shape, TensorType};
use std::fmt;
use std::str::FromStr;

/// The deepest nesting of blocks and expressions.
const MAX_DEPTH: usize = 64;

/// Why a text does not parse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// Line, counted from 1.
    pub line: u32,
    /// Column in characters, counted from 1.
    pub column: u32,
    /// One sentence without a final full stop.
    pub message: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for ParseError {}

/// The outcome of a parser.
pub(crate) type Parse<T> = Result<T, ParseError>;

/// A token stream with one token of lookahead.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    lexer: Lexer<'a>,
    token: Token<'a>,
    depth: usize,
}

impl Token<'_> {
    /// An error at this token.
    pub(crate) fn error(&self, message: impl Into<String>) -> ParseError {
        ParseError { line: self.line, column: self.column, message: message.into() }
    }

    fn describe(&self) -> String {
        match self.kind {
            Kind::End => "the end of the text".to_owned(),
            Kind::Bad if self.text.contains('"') => "an unterminated string".to_owned(),
            _ => format!("`{}`", self.text),
        }
    }
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(text: &'a str) -> Cursor<'a> {
        let mut lexer = Lexer::new(text);
        let token = lexer.next_token();
        Cursor { lexer, token, depth: 0 }
    }

    /// The token that comes next.
    pub(crate) fn peek(&self) -> Token<'a> {
        self.token
    }

    /// Whether this word or punctuation comes next.
    pub(crate) fn at(&self, text: &str) -> bool {
        matches!(self.token.kind, Kind::Word | Kind::Punct) && self.token.text == text
    }

    /// Whether a token of this kind comes next.
    pub(crate) fn at_kind(&self, kind: Kind) -> bool {
        self.token.kind == kind
    }

    /// Takes the next token.
    pub(crate) fn advance(&mut self) -> Token<'a> {
        std::mem::replace(&mut self.token, self.lexer.next_token())
    }

    /// Takes this word or punctuation if it comes next.
    pub(crate) fn eat(&mut self, text: &str) -> bool {
        let found = self.at(text);
        if found {
            self.advance();
        }
        found
    }

    /// Takes this word or punctuation.
    pub(crate) fn expect(&mut self, text: &str) -> Parse<()> {
        if self.eat(text) { Ok(()) } else { Err(self.expected(&format!("`{text}`"))) }
    }

    /// An error at the next token.
    pub(crate) fn error(&self, message: impl Into<String>) -> ParseError {
        self.token.error(message)
    }

    /// The error that something else should come next.
    pub(crate) fn expected(&self, what: &str) -> ParseError {
        self.error(format!("expected {what}, found {}", self.token.describe()))
    }

    /// Takes a token of this kind.
    pub(crate) fn expect_kind(&mut self, kind: Kind, what: &str) -> Parse<Token<'a>> {
        if self.at_kind(kind) { Ok(self.advance()) } else { Err(self.expected(what)) }
    }

    /// A word.
    pub(crate) fn word(&mut self, what: &str) -> Parse<&'a str> {
        Ok(self.expect_kind(Kind::Word, what)?.text)
    }

    /// The word's meaning, or an error at the word.
    pub(crate) fn word_as<T>(
        &mut self,
        what: &str,
        meaning: impl FnOnce(&'a str) -> Option<T>,
    ) -> Parse<T> {
        let token = self.expect_kind(Kind::Word, what)?;
        meaning(token.text)
            .ok_or_else(|| token.error(format!("expected {what}, found {}", token.describe())))
    }

    /// A `%name` token.
    pub(crate) fn value(&mut self) -> Parse<Token<'a>> {
        self.expect_kind(Kind::Value, "a value such as `%0`")
    }

    /// A symbol's name, without `@` and quotes.
    pub(crate) fn symbol(&mut self) -> Parse<String> {
        let token = self.expect_kind(Kind::Symbol, "a symbol such as `@name`")?;
        match token.text[1..].starts_with('"') {
            true => unescape(&token, &token.text[1..]),
            false => Ok(token.text[1..].to_owned()),
        }
    }

    /// A string.
    pub(crate) fn string(&mut self) -> Parse<String> {
        let token = self.expect_kind(Kind::Text, "a string")?;
        unescape(&token, token.text)
    }

    /// A decimal or `0x` integer that fits `T`.
    pub(crate) fn integer<T: TryFrom<i128>>(&mut self) -> Parse<T> {
        let start = self.peek();
        let negative = self.eat("-");
        let token = self.expect_kind(Kind::Number, "an integer")?;
        let magnitude = match token.text.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16),
            None => u64::from_str(token.text),
        };
        let magnitude = magnitude
            .map_err(|_| token.error(format!("`{}` is not a 64-bit integer", token.text)))?;
        let value = i128::from(magnitude) * if negative { -1 } else { 1 };
        T::try_from(value).map_err(|_| start.error(format!("{value} is out of range here")))
    }

    /// Items between brackets, separated by commas.
    pub(crate) fn list<T>(
        &mut self,
        open: &str,
        close: &str,
        mut item: impl FnMut(&mut Self) -> Parse<T>,
    ) -> Parse<Vec<T>> {
        self.expect(open)?;
        let mut items = Vec::new();
        while !self.at(close) {
            if !items.is_empty() {
                self.expect(",")?;
            }
            items.push(item(self)?);
        }
        self.expect(close)?;
        Ok(items)
    }

    /// Parses something that may contain itself, to a bounded depth.
    pub(crate) fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Parse<T>) -> Parse<T> {
        if self.depth == MAX_DEPTH {
            return Err(self.error(format!("nested deeper than {MAX_DEPTH}")));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    /// An element type.
    pub(crate) fn elem(&mut self) -> Parse<ElemType> {
        self.word_as("an element type", ElemType::from_name)
    }

    /// Extents: `[1,28,28]`.
    pub(crate) fn shape(&mut self) -> Parse<Shape> {
        Ok(self.list("[", "]", Self::integer::<usize>)?.into_iter().collect())
    }

    /// A tensor type: `f32[1,28,28]`.
    pub(crate) fn tensor_type(&mut self) -> Parse<TensorType> {
        Ok(TensorType { elem: self.elem()?, shape: self.shape()? })
    }

    /// The type after the next `:` outside all brackets, without moving.
    pub(crate) fn type_ahead(&self) -> Parse<TensorType> {
        let mut ahead = self.clone();
        let mut open = 0i64;
        while !(open <= 0 && ahead.at(":")) {
            let token = ahead.advance();
            match (token.kind, token.text) {
                (Kind::End, _) => return Err(token.error("expected `:` and a type")),
                (Kind::Punct, "(" | "[" | "{" | "<") => open += 1,
                (Kind::Punct, ")" | "]" | "}" | ">") => open -= 1,
                _ => {}
            }
        }
        ahead.expect(":")?;
        ahead.tensor_type()
    }

    /// The number of a word or name with this prefix: `loc3`.
    pub(crate) fn numbered(&mut self, prefix: &str) -> Parse<u32> {
        let what = format!("a name such as `{prefix}0`");
        self.word_as(&what, |word| word.strip_prefix(prefix)?.parse().ok())
    }

    /// Whether a word with this prefix and a number comes next.
    pub(crate) fn at_numbered(&self, prefix: &str) -> bool {
        let digits = self.token.text.strip_prefix(prefix);
        let number = digits.is_some_and(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit()));
        self.token.kind == Kind::Word && number
    }
}

fn unescape(token: &Token<'_>, quoted: &str) -> Parse<String> {
    let inner = &quoted[1..quoted.len() - 1];
    let mut parts = inner.split('\\');
    let mut text = parts.next().unwrap_or_default().to_owned();
    let bad = || token.error("escapes are `\\\"`, `\\\\` and `\\u{…}`");
    while let Some(part) = parts.next() {
        if part.is_empty() {
            text.push('\\');
            text.push_str(parts.next().ok_or_else(bad)?);
        } else if let Some(rest) = part.strip_prefix('"') {
            text.push('"');
            text.push_str(rest);
        } else {
            let (hex, rest) =
                part.strip_prefix("u{").and_then(|p| p.split_once('}')).ok_or_else(bad)?;
            let code = u32::from_str_radix(hex, 16).ok().and_then(char::from_u32);
            text.push(code.ok_or_else(bad)?);
            text.push_str(rest);
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::Cursor;

    #[test]
    fn errors_name_what_was_expected_and_found_and_where() {
        let error = Cursor::new("\n  ]").tensor_type().unwrap_err();
        assert_eq!(error.to_string(), "2:3: expected an element type, found `]`");
        let error = Cursor::new("\"open").string().unwrap_err();
        assert_eq!(error.to_string(), "1:1: expected a string, found an unterminated string");
    }

    #[test]
    fn integers_are_checked_against_their_type() {
        assert_eq!(Cursor::new("-0x10").integer(), Ok(-16i64));
        assert!(Cursor::new("256").integer::<u8>().is_err());
        assert!(Cursor::new("-1").integer::<u32>().is_err());
        assert!(Cursor::new("18446744073709551616").integer::<u64>().is_err());
    }

    #[test]
    fn the_type_ahead_skips_brackets() {
        let cursor = Cursor::new("%1, %2 {v = 0:i32, f = (x) -> x} : i8[2]");
        assert_eq!(cursor.type_ahead().map(|t| t.to_string()), Ok("i8[2]".to_owned()));
    }

    #[test]
    fn strings_unescape() {
        let text = Cursor::new(r#""a\\\"\u{e9}b""#).string();
        assert_eq!(text, Ok("a\\\"éb".to_owned()));
        assert!(Cursor::new(r#""\q""#).string().is_err());
    }
}
