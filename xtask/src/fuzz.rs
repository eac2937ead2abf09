//! `cargo xtask fuzz`: every fuzz target on random inputs, with other seeds than the tests'.

use crate::Outcome;
use crate::build::cargo;
use crate::command::show;

/// What to search and how long.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Targets to run
    #[arg(default_values = ["import_onnx", "parse_text", "planner", "differential"])]
    targets: Vec<String>,
    /// Executions of each target
    #[arg(long, default_value_t = 100_000)]
    runs: u64,
    /// Seed of the first execution
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Runs each target until its first finding, whose input is saved.
pub(crate) fn run(args: &Args) -> Outcome {
    let (runs, seed) = (args.runs.to_string(), args.seed.to_string());
    args.targets.iter().try_for_each(|target| {
        let flags =
            ["run", "--package", "edgecc-fuzz", "--", target, "--runs", &runs, "--seed", &seed];
        show(&mut cargo(&flags))
    })
}
