//! `cargo xtask zoo`: published models of every kind, compared with ONNX Runtime on both machines,
//! and held to limits of compile time and memory.

mod document;
mod limits;
mod quantised;
mod rows;
mod tasks;

use crate::build::{MACHINES, Machine, release_compiler};
use crate::models::check::{self, Row};
use crate::models::{Model, table};
use crate::{Outcome, paths};
use std::fs;
use std::path::PathBuf;

/// The page with the results.
const PAGE: &str = "docs/zoo.md";

/// Which models to check and how to print the result.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Check also the .onnx files of this folder
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Check only models whose names contain this
    #[arg(long, default_value = "")]
    filter: String,
    /// Run on this machine only
    #[arg(long, value_name = "ARCH")]
    target: Option<String>,
    /// Use this compiler instead of building one
    #[arg(long, value_name = "FILE")]
    edgecc: Option<PathBuf>,
    /// Run whole tasks instead, such as reading text: are the answers ONNX Runtime's?
    #[arg(long, conflicts_with_all = ["filter", "target", "bless", "json"])]
    tasks: bool,
    /// Quantise models for whole tasks instead: what is lost, beside ONNX Runtime's quantiser?
    #[arg(long, conflicts_with_all = ["target", "bless", "json", "tasks"])]
    quantised: bool,
    /// Write the results to docs/zoo.md
    #[arg(long, conflicts_with_all = ["filter", "target", "dir"])]
    bless: bool,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// Checks each model, prints the table and fails if a model is wrong or beyond a limit.
pub(crate) fn run(args: &Args) -> Outcome {
    let edgecc = args.edgecc.clone().map_or_else(release_compiler, Ok)?;
    if args.tasks {
        return tasks::run(&edgecc, args.dir.as_deref());
    }
    if args.quantised {
        return quantised::run(&edgecc, args.dir.as_deref(), &args.filter);
    }
    let models = rows::models(args.dir.as_deref(), &args.filter)?;
    let is_wanted = |machine: &Machine| args.target.as_ref().is_none_or(|t| t == machine.arch);
    let machines: Vec<Machine> = MACHINES.into_iter().filter(is_wanted).collect();
    let check = |model: &Model| {
        eprintln!("checking {}", model.name);
        check::check(&edgecc, model, &machines)
    };
    let rows: Vec<Row> = models.iter().map(check).collect();
    println!("{}", if args.json { table::json(&rows) } else { table::text(&rows) });
    if args.bless {
        fs::write(paths::file(PAGE), document::page(&rows))
            .map_err(|e| format!("cannot write {PAGE}: {e}"))?;
    }
    limits::check(&rows)
}
