//! `cargo xtask`: installs pinned outside tools, then tests, measures and compares.
//!
//! Every outside tool is an ordinary client (`apt-get`, `pip`, `npm`) with its own settings;
//! nothing here knows where they download from.

#![allow(clippy::disallowed_types, reason = "the compiler never reads the clock, its tools do")]

mod accuracy;
mod bench;
mod build;
mod command;
mod conformance;
mod count;
mod fuzz;
mod models;
mod paths;
mod setup;
mod steps;
mod test;
mod zoo;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Builds, tests and measures edgecc.
#[derive(Parser)]
#[command(name = "cargo xtask", version)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what the other tasks need and is missing
    Setup,
    /// Everything: set up, format, lints, tests, models, accuracy
    Test,
    /// Compile models for both architectures, run them, compare with ONNX Runtime
    Models(models::Args),
    /// Run the operator cases of the ONNX wheel
    Conformance(conformance::Args),
    /// Check many published models against ONNX Runtime and against limits
    Zoo(zoo::Args),
    /// Accuracy on the CIFAR-10 test images, beside ONNX Runtime's
    Accuracy(accuracy::Args),
    /// Speed, start and memory beside other runtimes
    Bench(bench::Args),
    /// Instructions and estimated cycles of one inference on aarch64
    Count(count::Args),
    /// Search for failures with new random seeds
    Fuzz(fuzz::Args),
}

/// What a task gives: nothing, or why it failed in words for the user.
type Outcome<T = ()> = Result<T, String>;

fn main() -> ExitCode {
    match run(Cli::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Outcome {
    match task {
        Task::Setup => setup::run(),
        Task::Test => test::run(),
        Task::Models(args) => models::run(&args),
        Task::Conformance(args) => conformance::run(&args),
        Task::Zoo(args) => zoo::run(&args),
        Task::Accuracy(args) => accuracy::run(&args),
        Task::Bench(args) => bench::run(&args),
        Task::Count(args) => count::run(&args),
        Task::Fuzz(args) => fuzz::run(&args),
    }
}
