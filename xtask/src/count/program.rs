//! A linked program, its functions, and how often each of their instructions ran.

use crate::build::{AARCH64, Object};
use crate::command::{capture, command, quiet, text};
use crate::{Outcome, paths};
use std::fs;
use std::path::{Path, PathBuf};

/// Bytes of an instruction.
pub(super) const WORD: u64 = 4;

/// CPUs of edgecc that qemu 7.2 does not have.
const UNKNOWN_TO_QEMU: [&str; 2] = ["generic", "cortex-a55"];

/// A function of the model.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Function {
    /// Name without the prefix of the model's symbols.
    pub(super) name: String,
    pub(super) start: u64,
    pub(super) bytes: u64,
}

/// A program that ran one inference.
pub(super) struct Counted {
    /// The executable, linked without shared libraries: its addresses are those that ran.
    pub(super) program: PathBuf,
    /// By address.
    pub(super) functions: Vec<Function>,
    /// Runs of each instruction from the first function's start to the last one's end.
    runs: Vec<u64>,
}

/// Links an object, runs one inference under qemu and counts.
pub(super) fn count(object: &Object, cpu: &str, folder: &Path) -> Outcome<Counted> {
    let program = AARCH64.link_with(object, "benches/aarch64/once.c", &["-static"])?;
    let names = capture(&mut command("aarch64-linux-gnu-nm", ["--print-size", text(&program)]))?;
    let functions = functions(&names, &object.symbol(""));
    let (Some(first), Some(last)) = (functions.first(), functions.last()) else {
        return Err(format!("{} has no functions of the model", program.display()));
    };
    let (from, to) = (first.start, last.start + last.bytes);
    let runs = run(&program, [from, to], cpu, folder)?;
    Ok(Counted { program, functions, runs })
}

impl Counted {
    /// How often each instruction of a function ran.
    pub(super) fn of(&self, function: &Function) -> &[u64] {
        let first = self.functions.first().map_or(0, |f| f.start);
        let at = ((function.start - first) / WORD) as usize;
        &self.runs[at..at + (function.bytes / WORD) as usize]
    }
}

/// The model's functions among the lines `address size kind name` of nm.
fn functions(names: &str, prefix: &str) -> Vec<Function> {
    let parse = |line: &str| {
        let [start, bytes, "t" | "T", name] = line.split(' ').collect::<Vec<_>>()[..] else {
            return None;
        };
        let number = |digits| u64::from_str_radix(digits, 16).ok();
        let name = name.strip_prefix(prefix)?.to_owned();
        Some(Function { name, start: number(start)?, bytes: number(bytes)? })
    };
    let mut all: Vec<Function> = names.lines().filter_map(parse).collect();
    all.sort_by_key(|function| function.start);
    all
}

fn run(program: &Path, [from, to]: [u64; 2], cpu: &str, folder: &Path) -> Outcome<Vec<u64>> {
    let (plugin, out) = (folder.join("count.so"), folder.join("counts"));
    let source = paths::file("benches/aarch64/count.c");
    let flags = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-o"];
    quiet(command("gcc", flags).arg(&plugin).arg(source))?;
    let options = format!("{},from={from:x},to={to:x},out={}", text(&plugin), text(&out));
    // For a CPU that qemu does not know its largest one runs all code.
    let cpu = if UNKNOWN_TO_QEMU.contains(&cpu) { "max" } else { cpu };
    quiet(command("qemu-aarch64", ["-cpu", cpu, "-plugin", &options]).arg(program))?;
    let counts = fs::read_to_string(&out).map_err(|e| format!("qemu wrote no counts: {e}"))?;
    let parse = |line: &str| line.parse().map_err(|_| format!("{line:?} is no count"));
    counts.lines().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::{Function, functions};

    #[test]
    fn functions_of_the_model_are_found_by_prefix_and_sorted() {
        let names = "0000000000400900 0000000000000010 T net_run\n\
                     0000000000400800 0000000000000020 t net_k00\n\
                     0000000000400700 0000000000000020 r net_info\n\
                     0000000000400600 0000000000000020 T main\n\
                     \u{20}                                U net_x\n";
        let function = |name: &str, start, bytes| Function { name: name.to_owned(), start, bytes };
        let expected = [function("k00", 0x40_0800, 32), function("run", 0x40_0900, 16)];
        assert_eq!(functions(names, "net_"), expected);
    }
}
