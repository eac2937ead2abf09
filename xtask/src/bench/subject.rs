//! One model, ready to be measured: compiled and linked, converted for each peer that needs it.

use super::measure::Pace;
use super::peers::{Codes, Peer};
use super::rows::{Case, Twin};
use super::{Args, scratch};
use crate::build::{MACHINES, Machine, Object, Report, cargo, release_compiler};
use crate::command::{capture, command, quiet};
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
    pub(super) expected: Expected,
    /// Of the same model in f32, where the model computes with codes.
    pub(super) twin: Option<Expected>,
    /// What the compiler says of it.
    pub(super) report: Report,
    /// Seconds of the whole compiler.
    pub(super) compile_seconds: f64,
    /// The compiled model first, then the peers.
    pub(super) contenders: Vec<Contender>,
}

/// Inputs and what is expected for them, in files of a folder.
pub(super) struct Expected {
    pub(super) folder: PathBuf,
    /// What `reference.py` printed.
    pub(super) meta: String,
}

/// What a contender computes.
#[derive(Clone, Copy)]
pub(super) enum Claim {
    /// The model.
    Model,
    /// Its twin in f32, perhaps with codes of its own choice.
    Twin,
}

/// Who computes a model.
pub(super) struct Contender {
    pub(super) name: &'static str,
    pub(super) most_threads: usize,
    pub(super) is_python: bool,
    pub(super) claim: Claim,
    /// The words of the command before the adapter's common arguments.
    pub(super) words: Outcome<Vec<PathBuf>>,
}

/// The name of the compiled model among the contenders.
pub(super) const OURS: &str = "edgecc";
/// The name of its compiled twin in f32.
pub(super) const OURS_IN_F32: &str = "edgecc_f32";

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

impl Subject {
    /// What is expected of a contender.
    pub(super) fn expected(&self, contender: &Contender) -> &Expected {
        match (contender.claim, &self.twin) {
            (Claim::Twin, Some(twin)) => twin,
            (_, None) | (Claim::Model, _) => &self.expected,
        }
    }
}

/// Computes the reference, compiles, links and converts. A peer that cannot take part says why.
pub(super) fn prepare(
    tools: &Toolchain,
    case: &Case,
    peers: &[&Peer],
    pace: &Pace,
) -> Outcome<Subject> {
    let (model, folder) = (&case.model, scratch("model")?);
    let compiled = compiled(tools, &model.path, &model.args, folder.clone())?;
    let compile_seconds = compile_seconds(tools, &model.path, &compiled.args, pace, &folder)?;
    let report = compiled.object.report()?;
    let in_f32 = match &case.twin {
        None => None,
        Some(twin) => Some(self::compiled(tools, &twin.path, &model.args, folder.join("twin"))?),
    };
    let ours = |name, claim, program| Contender {
        name,
        most_threads: usize::MAX,
        is_python: false,
        claim,
        words: Ok(vec![program]),
    };
    let mut contenders = vec![ours(OURS, Claim::Model, compiled.program)];
    let twin = in_f32.map(|in_f32| {
        contenders.push(ours(OURS_IN_F32, Claim::Twin, in_f32.program));
        in_f32.expected
    });
    contenders.extend(peers.iter().map(|peer| contender(peer, case, &folder)));
    let name = model.name.clone();
    let subject =
        Subject { name, expected: compiled.expected, twin, report, compile_seconds, contenders };
    for contender in &subject.contenders {
        paths::create(&subject.expected(contender).folder.join(contender.name))?;
    }
    Ok(subject)
}

/// A model that is compiled and linked, with what is expected of it.
struct Compiled {
    expected: Expected,
    /// The arguments of the compiler.
    args: Vec<String>,
    object: Object,
    program: PathBuf,
}

fn compiled(
    tools: &Toolchain,
    model: &Path,
    args: &[String],
    folder: PathBuf,
) -> Outcome<Compiled> {
    let Reference { meta, closing, .. } = oracle::reference(model, args, &folder)?;
    let args = [closing, vec!["--cpu".to_owned(), tools.cpu.clone()]].concat();
    let object = tools.machine.compile(&tools.edgecc, model, &args, &folder)?;
    let library = tools.library.to_str().ok_or("the target folder's name is not UTF-8")?;
    let more = [&[library][..], &SYSTEM].concat();
    let program = tools.machine.link_with(&object, "benches/edgecc.c", &more)?;
    Ok(Compiled { expected: Expected { folder, meta }, args, object, program })
}

/// Seconds of the compiler as a process on one processor.
fn compile_seconds(
    tools: &Toolchain,
    model: &Path,
    args: &[String],
    pace: &Pace,
    folder: &Path,
) -> Outcome<f64> {
    let mut compile = pace.command(1);
    compile.arg(&tools.edgecc).args(args).arg("-o").arg(folder.join("again.o")).arg(model);
    let start = Instant::now();
    quiet(&mut compile)?;
    Ok(start.elapsed().as_secs_f64())
}

/// A peer with the model, or with its twin where the peer quantises by itself.
fn contender(peer: &Peer, case: &Case, folder: &Path) -> Contender {
    let (path, samples, claim) = match (&case.twin, peer.codes) {
        (Some(Twin { path, samples }), Codes::Makes) => (path, Some(samples), Claim::Twin),
        (None, _) | (_, Codes::Reads | Codes::Lacks) => (&case.model.path, None, Claim::Model),
    };
    let converted = || match peer.converted {
        None => Ok(path.clone()),
        Some(file) => convert(peer.name, path, folder, samples).map(|folder| folder.join(file)),
    };
    let script = paths::file(&format!("benches/peers/with_{}.py", peer.name));
    let words = converted().map(|model| vec![PEERS.python(), "-B".into(), script, model]);
    Contender { name: peer.name, most_threads: peer.most_threads, is_python: true, claim, words }
}

/// The folder with what the converter made, quantised where there are samples.
fn convert(peer: &str, model: &Path, folder: &Path, samples: Option<&PathBuf>) -> Outcome<PathBuf> {
    let to = folder.join("converted").join(peer);
    paths::create(&to)?;
    let script = paths::file(&format!("benches/peers/convert_{peer}.py"));
    let mut python = command(PEERS.python(), ["-B"]);
    let outcome = capture(python.arg(script).arg(model).arg(&to).args(samples));
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
