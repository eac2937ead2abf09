//! Tokens of the text form, with their positions. All levels share them.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A name or keyword: `graph`, `f32`, `a0`.
    Word,
    /// `%` and a name.
    Value,
    /// `@` and a name or a string.
    Symbol,
    /// An unsigned decimal, float or `0x` number.
    Number,
    /// A double-quoted string, quotes included.
    Text,
    /// Punctuation.
    Punct,
    /// The end of the file.
    End,
    /// Something that is no token.
    Bad,
}

/// A token: its text as written and where it starts, counted from 1 in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) kind: Kind,
    pub(crate) text: &'a str,
    pub(crate) line: u32,
    pub(crate) column: u32,
}

/// Cuts a text into tokens, in time linear in its length.
#[derive(Clone, Debug)]
pub(crate) struct Lexer<'a> {
    rest: &'a str,
    line: u32,
    column: u32,
}

const LONG_PUNCT: &[&str] = &["->", "..", "<="];
const SHORT_PUNCT: &str = "()[]{}<>,:;=|+-*";

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a str) -> Lexer<'a> {
        Lexer { rest: text, line: 1, column: 1 }
    }

    /// The next token; `End` for ever after the last one.
    pub(crate) fn next_token(&mut self) -> Token<'a> {
        self.skip_blanks();
        let (kind, length) = measure(self.rest);
        let (line, column) = (self.line, self.column);
        Token { kind, text: self.take(length), line, column }
    }

    fn skip_blanks(&mut self) {
        loop {
            let code = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
            let blanks = self.rest.len() - code.len();
            let comment = match code.starts_with("//") {
                true => code.find('\n').unwrap_or(code.len()),
                false => 0,
            };
            if blanks + comment == 0 {
                return;
            }
            self.take(blanks + comment);
        }
    }

    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        self.line += taken.matches('\n').count() as u32;
        self.column = match taken.rfind('\n') {
            Some(at) => 1 + taken[at + 1..].chars().count() as u32,
            None => self.column + taken.chars().count() as u32,
        };
        taken
    }
}

fn measure(rest: &str) -> (Kind, usize) {
    let Some(first) = rest.chars().next() else { return (Kind::End, 0) };
    match first {
        '%' => named(Kind::Value, name_length(&rest[1..])),
        '@' if rest[1..].starts_with('"') => {
            let (kind, length) = string(&rest[1..]);
            (if kind == Kind::Text { Kind::Symbol } else { kind }, 1 + length)
        }
        '@' => named(Kind::Symbol, name_length(&rest[1..])),
        '"' => string(rest),
        '0'..='9' => (Kind::Number, number_length(rest)),
        c if c.is_ascii_alphabetic() || c == '_' => (Kind::Word, word_length(rest)),
        c => punct(rest, c),
    }
}

fn named(kind: Kind, length: usize) -> (Kind, usize) {
    (if length == 0 { Kind::Bad } else { kind }, 1 + length)
}

fn punct(rest: &str, first: char) -> (Kind, usize) {
    if let Some(long) = LONG_PUNCT.iter().find(|p| rest.starts_with(**p)) {
        return (Kind::Punct, long.len());
    }
    let kind = if SHORT_PUNCT.contains(first) { Kind::Punct } else { Kind::Bad };
    (kind, first.len_utf8())
}

fn length_while(text: &str, accept: impl Fn(u8) -> bool) -> usize {
    text.bytes().take_while(|&b| accept(b)).count()
}

fn word_length(text: &str) -> usize {
    length_while(text, |b| b.is_ascii_alphanumeric() || b == b'_')
}

/// The length of a name after `%` or `@`.
pub(crate) fn name_length(text: &str) -> usize {
    length_while(text, |b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.')
}

fn string(text: &str) -> (Kind, usize) {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            b'"' if !escaped => return (Kind::Text, at + 1),
            b'\n' => return (Kind::Bad, at),
            _ => escaped = byte == b'\\' && !escaped,
        }
    }
    (Kind::Bad, text.len())
}

fn number_length(text: &str) -> usize {
    if let Some(hex) = text.strip_prefix("0x") {
        return 2 + length_while(hex, |b| b.is_ascii_alphanumeric());
    }
    let digits = |at: usize| length_while(&text[at..], |b| b.is_ascii_digit());
    let mut end = digits(0);
    if text[end..].starts_with('.') && digits(end + 1) > 0 {
        end += 1 + digits(end + 1);
    }
    if text[end..].starts_with('e') {
        let sign = usize::from(text[end + 1..].starts_with(['-', '+']));
        let exponent = digits(end + 1 + sign);
        end += if exponent > 0 { 1 + sign + exponent } else { 0 };
    }
    end
}

#[cfg(test)]
mod tests {
    use super::{Kind, Lexer};

    fn lex(text: &str) -> Vec<(Kind, &str)> {
        let mut lexer = Lexer::new(text);
        let tokens = std::iter::from_fn(|| Some(lexer.next_token()));
        tokens.take_while(|t| t.kind != Kind::End).map(|t| (t.kind, t.text)).collect()
    }

    #[test]
    fn tokens_are_cut_by_their_longest_form() {
        let words: Vec<&str> =
            lex("0..16 1.5e-7->%v3 <=@\"a \\\" b\" f32x4").iter().map(|t| t.1).collect();
        assert_eq!(words, ["0", "..", "16", "1.5e-7", "->", "%v3", "<=", "@\"a \\\" b\"", "f32x4"]);
    }

    #[test]
    fn malformed_tokens_are_marked() {
        for text in ["\"open", "@\"open", "%", "@", "§", "\"a\nb\""] {
            assert_eq!(lex(text)[0].0, Kind::Bad, "{text}");
        }
    }

    #[test]
    fn positions_count_characters_after_comments_and_newlines() {
        let mut lexer = Lexer::new("// é\n  \"é\" x");
        let (text, word) = (lexer.next_token(), lexer.next_token());
        assert_eq!((text.line, text.column), (2, 3));
        assert_eq!((word.line, word.column), (2, 7));
    }
}
