//! `cargo xtask bench`: compiled models beside the peers of `benches/peers`.
//!
//! Every measurement is a process of its own, pinned to its processors, on one thread in real time
//! where the system permits; peers take turns; each process gives a median and the median of the rounds
//! counts. Peers get what is best for them: inputs in their own layout, nothing copied, and a
//! converter where they need one. A time counts when the outputs are ONNX Runtime's and the machine
//! had all the processors at the time. Quote ratios,
//! never times: both are of one run on one machine.

mod environment;
mod int8;
mod kernels;
mod measure;
mod peers;
mod processors;
mod results;
mod rows;
mod start;
mod subject;
mod table;

use crate::setup::PEERS;
use crate::{Outcome, paths};
use measure::Pace;
use peers::{Codes, PEERS as TABLE, Peer};
use processors::Probe;
use results::Results;
use std::fs;
use std::path::PathBuf;
use subject::Toolchain;

/// What to measure.
#[derive(clap::Args)]
#[command(after_help = concat!(
    "Examples:\n",
    "  cargo xtask bench --rounds 1 --models kws            quick\n",
    "  cargo xtask bench --models resnet --peers litert,ncnn --threads 2\n",
    "  cargo xtask bench --int8 --out benches/INT8.md        codes of 8 bits, beside the same in f32\n",
    "  cargo xtask bench --kernels --models clamped          single kernels beside the machine's peak\n",
    "  cargo xtask bench --out benches/RESULTS.md           everything, some half an hour\n\n",
    "The models are those of benches/models/models.txt; the first run installs the peers.",
))]
pub(crate) struct Args {
    /// Only models whose names contain this
    #[arg(long, value_name = "FILTER", default_value = "")]
    models: String,
    /// This model instead; may be repeated
    #[arg(long, value_name = "FILE.onnx")]
    model: Vec<PathBuf>,
    /// Measure the models of benches/models/int8.txt instead, on codes, beside the same in f32
    #[arg(long, conflicts_with_all = ["model", "kernels"])]
    int8: bool,
    /// Measure the kernels of benches/models/kernels.txt instead, without peers
    #[arg(long)]
    kernels: bool,
    /// Only these peers
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    peers: Vec<String>,
    /// Numbers of threads
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_values_t = [1, 2])]
    threads: Vec<usize>,
    /// Rounds in which peers take turns
    #[arg(long, value_name = "N", default_value_t = 5)]
    rounds: usize,
    /// The least runs in each process, after warm-up
    #[arg(long, value_name = "N", default_value_t = 30)]
    runs: usize,
    /// The least time of the runs in each process
    #[arg(long, value_name = "SECONDS", default_value_t = 0.5)]
    seconds: f64,
    /// The processors to use, in this order
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_values_t = [1, 0])]
    processors: Vec<usize>,
    /// The CPU that edgecc compiles for
    #[arg(long, value_name = "NAME", default_value = "native")]
    cpu: String,
    /// Use this compiler instead of building one
    #[arg(long, value_name = "FILE")]
    edgecc: Option<PathBuf>,
    /// Leave out the time to the first output and the memory
    #[arg(long)]
    no_start: bool,
    /// Print JSON instead of Markdown
    #[arg(long)]
    json: bool,
    /// Write the result to this file too
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Measures everything and prints the tables.
pub(crate) fn run(args: &Args) -> Outcome {
    let text = if args.kernels { kernels::measured(args)? } else { compared(args)? };
    println!("{text}");
    match &args.out {
        None => Ok(()),
        Some(path) => fs::write(path, text + "\n")
            .map_err(|e| format!("cannot write {}: {e}", path.display())),
    }
}

/// The tables of models beside peers.
fn compared(args: &Args) -> Outcome<String> {
    let mut peers = chosen(&args.peers)?;
    if args.int8 {
        peers.retain(|peer| peer.codes != Codes::Lacks);
    }
    PEERS.install()?;
    let pace = Pace::new(args)?;
    let tools = Toolchain::new(args)?;
    let probe = Probe::new()?;
    let mut results = Results::new(environment::facts(&tools, &pace, &peers)?);
    for case in if args.int8 { int8::cases(args)? } else { rows::cases(args)? } {
        eprintln!("{}", case.model.name);
        let subject = subject::prepare(&tools, &case, &peers, &pace)?;
        for &threads in &args.threads {
            results.speed.push(measure::speed(&subject, &pace, &probe, threads)?);
        }
        if !args.no_start {
            results.start.push(start::measure(&tools, &subject, &pace)?);
        }
    }
    results.environment.finish()?;
    Ok(if args.json { table::json(&results) } else { table::markdown(&results) })
}

/// The peers with these names; all, if there are none.
fn chosen(names: &[String]) -> Outcome<Vec<&'static Peer>> {
    if names.is_empty() {
        return Ok(TABLE.iter().collect());
    }
    let find = |name: &String| {
        let known = || TABLE.iter().map(|p| p.name).collect::<Vec<_>>().join(", ");
        let found = TABLE.iter().find(|peer| peer.name == name);
        found.ok_or_else(|| format!("no peer is called {name:?}; there are {}", known()))
    };
    names.iter().map(find).collect()
}

/// A folder of this task that is empty.
fn scratch(name: &str) -> Outcome<PathBuf> {
    paths::scratch(&format!("bench/{name}"))
}

#[cfg(test)]
mod tests {
    use super::chosen;

    #[test]
    fn peers_are_chosen_by_name() {
        let names = |names: &[&str]| {
            let owned: Vec<String> = names.iter().map(|&n| n.to_owned()).collect();
            chosen(&owned).map(|peers| peers.iter().map(|p| p.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&["ncnn"]), Ok(vec!["ncnn"]));
        assert!(names(&[]).expect("all").len() > 3);
        assert!(names(&["caffe"]).expect_err("unknown").contains("openvino"));
    }
}
