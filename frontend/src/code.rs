//! The codes of this room's diagnostics: one table, read by `edgecc explain`.

use edgecc_ir::codes;
use edgecc_ir::diag::{Diagnostic, Severity};

codes! {
    /// What is wrong with a model or with an import option.
    NotOnnx "not-onnx" Invalid
        "The bytes are not an ONNX protobuf message. Check that the path names the model itself and not, for example, an archive or a Git LFS pointer.";
    Truncated "truncated" Invalid
        "The file ends inside the model. Download or export it again.";
    InvalidModel "invalid-model" Invalid
        "The message parses but breaks a rule of the ONNX specification. `onnx.checker` finds the same fault; export the model again.";
    UnsupportedOpset "unsupported-opset" Unsupported
        "Opset versions from 1 are read. Export the model again.";
    NewOpset "new-opset" Unsupported
        "The model is newer than this compiler. The newest known definition of each operator is used.";
    DuplicateName "duplicate-name" Invalid
        "Two values have the same name; ONNX graphs are in static single assignment form.";
    Cycle "cycle" Invalid
        "Nodes depend on their own results.";
    MissingInitializer "missing-initializer" Invalid
        "A node reads a name that is neither a graph input, nor an initializer, nor the result of a node.";
    MissingInput "missing-input" Invalid
        "A node leaves out an operand that its operator requires, or has too many.";
    UnknownAttribute "unknown-attribute" Unsupported
        "A node has an attribute that its operator does not define in the model's opset.";
    BadAttribute "bad-attribute" Invalid
        "An attribute has the wrong type or a value outside the specification.";
    UnsupportedAttribute "unsupported-attribute" Unsupported
        "An attribute has a legal value that is not supported.";
    UnsupportedOp "unsupported-op" Unsupported
        "No import exists for the operator. `edgecc ops` lists the supported ones.";
    UnsupportedOutput "unsupported-output" Unsupported
        "An optional result of an operator is used that is not computed.";
    UnsupportedType "unsupported-type" Unsupported
        "A tensor has an element type that is not supported, or not by this operator.";
    ShapeMismatch "shape-mismatch" Invalid
        "The shapes or types of operands do not fit together.";
    NonConstantOperand "non-constant-operand" Unsupported
        "An operand that decides shapes must be known at compile time. Fold the model with fixed input shapes first, or export it with static shapes.";
    DataDependentShape "data-dependent-shape" Unsupported
        "The size of a value depends on the data, so nothing but the caller can use it: it must be an output of the model, beside which the output `<name>.count` says how much of it is used. Cut the model there, or make the operand constant.";
    DynamicShape "dynamic-shape" Usage
        "A dimension of an input has no value; all shapes are fixed at compile time. Pass `--dim name=value` or `--shape input:1x3x224x224`.";
    UnknownDim "unknown-dim" Usage
        "`--dim` names a dimension that no input of the model has.";
    UnknownInput "unknown-input" Usage
        "`--shape` or `--const` names an input that the model does not have.";
    ShapeOption "shape-option" Usage
        "The values of `--shape` and `--dim`, or the shape of a `--const`, contradict the model or each other.";
    BadConstant "bad-constant" Usage
        "The value of `--const` does not fit its input: a number is out of the range of the element type, or an array has another type or shape.";
    ExternalData "external-data" Io
        "Weights stored outside the model cannot be read. They must be in the model's folder or below it.";
    TooLarge "too-large" Unsupported
        "A tensor has more dimensions or elements than the compiler can represent.";
}

impl Code {
    /// A warning with this code.
    #[must_use]
    pub(crate) fn warning(self, message: impl Into<String>) -> Diagnostic {
        Diagnostic { severity: Severity::Warning, ..self.error(message) }
    }
}
