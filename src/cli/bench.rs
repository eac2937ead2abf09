//! `edgecc bench`: how long a run takes on this machine.

use super::exit::Exit;
use super::host::{Buffers, Host, HostArgs};
use super::ui::Ui;
use super::{Outcome, random};
use edgecc::Failure;
use edgecc::driver::Compiled;
use edgecc_rt::abi::Event;
use edgecc_rt::hooks::Hooks;
use serde::Serialize;
use std::cell::RefCell;
#[allow(clippy::disallowed_types, reason = "measuring time is this command's purpose")]
use std::time::Instant;

/// Measure a model on this machine, on one thread
#[derive(clap::Args)]
#[command(after_help = concat!(
    "Examples:\n",
    "  edgecc bench model.onnx --cpu native\n",
    "  edgecc bench model.onnx --runs 1000 --layers\n\n",
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
    /// Show the time of every layer
    #[arg(long)]
    layers: bool,
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
    layers: Vec<LayerTime>,
}

#[derive(Serialize)]
struct LayerTime {
    title: String,
    macs: u64,
    median: f64,
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
        layers: if args.layers {
            layer_times(args, &host, &mut buffers, &compiled)?
        } else {
            vec![]
        },
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

/// The median time of each step.
#[allow(clippy::disallowed_types, reason = "see above")]
fn layer_times(
    args: &Args,
    host: &Host,
    buffers: &mut Buffers,
    compiled: &Compiled,
) -> Result<Vec<LayerTime>, Failure> {
    let layers = &compiled.report.layers;
    let times = RefCell::new(vec![Vec::new(); layers.len()]);
    let start = RefCell::new(Instant::now());
    let sink = |step: u32, event: Event| match event {
        Event::Begin => *start.borrow_mut() = Instant::now(),
        Event::End => {
            let elapsed = start.borrow().elapsed().as_secs_f64();
            if let Some(times) = times.borrow_mut().get_mut(step as usize) {
                times.push(elapsed);
            }
        }
    };
    for _ in 0..args.runs {
        host.run_with(&Hooks::NONE.with_profile(&sink), buffers)?;
    }
    let median = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times.get(times.len() / 2).copied().unwrap_or_default()
    };
    let mut times = times.borrow_mut();
    let rows = layers.iter().zip(times.iter_mut());
    Ok(rows
        .map(|(l, times)| LayerTime { title: l.title(), macs: l.macs, median: median(times) })
        .collect())
}

fn text(result: &Measurement) -> String {
    let mut text = format!(
        "{} on {}: median {}, min {}, max {} of {} runs; {:.1} GFLOP/s\n",
        result.name,
        result.cpu,
        seconds(result.median),
        seconds(result.min),
        seconds(result.max),
        result.runs,
        result.gflops
    );
    for layer in &result.layers {
        let share = 100.0 * layer.median / result.median;
        let rate = gflops(layer.macs, layer.median);
        text += &format!(
            "  {:>10} {share:>5.1} % {rate:>7.1} GFLOP/s  {}\n",
            seconds(layer.median),
            layer.title
        );
    }
    text
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
