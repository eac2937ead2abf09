//! `cargo xtask fuzz`: runs fuzz targets on new random inputs.

use crate::Outcome;
use crate::build::cargo;
use crate::command::show;

/// What the fuzzer gets as it is: a target and its options; nothing lists the targets.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// TARGET [--runs N] [--seed S]
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

/// Runs the fuzzer.
pub(crate) fn run(args: &Args) -> Outcome {
    let fuzzer = ["run", "--quiet", "--package", "edgecc-fuzz", "--bin", "edgecc-fuzz", "--"];
    show(cargo(&fuzzer).args(&args.words))
}
