//! `cargo xtask fuzz`: the seeded tests of the fuzz package, with other seeds.

use crate::Outcome;
use crate::build::cargo;
use crate::command::show;

/// What to search and how long.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// First seed
    #[arg(long, default_value_t = 1000)]
    seed: u64,
    /// Seeds to try in each test
    #[arg(long, default_value_t = 1000)]
    count: u64,
}

/// Runs the tests; a failing one prints its seed.
pub(crate) fn run(args: &Args) -> Outcome {
    show(
        cargo(&["test", "--package", "edgecc-fuzz"])
            .env("EDGECC_FUZZ_SEED", args.seed.to_string())
            .env("EDGECC_FUZZ_COUNT", args.count.to_string()),
    )
}
