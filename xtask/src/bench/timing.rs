//! Peers that take turns on one model.

use crate::build::{Machine, Object};
use crate::command::{capture, command, quiet};
use crate::models::oracle::{self, Reference};
use crate::{Outcome, paths};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// How everything is measured.
pub(super) struct Bench {
    pub(super) machine: Machine,
    pub(super) edgecc: PathBuf,
    pub(super) cpu: Option<String>,
    pub(super) processor: String,
    pub(super) rounds: usize,
    pub(super) runs: String,
    pub(super) folder: PathBuf,
}

/// A model, compiled and linked, with inputs and what is expected for them.
pub(super) struct Subject {
    model: PathBuf,
    folder: PathBuf,
    /// Arguments of the compiler.
    args: Vec<String>,
    /// What `reference.py` printed.
    meta: String,
    program: PathBuf,
}

/// Median seconds of one inference.
pub(super) struct Times {
    pub(super) ours: f64,
    onnxruntime: f64,
}

impl Times {
    /// How many times as long as the compiled model ONNX Runtime takes.
    pub(super) fn ratio(&self) -> f64 {
        self.onnxruntime / self.ours
    }
}

impl Bench {
    /// Compiles and links a model.
    pub(super) fn subject(&self, model: &Path, args: &[String]) -> Outcome<Subject> {
        let folder = paths::scratch("bench/model")?;
        let Reference { meta, closing, .. } = oracle::reference(model, args, &folder)?;
        let cpu = self.cpu.iter().flat_map(|cpu| ["--cpu".to_owned(), cpu.clone()]);
        let args: Vec<_> = closing.into_iter().chain(cpu).collect();
        let object: Object = self.machine.compile(&self.edgecc, model, &args, &folder)?;
        let program = self.machine.link(&object, "benches/edgecc.c")?;
        paths::create(&folder.join("ours"))?;
        Ok(Subject { model: model.to_owned(), folder, args, meta, program })
    }

    /// A command on the bench's processor.
    pub(super) fn pinned(&self, program: &Path) -> Command {
        let mut words = command("taskset", ["-c", &self.processor]);
        words.arg(program);
        words
    }

    /// Runs a program that prints one number.
    pub(super) fn number(&self, program: &mut Command) -> Outcome<f64> {
        let text = capture(program)?;
        text.trim().parse().map_err(|_| format!("expected a number, got {text:?}"))
    }
}

impl Subject {
    /// Each peer's median, taking turns; the outputs are compared before a time counts.
    pub(super) fn times(&self, bench: &Bench) -> Outcome<Times> {
        let (mut ours, mut onnxruntime) = (Vec::new(), Vec::new());
        for _ in 0..bench.rounds {
            ours.push(self.ours(bench)?);
            onnxruntime.push(self.onnxruntime(bench)?);
        }
        oracle::compare(&self.folder, &self.meta, "ours")?;
        Ok(Times { ours: median(ours), onnxruntime: median(onnxruntime) })
    }

    /// Median seconds of the whole compiler, as a process on one processor.
    pub(super) fn compile_time(&self, bench: &Bench) -> Outcome<f64> {
        let mut times = Vec::new();
        for _ in 0..bench.rounds {
            let mut compile = bench.pinned(&bench.edgecc);
            compile.args(&self.args).arg("-o").arg(self.folder.join("again.o")).arg(&self.model);
            let start = Instant::now();
            quiet(&mut compile)?;
            times.push(start.elapsed().as_secs_f64());
        }
        Ok(median(times))
    }

    fn ours(&self, bench: &Bench) -> Outcome<f64> {
        let folders = [self.folder.join("in"), self.folder.join("ours")];
        bench.number(bench.pinned(&self.program).args(folders).arg(&bench.runs))
    }

    fn onnxruntime(&self, bench: &Bench) -> Outcome<f64> {
        let mut peer = bench.pinned(&paths::python());
        peer.arg(paths::file("benches/onnxruntime.py")).arg(&self.model);
        bench.number(peer.arg(self.folder.join("in")).args([&self.meta, &bench.runs]))
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn medians_ignore_outliers() {
        assert_eq!(median(vec![9.0, 1.0, 2.0]), 2.0);
    }
}
