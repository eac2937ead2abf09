//! The text form (`.eir`) of all three levels: one lexer, and per level a file with the printer and
//! the parser side by side. `docs/ir.md` has the grammar.
//!
//! Law: `parse(print(x, PrintOptions::exact())) == x` for every `x` in canonical numbering, which is
//! how builders number and how a parser numbers what it reads; and `print(parse(print(x))) ==
//! print(x)` for every `x` and all options.

mod affine;
pub(crate) mod attrs;
mod codes;
pub(crate) mod cursor;
mod data;
mod graph;
mod kernel;
#[cfg(test)]
mod laws;
mod lex;
mod loops;
mod number;
mod program;
mod routine;
mod scalar;
mod schedule;
mod stmt;
mod tables;
mod write;

pub use cursor::ParseError;
pub use graph::{parse_graph, print_graph};
pub use kernel::{parse_kernels, print_kernel, print_kernels};
pub use loops::{parse_loops, print_loops};
pub use schedule::{parse_schedule_line, print_schedule};
pub use stmt::print_func;

use crate::graph::Graph;
use crate::kernel::{ConstId, Kernels};
use crate::loops::Loops;
use cursor::Cursor;

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

/// A dump of any level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Any {
    /// Tensors.
    Graph(Parsed<Graph>),
    /// Structured kernels.
    Kernels(Parsed<Kernels>),
    /// Loop functions.
    Loops(Parsed<Loops>),
}

/// Parses a dump of the level that its first word names: `graph`, `kernels` or `loops`.
pub fn parse_any(text: &str) -> Result<Any, ParseError> {
    let start = Cursor::new(text);
    match start.peek().text {
        "graph" => parse_graph(text).map(Any::Graph),
        "kernels" => parse_kernels(text).map(Any::Kernels),
        "loops" => parse_loops(text).map(Any::Loops),
        _ => Err(start.expected("`graph`, `kernels` or `loops`")),
    }
}

impl Any {
    /// The dump's text.
    #[must_use]
    pub fn print(&self, options: &PrintOptions) -> String {
        match self {
            Any::Graph(graph) => print_graph(&graph.ir, options),
            Any::Kernels(kernels) => print_kernels(&kernels.ir, options),
            Any::Loops(loops) => print_loops(&loops.ir, options),
        }
    }

    /// Constants whose data is not in the dump.
    #[must_use]
    pub fn elided(&self) -> &[ConstId] {
        match self {
            Any::Graph(graph) => &graph.elided,
            Any::Kernels(kernels) => &kernels.elided,
            Any::Loops(loops) => &loops.elided,
        }
    }
}
