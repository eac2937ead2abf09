//! Prints checked models, for people and for programs.

use super::check::{Row, Run};

const HEADER: [&str; 11] = [
    "model",
    "nodes",
    "machine",
    "max error",
    "compile s",
    "object kB",
    "code kB",
    "arena kB",
    "bound kB",
    "ratio",
    "stack B",
];

/// Everything as JSON.
pub(crate) fn json(rows: &[Row]) -> String {
    serde_json::to_string_pretty(rows).expect("rows have only text keys")
}

/// A table, followed by the reasons of failures.
pub(crate) fn text(rows: &[Row]) -> String {
    let mut lines = vec![line(HEADER.map(str::to_owned))];
    lines.extend(rows.iter().flat_map(|row| row.runs.iter().flatten().map(|run| cells(row, run))));
    let failures = rows.iter().flat_map(|row| {
        row.runs.iter().filter_map(|run| Some(format!("{}: {}", row.name, run.as_ref().err()?)))
    });
    lines.extend(failures);
    lines.join("\n")
}

fn cells(row: &Row, run: &Run) -> String {
    let report = &run.report;
    line([
        row.name.clone(),
        row.nodes.to_string(),
        run.arch.to_owned(),
        format!("{:.1e}", run.error),
        format!("{:.2}", run.compile_seconds),
        kilo(report.object_bytes),
        kilo(report.code_bytes),
        kilo(report.arena_bytes),
        kilo(report.arena_lower_bound),
        format!("{:.3}", report.arena_ratio()),
        format!("{}/{}", run.stack_used, report.stack_bytes),
    ])
}

fn kilo(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / 1024.0)
}

fn line(cells: [String; 11]) -> String {
    let [name, rest @ ..] = cells;
    let rest: String = rest.iter().map(|cell| format!(" {cell:>9}")).collect();
    format!("{name:34}{rest}")
}
