//! The command line: parses, dispatches to one file per subcommand, turns results to exit codes.

mod arena;
mod args;
mod arrays;
mod bench;
mod compile;
mod crash;
mod dot;
mod exit;
mod explain;
mod files;
mod host;
mod inspect;
mod observe;
mod ops;
mod plot;
mod quantize;
mod random;
mod run;
mod steps;
mod targets;
mod tune;
mod ui;
mod verify;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use exit::Exit;
use std::ffi::OsString;
use std::process::ExitCode;
use ui::Ui;

const EXAMPLES: &str = "\
Examples:
  edgecc model.onnx --target aarch64 -o model.o    compile; also writes model.h, .rs, .json
  edgecc verify model.onnx                         compare every level of the compiler
  edgecc run model.onnx --inputs in.npz --outputs out.npz
  edgecc bench model.onnx --runs 100
  edgecc tune model.onnx --cpu native -o model.schedules
  edgecc quantize model.onnx --data calibration.npz -o model.int8.onnx

EDGECC_FLAGS holds further options for compile, run, verify, bench and tune; those of the command line
win.
";

/// Ahead-of-time compiler from ONNX models to native object files.
///
/// The object has no undefined symbols, allocates nothing and needs no runtime. Without a
/// subcommand, `compile` is meant.
#[derive(Parser)]
#[command(name = "edgecc", version, max_term_width = 100, args_override_self = true)]
#[command(after_help = EXAMPLES, after_long_help = [EXAMPLES, exit::HELP].join("\n"))]
struct Cli {
    #[command(flatten)]
    ui: ui::Args,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Compile(compile::Args),
    Run(run::Args),
    Verify(verify::Args),
    Bench(bench::Args),
    Tune(tune::Args),
    Quantize(quantize::Args),
    Inspect(inspect::Args),
    Explain(explain::Args),
    Targets(targets::Args),
    Ops(ops::Args),
}

/// What a subcommand gives: the exit code, or the problems to print.
type Outcome = Result<Exit, edgecc::Failure>;

pub(crate) fn main() -> ExitCode {
    let flags = std::env::var("EDGECC_FLAGS").unwrap_or_default();
    let args = complete(std::env::args_os().collect(), &flags);
    let matches = Cli::command().get_matches_from(args);
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|e| e.exit());
    let ui = Ui::new(&cli.ui);
    crash::guard(&ui, || match dispatch(&cli.command, &ui) {
        Ok(exit) => exit,
        Err(failure) => {
            ui.diagnostics(&failure.diagnostics);
            Exit::of(&failure)
        }
    })
    .into()
}

fn dispatch(command: &Command, ui: &Ui) -> Outcome {
    match command {
        Command::Compile(args) => compile::run(args, ui),
        Command::Run(args) => run::run(args, ui),
        Command::Verify(args) => verify::run(args, ui),
        Command::Bench(args) => bench::run(args, ui),
        Command::Tune(args) => tune::run(args, ui),
        Command::Quantize(args) => quantize::run(args, ui),
        Command::Inspect(args) => inspect::run(args, ui),
        Command::Explain(args) => explain::run(args, ui),
        Command::Targets(args) => targets::run(args, ui),
        Command::Ops(args) => ops::run(args, ui),
    }
}

/// Adds what the user may leave out: the subcommand `compile`, and the options of the environment,
/// for those subcommands that compile.
fn complete(mut args: Vec<OsString>, flags: &str) -> Vec<OsString> {
    let at = match command_position(&args) {
        Position::Named(at) => at,
        Position::Omitted => {
            args.insert(1, "compile".into());
            1
        }
        Position::None => return args,
    };
    if ["compile", "run", "verify", "bench", "tune"].iter().any(|name| args[at] == *name) {
        args.splice(at + 1..at + 1, flags.split_whitespace().map(OsString::from));
    }
    args
}

enum Position {
    /// The subcommand's place.
    Named(usize),
    /// There is none, but there are arguments for one.
    Omitted,
    /// Nothing to run: help, version or no arguments at all.
    None,
}

fn command_position(args: &[OsString]) -> Position {
    let app = Cli::command();
    let is_command = |arg: &str| arg == "help" || app.find_subcommand(arg).is_some();
    let text = |at: usize| args[at].to_str().unwrap_or_default();
    let mut at = 1;
    while at < args.len() {
        match text(at) {
            "-h" | "--help" | "-V" | "--version" => return Position::None,
            "--color" | "--error-format" => at += 1,
            arg if is_command(arg) => return Position::Named(at),
            arg if arg.starts_with('-') && arg != "-" && at + 1 < args.len() => {}
            _ => return Position::Omitted,
        }
        at += 1;
    }
    Position::None
}

#[cfg(test)]
mod tests {
    use super::{Cli, complete};
    use clap::CommandFactory;

    fn completed(line: &str, flags: &str) -> String {
        let args = line.split(' ').map(Into::into).collect();
        let parts: Vec<_> = complete(args, flags);
        parts.iter().map(|p| p.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn compile_is_the_default() {
        for (given, meant) in [
            ("edgecc m.onnx -o m.o", "edgecc compile m.onnx -o m.o"),
            ("edgecc --target aarch64 m.onnx", "edgecc compile --target aarch64 m.onnx"),
            ("edgecc -q --color never run m.onnx", "edgecc -q --color never run m.onnx"),
            ("edgecc --help", "edgecc --help"),
            ("edgecc -", "edgecc compile -"),
            ("edgecc", "edgecc"),
        ] {
            assert_eq!(completed(given, ""), meant);
        }
    }

    #[test]
    fn flags_of_the_environment_come_first() {
        assert_eq!(completed("edgecc m.onnx -O3", "-O1 -q"), "edgecc compile -O1 -q m.onnx -O3");
        assert_eq!(completed("edgecc targets", "-O1"), "edgecc targets");
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }
}
