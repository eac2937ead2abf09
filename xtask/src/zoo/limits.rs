//! What every model must keep, whatever it computes.

use crate::Outcome;
use crate::models::check::{Row, Run};

/// Seconds of one core for a compilation.
const COMPILE_SECONDS: f64 = 5.0;

/// The arena as a multiple of the bound that no plan can go below.
const ARENA_RATIO: f64 = 1.1;

/// Fails with a line for each model that is wrong or beyond a limit.
pub(super) fn check(rows: &[Row]) -> Outcome {
    let wrong = rows.iter().filter(|row| !row.passed()).count();
    let mut broken: Vec<String> = rows.iter().flat_map(beyond).collect();
    if wrong > 0 {
        broken.push(format!("{wrong} of {} models failed", rows.len()));
    }
    if broken.is_empty() { Ok(()) } else { Err(broken.join("\n")) }
}

fn beyond(row: &Row) -> Vec<String> {
    row.runs.iter().flatten().flat_map(problems).map(|why| format!("{}: {why}", row.name)).collect()
}

fn problems(run: &Run) -> Vec<String> {
    let ratio = run.report.arena_ratio();
    let slow = (run.compile_seconds > COMPILE_SECONDS)
        .then(|| format!("{:.1} s to compile for {}", run.compile_seconds, run.arch));
    let large = (ratio > ARENA_RATIO).then(|| format!("the arena is {ratio:.2} of its bound"));
    slow.into_iter().chain(large).collect()
}
