//! `cargo xtask conformance`: the operator cases of the ONNX wheel through the whole compiler.
//!
//! A case passes if every output has the type, the shape and, within ONNX's own tolerance, the
//! values that the case states. What passes is a list that only grows; wrong results and crashes
//! are failures unless a second list gives the reason.

mod case;
mod lists;
mod pool;
mod table;

use crate::command::{capture, command, text};
use crate::models::oracle::parse;
use crate::{Outcome, paths};
use case::Run;
use lists::Lists;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const SCRIPT: &str = "tests/python/conformance.py";

/// The operators whose cases the project means to pass.
const OPERATORS: &str = "tests/onnx/operators.txt";

/// What to run and how to print it.
#[derive(clap::Args, Default)]
pub(crate) struct Args {
    /// Run only cases whose names contain this
    #[arg(long, default_value = "")]
    filter: String,
    /// Add what passes to the list of what must pass
    #[arg(long)]
    bless: bool,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
    /// Run the one case in this folder, in this process
    #[arg(long, hide = true)]
    case: Option<PathBuf>,
}

/// A case as the script describes it.
#[derive(Deserialize, Serialize)]
struct Case {
    name: String,
    /// The operator that it is about.
    operator: String,
    /// Whether it needs only operators of the list.
    listed: bool,
}

/// How a case ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Passed,
    /// Passed after inputs that decide shapes were made constants.
    Bound,
    /// The compiler says that it does not support the case.
    Unsupported(String),
    Wrong(String),
    Crashed(String),
}

/// A case and how it ended.
#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    case: Case,
    verdict: Verdict,
}

impl Verdict {
    fn passed(&self) -> bool {
        matches!(self, Verdict::Passed | Verdict::Bound)
    }
}

/// Runs the cases, prints what passes and fails if the lists say otherwise.
pub(crate) fn run(args: &Args) -> Outcome {
    if let Some(folder) = &args.case {
        return case::run(folder);
    }
    let folder = paths::scratch("conformance")?;
    let mut cases: Vec<Case> = script("write", &folder, &[text(&paths::file(OPERATORS))])?;
    cases.retain(|case| case.name.contains(&args.filter));
    let rows = judge(cases, &folder)?;
    println!("{}", if args.json { table::json(&rows) } else { table::text(&rows) });
    let lists = Lists::read()?;
    if args.bless { lists.bless(&rows) } else { lists.check(&rows) }
}

/// Runs every case, those that need constants again with these.
fn judge(cases: Vec<Case>, folder: &Path) -> Outcome<Vec<Row>> {
    let mut runs: BTreeMap<String, Run> = BTreeMap::new();
    let mut bound = BTreeSet::new();
    let mut open: Vec<String> = cases.iter().map(|case| case.name.clone()).collect();
    while !open.is_empty() {
        let done = pool::run(folder, &open)?;
        let refused = done.iter().filter(|(_, run)| matches!(run, Run::Refused(_)));
        let names: Vec<&str> = refused.map(|(name, _)| name.as_str()).collect();
        open = script("bind", folder, &names)?;
        bound.extend(open.iter().cloned());
        runs.extend(done);
    }
    let ran = runs.iter().filter(|(_, run)| matches!(run, Run::Outputs(_)));
    let names: Vec<&str> = ran.map(|(name, _)| name.as_str()).collect();
    let wrong: BTreeMap<String, Option<String>> = script("score", folder, &names)?;
    let row = |case: Case| {
        let why = wrong.get(&case.name).cloned().flatten();
        let verdict = verdict(&runs[&case.name], why, bound.contains(&case.name));
        Row { case, verdict }
    };
    Ok(cases.into_iter().map(row).collect())
}

fn verdict(run: &Run, wrong: Option<String>, is_bound: bool) -> Verdict {
    match (run, wrong) {
        (Run::Outputs(_), Some(why)) => Verdict::Wrong(why),
        (Run::Outputs(_), None) if is_bound => Verdict::Bound,
        (Run::Outputs(_), None) => Verdict::Passed,
        (Run::Refused(problems), _) => Verdict::Unsupported(case::first(problems)),
        (Run::Crashed(why), _) => Verdict::Crashed(why.clone()),
    }
}

fn script<T: for<'a> Deserialize<'a>>(task: &str, folder: &Path, args: &[&str]) -> Outcome<T> {
    let words = [text(&paths::file(SCRIPT)), task, text(folder)].map(str::to_owned);
    let printed = capture(command(paths::python(), words).args(args))?;
    parse(&printed)
}
