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

/// Every contender's first output on one thread, taking turns.
pub(super) fn measure(tools: &Toolchain, subject: &Subject, pace: &Pace) -> Outcome<Start> {
    let mut samples: Vec<(&Contender, Outcome<Samples>)> =
        subject.contenders.iter().map(|c| (c, Ok(Samples::default()))).collect();
    let mut nothing = [Samples::default(), Samples::default()];
    for _ in 0..pace.rounds {
        nothing[0].push(first(&mut empty_c(tools, pace))?);
        nothing[1].push(first(&mut empty_python(pace))?);
        for (contender, values) in &mut samples {
            let Ok(so_far) = values else { continue };
            let command = contender.command(started(pace), subject, pace, (0, 1));
            match command.and_then(|mut command| first(&mut command)) {
                Ok(value) => so_far.push(value),
                Err(why) => *values = Err(why),
            }
        }
    }
    let nothing = nothing.map(Samples::medians);
    let entries = samples.into_iter().map(|(contender, values)| {
        let beyond = values.ok().map(|values| {
            let [seconds, bytes] = nothing[usize::from(contender.is_python)];
            let found = values.medians();
            [(found[0] - seconds).max(0.0), (found[1] - bytes).max(0.0)]
        });
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

/// Seconds and bytes of each round.
#[derive(Default)]
struct Samples([Vec<f64>; 2]);

impl Samples {
    fn push(&mut self, [seconds, bytes]: [f64; 2]) {
        self.0[0].push(seconds);
        self.0[1].push(bytes);
    }

    fn medians(self) -> [f64; 2] {
        self.0.map(median)
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
    use super::first;
    use crate::command::command;

    #[test]
    fn the_first_line_counts() {
        let line = "{\"memory\": 7, \"elapsed\": 2.5}";
        assert_eq!(first(&mut command("echo", [&format!("{line}\nmore")])), Ok([2.5, 7.0]));
        assert!(first(&mut command("false", [""; 0])).is_err());
    }
}
