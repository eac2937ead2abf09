//! # Room: edgecc-frontend
//!
//! Purpose   reads ONNX models, and rewrites them to be quantised (`quantize`).
//! In → Out  (&[u8], &ImportOptions) → Imported { graph, … }, or every problem found.
//! Owns      ONNX: protobuf, opsets, operators, attributes; `docs/ops.md`.
//! Never     optimises; knows targets; opens files; returns a partly typed graph.
//! To add    an operator: one row in `ops/`. An import option: `ImportOptions`.
//! Tests     `mod tests` in each file; `tests/diagnostics.rs` (what users see).

mod code;
mod context;
mod emit;
mod external;
mod format;
mod given;
mod grid;
mod import;
mod model;
mod ops;
mod order;
mod proto;
mod prune;
pub mod quantize;
mod shapes;
mod tensor;
mod wire;

pub use code::Code;
pub use external::{ExternalRange, ExternalReader, no_external_data};
pub use given::{Constant, Literal};
pub use ops::{OpRow, table as supported_ops};

use edgecc_ir::diag::Diagnostic;
use edgecc_ir::graph::Graph;
use edgecc_ir::tensor::Tensor;
use model::Model;

/// The oldest opset that is read.
pub const OLDEST_OPSET: i64 = 1;

/// The newest opset whose operator definitions were compared with the rows.
pub const NEWEST_OPSET: i64 = 28;

/// What the user says about a model.
pub struct ImportOptions<'a> {
    /// The graph's name, a C identifier.
    pub name: String,
    /// Values of named dimensions.
    pub dims: Vec<(String, usize)>,
    /// Shapes of inputs.
    pub shapes: Vec<(String, Vec<usize>)>,
    /// Values of inputs, which thereby become constants.
    pub consts: Vec<(String, Constant)>,
    /// Inputs that change from run to run even if an initializer gives them a value.
    pub states: Vec<String>,
    /// Reads weights stored outside the model.
    pub external: &'a ExternalReader<'a>,
}

impl ImportOptions<'_> {
    /// No dimensions bound, no external data.
    #[must_use]
    pub fn named(name: &str) -> ImportOptions<'static> {
        ImportOptions {
            name: name.to_owned(),
            dims: Vec::new(),
            shapes: Vec::new(),
            consts: Vec::new(),
            states: Vec::new(),
            external: &no_external_data,
        }
    }
}

/// An imported model.
#[derive(Debug)]
pub struct Imported {
    /// The typed graph; names of inputs and outputs are the model's.
    pub graph: Graph,
    /// The values that initializers give to the inputs in `states`.
    pub defaults: Vec<(String, Tensor)>,
    /// Problems that do not stop compilation.
    pub warnings: Vec<Diagnostic>,
    /// The version of the default operator set.
    pub opset: i64,
}

/// Reads a model. Never panics; on failure returns every problem that could be found.
pub fn import(bytes: &[u8], options: &ImportOptions<'_>) -> Result<Imported, Vec<Diagnostic>> {
    let model = proto::parse(bytes).map_err(|problem| vec![problem])?;
    let opset = default_opset(&model).map_err(|problem| vec![problem])?;
    let warnings = newer_than_known(opset).into_iter().collect();
    let (graph, defaults) = import::import_model(model, options)?;
    Ok(Imported { graph, defaults, warnings, opset })
}

fn default_opset(model: &Model) -> Result<i64, Diagnostic> {
    let opset = model.opsets.iter().find(|(domain, _)| domain.is_empty());
    match opset.map(|(_, version)| *version) {
        None => Err(Code::InvalidModel
            .error("the model imports no default operator set")
            .help("export the model again; `onnx.checker` reports the same")),
        Some(version) if version < OLDEST_OPSET => Err(Code::UnsupportedOpset
            .error(format!("opset {version} is not supported"))
            .help(format!("convert the model to opset {OLDEST_OPSET} or newer"))),
        Some(version) => Ok(version),
    }
}

fn newer_than_known(opset: i64) -> Option<Diagnostic> {
    (opset > NEWEST_OPSET).then(|| {
        Code::NewOpset
            .warning(format!("opset {opset} is newer than {NEWEST_OPSET}, the newest known one"))
            .note("operators are read as in the newest known opset")
    })
}
