//! The codes of this room's diagnostics: one table, read by `edgecc explain`.

use edgecc_ir::codes;

codes! {
    /// What a target cannot do.
    UnsupportedScalarFunction "unsupported-scalar-function" Unsupported
        "The model computes a function on an element type for which the target has neither an \
         instruction nor a sequence of them. Export the model with `float32` in that place.";
}
