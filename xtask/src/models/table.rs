//! Prints checked models, for people and for programs.

use super::check::{Row, Run};

const HEADER: [&str; 9] = [
    "model",
    "nodes",
    "machine",
    "max error",
    "compile s",
    "object kB",
    "code kB",
    "arena kB",
    "stack B",
];

/// Everything as JSON.
pub(super) fn json(rows: &[Row]) -> String {
    serde_json::to_string_pretty(rows).expect("rows have only text keys")
}

/// A table, followed by the reasons of failures.
pub(super) fn text(rows: &[Row]) -> String {
    let mut lines = vec![line(HEADER.map(str::to_owned))];
    lines.extend(rows.iter().flat_map(|row| row.runs.iter().flatten().map(|run| cells(row, run))));
    let failures = rows.iter().flat_map(|row| {
        row.runs.iter().filter_map(|run| Some(format!("{}: {}", row.name, run.as_ref().err()?)))
    });
    lines.extend(failures);
    lines.join("\n")
}

fn cells(row: &Row, run: &Run) -> String {
    let kilo = |bytes: u64| format!("{:.1}", bytes as f64 / 1024.0);
    line([
        row.name.clone(),
        row.nodes.to_string(),
        run.arch.to_owned(),
        format!("{:.1e}", run.error),
        format!("{:.2}", run.compile_seconds),
        kilo(run.object_bytes),
        kilo(run.code_bytes),
        kilo(run.facts.arena),
        format!("{}/{}", run.facts.stack_used, run.facts.stack_bound),
    ])
}

fn line(cells: [String; 9]) -> String {
    let [name, rest @ ..] = cells;
    let rest: String = rest.iter().map(|cell| format!("  {cell:>10}")).collect();
    format!("{name:34}{rest}")
}
