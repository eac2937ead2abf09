//! Where the measurements were made: without it no number means anything.

use super::measure::Pace;
use super::peers::Peer;
use super::subject::Toolchain;
use crate::command::capture;
use crate::models::oracle;
use crate::setup::PEERS;
use crate::{Outcome, paths};
use serde::{Deserialize, Serialize};
use std::fs;
use std::thread;

/// The machine and the versions.
#[derive(Serialize)]
pub(super) struct Environment {
    pub(super) processor: String,
    pub(super) cores: usize,
    /// GFLOP/s of multiply-adds in registers on one core, in vectors as the compiled code has them.
    pub(super) peak_gflops: f64,
    /// Other work of the system, before and after: processes that wanted to run.
    pub(super) load: [String; 2],
    pub(super) is_realtime: bool,
    pub(super) rounds: usize,
    pub(super) runs: usize,
    pub(super) seconds: f64,
    /// Names and versions, the compiler's first.
    pub(super) versions: Vec<(String, String)>,
}

/// What `edgecc bench --profile` says.
#[derive(Deserialize)]
struct Profile {
    machine: Limits,
}

#[derive(Deserialize)]
struct Limits {
    peak_gflops: f64,
}

pub(super) fn facts(tools: &Toolchain, pace: &Pace, peers: &[&Peer]) -> Outcome<Environment> {
    let pins = PEERS.packages()?;
    let version = |peer: &&Peer| {
        let pin = pins.iter().find(|(name, _)| name == peer.package);
        let (_, version) = pin.ok_or_else(|| format!("{} is not pinned", peer.package))?;
        Ok((peer.name.to_owned(), version.clone()))
    };
    let theirs = peers.iter().map(version).collect::<Outcome<Vec<_>>>()?;
    Ok(Environment {
        processor: processor(&read("/proc/cpuinfo")?),
        cores: thread::available_parallelism().map_err(|e| e.to_string())?.get(),
        peak_gflops: peak(tools, pace)?,
        load: [load()?, String::new()],
        is_realtime: pace.is_realtime,
        rounds: pace.rounds,
        runs: pace.runs,
        seconds: pace.seconds,
        versions: [vec![ours(tools)?], theirs].concat(),
    })
}

impl Environment {
    /// Looks at the system's load again.
    pub(super) fn finish(&mut self) -> Outcome {
        self.load[1] = load()?;
        Ok(())
    }
}

/// The compiler's name and version.
fn ours(tools: &Toolchain) -> Outcome<(String, String)> {
    let mut command = std::process::Command::new(&tools.edgecc);
    let text = capture(command.arg("--version"))?;
    let (name, version) = text.trim().split_once(' ').ok_or("edgecc has no version")?;
    Ok((name.to_owned(), format!("{version} for {}", tools.cpu)))
}

/// On one processor, with nothing else on it.
fn peak(tools: &Toolchain, pace: &Pace) -> Outcome<f64> {
    let mut command = pace.command(1);
    command.arg(&tools.edgecc).arg("bench").arg(paths::file("models/cifar_dscnn.onnx"));
    command.args(["--cpu", &tools.cpu, "--runs", "1", "--profile", "--json"]);
    let profile: Profile = oracle::parse(&capture(&mut command)?)?;
    Ok(profile.machine.peak_gflops)
}

/// The name of the first processor.
fn processor(cpuinfo: &str) -> String {
    let names = cpuinfo.lines().filter_map(|line| line.split_once(':'));
    let mut names = names.filter(|(key, _)| key.trim() == "model name");
    names.next().map_or_else(|| "unknown".to_owned(), |(_, name)| name.trim().to_owned())
}

/// The mean over a minute.
fn load() -> Outcome<String> {
    let text = read("/proc/loadavg")?;
    Ok(text.split(' ').next().unwrap_or_default().to_owned())
}

fn read(path: &str) -> Outcome<String> {
    fs::read_to_string(path).map_err(|e| format!("cannot read {path}: {e}"))
}

#[cfg(test)]
pub(super) fn example() -> Environment {
    Environment {
        processor: "P".to_owned(),
        cores: 2,
        peak_gflops: 100.0,
        load: ["0.1".to_owned(), "1.0".to_owned()],
        is_realtime: true,
        rounds: 5,
        runs: 30,
        seconds: 0.5,
        versions: vec![("edgecc".to_owned(), "0.1.0".to_owned())],
    }
}

#[cfg(test)]
mod tests {
    use super::processor;

    #[test]
    fn processors_have_names() {
        assert_eq!(processor("vendor_id\t: V\nmodel name\t: P 1\nmodel name : P 2\n"), "P 1");
        assert_eq!(processor(""), "unknown");
    }
}
