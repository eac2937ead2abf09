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
    Task { name: "read", model: "ppocrv4_rec", data: nothing, options: &["--max-drop", "5%"] },
    Task { name: "speech", model: "silero_vad", data: recording, options: &["--max-drop", "0.5%"] },
    Task { name: "sentences", model: "minilm", data: nothing, options: &[] },
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

/// Runs the tasks whose models are at hand; fails if one loses more than its limit.
pub(super) fn run(edgecc: &Path, folder: Option<&Path>) -> Outcome {
    let mut models = rows::models(folder, "")?;
    models.extend(crate::models::pinned()?);
    let mut failed = Vec::new();
    for task in TASKS {
        let Some(model) = models.iter().find(|model| model.name == task.model) else {
            println!("{}: not run, it needs --dir with {}", task.name, task.model);
            continue;
        };
        let losses = measure(edgecc, task, model)?;
        println!("{}", line(task, &losses));
        if !losses.is_small() {
            failed.push(format!("{} of {} loses too much", task.name, task.model));
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n")) }
}

fn measure(edgecc: &Path, task: &Task, model: &Model) -> Outcome<Losses> {
    let folder = paths::scratch("quantised")?;
    let (examples, quantised) = (folder.join("examples.npz"), folder.join("quantised.onnx"));
    quiet(script("calibrate", task, model)?.arg(&examples))?;
    let mut quantize = command(edgecc, ["quantize"]);
    quantize.arg(&model.path).arg("--data").arg(&examples).arg("-o").arg(&quantised);
    quiet(quantize.args(tasks::shared_args(model)).args(task.options))?;
    let ours = Model { name: "quantised".to_owned(), path: quantised, args: model.args.clone() };
    let object = tasks::shared_object(edgecc, &ours, &folder)?;
    let text = capture(script("compare", task, model)?.arg(&examples).arg(&ours.path).arg(object))?;
    serde_json::from_str(&text).map_err(|why| format!("{SCRIPT}: {why} in {text:?}"))
}

fn script(action: &str, task: &Task, model: &Model) -> Outcome<Command> {
    let mut python = command(paths::python(), [paths::file(SCRIPT)]);
    python.args([action, task.name]).arg(&model.path).arg((task.data)()?);
    Ok(python)
}

impl Losses {
    fn is_small(&self) -> bool {
        self.ours.max(self.compiled) <= self.limit
    }
}

fn line(task: &Task, losses: &Losses) -> String {
    let theirs = losses.theirs.map_or("fails".to_owned(), |loss| format!("{loss:.4}"));
    format!(
        "{}, {}: loses {:.4}, compiled {:.4}, by ONNX Runtime {theirs}; limit {}",
        task.name, task.model, losses.ours, losses.compiled, losses.limit
    )
}

#[cfg(test)]
mod tests {
    use super::Losses;

    #[test]
    fn losses_are_judged_by_their_limit() {
        let losses = |ours, compiled| Losses { ours, compiled, theirs: None, limit: 0.01 };
        assert!(losses(0.01, -0.2).is_small());
        assert!(!losses(0.0, 0.02).is_small());
    }
}
