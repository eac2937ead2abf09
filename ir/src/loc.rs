//! Where a piece of IR comes from, for diagnostics and reports.

use cranelift_entity::{PrimaryMap, entity_impl};
use std::borrow::Cow;
use std::fmt;

/// A location in a `LocTable`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LocId(u32);
entity_impl!(LocId, "loc");

/// All locations of a level.
pub type LocTable = PrimaryMap<LocId, Loc>;

/// The origin of an op, kernel or step.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Loc {
    /// Not known.
    Unknown,
    /// An item of the imported model: `node #42 "up/conv" (Conv)`.
    Source {
        /// Position in the model's list of such items.
        index: u32,
        /// What it is: an ONNX operator type, `input`, `initializer`.
        kind: String,
        /// Its name in the model; may be empty.
        name: String,
    },
    /// A place in a text dump, counted from 1.
    Text {
        /// Line.
        line: u32,
        /// Column.
        column: u32,
    },
    /// Made from several places.
    Fused(Vec<LocId>),
    /// Made by a pass from another place.
    Derived(Cow<'static, str>, LocId),
}

impl Loc {
    /// The same origin in a table in which the others have these places.
    #[must_use]
    pub fn moved(&self, place: impl Fn(LocId) -> LocId) -> Loc {
        match self {
            Loc::Unknown | Loc::Source { .. } | Loc::Text { .. } => self.clone(),
            Loc::Fused(parts) => Loc::Fused(parts.iter().map(|&part| place(part)).collect()),
            Loc::Derived(pass, from) => Loc::Derived(pass.clone(), place(*from)),
        }
    }

    /// All model items (`Loc::Source`) that this location leads to, in order, without repeats.
    #[must_use]
    pub fn sources<'a>(&'a self, table: &'a LocTable) -> Vec<&'a Loc> {
        let mut found = Vec::new();
        self.collect(table, &mut found);
        found
    }

    fn collect<'a>(&'a self, table: &'a LocTable, found: &mut Vec<&'a Loc>) {
        match self {
            Loc::Source { .. } if !found.contains(&self) => found.push(self),
            Loc::Fused(parts) => parts.iter().for_each(|&p| table[p].collect(table, found)),
            Loc::Derived(_, from) => table[*from].collect(table, found),
            Loc::Source { .. } | Loc::Unknown | Loc::Text { .. } => {}
        }
    }
}

impl fmt::Display for Loc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Loc::Unknown => write!(f, "unknown location"),
            Loc::Source { index, kind, name } => write!(f, "node #{index} \"{name}\" ({kind})"),
            Loc::Text { line, column } => write!(f, "{line}:{column}"),
            Loc::Fused(parts) => write!(f, "{} fused places", parts.len()),
            Loc::Derived(pass, from) => write!(f, "{pass} from {from}"),
        }
    }
}
