//! Diagnostics: what is wrong with the user's input or beyond the compiler's limits, and
//! violations: what a verifier finds wrong with the compiler's own IR.

use std::fmt;

/// What kind of failure a diagnostic is; decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// The input is malformed or inconsistent.
    Invalid,
    /// The input is legal but needs something that is not supported.
    Unsupported,
    /// An option does not fit the model.
    Usage,
    /// A file could not be read or written.
    Io,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Compilation stops.
    Error,
    /// Compilation goes on.
    Warning,
}

/// One problem: a stable kebab-case code, a message, a place and advice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// Decides the exit code.
    pub kind: Kind,
    /// Stable name such as `unsupported-op`; each room lists its own with [`codes`](crate::codes).
    pub code: &'static str,
    /// One sentence without a final full stop.
    pub message: String,
    /// Human-readable place, e.g. `node #3 "conv1" (Conv, opset 13)`; empty when there is none.
    pub at: String,
    /// Facts that help, e.g. operand shapes.
    pub notes: Vec<String>,
    /// What the user can do.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error without place, notes or help; rooms call it through the codes of their tables.
    #[must_use]
    pub fn error(kind: Kind, code: &'static str, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            severity: Severity::Error,
            kind,
            code,
            message: message.into(),
            at: String::new(),
            notes: Vec::new(),
            help: None,
        }
    }

    /// Sets the place.
    #[must_use]
    pub fn at(mut self, at: impl Into<String>) -> Diagnostic {
        self.at = at.into();
        self
    }

    /// Adds a note.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Diagnostic {
        self.notes.push(note.into());
        self
    }

    /// Sets the advice.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Diagnostic {
    /// The layout of rustc's diagnostics, without colour or file name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{severity}[{}]: {}", self.code, self.message)?;
        if !self.at.is_empty() {
            write!(f, "\n  --> {}", self.at)?;
        }
        for note in &self.notes {
            write!(f, "\n  note: {note}")?;
        }
        self.help.iter().try_for_each(|help| write!(f, "\n  help: {help}"))
    }
}

/// Defines a room's `enum Code`: one row per diagnostic with its variant, its stable kebab-case
/// name, its kind, and for `edgecc explain` what it means and what to do.
#[macro_export]
macro_rules! codes {
    ($(#[$about:meta])* $($variant:ident $name:literal $kind:ident $doc:literal;)*) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[allow(missing_docs, reason = "each row carries its doc line as data")]
        pub enum Code { $($variant),* }

        impl Code {
            /// Every code, in table order.
            pub const ALL: &[Code] = &[$(Code::$variant),*];

            /// Stable kebab-case name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Code::$variant => $name),* }
            }

            /// Decides the exit code.
            #[must_use]
            pub fn kind(self) -> $crate::diag::Kind {
                match self { $(Code::$variant => $crate::diag::Kind::$kind),* }
            }

            /// What it means and what to do.
            #[must_use]
            pub fn doc(self) -> &'static str {
                match self { $(Code::$variant => $doc),* }
            }

            /// An error with this code.
            #[must_use]
            pub fn error(self, message: impl Into<String>) -> $crate::diag::Diagnostic {
                $crate::diag::Diagnostic::error(self.kind(), self.name(), message)
            }
        }
    };
}

/// A broken invariant of an IR level: always a bug of the compiler or of a hand-written dump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The invariant's number as its level documents it, e.g. `G4`.
    pub invariant: &'static str,
    /// The place inside the level, e.g. `op12 (conv)`.
    pub at: String,
    /// One sentence without a final full stop.
    pub message: String,
}

impl Violation {
    /// A violation of `invariant` at a place.
    #[must_use]
    pub fn new(
        invariant: &'static str,
        at: impl Into<String>,
        message: impl Into<String>,
    ) -> Violation {
        Violation { invariant, at: at.into(), message: message.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}: {}", self.invariant, self.at, self.message)
    }
}
