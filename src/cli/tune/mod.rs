//! `edgecc tune`: measures other schedules of a model's kernels on this machine and records those
//! that are faster.

mod search;
mod show;
mod trial;

use super::exit::Exit;
use super::files::{Writer, check_writable};
use super::host::HostArgs;
use super::ui::Ui;
use super::{Outcome, host};
use edgecc::options::identifier;
use edgecc_ir::kernel::Kernel;
use edgecc_ir::kernel::schedule::Schedule;
use edgecc_passes::schedule::{planned, records};
use search::Found;
use std::path::PathBuf;
use trial::Setup;

/// Find faster schedules for a model's kernels by measuring
///
/// The compiler plans how each kernel runs from a model of the processor. This command compiles the
/// model again and again with other plans, lets the programs take turns on this machine, and writes
/// those plans to a file that were faster each time. `--schedules FILE` of compile, run, verify and
/// bench reads it; what they make then depends on the model, the options and that file alone.
#[derive(clap::Args)]
#[command(after_help = concat!(
    "Examples:\n",
    "  edgecc tune model.onnx --cpu native -o model.schedules\n",
    "  edgecc model.onnx --cpu native --schedules model.schedules -o model.o\n",
    "  edgecc tune model.onnx --cpu native --schedules model.schedules --seconds 600\n",
    "                                               goes on from what is recorded\n\n",
    "Run it on a machine that does nothing else. The file is text, a line for each kernel that differs\n",
    "from its plan. A line holds for one version, one kind of processor and one kernel; a compilation\n",
    "warns of those that do not fit and leaves them out. Options that change kernels, such as --shape\n",
    "or --strict-float, should be those of the compilation.",
))]
pub(super) struct Args {
    #[command(flatten)]
    host: HostArgs,
    /// The file to write [default: NAME.schedules]
    #[arg(short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// How long to search, roughly
    #[arg(long, value_name = "N", default_value_t = 60.0, value_parser = seconds)]
    seconds: f64,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, ui: &Ui) -> Outcome {
    let path = output(args);
    check_writable(&path)?;
    let options = args.host.options()?;
    host::check_size(&options)?;
    let (setup, start) = Setup::read(&args.host, options, ui)?;
    let found = search::search(&setup, &start, args.seconds, &|text| ui.progress(text))?;
    ui.progress("");
    let mut writer = Writer::default();
    writer.add(path, text(&setup, &found).into_bytes());
    writer.commit()?;
    let report = show::Report::new(&setup, &found);
    match args.json {
        true => ui.json(&report),
        false => ui.print(&report.text()),
    }
    Ok(Exit::Ok)
}

fn output(args: &Args) -> PathBuf {
    let model = &args.host.model;
    let stem = model.path.file_stem().and_then(|s| s.to_str()).unwrap_or("model");
    let name = || model.name.clone().unwrap_or_else(|| identifier(stem));
    args.output.clone().unwrap_or_else(|| PathBuf::from(name() + ".schedules"))
}

/// The records of the kernels that run otherwise than planned.
fn text(setup: &Setup, found: &Found) -> String {
    let pairs = setup.kernels.kernels.values().zip(&found.schedules);
    let differs = |(kernel, schedule): &(&Kernel, &Schedule)| {
        planned(kernel, &setup.target, setup.allowed()) != **schedule
    };
    let recorded = pairs.filter_map(|(kernel, s)| Some((kernel, s.as_ref()?))).filter(differs);
    records::print(&setup.target, recorded)
}

fn seconds(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|n| n.is_finite() && *n > 0.0);
    number.ok_or_else(|| "not a number of seconds".to_owned())
}
