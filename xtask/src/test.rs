//! `cargo xtask test`: everything that must hold, with nothing left out.

use crate::Outcome;
use crate::build::cargo;
use crate::command::show;
use crate::steps::Steps;
use crate::{accuracy, conformance, models, paths, setup};

/// Tests read the folder of the outside tools from here; without it they leave out what needs
/// them, with it a missing tool is a failure.
const TOOLS: &str = "EDGECC_TOOLS";

/// Sets up, then runs each kind of check; a failure does not stop the later ones.
pub(crate) fn run() -> Outcome {
    let mut steps = Steps::default();
    if steps.run("set-up", setup::run) {
        steps.run("format", || show(&mut cargo(&["fmt", "--all", "--check"])));
        steps.run("lints", lints);
        steps.run("tests", tests);
        steps.run("models", || models::run(&models::Args::default()));
        steps.run("conformance", || conformance::run(&conformance::Args::default()));
        steps.run("accuracy", || accuracy::run(&accuracy::Args::subset()));
    }
    steps.finish()
}

fn lints() -> Outcome {
    let args = ["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"];
    show(&mut cargo(&args))
}

fn tests() -> Outcome {
    show(cargo(&["test", "--quiet", "--workspace"]).env(TOOLS, paths::cache()))
}
