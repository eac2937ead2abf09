//! How long a new process takes to its first output, and the memory that it needs until then.
//!
//! Both are beyond those of a process of the same kind that does nothing: a C program, or an
//! interpreter with NumPy.

use super::measure::{Pace, median};
use super::results::{Footprint, Start};
use super::subject::{Contender, Subject, Toolchain};
use crate::command::capture;
use crate::models::oracle;
use crate::setup::PEERS;
use crate::{Outcome, paths};
use serde::Deserialize;
use std::process::Command;

/// What an adapter prints after the first output.
#[derive(Deserialize)]
struct First {
    memory: f64,
    elapsed: f64,
}

/// Tells the program when it was started: by a shell that is pinned and in real time already, so
/// that other work of the system does not count.
const STARTED: [&str; 4] = ["sh", "-c", "START=$(date +%s%N) exec \"$@\"", "sh"];

/// How often every contender starts: more often than it runs, as a start is one moment.
const STARTS: usize = 7;

/// Every contender's first output on one thread, taking turns. What a process that does nothing
/// takes in the same round is subtracted, so that what slows a round slows both; the medians of
/// the differences count.
pub(super) fn measure(tools: &Toolchain, subject: &Subject, pace: &Pace) -> Outcome<Start> {
    let mut samples: Vec<(&Contender, Outcome<Samples>)> =
        subject.contenders.iter().map(|c| (c, Ok(Samples::default()))).collect();
    for _ in 0..STARTS.max(pace.rounds) {
        let nothing = [first(&mut empty_c(tools, pace))?, first(&mut empty_python(pace))?];
        for (contender, values) in &mut samples {
            let Ok(so_far) = values else { continue };
            let command = contender.command(started(pace), subject, pace, (0, 1));
            match command.and_then(|mut command| first(&mut command)) {
                Ok(found) => so_far.push(found, nothing[usize::from(contender.is_python)]),
                Err(why) => *values = Err(why),
            }
        }
    }
    let entries = samples.into_iter().map(|(contender, values)| {
        let beyond = values.ok().map(Samples::medians);
        let name = contender.name;
        Footprint { name, seconds: beyond.map(|b| b[0]), bytes: beyond.map(|b| b[1]) }
    });
    Ok(Start {
        model: subject.name.clone(),
        code_bytes: subject.report.code_bytes,
        planned_bytes: subject.report.weights_bytes + subject.report.arena_bytes,
        entries: entries.collect(),
    })
}

/// Seconds and bytes of each round, beyond those of a process that does nothing.
#[derive(Default)]
struct Samples([Vec<f64>; 2]);

impl Samples {
    fn push(&mut self, found: [f64; 2], nothing: [f64; 2]) {
        for ((values, found), nothing) in self.0.iter_mut().zip(found).zip(nothing) {
            values.push(found - nothing);
        }
    }

    fn medians(self) -> [f64; 2] {
        self.0.map(|values| median(values).max(0.0))
    }
}

fn empty_c(tools: &Toolchain, pace: &Pace) -> Command {
    let mut command = started(pace);
    command.arg(&tools.empty);
    command
}

fn empty_python(pace: &Pace) -> Command {
    let mut command = started(pace);
    command.arg(PEERS.python()).arg("-B").arg(paths::file("benches/peers/common.py"));
    command
}

/// The start of a command that knows when it was started.
fn started(pace: &Pace) -> Command {
    let mut command = pace.command(1);
    command.args(STARTED);
    command
}

/// Seconds until a program's first output, and the memory that it had until then.
fn first(command: &mut Command) -> Outcome<[f64; 2]> {
    let printed = capture(command)?;
    let First { memory, elapsed } = oracle::parse(printed.lines().next().unwrap_or_default())?;
    Ok([elapsed, memory])
}

#[cfg(test)]
mod tests {
    use super::{Samples, first};
    use crate::command::command;

    #[test]
    fn the_first_line_counts() {
        let line = "{\"memory\": 7, \"elapsed\": 2.5}";
        assert_eq!(first(&mut command("echo", [&format!("{line}\nmore")])), Ok([2.5, 7.0]));
        assert!(first(&mut command("false", [""; 0])).is_err());
    }

    #[test]
    fn the_median_difference_counts() {
        let mut samples = Samples::default();
        for (found, nothing) in [(5.0, 1.0), (90.0, 3.0), (9.0, 8.0)] {
            samples.push([found, 1.0], [nothing, 2.0]);
        }
        assert_eq!(samples.medians(), [4.0, 0.0]);
    }
}
