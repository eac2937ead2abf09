//! One model: reference, compilation, runs and comparison.

use super::Model;
use crate::build::{MACHINES, Machine};
use crate::command::{capture, command, text};
use crate::{Outcome, paths};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Instant;

/// What is known about a model after its check.
#[derive(Serialize)]
pub(super) struct Row {
    pub(super) name: String,
    /// Nodes of the ONNX graph.
    pub(super) nodes: usize,
    /// One per machine.
    pub(super) runs: Vec<Result<Run, String>>,
}

/// What is known about a model on one machine.
#[derive(Serialize)]
pub(super) struct Run {
    pub(super) arch: &'static str,
    /// The largest error as a part of the largest expected value.
    pub(super) error: f64,
    /// Seconds from the start of the compiler to its end.
    pub(super) compile_seconds: f64,
    pub(super) object_bytes: u64,
    pub(super) code_bytes: u64,
    pub(super) facts: Facts,
}

/// What `tests/c/driver.c` prints.
#[derive(Serialize, Deserialize)]
pub(super) struct Facts {
    pub(super) arena: u64,
    pub(super) stack_bound: u64,
    pub(super) stack_used: u64,
    pub(super) weights: u64,
    pub(super) macs: u64,
}

/// What `reference.py` prints; the rest of it goes to `compare.py` as it is.
#[derive(Deserialize)]
struct Reference {
    nodes: usize,
    closing: Vec<String>,
}

#[derive(Deserialize)]
struct Comparison {
    error: f64,
    why: Option<String>,
}

impl Row {
    /// Whether the model is right on every machine.
    pub(super) fn passed(&self) -> bool {
        self.runs.iter().all(Result::is_ok)
    }
}

/// Checks one model on all machines at once.
pub(super) fn check(edgecc: &Path, model: &Model) -> Outcome<Row> {
    let folder = paths::scratch("model")?;
    let meta = capture(&mut reference(model, &folder))?;
    let reference: Reference = parse(&meta)?;
    let check = |machine| check_on(machine, edgecc, model, &reference, &meta, &folder);
    let runs = thread::scope(|scope| {
        let threads = MACHINES.each_ref().map(|machine| scope.spawn(move || check(machine)));
        threads.map(|thread| thread.join().expect("a check reports, it does not panic"))
    });
    Ok(Row { name: model.name.clone(), nodes: reference.nodes, runs: runs.into() })
}

fn reference(model: &Model, folder: &Path) -> std::process::Command {
    let mut command = command(paths::python(), [paths::file("tests/python/reference.py")]);
    command.arg(&model.path).arg(folder).args(&model.args);
    command
}

fn check_on(
    machine: &Machine,
    edgecc: &Path,
    model: &Model,
    reference: &Reference,
    meta: &str,
    folder: &Path,
) -> Outcome<Run> {
    let start = Instant::now();
    let object = machine.compile(edgecc, &model.path, &reference.closing, folder)?;
    let compile_seconds = start.elapsed().as_secs_f64();
    let program = machine.link(&object, "tests/c/driver.c")?;
    let results = folder.join(machine.arch);
    paths::create(&results)?;
    let facts = capture(machine.run(&program).arg(folder.join("in")).arg(&results))?;
    let error = compare(folder, meta, machine.arch)?;
    Ok(Run {
        arch: machine.arch,
        error,
        compile_seconds,
        object_bytes: fs::metadata(&object.path).map_err(|e| e.to_string())?.len(),
        code_bytes: machine.code_bytes(&object.path)?,
        facts: parse(&facts)?,
    })
}

fn compare(folder: &Path, meta: &str, arch: &str) -> Outcome<f64> {
    let script = paths::file("tests/python/compare.py");
    let args = [text(&script), text(folder), meta, arch];
    let comparison: Comparison = parse(&capture(&mut command(paths::python(), args))?)?;
    match comparison.why {
        None => Ok(comparison.error),
        Some(why) => Err(format!("{arch}: {why}")),
    }
}

fn parse<'a, T: Deserialize<'a>>(json: &'a str) -> Outcome<T> {
    serde_json::from_str(json).map_err(|e| format!("{e} in {json:?}"))
}
