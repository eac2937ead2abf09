//! # Room: edgecc
//!
//! Purpose   the compiler as one function, and the command line around it.
//! In → Out  (model, Options) → Artifact, or a Failure with every problem found.
//! Owns      the order of the pipeline, options, reports, files, exit codes.
//! Never     contains compiler logic: what a level means or how it is rewritten is elsewhere.
//! To add    a pipeline step: `driver.rs`. A subcommand: one file in `cli/`, one row in `cli/mod.rs`.
//! Tests     `mod tests` in each file; `tests/cli.rs`.
//!
//! `compile` and `compile_file` are the API for build scripts: they print nothing and do not end
//! the process. The modules are public for the command line tools and carry no promise.

pub mod code;
pub mod driver;
mod external;
mod failure;
pub mod host;
pub mod options;
pub mod quantize;
pub mod report;
pub mod sizes;
mod states;
pub mod target;

pub use code::Code;
pub use edgecc_frontend::Constant;
pub use edgecc_ir::diag::{Diagnostic, Kind, Severity};
pub use edgecc_passes::schedule::parts::Division;
pub use edgecc_passes::schedule::records::Records;
pub use failure::Failure;
pub use options::{FloatMode, OptLevel, Options, TargetSpec, Verify, WeightFormat};
pub use report::Report;

use driver::Source;
use sizes::Set;
use std::fs;
use std::path::Path;

/// A compiled model, ready to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// The model's name: the prefix of its symbols and types.
    pub name: String,
    /// A relocatable object without undefined symbols.
    pub object: Vec<u8>,
    /// A C header with a typed `run` function.
    pub header: String,
    /// A `no_std` Rust module with the same.
    pub rust: String,
    /// What is in the object: tensors, sizes, work per layer.
    pub report: Report,
    /// Problems that did not stop compilation.
    pub warnings: Vec<Diagnostic>,
}

/// Compiles a model whose weights are all inside.
///
/// # Errors
/// Every problem with the model or the options that could be found.
pub fn compile(model: &[u8], options: &Options) -> Result<Artifact, Failure> {
    let source = Source { bytes: model, stem: "model", folder: None };
    sizes::build(&source, options, &mut |_, _| {}).map(artifact)
}

/// Compiles a model file, which may have weights in other files of its folder.
///
/// # Errors
/// As `compile`, and when the file cannot be read.
pub fn compile_file(path: impl AsRef<Path>, options: &Options) -> Result<Artifact, Failure> {
    let path = path.as_ref();
    let bytes = fs::read(path)
        .map_err(|e| Code::ReadFile.error(format!("cannot read {}: {e}", path.display())))?;
    let source = Source::of_file(&bytes, path);
    sizes::build(&source, options, &mut |_, _| {}).map(artifact)
}

fn artifact(set: Set) -> Artifact {
    Artifact {
        name: set.report.name.clone(),
        object: set.object.to_vec(),
        header: set.header,
        rust: set.rust,
        report: set.report,
        warnings: set.warnings,
    }
}
