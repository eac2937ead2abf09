//! The options that need no data, and what they do to a model.

use super::show;
use crate::cli::Outcome;
use crate::cli::exit::Exit;
use crate::cli::files::Writer;
use crate::cli::ui::Ui;
use clap::ValueEnum;
use edgecc::Options;
use edgecc::driver::Source;
use edgecc::quantize::{Scheme, quantize_plain};
use edgecc_passes::quantize::width::Width;
use std::path::PathBuf;

/// Options of a quantisation that decides on the examples, which one without data has not.
const OF_EXAMPLES: [&str; 10] = [
    "data",
    "labels",
    "ranges",
    "values",
    "nearest",
    "keep_channels",
    "keep_bias",
    "max_drop",
    "measure",
    "report",
];

/// Weights of a block of 4-bit codes, unless told otherwise.
const BLOCK: usize = 32;

/// Quantisation without examples.
#[derive(clap::Args)]
#[command(next_help_heading = "Without examples")]
pub(super) struct Plain {
    /// Store weights as codes and compute in f32: a scale for each channel (int8), or for each block
    /// of 32 weights (int4, which makes the model one of opset 21)
    #[arg(long, value_name = "CODES", conflicts_with_all = OF_EXAMPLES)]
    weights_only: Option<Codes>,
    /// Weights that share a scale [default: 32 for int4, all of a channel for int8]
    #[arg(long, value_name = "N", requires = "weights_only", value_parser = block())]
    block: Option<u64>,
    /// Compute products of matrices with 8-bit codes, whose scales are found in each run
    #[arg(long, conflicts_with_all = OF_EXAMPLES, conflicts_with = "weights_only")]
    dynamic: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Codes {
    Int8,
    Int4,
}

fn block() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(2..=1 << 20)
}

impl Plain {
    /// What is asked for, if no examples are.
    pub(super) fn scheme(&self) -> Option<Scheme> {
        let block = self.block.map(|block| block as usize);
        match self.weights_only {
            Some(Codes::Int8) => Some(Scheme::Weights { width: Width::Int8, block }),
            Some(Codes::Int4) => {
                Some(Scheme::Weights { width: Width::Int4, block: Some(block.unwrap_or(BLOCK)) })
            }
            None => self.dynamic.then_some(Scheme::Dynamic),
        }
    }

    /// What the model's name ends with.
    pub(super) fn suffix(&self) -> &'static str {
        if self.weights_only == Some(Codes::Int4) { "int4" } else { "int8" }
    }
}

/// Writes the model and prints what became of it.
pub(super) fn run(args: &super::Args, scheme: Scheme, options: &Options, ui: &Ui) -> Outcome {
    let path = super::output(args);
    let bytes = crate::cli::files::read(&args.model.path)?;
    let source = Source::of_file(&bytes, &args.model.path);
    let (model, summary) = quantize_plain(&source, options, scheme, &args.keep)?;
    write(path, model)?;
    match args.json {
        true => ui.json(&summary),
        false => ui.print(&show::summary(&summary)),
    }
    Ok(Exit::Ok)
}

fn write(path: PathBuf, model: Vec<u8>) -> Result<(), edgecc::Failure> {
    let mut writer = Writer::default();
    writer.add(path, model);
    writer.commit()
}
