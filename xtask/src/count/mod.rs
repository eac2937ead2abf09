//! `cargo xtask count`: what one inference costs on aarch64, without the hardware.
//!
//! Instructions are exact: qemu counts how often each one runs. Cycles are an estimate, of llvm-mca,
//! for processors that find all data in their first-level cache and predict every branch.

mod cycles;
mod program;
mod table;

use crate::build::{AARCH64, compiler};
use crate::command::text;
use crate::setup::MODELS;
use crate::{Outcome, paths};
use cycles::Estimate;
use program::Function;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What to count.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A model file, or the name of a pinned model
    model: PathBuf,
    /// The CPU that edgecc compiles for
    #[arg(long, default_value = "neoverse-n1")]
    cpu: String,
    /// Use this compiler instead of building one
    #[arg(long, value_name = "FILE")]
    edgecc: Option<PathBuf>,
    /// Estimate no cycles
    #[arg(long)]
    no_cycles: bool,
    /// Show so many of the blocks that take most cycles
    #[arg(long, value_name = "N", default_value_t = 0)]
    blocks: usize,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// One function of a compiled model.
#[derive(Serialize)]
struct Row {
    function: String,
    /// Calls in one inference, repetitions not counted.
    calls: usize,
    instructions: u64,
    /// Multiply-adds of one inference.
    macs: u64,
    /// In the order of `CPUS`; empty when not asked for.
    cycles: Vec<f64>,
    /// The part of the processor's peak at which the hot loop multiplies and adds, likewise.
    hot_share: Vec<f64>,
}

/// Counts, estimates and prints.
pub(crate) fn run(args: &Args) -> Outcome {
    let edgecc = args.edgecc.clone().map_or_else(compiler, Ok)?;
    let (path, mut words) = chosen(&args.model)?;
    words.extend(["--cpu".to_owned(), args.cpu.clone()]);
    let folder = paths::scratch("count")?;
    let object = AARCH64.compile(&edgecc, &path, &words, &folder)?;
    let counted = program::count(&object, &args.cpu, &folder)?;
    let estimate = if args.no_cycles { Estimate::none() } else { cycles::estimate(&counted)? };
    let layers = object.layers()?;
    let row = |function: &Function| {
        let mine = layers.iter().filter(|layer| layer.function == function.name);
        Row {
            function: function.name.clone(),
            calls: mine.clone().count(),
            instructions: counted.of(function).iter().sum(),
            macs: mine.map(|layer| layer.macs).sum(),
            cycles: estimate.of(function),
            hot_share: estimate.hot_share(function),
        }
    };
    let rows: Vec<Row> = counted.functions.iter().map(row).collect();
    println!("{}", if args.json { table::json(&rows) } else { table::text(&rows) });
    if args.blocks > 0 {
        println!("{}", table::blocks(&estimate, args.blocks));
    }
    Ok(())
}

/// The file of a model and the arguments that close its open dimensions.
fn chosen(model: &Path) -> Outcome<(PathBuf, Vec<String>)> {
    match MODELS.iter().find(|pinned| pinned.name == text(model)) {
        Some(pinned) => Ok((pinned.path()?, pinned.args.iter().map(|&a| a.to_owned()).collect())),
        None => Ok((model.to_owned(), Vec::new())),
    }
}
