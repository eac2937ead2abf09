//! Estimated cycles: llvm-mca's figures for each straight piece of code, times how often it ran.

use super::program::{Counted, Function, WORD};
use crate::Outcome;
use crate::command::{capture, command, find};
use std::fs;
use std::iter::zip;

/// The processors whose cycles are estimated, by LLVM's names.
pub(super) const CPUS: [&str; 3] = ["neoverse-n1", "cortex-a72", "cortex-a55"];

const MCA: &str = "llvm-mca-22";
const OBJDUMP: &str = "llvm-objdump-22";
/// Rounds that llvm-mca simulates of each block.
const ROUNDS: u32 = 100;

/// Multiply-adds of which each starts before the ones before it end, more than any of the
/// processors' latency needs.
const CHAINS: u32 = 24;

/// Instructions in a row that run equally often.
#[derive(Clone)]
pub(super) struct Block {
    /// The function, and the address in it.
    pub(super) function: String,
    pub(super) address: u64,
    /// Assembly text, one instruction each.
    pub(super) code: Vec<String>,
    /// Mean number of runs of its instructions.
    pub(super) runs: f64,
    /// Cycles of one run, in the order of `CPUS`.
    pub(super) cycles: Vec<f64>,
}

impl Block {
    /// Vector multiply-adds of one run.
    pub(super) fn multiply_adds(&self) -> usize {
        self.code.iter().filter(|line| line.starts_with("fmla")).count()
    }
}

/// The blocks of a program that ran.
pub(super) struct Estimate {
    pub(super) blocks: Vec<Block>,
    /// Cycles of a vector multiply-add where nothing else runs, in the order of `CPUS`.
    multiply_add: Vec<f64>,
}

impl Estimate {
    /// Nothing is estimated.
    pub(super) fn none() -> Estimate {
        Estimate { blocks: Vec::new(), multiply_add: Vec::new() }
    }

    /// Cycles of one inference in a function, in the order of `CPUS`.
    pub(super) fn of(&self, function: &Function) -> Vec<f64> {
        let mine: Vec<&Block> = self.of_function(function).collect();
        let total = |cpu: usize| mine.iter().map(|b| b.runs * b.cycles[cpu]).sum();
        if mine.is_empty() { Vec::new() } else { (0..CPUS.len()).map(total).collect() }
    }

    /// Multiply-adds that a function's hot loop does, of those that the processor could do in its
    /// cycles, in the order of `CPUS`. The hot loop is the block that does most; empty if none does
    /// any.
    pub(super) fn hot_share(&self, function: &Function) -> Vec<f64> {
        let all = |block: &Block| block.runs * block.multiply_adds() as f64;
        let hot = self.of_function(function).max_by(|a, b| all(a).total_cmp(&all(b)));
        let hot = hot.filter(|block| block.multiply_adds() > 0);
        let share = |block: &Block| {
            let needed = self.multiply_add.iter().map(|each| block.multiply_adds() as f64 * each);
            zip(needed, &block.cycles).map(|(needed, cycles)| needed / cycles).collect()
        };
        hot.map(share).unwrap_or_default()
    }

    fn of_function(&self, function: &Function) -> impl Iterator<Item = &Block> {
        self.blocks.iter().filter(|block| block.function == function.name)
    }
}

/// Estimates every block that ran.
pub(super) fn estimate(counted: &Counted) -> Outcome<Estimate> {
    if find(MCA).is_none() {
        return Err(format!("no {MCA}: install Debian's llvm-22, or pass --no-cycles"));
    }
    let mut all = Vec::new();
    for function in &counted.functions {
        let code = disassemble(counted, function)?;
        all.extend(blocks(function, &code, counted.of(function)));
    }
    all.push(independent());
    let file = counted.program.with_extension("blocks.s");
    let source: String = all.iter().map(region).collect();
    fs::write(&file, source).map_err(|e| format!("cannot write {}: {e}", file.display()))?;
    for cpu in CPUS {
        let (cpu, rounds) = (format!("-mcpu={cpu}"), format!("-iterations={ROUNDS}"));
        let flags = ["-mtriple=aarch64", "-mattr=+all", &cpu, &rounds, "--summary-view"];
        let report = capture(command(MCA, flags).arg(&file))?;
        let cycles = cycles(&report);
        if cycles.len() != all.len() {
            return Err(format!("{MCA} reports {} of {} blocks", cycles.len(), all.len()));
        }
        zip(&mut all, cycles).for_each(|(block, cycles)| block.cycles.push(cycles));
    }
    let alone = all.pop().expect("the last one pushed");
    let multiply_add = alone.cycles.iter().map(|cycles| cycles / f64::from(CHAINS)).collect();
    Ok(Estimate { blocks: all, multiply_add })
}

/// Multiply-adds enough to keep every multiplier busy, none of which waits for another.
fn independent() -> Block {
    let line = |n| format!("fmla v{n}.4s, v30.4s, v31.4s");
    let code = (0..CHAINS).map(line).collect();
    Block { function: String::new(), address: 0, code, runs: 0.0, cycles: Vec::new() }
}

/// The instructions of a function. Places that are jumped to lose their addresses.
fn disassemble(counted: &Counted, function: &Function) -> Outcome<Vec<String>> {
    let start = format!("--start-address={:#x}", function.start);
    let stop = format!("--stop-address={:#x}", function.start + function.bytes);
    let flags = ["--disassemble", "--no-show-raw-insn", "--no-leading-addr", "--mattr=+all"];
    let listing = capture(command(OBJDUMP, flags).args([start, stop]).arg(&counted.program))?;
    let lines = listing.lines().filter(|line| line.starts_with([' ', '\t']));
    Ok(lines.map(|line| anywhere(line.trim())).collect())
}

/// An instruction with the next place instead of that in `0x1234 <symbol>`.
fn anywhere(line: &str) -> String {
    let line = line.replace('\t', " ");
    match line.split_once(" <").and_then(|(code, _)| code.rsplit_once("0x")) {
        Some((code, _)) if code.starts_with("adr") => format!("{code}0"),
        Some((code, _)) => format!("{}#4", code.trim_end_matches('#')),
        None => line,
    }
}

/// Splits a function where a jump ends a piece of code or the number of runs changes; a loop's own
/// test, which runs once more than its body, stays with it.
fn blocks(function: &Function, code: &[String], runs: &[u64]) -> Vec<Block> {
    let mut all: Vec<Block> = Vec::new();
    let mut open = false;
    for (at, (line, &runs)) in zip(code, runs).enumerate() {
        match all.last_mut() {
            Some(block) if open && is_similar(block.runs, runs as f64) => {
                let count = block.code.len() as f64;
                block.runs = (block.runs * count + runs as f64) / (count + 1.0);
                block.code.push(line.clone());
            }
            _ => all.push(Block {
                function: function.name.clone(),
                address: function.start + at as u64 * WORD,
                code: vec![line.clone()],
                runs: runs as f64,
                cycles: Vec::new(),
            }),
        }
        open = !is_jump(line);
    }
    all.retain(|block| block.runs > 0.0);
    all
}

fn is_similar(a: f64, b: f64) -> bool {
    (a - b).abs() <= a.max(b) / 4.0
}

/// Whether control leaves for good; a test that usually falls through does not end a block.
fn is_jump(line: &str) -> bool {
    let name = line.split(' ').next().unwrap_or_default();
    matches!(name, "b" | "br" | "ret")
}

fn region(block: &Block) -> String {
    format!("# LLVM-MCA-BEGIN\n{}\n# LLVM-MCA-END\n", block.code.join("\n"))
}

/// Cycles of one round of each region of a report.
fn cycles(report: &str) -> Vec<f64> {
    let totals = report.lines().filter_map(|line| line.strip_prefix("Total Cycles:"));
    totals.filter_map(|n| n.trim().parse::<f64>().ok()).map(|n| n / f64::from(ROUNDS)).collect()
}

#[cfg(test)]
mod tests {
    use super::{Block, Estimate, anywhere, blocks, cycles, independent};
    use crate::count::program::Function;

    fn lengths(code: &[&str], runs: &[u64]) -> Vec<(usize, f64)> {
        let function = Function { name: "f".to_owned(), start: 0x1000, bytes: 0 };
        let code: Vec<String> = code.iter().map(ToString::to_string).collect();
        let measure = |b: Block| (b.code.len(), b.runs);
        blocks(&function, &code, runs).into_iter().map(measure).collect()
    }

    #[test]
    fn blocks_end_at_jumps_and_where_the_runs_change() {
        let code = ["mov x0, #4", "cbz x0, #4", "sub x0, x0, #1", "b #4", "nop", "ret"];
        let found = lengths(&code, &[1, 10, 9, 9, 0, 1]);
        assert_eq!(found, [(1, 1.0), (3, 28.0 / 3.0), (1, 1.0)]);
    }

    #[test]
    fn places_become_neighbours() {
        assert_eq!(anywhere("cbnz\tx8, 0x4009c0 <f+0x20>"), "cbnz x8, #4");
        assert_eq!(anywhere("adrp\tx1, 0x458000 <w>"), "adrp x1, 0");
        assert_eq!(anywhere("fmla\tv1.4s, v2.4s, v3.s[0]"), "fmla v1.4s, v2.4s, v3.s[0]");
    }

    #[test]
    fn reports_give_cycles_of_one_round() {
        assert_eq!(cycles("Total Cycles:      250\nx\nTotal Cycles: 1\n"), [2.5, 0.01]);
    }

    #[test]
    fn the_hot_loop_does_most_multiply_adds() {
        let function = Function { name: String::new(), start: 0, bytes: 0 };
        let often = Block { runs: 5.0, cycles: vec![24.0], ..independent() };
        let once = Block { runs: 1.0, cycles: vec![12.0], ..independent() };
        let estimate = Estimate { blocks: vec![once, often], multiply_add: vec![0.5] };
        assert_eq!(estimate.hot_share(&function), [0.5]);
        assert!(Estimate::none().hot_share(&function).is_empty());
    }
}
