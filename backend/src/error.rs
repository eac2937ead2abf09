//! The codes of this room's diagnostics: one table, read by `edgecc explain`.

use edgecc_ir::codes;
use edgecc_ir::diag::Diagnostic;
use std::fmt::Display;

codes! {
    /// What the backend refuses.
    NotLegal "not-legal" Unsupported
        "The loops contain an operation or a type that the target does not have. `legalize` \
         replaces such operations, so hand-written loops must go through it.";
    NotPlanned "not-planned" Unsupported
        "An intermediate buffer has no place in the workspace. The memory plan gives it one, so \
         hand-written loops must go through it.";
    NameCollision "name-collision" Unsupported
        "Two tensors have names that become the same identifier in the generated header and \
         module. Rename one of them in the model.";
    AbiLimit "abi-limit" Unsupported
        "The model has an input or output that the C ABI cannot describe, such as one of more \
         than 8 dimensions. `docs/abi.md` has the limits.";
    NotLinkable "not-linkable" Unsupported
        "The object could not be made into a library that this process can load.";
    Codegen "codegen-failed" Unsupported
        "The code generator did not accept a function, for example because it is too large.";
}

/// A failure of the code generator itself.
pub(crate) fn internal(why: impl Display) -> Vec<Diagnostic> {
    vec![Code::Codegen.error(why.to_string())]
}
