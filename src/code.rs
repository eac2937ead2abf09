//! The codes of the driver's own diagnostics, and the explanations of every room's.

use edgecc_ir::codes;

codes! {
    /// What is wrong with the options or the surroundings of a compilation.
    UnknownTarget "unknown-target" Usage
        "Code is made for x86_64 and aarch64 only. There is no backend for 32-bit Arm, RISC-V or \
         microcontrollers.";
    UnknownCpu "unknown-cpu" Usage
        "`--cpu` takes a name that `edgecc targets` lists for the architecture, `generic` for its \
         default, or `native` for the machine that compiles.";
    UnknownFeature "unknown-feature" Usage
        "`--features` takes `+name` and `-name`, separated by commas, with the names that \
         `edgecc targets` lists for the architecture.";
    UnusedFeature "unused-feature" Usage
        "No code is made for products of `bfloat16` on matrix tiles, as the compiler computes in \
         `f32`. Products of 8-bit codes have `amx-int8`.";
    IncompleteFeature "incomplete-feature" Usage
        "8-bit products on matrix tiles (`amx-int8`) come with the tiles (`amx-tile`) and with \
         vectors of 512 bits that multiply codes too, for everything that is no whole tile.";
    ForeignNative "foreign-native" Usage
        "`--cpu native` reads the features of the machine that compiles, which says nothing about \
         a machine of another architecture.";
    BadName "bad-name" Usage
        "The model's name becomes a part of symbols, types and macros, so it must be a C \
         identifier: letters, digits and `_`, no digit first.";
    UnknownState "unknown-state" Usage
        "`--state input=output` names an input or an output that the model does not have. Inputs \
         that `--const` fixes are none any more.";
    BadState "bad-state" Usage
        "The output of a `--state` takes the place of its input in the next run, so both have the \
         same type, and each output belongs to one state.";
    BadSizes "bad-sizes" Usage
        "`--dim name=32,64` compiles the model once for each combination of the values of all such \
         dimensions, at most 64, into one object. What the caller keeps between runs must have \
         the same types in all of them. A command that runs a model takes one size.";
    ReadFile "read-file" Io
        "A file could not be read.";
    WriteFile "write-file" Io
        "A file could not be written. Nothing was changed: results are written beside their final \
         place and moved there only when everything has succeeded.";
    BadArrays "bad-arrays" Usage
        "The arrays for the model's inputs or outputs do not fit the model: a name, an element \
         type or a shape differs. `edgecc inspect model.onnx` lists what the model takes.";
    RoundedWeights "rounded-weights" Usage
        "`edgecc verify` compares every level with the model as imported, whose weights `--weights \
         f16` rounds. Verify without it; the outputs of `edgecc run` with and without it show what \
         rounding costs.";
    NothingToQuantize "nothing-to-quantize" Unsupported
        "A model is quantised in its convolutions and its products of matrices in `f32`, and it has \
         none, or all of them are to stay as they are.";
    NoDecisions "no-decisions" Usage
        "`--measure decisions` counts where the largest element along the last dimension of the \
         first output is another one than in `f32`. That output has integers, or one element there.";
    UnknownLayer "unknown-layer" Usage
        "`--keep` takes the names of nodes that can be quantised: convolutions and products of \
         matrices. `edgecc quantize --report FILE.json` lists them.";
    OverBudget "over-budget" Usage
        "The result is larger than `--max-arena` or `--max-code` allows. Nothing was written.";
    UnknownCode "unknown-code" Usage
        "`edgecc explain` takes the code that stands in brackets behind `error` or `warning`.";
    NotAModel "not-a-model" Invalid
        "The file is neither an ONNX model nor an object file made by edgecc.";
    Run "run" Invalid
        "The compiled model could not be run on this machine.";
    Internal "internal" Invalid
        "A fault of the compiler, not of the model. The message says what to report.";
}

/// Every code of every room with what it means and what to do.
pub fn explanations() -> impl Iterator<Item = (&'static str, &'static str)> {
    use edgecc_backend::Code as Backend;
    use edgecc_frontend::Code as Frontend;
    use edgecc_passes::Code as Passes;
    let own = Code::ALL.iter().map(|c| (c.name(), c.doc()));
    let frontend = Frontend::ALL.iter().map(|c| (c.name(), c.doc()));
    let passes = Passes::ALL.iter().map(|c| (c.name(), c.doc()));
    let backend = Backend::ALL.iter().map(|c| (c.name(), c.doc()));
    own.chain(frontend).chain(passes).chain(backend)
}

#[cfg(test)]
mod tests {
    use super::explanations;
    use std::collections::BTreeSet;

    #[test]
    fn codes_are_kebab_case_and_distinct_over_all_rooms() {
        let is_kebab = |name: &str| name.chars().all(|c| c.is_ascii_lowercase() || c == '-');
        assert!(explanations().all(|(name, doc)| is_kebab(name) && doc.ends_with('.')));
        let names: BTreeSet<_> = explanations().map(|(name, _)| name).collect();
        assert_eq!(names.len(), explanations().count());
    }
}
