//! One model: reference, compilation, runs and comparison.

use super::Model;
use super::oracle::{self, Reference};
use crate::build::{Machine, Object, Report};
use crate::command::capture;
use crate::{Outcome, paths};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::{self, ScopedJoinHandle};

/// What is known about a model after its check.
#[derive(Serialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    /// Nodes of the ONNX graph.
    pub(crate) nodes: usize,
    /// One per machine.
    pub(crate) runs: Vec<Outcome<Run>>,
}

/// What is known about a model on one machine.
#[derive(Serialize)]
pub(crate) struct Run {
    pub(crate) arch: &'static str,
    /// The largest error as a part of the largest expected value.
    pub(crate) error: f64,
    /// Seconds of one core that the compiler took.
    pub(crate) compile_seconds: f64,
    /// Bytes of stack that a run used.
    pub(crate) stack_used: u64,
    pub(crate) report: Report,
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
    pub(crate) fn passed(&self) -> bool {
        self.runs.iter().all(Result::is_ok)
    }
}

/// Checks one model: compiles for one machine after the other, runs on all at once.
pub(crate) fn check(edgecc: &Path, model: &Model, machines: &[Machine]) -> Row {
    let row = |nodes, runs| Row { name: model.name.clone(), nodes, runs };
    let prepare = || -> Outcome<(PathBuf, Reference)> {
        let folder = paths::scratch("model")?;
        let reference = oracle::reference(&model.path, &model.args, &folder)?;
        Ok((folder, reference))
    };
    let (folder, reference) = match prepare() {
        Ok(prepared) => prepared,
        Err(why) => return row(0, vec![Err(why)]),
    };
    let compile = |machine: &Machine| -> Outcome<(Object, f64)> {
        let start = children_seconds()?;
        let object = machine.compile(edgecc, &model.path, &reference.closing, &folder)?;
        Ok((object, children_seconds()? - start))
    };
    let objects: Vec<_> = machines.iter().map(|machine| (machine, compile(machine))).collect();
    let run = &|(machine, compiled): (&Machine, Outcome<(Object, f64)>)| {
        let run = compiled
            .and_then(|(object, seconds)| execute(machine, &object, &reference, &folder, seconds));
        run.map_err(|why| format!("{}: {why}", machine.arch))
    };
    let runs = thread::scope(|scope| {
        let spawn = |compiled| scope.spawn(move || run(compiled));
        let threads: Vec<_> = objects.into_iter().map(spawn).collect();
        let join = |thread: ScopedJoinHandle<'_, _>| thread.join().expect("a run reports failures");
        threads.into_iter().map(join).collect()
    });
    row(reference.nodes, runs)
}

fn execute(
    machine: &Machine,
    object: &Object,
    reference: &Reference,
    folder: &Path,
    compile_seconds: f64,
) -> Outcome<Run> {
    let program = machine.link(object, "tests/c/driver.c")?;
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

/// Seconds of processor time of all processes that this one has waited for.
fn children_seconds() -> Outcome<f64> {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = fs::read_to_string("/proc/self/stat").map_err(|e| format!("no /proc: {e}"))?;
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: f64 = fields.skip(13).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    Ok(ticks / TICKS_PER_SECOND)
}
