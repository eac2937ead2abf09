//! The codes of the driver's own diagnostics: one table, read by `edgecc explain`.

use edgecc_ir::diag::{Diagnostic, Kind};

macro_rules! codes {
    ($($variant:ident $name:literal $kind:ident $doc:literal;)*) => {
        /// What is wrong with the options or the surroundings of a compilation.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
            pub fn kind(self) -> Kind {
                match self { $(Code::$variant => Kind::$kind),* }
            }

            /// What it means and what to do.
            #[must_use]
            pub fn doc(self) -> &'static str {
                match self { $(Code::$variant => $doc),* }
            }
        }
    };
}

codes! {
    UnknownTarget "unknown-target" Usage
        "Code is made for x86_64 and aarch64 only. There is no backend for 32-bit Arm, RISC-V or \
         microcontrollers.";
    UnknownCpu "unknown-cpu" Usage
        "`--cpu` takes a name that `edgecc targets` lists for the architecture, `generic` for its \
         default, or `native` for the machine that compiles.";
    UnknownFeature "unknown-feature" Usage
        "`--features` takes `+name` and `-name`, separated by commas, with the names that \
         `edgecc targets` lists for the architecture.";
    ForeignNative "foreign-native" Usage
        "`--cpu native` reads the features of the machine that compiles, which says nothing about \
         a machine of another architecture.";
    BadName "bad-name" Usage
        "The model's name becomes a part of symbols, types and macros, so it must be a C \
         identifier: letters, digits and `_`, no digit first.";
    ReadFile "read-file" Io
        "A file could not be read.";
    WriteFile "write-file" Io
        "A file could not be written. Nothing was changed: results are written beside their final \
         place and moved there only when everything has succeeded.";
    BadArrays "bad-arrays" Usage
        "The arrays for the model's inputs or outputs do not fit the model: a name, an element \
         type or a shape differs. `edgecc inspect model.onnx` lists what the model takes.";
    OverBudget "over-budget" Usage
        "The result is larger than `--max-arena` or `--max-code` allows. Nothing was written.";
    UnknownCode "unknown-code" Usage
        "`edgecc explain` takes the code that stands in brackets behind `error` or `warning`.";
    NotAModel "not-a-model" Invalid
        "The file is neither an ONNX model nor an object file made by edgecc.";
    Run "run" Invalid
        "The compiled model could not be run on this machine.";
}

impl Code {
    /// An error with this code.
    #[must_use]
    pub fn error(self, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(self.kind(), self.name(), message)
    }
}
