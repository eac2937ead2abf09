//! Why a compilation gave no result.

use edgecc_ir::diag::{Diagnostic, Kind};
use std::{error, fmt};

/// Every problem that was found, in the order of discovery; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The problems; at least one is an error.
    pub diagnostics: Vec<Diagnostic>,
}

impl Failure {
    /// The kind that decides what a caller does next: the one that is hardest to work around.
    #[must_use]
    pub fn kind(&self) -> Kind {
        let rank = |kind| match kind {
            Kind::Io => 3,
            Kind::Usage => 2,
            Kind::Invalid => 1,
            Kind::Unsupported => 0,
        };
        self.diagnostics.iter().map(|d| d.kind).max_by_key(|&k| rank(k)).unwrap_or(Kind::Invalid)
    }
}

impl From<Diagnostic> for Failure {
    fn from(diagnostic: Diagnostic) -> Failure {
        Failure { diagnostics: vec![diagnostic] }
    }
}

impl From<Vec<Diagnostic>> for Failure {
    fn from(diagnostics: Vec<Diagnostic>) -> Failure {
        Failure { diagnostics }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blocks: Vec<String> = self.diagnostics.iter().map(ToString::to_string).collect();
        f.write_str(&blocks.join("\n\n"))
    }
}

impl error::Error for Failure {}
