//! `edgecc bench`: how long a run takes on this machine.

use super::Outcome;
use super::exit::Exit;
use super::host::{self, HostArgs};
use super::ui::Ui;
use edgecc::Failure;
use edgecc::host::{Buffers, Host};
use edgecc::report::Layer;
use edgecc_rt::abi::Event;
use edgecc_rt::hooks::Hooks;
use serde::Serialize;
use std::cell::{Cell, RefCell};
use std::time::Duration;
#[allow(clippy::disallowed_types, reason = "measuring time is this command's purpose")]
use std::time::Instant;

/// Measure a model on this machine, on one thread
#[derive(clap::Args)]
#[command(after_help = concat!(
    "Examples:\n",
    "  edgecc bench model.onnx --cpu native\n",
    "  edgecc bench model.onnx --runs 1000 --json\n",
    "  edgecc bench model.onnx --layers\n\n",
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
    /// Measure each layer too, in further runs
    #[arg(long)]
    layers: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// The slowest layers that are printed; JSON has all.
const SHOWN_LAYERS: usize = 20;

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
    /// Slowest first; empty unless asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    layers: Vec<LayerTime>,
}

/// The mean time of one step.
#[derive(Serialize)]
struct LayerTime {
    step: usize,
    kernel: String,
    nodes: Vec<String>,
    seconds: f64,
    /// Of the time of all steps.
    share: f64,
}

pub(super) fn run(args: &Args, ui: &Ui) -> Outcome {
    let compiled = args.host.compile(ui, &mut |_, _| {})?;
    let host = Host::load(&compiled)?;
    let mut buffers = host.buffers(&host::inputs(&compiled, None)?)?;
    for _ in 0..args.warm_up {
        host.run_with(&Hooks::NONE, &mut buffers)?;
    }
    let times = whole_runs(args, &host, &mut buffers)?;
    let median = times[times.len() / 2];
    let report = &compiled.report;
    let layers = match args.layers {
        true => layer_times(&report.layers, &step_times(args, &host, &mut buffers)?),
        false => Vec::new(),
    };
    let result = Measurement {
        name: report.name.clone(),
        cpu: report.cpu.clone(),
        runs: args.runs,
        median,
        min: times[0],
        max: times[times.len() - 1],
        macs: report.macs,
        gflops: gflops(report.macs, median),
        layers,
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

/// The mean time of each step that ran.
#[allow(clippy::disallowed_types, reason = "see above")]
fn step_times(args: &Args, host: &Host, buffers: &mut Buffers) -> Result<Vec<f64>, Failure> {
    let totals = RefCell::new(Vec::new());
    let start = Cell::new(Instant::now());
    let sink = |step: u32, event: Event| match event {
        Event::Begin => start.set(Instant::now()),
        Event::End => add(&mut totals.borrow_mut(), step as usize, start.get().elapsed()),
    };
    let hooks = Hooks::NONE.with_profile(&sink);
    for _ in 0..args.runs {
        host.run_with(&hooks, buffers)?;
    }
    Ok(totals.into_inner().iter().map(|total| total / f64::from(args.runs)).collect())
}

fn add(totals: &mut Vec<f64>, step: usize, time: Duration) {
    if totals.len() <= step {
        totals.resize(step + 1, 0.0);
    }
    totals[step] += time.as_secs_f64();
}

/// One row per step, slowest first. Layers are in the order of steps.
fn layer_times(layers: &[Layer], times: &[f64]) -> Vec<LayerTime> {
    let all = times.iter().sum::<f64>().max(f64::MIN_POSITIVE);
    let row = |(step, (layer, &seconds)): (usize, (&Layer, &f64))| LayerTime {
        step,
        kernel: layer.kernel.clone(),
        nodes: layer.nodes.clone(),
        seconds,
        share: seconds / all,
    };
    let mut rows: Vec<LayerTime> = layers.iter().zip(times).enumerate().map(row).collect();
    rows.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    rows
}

fn text(result: &Measurement) -> String {
    let rows = result.layers.iter().take(SHOWN_LAYERS).map(layer_text);
    total_text(result) + &rows.collect::<String>()
}

fn layer_text(row: &LayerTime) -> String {
    let (time, share) = (seconds(row.seconds), 100.0 * row.share);
    format!("  {time:>10} {share:>5.1} %  {} ({})\n", row.nodes.join(", "), row.kernel)
}

fn total_text(result: &Measurement) -> String {
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
