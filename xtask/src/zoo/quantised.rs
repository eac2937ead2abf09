//! Quantised models on whole tasks: what they lose, beside the same models quantised by ONNX
//! Runtime.

use super::{rows, tasks};
use crate::command::{capture, command, quiet};
use crate::models::Model;
use crate::setup::{CIFAR, MNIST, archive};
use crate::{Outcome, paths};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

const SCRIPT: &str = "tests/python/quantised.py";

/// A task of the script with a model.
struct Task {
    name: &'static str,
    /// A row of the models' table, or a model's name.
    model: &'static str,
    data: fn() -> Outcome<PathBuf>,
    /// Further options of `edgecc quantize`.
    options: &'static [&'static str],
}

const TASKS: &[Task] = &[
    Task { name: "cifar", model: "cifar_dscnn", data: cifar, options: &[] },
    Task { name: "cifar", model: "mlperf_ic_resnet8_fp32", data: cifar, options: &[] },
    Task { name: "mnist", model: "mnist_cntk", data: mnist, options: &[] },
    Task { name: "read", model: "ppocrv4_rec", data: nothing, options: &["--max-drop", "2%"] },
    Task {
        name: "speech",
        model: "silero_vad",
        data: recording,
        options: &["--state", "state=stateN", "--max-drop", "0.3%"],
    },
    Task { name: "sentences", model: "minilm", data: nothing, options: &["--max-drop", "6%"] },
];

fn cifar() -> Outcome<PathBuf> {
    CIFAR.path()
}

fn mnist() -> Outcome<PathBuf> {
    MNIST.path()
}

fn recording() -> Outcome<PathBuf> {
    archive::member("webrtcvad", "webrtcvad-2.0.10/test-audio.raw")
}

fn nothing() -> Outcome<PathBuf> {
    Ok("-".into())
}

/// What the script prints: losses, and what ours may be.
#[derive(Deserialize)]
struct Losses {
    ours: f64,
    compiled: f64,
    /// Nothing where ONNX Runtime cannot quantise the model.
    theirs: Option<f64>,
    limit: f64,
}

/// The part of its limit by which ours may be worse than ONNX Runtime's: both round, and which
/// answers next to a decision fall which way is chance.
const NOISE: f64 = 0.25;

/// What was measured of a task.
struct Row {
    task: &'static Task,
    /// What `edgecc quantize` took.
    seconds: f64,
    losses: Losses,
}

/// Runs the tasks whose models are at hand and have names that contain `filter`, and prints a table;
/// fails if one loses more than its limit, or more than with ONNX Runtime's quantiser.
pub(super) fn run(edgecc: &Path, folder: Option<&Path>, filter: &str) -> Outcome {
    let pinned = crate::models::pinned()?;
    let mut failed = Vec::new();
    println!("{}", line(HEADER.map(str::to_owned)));
    for task in TASKS.iter().filter(|task| task.model.contains(filter)) {
        let model = match find(task, &pinned, folder) {
            Ok(model) => model,
            Err(why) => {
                println!("{}: not run, {why}; it may need --dir with {}", task.name, task.model);
                continue;
            }
        };
        let row = measure(edgecc, task, &model)?;
        println!("{}", line(cells(&row)));
        failed.extend(
            row.losses.problem().map(|why| format!("{} of {} {why}", task.name, task.model)),
        );
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n")) }
}

/// The model of a task: a pinned one, one of the table or of the folder.
fn find(task: &Task, pinned: &[Model], folder: Option<&Path>) -> Outcome<Model> {
    let is_wanted = |model: &&Model| model.name == task.model;
    if let Some(model) = pinned.iter().find(is_wanted) {
        return Ok(Model {
            name: model.name.clone(),
            path: model.path.clone(),
            args: model.args.clone(),
        });
    }
    let found = rows::models(folder, task.model)?.into_iter().find(|model| is_wanted(&model));
    found.ok_or_else(|| "no model has this name".to_owned())
}

fn measure(edgecc: &Path, task: &'static Task, model: &Model) -> Outcome<Row> {
    let folder = paths::scratch("quantised")?;
    let (examples, quantised) = (folder.join("examples.npz"), folder.join("quantised.onnx"));
    quiet(script("calibrate", task, model)?.arg(&examples))?;
    let mut quantize = command(edgecc, ["quantize"]);
    quantize.arg(&model.path).arg("--data").arg(&examples).arg("-o").arg(&quantised);
    let start = Instant::now();
    quiet(quantize.args(tasks::shared_args(model)).args(task.options))?;
    let seconds = start.elapsed().as_secs_f64();
    let ours = Model { name: "quantised".to_owned(), path: quantised, args: model.args.clone() };
    let object = tasks::shared_object(edgecc, &ours, &folder)?;
    let text = capture(script("compare", task, model)?.arg(&examples).arg(&ours.path).arg(object))?;
    let losses =
        serde_json::from_str(&text).map_err(|why| format!("{SCRIPT}: {why} in {text:?}"))?;
    Ok(Row { task, seconds, losses })
}

fn script(action: &str, task: &Task, model: &Model) -> Outcome<Command> {
    let mut python = command(paths::python(), [paths::file(SCRIPT)]);
    python.args([action, task.name]).arg(&model.path).arg((task.data)()?);
    Ok(python)
}

impl Losses {
    /// What is wrong with ours, if anything.
    fn problem(&self) -> Option<&'static str> {
        let worst = self.ours.max(self.compiled);
        let is_worse = self.theirs.is_some_and(|theirs| worst > theirs + self.noise());
        match worst > self.limit {
            true => Some("loses too much"),
            false => is_worse.then_some("loses more than by ONNX Runtime"),
        }
    }

    fn noise(&self) -> f64 {
        NOISE * self.limit
    }
}

const HEADER: [&str; 8] =
    ["task", "model", "quantise s", "loses", "compiled", "ONNX Runtime", "noise", "limit"];

fn cells(row: &Row) -> [String; 8] {
    let number = |loss: f64| format!("{loss:.5}");
    let losses = &row.losses;
    [
        row.task.name.to_owned(),
        row.task.model.to_owned(),
        format!("{:.1}", row.seconds),
        number(losses.ours),
        number(losses.compiled),
        losses.theirs.map_or("fails".to_owned(), number),
        number(losses.noise()),
        number(losses.limit),
    ]
}

fn line(cells: [String; 8]) -> String {
    let [task, model, rest @ ..] = cells;
    let rest: String = rest.iter().map(|cell| format!(" {cell:>12}")).collect();
    format!("{task:10} {model:24}{rest}")
}

#[cfg(test)]
mod tests {
    use super::Losses;

    #[test]
    fn losses_are_judged_by_their_limit_and_by_those_of_the_other() {
        let problem = |ours, compiled, theirs| {
            Losses { ours, compiled, theirs, limit: 0.01 }.problem().is_some()
        };
        assert!(!problem(0.01, -0.2, None));
        assert!(problem(0.0, 0.02, None));
        assert!(!problem(0.002, 0.001, Some(0.0)));
        assert!(problem(0.002, 0.009, Some(0.006)));
        assert!(problem(0.001, 0.002, Some(-0.001)));
    }
}
