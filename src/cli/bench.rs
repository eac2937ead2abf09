//! `edgecc bench`: how long a run takes on this machine.

use super::exit::Exit;
use super::host::{Buffers, Host, HostArgs};
use super::ui::Ui;
use super::{Outcome, random};
use edgecc::Failure;
use edgecc_rt::hooks::Hooks;
use serde::Serialize;
#[allow(clippy::disallowed_types, reason = "measuring time is this command's purpose")]
use std::time::Instant;

/// Measure a model on this machine, on one thread
#[derive(clap::Args)]
#[command(after_help = concat!(
    "Examples:\n",
    "  edgecc bench model.onnx --cpu native\n",
    "  edgecc bench model.onnx --runs 1000 --json\n\n",
    "The median is the number to compare; the minimum shows how quiet the machine was.",
))]
pub(super) struct Args {
    #[command(flatten)]
    host: HostArgs,
    /// Number of measured runs
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Number of runs before measuring
    #[arg(long, value_name = "N", default_value_t = 10)]
    warm_up: u32,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// The result, times in seconds.
#[derive(Serialize)]
struct Measurement {
    name: String,
    cpu: String,
    runs: u32,
    median: f64,
    min: f64,
    max: f64,
    macs: u64,
    gflops: f64,
}

pub(super) fn run(args: &Args, ui: &Ui) -> Outcome {
    let compiled = args.host.compile(ui, &mut |_, _| {})?;
    let host = Host::load(&compiled)?;
    let mut buffers = host.buffers(&random::inputs(&compiled.loops.inputs, 0))?;
    for _ in 0..args.warm_up {
        host.run_with(&Hooks::NONE, &mut buffers)?;
    }
    let times = whole_runs(args, &host, &mut buffers)?;
    let median = times[times.len() / 2];
    let report = &compiled.report;
    let result = Measurement {
        name: report.name.clone(),
        cpu: report.cpu.clone(),
        runs: args.runs,
        median,
        min: times[0],
        max: times[times.len() - 1],
        macs: report.macs,
        gflops: gflops(report.macs, median),
    };
    if args.json {
        ui.json(&result);
    } else {
        ui.print(&text(&result));
    }
    Ok(Exit::Ok)
}

/// Sorted times of single runs.
#[allow(clippy::disallowed_types, reason = "see above")]
fn whole_runs(args: &Args, host: &Host, buffers: &mut Buffers) -> Result<Vec<f64>, Failure> {
    let mut times = Vec::new();
    for _ in 0..args.runs {
        let start = Instant::now();
        host.run_with(&Hooks::NONE, buffers)?;
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}

fn text(result: &Measurement) -> String {
    format!(
        "{} on {}: median {}, min {}, max {} of {} runs; {:.1} GFLOP/s\n",
        result.name,
        result.cpu,
        seconds(result.median),
        seconds(result.min),
        seconds(result.max),
        result.runs,
        result.gflops
    )
}

/// Two operations per multiply-add.
fn gflops(macs: u64, seconds: f64) -> f64 {
    2e-9 * macs as f64 / seconds.max(1e-12)
}

fn seconds(s: f64) -> String {
    match s {
        s if s < 1e-3 => format!("{:.1} us", s * 1e6),
        s if s < 1.0 => format!("{:.2} ms", s * 1e3),
        s => format!("{s:.2} s"),
    }
}
