//! One model, ready to be measured: compiled and linked, converted for each peer that needs it.

use super::measure::Pace;
use super::peers::Peer;
use super::{Args, scratch};
use crate::build::{MACHINES, Machine, Report, cargo, release_compiler};
use crate::command::{capture, command, quiet};
use crate::models::Model;
use crate::models::oracle::{self, Reference};
use crate::setup::PEERS;
use crate::{Outcome, paths};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What makes programs of models.
pub(super) struct Toolchain {
    pub(super) machine: Machine,
    pub(super) edgecc: PathBuf,
    pub(super) cpu: String,
    /// The C library of the ABI, for its pool of threads.
    library: PathBuf,
    /// A program that does nothing.
    pub(super) empty: PathBuf,
}

/// A model with inputs, what is expected for them, and who computes it.
pub(super) struct Subject {
    pub(super) name: String,
    pub(super) folder: PathBuf,
    /// What `reference.py` printed.
    pub(super) meta: String,
    /// What the compiler says of it.
    pub(super) report: Report,
    /// Seconds of the whole compiler.
    pub(super) compile_seconds: f64,
    /// The compiled model first, then the peers.
    pub(super) contenders: Vec<Contender>,
}

/// Who computes a model.
pub(super) struct Contender {
    pub(super) name: &'static str,
    pub(super) most_threads: usize,
    pub(super) is_python: bool,
    /// The words of the command before the adapter's common arguments.
    pub(super) words: Outcome<Vec<PathBuf>>,
}

/// The name of the compiled model among the contenders.
pub(super) const OURS: &str = "edgecc";

/// What gcc links besides: what the C library needs of the system.
const SYSTEM: [&str; 3] = ["-lpthread", "-ldl", "-lm"];

impl Toolchain {
    /// Release builds: their speed is part of the result.
    pub(super) fn new(args: &Args) -> Outcome<Toolchain> {
        let [machine, _] = MACHINES;
        let edgecc = args.edgecc.clone().map_or_else(release_compiler, Ok)?;
        let library = ["--features", "std", "--crate-type", "staticlib"];
        let build = ["rustc", "--quiet", "--release", "--package", "edgecc-rt"];
        quiet(cargo(&build).args(library))?;
        let empty = scratch("empty")?.join("empty");
        quiet(command("gcc", ["-O2", "-o"]).arg(&empty).arg(paths::file("benches/empty.c")))?;
        let library = paths::target().join("release/libedgecc_rt.a");
        Ok(Toolchain { machine, edgecc, cpu: args.cpu.clone(), library, empty })
    }
}

/// Computes the reference, compiles, links and converts. A peer that cannot take part says why.
pub(super) fn prepare(
    tools: &Toolchain,
    model: &Model,
    peers: &[&Peer],
    pace: &Pace,
) -> Outcome<Subject> {
    let folder = scratch("model")?;
    let Reference { meta, closing, .. } = oracle::reference(&model.path, &model.args, &folder)?;
    let args = [closing, vec!["--cpu".to_owned(), tools.cpu.clone()]].concat();
    let object = tools.machine.compile(&tools.edgecc, &model.path, &args, &folder)?;
    let compile_seconds = compile_seconds(tools, model, &args, pace, &folder)?;
    let library = tools.library.to_str().ok_or("the target folder's name is not UTF-8")?;
    let more = [&[library][..], &SYSTEM].concat();
    let program = tools.machine.link_with(&object, "benches/edgecc.c", &more)?;
    let ours = Contender {
        name: OURS,
        most_threads: usize::MAX,
        is_python: false,
        words: Ok(vec![program]),
    };
    let theirs = peers.iter().map(|peer| contender(peer, &model.path, &folder));
    let contenders: Vec<Contender> = std::iter::once(ours).chain(theirs).collect();
    for contender in &contenders {
        paths::create(&folder.join(contender.name))?;
    }
    let report = object.report()?;
    Ok(Subject { name: model.name.clone(), folder, meta, report, compile_seconds, contenders })
}

/// Seconds of the compiler as a process on one processor.
fn compile_seconds(
    tools: &Toolchain,
    model: &Model,
    args: &[String],
    pace: &Pace,
    folder: &Path,
) -> Outcome<f64> {
    let mut compile = pace.command(1);
    compile.arg(&tools.edgecc).args(args).arg("-o").arg(folder.join("again.o")).arg(&model.path);
    let start = Instant::now();
    quiet(&mut compile)?;
    Ok(start.elapsed().as_secs_f64())
}

fn contender(peer: &Peer, model: &Path, folder: &Path) -> Contender {
    let converted = || match peer.converted {
        None => Ok(model.to_owned()),
        Some(file) => convert(peer.name, model, folder).map(|folder| folder.join(file)),
    };
    let script = paths::file(&format!("benches/peers/with_{}.py", peer.name));
    let words = converted().map(|model| vec![PEERS.python(), "-B".into(), script, model]);
    Contender { name: peer.name, most_threads: peer.most_threads, is_python: true, words }
}

/// The folder with what the converter made.
fn convert(peer: &str, model: &Path, folder: &Path) -> Outcome<PathBuf> {
    let to = folder.join("converted").join(peer);
    paths::create(&to)?;
    let script = paths::file(&format!("benches/peers/convert_{peer}.py"));
    let outcome = capture(command(PEERS.python(), ["-B"]).arg(script).arg(model).arg(&to));
    outcome.map(|_| to).map_err(|why| format!("the converter fails: {}", last_line(&why)))
}

/// The line of a failure that says most: programs end with it.
pub(super) fn last_line(why: &str) -> &str {
    why.lines().rfind(|line| !line.trim().is_empty()).unwrap_or(why).trim()
}

#[cfg(test)]
mod tests {
    use super::last_line;

    #[test]
    fn a_failure_is_told_in_one_line() {
        assert_eq!(last_line("Traceback\n  File\nError: no\n\n"), "Error: no");
    }
}
