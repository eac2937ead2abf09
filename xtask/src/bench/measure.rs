//! Processes that are measured: how they run and what they print.

use super::Args;
use super::processors::Probe;
use super::results::{Entry, Speed, is_peer};
use super::subject::{Claim, Contender, Expected, Subject, last_line};
use crate::command::{capture, command, quiet};
use crate::models::oracle;
use crate::{Outcome, paths};
use serde::Deserialize;
use std::path::Path;
use std::process::Command;

/// How everything is measured.
pub(super) struct Pace {
    pub(super) rounds: usize,
    pub(super) runs: usize,
    pub(super) seconds: f64,
    processors: Vec<usize>,
    /// Whether the system lets processes run before all others.
    pub(super) is_realtime: bool,
}

/// Real time for one thread: nothing else runs on its processor while it can. Several threads would
/// stand in each other's way, as some runtimes let them wait for each other without sleeping.
const REALTIME: [&str; 3] = ["chrt", "-r", "1"];

/// No process takes this long; one that waits for itself on one processor never ends.
const SECONDS_AT_MOST: &str = "300";

/// How many times the tolerance of compiled models the peers may be off: some multiply fewer times
/// by transforming convolutions, which rounds more.
const TOLERANCE_OF_PEERS: &str = "10";

/// What an adapter prints at last.
#[derive(Deserialize)]
struct Timed {
    seconds: f64,
}

impl Pace {
    pub(super) fn new(args: &Args) -> Outcome<Pace> {
        let most = args.threads.iter().copied().max().unwrap_or(1);
        if args.processors.len() < most {
            return Err(format!("{most} threads need as many --processors"));
        }
        let [program, rest @ ..] = REALTIME;
        Ok(Pace {
            rounds: args.rounds.max(1),
            runs: args.runs.max(1),
            seconds: args.seconds,
            processors: args.processors.clone(),
            is_realtime: quiet(command(program, rest).arg("true")).is_ok(),
        })
    }

    /// The start of a command on so many processors.
    pub(super) fn command(&self, threads: usize) -> Command {
        let pinned = list(&self.processors[..threads]);
        let realtime: &[&str] = if self.is_realtime && threads == 1 { &REALTIME } else { &[] };
        let words = [&["timeout", SECONDS_AT_MOST], realtime, &["taskset", "-c", &pinned]].concat();
        command(words[0], &words[1..])
    }
}

impl Contender {
    /// A command that runs a model so often, from the command that starts the program.
    pub(super) fn command(
        &self,
        mut start: Command,
        subject: &Subject,
        pace: &Pace,
        (runs, threads): (usize, usize),
    ) -> Outcome<Command> {
        let words = self.words.as_ref().map_err(Clone::clone)?;
        let case = subject.expected(self);
        start.args(words).arg(case.folder.join("in")).arg(case.folder.join(self.name));
        start.arg(&case.meta).arg(runs.to_string());
        start.arg(pace.seconds.to_string()).arg(threads.to_string());
        Ok(start)
    }

    /// The median seconds of one process.
    fn seconds(&self, subject: &Subject, pace: &Pace, threads: usize) -> Outcome<f64> {
        let printed = capture(&mut self.command(
            pace.command(threads),
            subject,
            pace,
            (pace.runs, threads),
        )?)?;
        Ok(oracle::parse::<Timed>(last_line(&printed))?.seconds)
    }
}

/// Every contender's median, taking turns; what fails once is left out.
pub(super) fn speed(
    subject: &Subject,
    pace: &Pace,
    probe: &Probe,
    threads: usize,
) -> Outcome<Speed> {
    let mut withheld = 0;
    let able = subject.contenders.iter().filter(|c| c.most_threads >= threads);
    let mut samples: Vec<(&Contender, Outcome<Vec<f64>>)> =
        able.map(|contender| (contender, Ok(Vec::new()))).collect();
    for _ in 0..pace.rounds {
        for (contender, times) in &mut samples {
            let Ok(so_far) = times else { continue };
            match probe.settled(pace, threads, || contender.seconds(subject, pace, threads)) {
                Ok((seconds, again)) => {
                    so_far.push(seconds);
                    withheld += again;
                }
                Err(why) => *times = Err(why),
            }
        }
    }
    let entries = samples.into_iter().map(|(contender, times)| {
        let checked = times.and_then(|times| Ok((median(times), check(subject, contender)?)));
        Entry::new(contender.name, checked.map_err(|why| last_line(&why).to_owned()))
    });
    let speed = Speed {
        model: subject.name.clone(),
        threads,
        macs: subject.report.macs,
        compile_seconds: subject.compile_seconds,
        withheld,
        entries: entries.collect(),
    };
    match &speed.entries[0].why {
        Some(why) => Err(format!("{}: {why}", subject.name)),
        None => Ok(speed),
    }
}

/// The error of the outputs that a contender has written.
fn check(subject: &Subject, contender: &Contender) -> Outcome<f64> {
    let (name, case) = (contender.name, subject.expected(contender));
    let error = match &subject.twin {
        // Deep layers amplify single roundings, so that all who compute on codes are judged alike.
        Some(twin) if is_peer(name) || matches!(contender.claim, Claim::Model) => {
            near(twin, &case.folder.join(name), &subject.expected)
        }
        None if is_peer(name) => {
            oracle::compare_within(&case.folder, &case.meta, name, TOLERANCE_OF_PEERS)
        }
        _ => oracle::compare(&case.folder, &case.meta, name),
    };
    error.map_err(|why| format!("the result is wrong: {why}"))
}

/// The distance of outputs from those in f32, which may not be far above that of the model on codes.
fn near(twin: &Expected, actual: &Path, model: &Expected) -> Outcome<f64> {
    let script = paths::file("benches/peers/near.py");
    let [wanted, usual] = [twin, model].map(|expected| expected.folder.join("want"));
    let mut python = command(paths::python(), [script.as_path(), &wanted, actual, &usual]);
    oracle::comparison(python.arg(&twin.meta))
}

pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn list(numbers: &[usize]) -> String {
    numbers.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::{Pace, median};

    #[test]
    fn medians_ignore_outliers() {
        assert_eq!(median(vec![9.0, 1.0, 2.0]), 2.0);
    }

    #[test]
    fn processes_are_pinned_to_as_many_processors_as_threads() {
        let mut pace = Pace {
            rounds: 1,
            runs: 1,
            seconds: 0.0,
            processors: vec![3, 1, 2],
            is_realtime: false,
        };
        let words = |pace: &Pace, threads| format!("{:?}", pace.command(threads));
        assert!(words(&pace, 2).ends_with("\"taskset\" \"-c\" \"3,1\""));
        pace.is_realtime = true;
        assert!(words(&pace, 1).contains("\"chrt\" \"-r\""));
        assert!(!words(&pace, 2).contains("\"chrt\""));
    }
}
