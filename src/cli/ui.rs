//! What the user sees: colours, verbosity, diagnostics.

use anstream::{AutoStream, ColorChoice};
use clap::ValueEnum;
use edgecc::{Diagnostic, Severity};
use serde_json::json;
use std::io::{self, IsTerminal, Write};

/// Options of every subcommand.
#[derive(clap::Args)]
#[command(next_help_heading = "Messages")]
pub(super) struct Args {
    /// Print errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Print more: what was not optimised and why
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Colours; `auto` means only on a terminal, and honours NO_COLOR
    #[arg(long, global = true, value_enum, default_value = "auto", value_name = "WHEN")]
    color: Color,
    /// Form of errors and warnings
    #[arg(long, global = true, value_enum, default_value = "human", value_name = "FORM")]
    error_format: ErrorFormat,
}

#[derive(Clone, Copy, ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Clone, Copy, ValueEnum)]
enum ErrorFormat {
    /// Several lines each
    Human,
    /// One line each
    Short,
    /// One JSON object per line
    Json,
}

/// How to talk to the user.
#[derive(Clone, Copy)]
pub(super) struct Ui {
    level: i16,
    color: ColorChoice,
    format: ErrorFormat,
}

const RED: &str = "\x1b[1;31m";
const YELLOW: &str = "\x1b[1;33m";
const BLUE: &str = "\x1b[1;34m";
const CYAN: &str = "\x1b[1;36m";
const BOLD: &str = "\x1b[1m";
const OFF: &str = "\x1b[0m";

impl Ui {
    pub(super) fn new(args: &Args) -> Ui {
        let color = match args.color {
            Color::Auto => ColorChoice::Auto,
            Color::Always => ColorChoice::Always,
            Color::Never => ColorChoice::Never,
        };
        let level = if args.quiet { -1 } else { i16::from(args.verbose) };
        Ui { level, color, format: args.error_format }
    }

    /// Whether anything but errors is wanted.
    pub(super) fn is_chatty(&self) -> bool {
        self.level >= 0
    }

    /// Whether details are wanted.
    pub(super) fn is_verbose(&self) -> bool {
        self.level > 0
    }

    /// Text on stdout. A reader that has gone away is no error.
    pub(super) fn print(&self, text: &str) {
        let mut out = AutoStream::new(io::stdout(), self.color);
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    /// A JSON value on stdout.
    pub(super) fn json(&self, value: &impl serde::Serialize) {
        let text = serde_json::to_string_pretty(value).expect("reports have string keys only");
        self.print(&(text + "\n"));
    }

    /// Text on stderr, unless quiet.
    pub(super) fn note(&self, text: &str) {
        if self.is_chatty() {
            self.error_stream(text);
        }
    }

    /// A line on a terminal that the next one replaces; nothing elsewhere.
    pub(super) fn progress(&self, text: &str) {
        if self.is_chatty() && io::stderr().is_terminal() {
            self.error_stream(&format!("\r\x1b[K{text}"));
        }
    }

    /// Errors, and warnings unless quiet, on stderr.
    pub(super) fn diagnostics(&self, diagnostics: &[Diagnostic]) {
        let wanted = |d: &&Diagnostic| self.is_chatty() || d.severity == Severity::Error;
        for diagnostic in diagnostics.iter().filter(wanted) {
            self.error_stream(&match self.format {
                ErrorFormat::Human => human(diagnostic),
                ErrorFormat::Short => short(diagnostic),
                ErrorFormat::Json => format!("{}\n", to_json(diagnostic)),
            });
        }
    }

    fn error_stream(&self, text: &str) {
        let mut out = AutoStream::new(io::stderr(), self.color);
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

fn word(severity: Severity) -> (&'static str, &'static str) {
    match severity {
        Severity::Error => ("error", RED),
        Severity::Warning => ("warning", YELLOW),
    }
}

fn human(d: &Diagnostic) -> String {
    let (name, color) = word(d.severity);
    let mut text = format!("{color}{name}[{}]{OFF}{BOLD}: {}{OFF}\n", d.code, d.message);
    if !d.at.is_empty() {
        text += &format!("  {BLUE}-->{OFF} {}\n", d.at);
    }
    for note in &d.notes {
        text += &format!("  {BLUE}={OFF} {BOLD}note{OFF}: {note}\n");
    }
    if let Some(help) = &d.help {
        text += &format!("  {BLUE}={OFF} {CYAN}help{OFF}: {help}\n");
    }
    text + "\n"
}

fn short(d: &Diagnostic) -> String {
    let at = if d.at.is_empty() { String::new() } else { format!("{}: ", d.at) };
    format!("{at}{}[{}]: {}\n", word(d.severity).0, d.code, d.message)
}

fn to_json(d: &Diagnostic) -> serde_json::Value {
    json!({
        "severity": word(d.severity).0,
        "code": d.code,
        "message": d.message,
        "at": d.at,
        "notes": d.notes,
        "help": d.help,
    })
}

#[cfg(test)]
mod tests {
    use super::{human, short, to_json};
    use edgecc::Code;

    #[test]
    fn each_form_holds_the_facts() {
        let d = Code::BadName.error("no").at("here").note("n").help("h");
        let plain = anstream::adapter::strip_str(&human(&d)).to_string();
        assert_eq!(plain, "error[bad-name]: no\n  --> here\n  = note: n\n  = help: h\n\n");
        assert_eq!(short(&d), "here: error[bad-name]: no\n");
        assert_eq!(to_json(&d)["notes"][0], "n");
    }
}
