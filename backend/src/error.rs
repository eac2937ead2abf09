//! What the backend refuses, as diagnostics.

use edgecc_ir::diag::{Diagnostic, Kind};
use std::fmt::Display;

/// The backend's diagnostic codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// An operation or type that legalization should have removed.
    NotLegal,
    /// The loops come without what code generation needs.
    NotPlanned,
    /// Names of the model that collide as identifiers.
    NameCollision,
    /// A tensor that the C ABI cannot describe.
    AbiLimit,
    /// An object that cannot be linked here.
    NotLinkable,
    /// Code generation failed.
    Codegen,
}

impl Code {
    fn name(self) -> &'static str {
        match self {
            Code::NotLegal => "not-legal",
            Code::NotPlanned => "not-planned",
            Code::NameCollision => "name-collision",
            Code::AbiLimit => "abi-limit",
            Code::NotLinkable => "not-linkable",
            Code::Codegen => "codegen-failed",
        }
    }
}

/// An error of the backend.
pub(crate) fn refuse(code: Code, message: impl Into<String>) -> Diagnostic {
    Diagnostic::error(Kind::Unsupported, code.name(), message)
}

/// A failure of the code generator itself.
pub(crate) fn internal(why: impl Display) -> Vec<Diagnostic> {
    vec![refuse(Code::Codegen, why.to_string())]
}
