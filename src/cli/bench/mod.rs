//! `edgecc bench`: how long a run takes on this machine, and where the time goes.

pub(super) mod clock;
mod machine;
pub(super) mod profile;
pub(super) mod show;

use super::exit::Exit;
use super::files::Writer;
use super::host::{self, HostArgs};
use super::ui::Ui;
use super::{Outcome, plot};
use clock::Subject;
use edgecc::Failure;
use edgecc::driver::Compiled;
use edgecc::host::Host;
use edgecc_rt::hooks::Hooks;
use edgecc_rt::pool::Pool;
use profile::{Machine, Profile};
use serde::Serialize;
use std::num::NonZero;
use std::path::PathBuf;

/// Measure a model on this machine
#[derive(clap::Args)]
#[command(after_help = concat!(
    "Examples:\n",
    "  edgecc bench model.onnx --cpu native\n",
    "  edgecc bench model.onnx --runs 1000 --threads 2 --json\n",
    "  edgecc bench model.onnx --profile                layers beside the machine's peak\n",
    "  edgecc bench model.onnx --plot profile.svg       the same as a picture\n\n",
    "The median is the number to compare; the minimum shows how quiet the machine was. The peak is\n",
    "that of multiply-adds in vectors as wide as the code's, measured before the layers. The bytes\n",
    "of a layer are those of the tensors that it reads and writes, wherever they are cached.",
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
    /// Number of threads
    #[arg(long, value_name = "N", default_value = "1")]
    threads: NonZero<usize>,
    /// Measure each layer and the machine's peak too, in further runs
    #[arg(long)]
    profile: bool,
    /// Draw the profile, as SVG
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// The result, times in seconds.
#[derive(Serialize)]
struct Measurement {
    name: String,
    cpu: String,
    threads: usize,
    runs: u32,
    median: f64,
    min: f64,
    max: f64,
    macs: u64,
    gflops: f64,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    profile: Option<Profile>,
}

pub(super) fn run(args: &Args, ui: &Ui) -> Outcome {
    let compiled = args.host.compile(ui, &mut |_, _| {})?;
    let pool = host::pool(args.threads)?;
    let result = measure(args, &compiled, &pool)?;
    if let (Some(path), Some(profile)) = (&args.plot, &result.profile) {
        let picture = plot::profile::svg(&result.name, &profile.machine, &profile.layers);
        let mut writer = Writer::default();
        writer.add(path.clone(), picture.into_bytes());
        writer.commit()?;
    }
    match (args.json, &result.profile) {
        (true, _) => ui.json(&result),
        (false, None) => ui.print(&total(&result)),
        (false, Some(profile)) => ui.print(&(total(&result) + &show::profile(profile))),
    }
    Ok(Exit::Ok)
}

fn measure(args: &Args, compiled: &Compiled, pool: &Pool) -> Result<Measurement, Failure> {
    let host = Host::load(compiled)?;
    let buffers = host.buffers(&host::inputs(compiled, None)?)?;
    let hooks = if args.threads.get() == 1 { Hooks::NONE } else { pool.hooks() };
    let mut subject = Subject { host: &host, model: host.model()?, buffers, hooks };
    subject.warm_up(args.warm_up)?;
    let times = subject.whole_runs(args.runs)?;
    let median = times[times.len() / 2];
    let report = &compiled.report;
    let wants_profile = args.profile || args.plot.is_some();
    Ok(Measurement {
        name: report.name.clone(),
        cpu: report.cpu.clone(),
        threads: args.threads.get(),
        runs: args.runs,
        median,
        min: times[0],
        max: times[times.len() - 1],
        macs: report.macs,
        gflops: profile::gflops(report.macs, median),
        profile: wants_profile.then(|| profile_of(args, compiled, &mut subject)).transpose()?,
    })
}

/// The machine is measured first: nothing of it is in the caches when the layers run.
fn profile_of(args: &Args, compiled: &Compiled, subject: &mut Subject) -> Result<Profile, Failure> {
    let threads = args.threads.get() as f64;
    let machine = Machine {
        peak_gflops: machine::peak_gflops(&compiled.target)? * threads,
        peak_dot_gops: machine::peak_dot_gops(&compiled.target)?.map(|peak| peak * threads),
        cache_gb_per_s: machine::cache_gb_per_s(&compiled.target) * threads,
        memory_gb_per_s: machine::memory_gb_per_s(),
    };
    subject.warm_up(args.warm_up)?;
    let times = subject.step_times(args.runs)?;
    let layers = profile::rows(&compiled.report.layers, &times, machine.peak_gflops);
    Ok(Profile { machine, layers })
}

fn total(result: &Measurement) -> String {
    format!(
        "{} on {}, threads {}: median {}, min {}, max {} of {} runs; {:.1} GFLOP/s\n",
        result.name,
        result.cpu,
        result.threads,
        show::seconds(result.median),
        show::seconds(result.min),
        show::seconds(result.max),
        result.runs,
        result.gflops
    )
}
