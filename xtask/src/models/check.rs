//! One model: reference, compilation, runs and comparison.

use super::Model;
use super::oracle::{self, Reference};
use crate::build::{MACHINES, Machine, Report};
use crate::command::capture;
use crate::{Outcome, paths};
use serde::{Deserialize, Serialize};
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
    pub(super) runs: Vec<Outcome<Run>>,
}

/// What is known about a model on one machine.
#[derive(Serialize)]
pub(super) struct Run {
    pub(super) arch: &'static str,
    /// The largest error as a part of the largest expected value.
    pub(super) error: f64,
    /// Seconds from the start of the compiler to its end.
    pub(super) compile_seconds: f64,
    /// Bytes of stack that a run used.
    pub(super) stack_used: u64,
    pub(super) report: Report,
}

/// What `tests/c/driver.c` prints.
#[derive(Deserialize)]
struct Facts {
    arena: u64,
    stack_bound: u64,
    stack_used: u64,
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
    let reference = oracle::reference(&model.path, &model.args, &folder)?;
    let check = |machine: &Machine| {
        let run = check_on(machine, edgecc, &model.path, &reference, &folder);
        run.map_err(|why| format!("{}: {why}", machine.arch))
    };
    let runs = thread::scope(|scope| {
        let threads = MACHINES.each_ref().map(|machine| scope.spawn(|| check(machine)));
        threads.map(|thread| thread.join().expect("a check reports, it does not panic"))
    });
    Ok(Row { name: model.name.clone(), nodes: reference.nodes, runs: runs.into() })
}

/// A model without a reference.
pub(super) fn unknown(model: &Model, why: String) -> Row {
    Row { name: model.name.clone(), nodes: 0, runs: vec![Err(why)] }
}

fn check_on(
    machine: &Machine,
    edgecc: &Path,
    model: &Path,
    reference: &Reference,
    folder: &Path,
) -> Outcome<Run> {
    let start = Instant::now();
    let object = machine.compile(edgecc, model, &reference.closing, folder)?;
    let compile_seconds = start.elapsed().as_secs_f64();
    let program = machine.link(&object, "tests/c/driver.c")?;
    let results = folder.join(machine.arch);
    paths::create(&results)?;
    let printed = capture(machine.run(&program).arg(folder.join("in")).arg(&results))?;
    let (facts, report): (Facts, Report) = (oracle::parse(&printed)?, object.report()?);
    if (facts.arena, facts.stack_bound) != (report.arena_bytes, report.stack_bytes) {
        return Err("the descriptor and the report differ".to_owned());
    }
    let error = oracle::compare(folder, &reference.meta, machine.arch)?;
    Ok(Run { arch: machine.arch, error, compile_seconds, stack_used: facts.stack_used, report })
}
