//! The text form (`.eir`) of all three levels: one lexer, and per level a file with the printer and
//! the parser side by side. `docs/ir.md` has the grammar.
//!
//! Law: `parse(print(x, PrintOptions::exact())) == x` for every `x` in canonical numbering, which is
//! how builders number and how a parser numbers what it reads; and `print(parse(print(x))) ==
//! print(x)` for every `x` and all options.

pub(crate) mod attrs;
pub(crate) mod cursor;
mod data;
mod graph;
mod lex;
mod number;
mod scalar;
mod tables;
mod write;

pub use cursor::ParseError;
pub use graph::{parse_graph, print_graph};

use crate::kernel::ConstId;

/// What a dump shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrintOptions {
    /// Constants of more elements print as a hash of their content; those of at most 16 elements,
    /// or with all elements equal, never do.
    pub elide_above: usize,
    /// Whether locations are shown.
    pub locs: bool,
}

impl PrintOptions {
    /// Everything: no data is left out and locations are shown.
    #[must_use]
    pub fn exact() -> PrintOptions {
        PrintOptions { elide_above: usize::MAX, locs: true }
    }
}

impl Default for PrintOptions {
    /// What people read: long constants as hashes, no locations.
    fn default() -> PrintOptions {
        PrintOptions { elide_above: data::LIST_ELEMENTS, locs: false }
    }
}

/// A parsed dump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed<T> {
    /// The level's data.
    pub ir: T,
    /// Constants whose data is not in the dump. They hold a placeholder that prints as the same
    /// hash again: good enough to verify, rewrite and schedule, not to evaluate or to emit.
    pub elided: Vec<ConstId>,
}
