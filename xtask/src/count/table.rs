//! The result, for people and as JSON.

use super::Row;
use super::cycles::{Block, CPUS, Estimate};
use serde_json::json;
use std::fmt::Write as _;

/// Multiply-adds of one vector instruction.
const LANES: f64 = 4.0;

/// A table, heaviest functions first, with the whole model in the last line.
pub(super) fn text(rows: &[Row]) -> String {
    let mut sorted: Vec<&Row> = rows.iter().collect();
    sorted.sort_by_key(|row| std::cmp::Reverse(row.instructions));
    let all = total(rows);
    let mut out = format!(
        "{:24} {:>5} {:>13} {:>7} {:>12} {:>7}",
        "function", "calls", "instructions", "share", "macs / 4", "ratio"
    );
    let estimated = !all.cycles.is_empty();
    let cpus = CPUS.iter().filter(|_| estimated);
    cpus.for_each(|cpu| write!(out, " {:>15}  peak", format!("~{cpu}")).expect("a string"));
    for row in sorted.into_iter().chain([&all]) {
        out += &format!("\n{}", line(row, all.instructions));
    }
    if estimated {
        out += "\n~ estimated cycles: llvm-mca, all data in the first-level cache, no mispredicted branch";
        out += "\npeak: multiply-adds of the hot loop, of those that its estimated cycles have room for";
    }
    out
}

fn line(row: &Row, all: u64) -> String {
    let share = 100.0 * row.instructions as f64 / all.max(1) as f64;
    let floor = row.macs as f64 / LANES;
    let ratio = match row.macs {
        0 => String::new(),
        _ => format!("{:.3}", row.instructions as f64 / floor),
    };
    let mut out = format!(
        "{:24} {:>5} {:>13} {share:>5.1} % {floor:>12.0} {ratio:>7}",
        row.function, row.calls, row.instructions
    );
    for (cpu, cycles) in row.cycles.iter().enumerate() {
        let peak = row.hot_share.get(cpu).map_or(String::new(), |s| format!("{:.0} %", 100.0 * s));
        write!(out, " {cycles:>15.0} {peak:>5}").expect("a string");
    }
    out
}

fn total(rows: &[Row]) -> Row {
    let cycles = |cpu: usize| rows.iter().filter_map(|row| row.cycles.get(cpu)).sum();
    let estimated = rows.iter().any(|row| !row.cycles.is_empty());
    Row {
        function: "total".to_owned(),
        calls: rows.iter().map(|row| row.calls).sum(),
        instructions: rows.iter().map(|row| row.instructions).sum(),
        macs: rows.iter().map(|row| row.macs).sum(),
        cycles: if estimated { (0..CPUS.len()).map(cycles).collect() } else { Vec::new() },
        hot_share: Vec::new(),
    }
}

/// All rows and their sum.
pub(super) fn json(rows: &[Row]) -> String {
    let all = json!({ "cpus": CPUS, "functions": rows, "total": total(rows) });
    serde_json::to_string_pretty(&all).expect("plain data is JSON")
}

/// The blocks that take most of the first CPU's cycles, with their code.
pub(super) fn blocks(estimate: &Estimate, count: usize) -> String {
    let weight = |block: &Block| block.runs * block.cycles.first().unwrap_or(&0.0);
    let mut sorted: Vec<&Block> = estimate.blocks.iter().collect();
    sorted.sort_by(|a, b| weight(b).total_cmp(&weight(a)));
    sorted.iter().take(count).map(|block| listing(block)).collect()
}

fn listing(block: &Block) -> String {
    let Block { function, address, code, runs, cycles } = block;
    let multiplies = block.multiply_adds();
    let mut out = format!(
        "\n{function} at {address:#x}: {} instructions, {multiplies} multiply-adds, {runs:.0} runs;",
        code.len()
    );
    for (cpu, cycles) in CPUS.iter().zip(cycles) {
        write!(out, " {cpu} ~{cycles:.2} cycles").expect("a string");
    }
    code.iter().for_each(|line| write!(out, "\n    {line}").expect("a string"));
    out + "\n"
}
