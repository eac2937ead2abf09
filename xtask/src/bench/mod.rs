//! `cargo xtask bench`: compiled models beside ONNX Runtime on one thread, products beside the
//! machine's peak, and the time that compiling takes.
//!
//! Every measurement is a process of its own on one processor; peers take turns; the median of
//! each process and the median of the rounds count. Quote ratios, never times: both are of one
//! run on one machine. An idle machine is the caller's business.

mod peak;
mod timing;

use crate::build::{MACHINES, cargo};
use crate::command::{command, quiet};
use crate::setup::MODELS;
use crate::{Outcome, paths};
use std::path::{Path, PathBuf};
use timing::{Bench, Subject};

/// What to measure.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A model [default: the pinned ones]
    #[arg(long)]
    model: Vec<PathBuf>,
    /// Rounds in which peers take turns
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Runs in each process, after warm-up
    #[arg(long, default_value_t = 30)]
    runs: usize,
    /// The processor that everything is pinned to
    #[arg(long, default_value_t = 1)]
    processor: usize,
    /// The CPU that edgecc compiles for [default: the architecture's default]
    #[arg(long)]
    cpu: Option<String>,
    /// Leave out the models, measure products only
    #[arg(long)]
    contractions: bool,
}

/// Products that occur in image classifiers and transformers, as M, N, K.
const CONTRACTIONS: [[usize; 3]; 3] = [[256, 256, 256], [3136, 64, 64], [784, 128, 32]];

/// Measures everything and prints a line for each.
pub(crate) fn run(args: &Args) -> Outcome {
    let bench = prepare(args)?;
    contractions(&bench)?;
    if args.contractions { Ok(()) } else { models(args, &bench) }
}

/// A release build: its speed is part of the result.
fn prepare(args: &Args) -> Outcome<Bench> {
    quiet(&mut cargo(&["build", "--quiet", "--release", "--package", "edgecc"]))?;
    let [machine, _] = MACHINES;
    Ok(Bench {
        machine,
        edgecc: paths::target().join("release/edgecc"),
        cpu: args.cpu.clone(),
        processor: args.processor.to_string(),
        rounds: args.rounds,
        runs: args.runs.to_string(),
        folder: paths::scratch("bench")?,
    })
}

fn contractions(bench: &Bench) -> Outcome {
    println!("{:28} {:>10} {:>12} {:>16}", "product", "GFLOP/s", "of the peak", "ONNX Runtime/us");
    for [m, n, k] in CONTRACTIONS {
        let file = bench.folder.join("contraction.onnx");
        let sizes = [m, n, k].map(|size| size.to_string());
        let script = paths::file("benches/contraction.py");
        quiet(command(paths::python(), [script]).args(&sizes).arg(&file))?;
        let subject = bench.subject(&file, &[])?;
        let (peak, times) = (peak::measure(bench)?, subject.times(bench)?);
        let rate = 2e-9 * (m * n * k) as f64 / times.ours;
        let share = 100.0 * rate / peak;
        let title = sizes.join(" x ");
        println!("{title:28} {rate:>10.1} {share:>10.0} % {:>16.2}", times.ratio());
    }
    Ok(())
}

fn models(args: &Args, bench: &Bench) -> Outcome {
    println!("{:28} {:>10} {:>12} {:>16}", "model", "ms", "compile s", "ONNX Runtime/us");
    for (path, shape) in chosen(args)? {
        let subject = bench.subject(&path, &shape)?;
        report(&path, &subject, bench)?;
    }
    Ok(())
}

fn chosen(args: &Args) -> Outcome<Vec<(PathBuf, Vec<String>)>> {
    if !args.model.is_empty() {
        return Ok(args.model.iter().map(|path| (path.clone(), Vec::new())).collect());
    }
    let owned = |args: &[&str]| args.iter().map(|&a| a.to_owned()).collect();
    MODELS.iter().map(|pinned| Ok((pinned.path()?, owned(pinned.args)))).collect()
}

fn report(path: &Path, subject: &Subject, bench: &Bench) -> Outcome {
    let (compile, times) = (subject.compile_time(bench)?, subject.times(bench)?);
    let name = paths::stem(path);
    let ms = 1e3 * times.ours;
    println!("{name:28} {ms:>10.3} {compile:>12.2} {:>16.2}", times.ratio());
    Ok(())
}
