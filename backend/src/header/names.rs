//! Identifiers for tensors: the only place that turns a model's names into C and Rust names.

use crate::error::Code;
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::kernel::Port;
use std::collections::BTreeMap;

/// Words that C99, C++17 or Rust 2024 keep for themselves, as far as they are all lower case.
const KEYWORDS: &[&str] = &[
    "abstract",
    "alignas",
    "alignof",
    "and",
    "and_eq",
    "as",
    "asm",
    "async",
    "auto",
    "await",
    "become",
    "bitand",
    "bitor",
    "bool",
    "box",
    "break",
    "case",
    "catch",
    "char",
    "class",
    "compl",
    "const",
    "const_cast",
    "constexpr",
    "continue",
    "crate",
    "decltype",
    "default",
    "delete",
    "do",
    "double",
    "dyn",
    "dynamic_cast",
    "else",
    "enum",
    "explicit",
    "export",
    "extern",
    "false",
    "final",
    "float",
    "fn",
    "for",
    "friend",
    "gen",
    "goto",
    "if",
    "impl",
    "in",
    "inline",
    "int",
    "let",
    "long",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "mutable",
    "namespace",
    "new",
    "noexcept",
    "not",
    "not_eq",
    "nullptr",
    "operator",
    "or",
    "or_eq",
    "override",
    "priv",
    "private",
    "protected",
    "pub",
    "public",
    "ref",
    "register",
    "reinterpret_cast",
    "restrict",
    "return",
    "self",
    "short",
    "signed",
    "sizeof",
    "static",
    "static_assert",
    "static_cast",
    "struct",
    "super",
    "switch",
    "template",
    "this",
    "thread_local",
    "throw",
    "trait",
    "true",
    "try",
    "type",
    "typedef",
    "typeid",
    "typename",
    "typeof",
    "union",
    "unsafe",
    "unsigned",
    "unsized",
    "use",
    "using",
    "virtual",
    "void",
    "volatile",
    "where",
    "while",
    "xor",
    "xor_eq",
    "yield",
];

/// A name as an identifier: other characters become `_`, a digit in front and a keyword get one.
#[must_use]
pub fn identifier(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let mut text: String = name.chars().map(plain).collect();
    if text.chars().all(|c| c == '_') {
        return format!("tensor{text}");
    }
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        text.insert(0, '_');
    }
    if KEYWORDS.binary_search(&text.as_str()).is_ok() {
        text.push('_');
    }
    text
}

/// The identifiers of a model's inputs or outputs, distinct also in upper case.
pub(crate) fn identifiers(ports: &[Port]) -> Result<Vec<String>, Vec<Diagnostic>> {
    let mut taken: BTreeMap<String, &str> = BTreeMap::new();
    let mut names = Vec::with_capacity(ports.len());
    let mut clashes = Vec::new();
    for port in ports {
        let name = identifier(&port.name);
        if let Some(other) = taken.insert(name.to_ascii_uppercase(), &port.name) {
            clashes.push(clash(other, &port.name, &name));
        }
        names.push(name);
    }
    if clashes.is_empty() { Ok(names) } else { Err(clashes) }
}

fn clash(first: &str, second: &str, name: &str) -> Diagnostic {
    let message =
        format!("tensors `{first}` and `{second}` both become `{name}` in generated code");
    Code::NameCollision.error(message).help("rename one of them in the model")
}

#[cfg(test)]
mod tests {
    use super::{KEYWORDS, identifier, identifiers};
    use edgecc_ir::kernel::Port;
    use edgecc_ir::types::{ElemType, TensorType};

    #[test]
    fn any_name_becomes_an_identifier() {
        let pairs = [
            ("a/b:0", "a_b_0"),
            ("3d", "_3d"),
            ("float", "float_"),
            ("", "tensor"),
            ("é", "tensor_"),
        ];
        for (name, expected) in pairs {
            assert_eq!(identifier(name), expected);
        }
    }

    #[test]
    fn keywords_are_sorted_for_the_search() {
        assert!(KEYWORDS.windows(2).all(|w| w[0] < w[1]));
    }

    #[test]
    fn names_that_differ_in_case_only_clash() {
        let ports = ["x", "X"]
            .map(|name| Port { name: name.to_owned(), ty: TensorType::new(ElemType::F32, &[1]) });
        let clashes = identifiers(&ports).expect_err("macros are upper case");
        assert_eq!(clashes[0].code, "name-collision");
    }
}
