//! A list of timed steps with a summary at the end.

use crate::Outcome;
use std::time::{Duration, Instant};

/// The steps so far, in order.
#[derive(Default)]
pub(crate) struct Steps {
    done: Vec<Done>,
}

struct Done {
    name: &'static str,
    time: Duration,
    failed: bool,
}

impl Steps {
    /// Runs a step and reports its failure at once; false if it failed.
    pub(crate) fn run(&mut self, name: &'static str, step: impl FnOnce() -> Outcome) -> bool {
        println!("\n== {name}");
        let start = Instant::now();
        let outcome = step();
        if let Err(why) = &outcome {
            eprintln!("{name}: {why}");
        }
        self.done.push(Done { name, time: start.elapsed(), failed: outcome.is_err() });
        outcome.is_ok()
    }

    /// Prints how each step went and fails if one did.
    pub(crate) fn finish(self) -> Outcome {
        println!("\n{}", self.summary());
        let failed: Vec<_> = self.done.iter().filter(|d| d.failed).map(|d| d.name).collect();
        if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", "))) }
    }

    fn summary(&self) -> String {
        let total = self.done.iter().map(|d| d.time).sum();
        let rows = self.done.iter().map(|d| row(d.name, d.time, outcome(d.failed)));
        rows.chain([row("total", total, "")]).collect::<Vec<_>>().join("\n")
    }
}

fn row(name: &str, time: Duration, outcome: &str) -> String {
    format!("{name:12}{:8.1} s  {outcome}", time.as_secs_f64()).trim_end().to_owned()
}

fn outcome(failed: bool) -> &'static str {
    if failed { "FAILED" } else { "ok" }
}

#[cfg(test)]
mod tests {
    use super::Steps;

    #[test]
    fn one_failure_fails_the_whole_but_stops_nothing() {
        let mut steps = Steps::default();
        assert!(!steps.run("first", || Err("broken".to_owned())));
        assert!(steps.run("second", || Ok(())));
        assert!(steps.summary().contains("FAILED"));
        assert_eq!(steps.finish(), Err("failed: first".to_owned()));
    }
}
