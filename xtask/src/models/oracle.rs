//! ONNX Runtime as a process: inputs and expected outputs of a model, and the comparison.

use crate::command::{capture, command, text};
use crate::{Outcome, paths};
use serde::Deserialize;
use std::path::Path;
use std::process::Command;

/// A model's inputs and expected outputs, in files.
pub(crate) struct Reference {
    /// What the script printed; the peers and the comparison read it.
    pub(crate) meta: String,
    /// Nodes of the ONNX graph.
    pub(crate) nodes: usize,
    /// Arguments of the compiler that close the model's open dimensions.
    pub(crate) closing: Vec<String>,
}

#[derive(Deserialize)]
struct Meta {
    nodes: usize,
    closing: Vec<String>,
}

#[derive(Deserialize)]
struct Comparison {
    error: f64,
    why: Option<String>,
}

/// Writes inputs to `folder/in` and expected outputs to `folder/want`.
pub(crate) fn reference(model: &Path, args: &[String], folder: &Path) -> Outcome<Reference> {
    let script = paths::file("tests/python/reference.py");
    let mut python = command(paths::python(), [&script, model, folder]);
    let meta = capture(python.args(args))?;
    let Meta { nodes, closing } = parse(&meta)?;
    Ok(Reference { meta, nodes, closing })
}

/// Compares the outputs in `folder/name` with those expected: the largest error as a part of the
/// largest expected value.
pub(crate) fn compare(folder: &Path, meta: &str, name: &str) -> Outcome<f64> {
    compare_within(folder, meta, name, "1")
}

/// As `compare`, with so many times the tolerance.
pub(crate) fn compare_within(folder: &Path, meta: &str, name: &str, times: &str) -> Outcome<f64> {
    let script = paths::file("tests/python/compare.py");
    let args = [text(&script), text(folder), meta, name, times];
    comparison(&mut command(paths::python(), args))
}

/// What a script that compares has found: the error, or why the outputs are wrong.
pub(crate) fn comparison(script: &mut Command) -> Outcome<f64> {
    let comparison: Comparison = parse(&capture(script)?)?;
    comparison.why.map_or(Ok(comparison.error), Err)
}

/// Reads what a script printed.
pub(crate) fn parse<'a, T: Deserialize<'a>>(json: &'a str) -> Outcome<T> {
    serde_json::from_str(json).map_err(|e| format!("{e} in {json:?}"))
}
