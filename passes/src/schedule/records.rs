//! Schedules that were found by measuring, as a text file that a later compilation reads.
//!
//! ```text
//! schedules 1 by "0.1.0" for "x86_64 avx avx2 …"
//! 9e107d9d372bb682 "matmul" schedule order(a1, a0) tile(a0:6, a1:16) vector(a1:8)
//! ```
//!
//! A line's key is a hash of the kernel's text, so a record serves every kernel that computes the
//! same in any model. Lines that are empty or start with `#` mean nothing.

use super::choices::suits;
use crate::code::Code;
use crate::eqsat::rule::Class;
use edgecc_ir::diag::{Diagnostic, Severity};
use edgecc_ir::kernel::schedule::Schedule;
use edgecc_ir::kernel::{Kernel, KernelId, Kernels};
use edgecc_ir::target::Target;
use edgecc_ir::text::{parse_schedule_line, print_kernel, print_schedule};
use std::collections::BTreeMap;

/// The number of this form.
const FORM: &str = "1";

/// What the text of all kernels and the meaning of schedules depend on.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The content of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records {
    /// The file's name, for messages.
    file: String,
    /// The version and the machine that all lines are for; none without a file.
    origin: Option<[String; 2]>,
    lines: BTreeMap<String, Line>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    number: usize,
    name: String,
    schedule: Schedule,
}

impl Records {
    /// Reads a file's text; `file` is its name.
    ///
    /// # Errors
    /// One for each line that is none of a record file, and for a kernel that has two.
    pub fn parse(file: &str, text: &str) -> Result<Records, Vec<Diagnostic>> {
        let rows = text.lines().enumerate().map(|(n, line)| (n + 1, line.trim()));
        let mut rows = rows.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let place = |number: usize| format!("{file}:{number}");
        let bad = |number, why: String| Code::BadSchedules.error(why).at(place(number));
        let Some(origin) = rows.next().and_then(|(_, line)| origin(line)) else {
            let head = head("VERSION", "MACHINE");
            return Err(vec![bad(1, format!("the first line is not `{head}`"))]);
        };
        let (mut lines, mut problems) = (BTreeMap::new(), Vec::new());
        for (number, row) in rows {
            match record(number, row) {
                Ok((key, line)) => {
                    if lines.insert(key, line).is_some() {
                        problems.push(bad(number, "the kernel has another record above".into()));
                    }
                }
                Err(why) => problems.push(bad(number, why)),
            }
        }
        match problems.is_empty() {
            true => Ok(Records { file: file.to_owned(), origin: Some(origin), lines }),
            false => Err(problems),
        }
    }

    /// Gives the kernels with a record its schedule; what is left are warnings: records that are for
    /// another version or machine, for no kernel, or that the kernel cannot have.
    pub fn apply(&self, kernels: &mut Kernels, target: &Target, allowed: Class) -> Vec<Diagnostic> {
        let Some([version, machine]) = &self.origin else { return Vec::new() };
        let here = machine_of(target);
        if (version.as_str(), machine) != (VERSION, &here) {
            let message = "the schedules are for another version or machine and are left out";
            let note = format!("this is {}", head(VERSION, &here));
            return vec![self.stale(1, message).note(note)];
        }
        let mut left = self.lines.clone();
        let mut warnings = Vec::new();
        for kernel in kernels.kernels.values_mut().filter(|kernel| !kernel.stages.is_empty()) {
            let Some(line) = left.remove(&key(kernel)) else { continue };
            match suits(kernel, &line.schedule, target, allowed) {
                true => kernel.schedule = Some(line.schedule),
                false => warnings.push((line, "its kernel cannot have this schedule")),
            }
        }
        warnings
            .extend(left.into_values().map(|line| (line, "no kernel of the model is this one")));
        warnings.sort_by_key(|(line, _)| line.number);
        let text = |why: &str, name: &str| format!("{why}: the record of {name:?} is left out");
        warnings.iter().map(|(l, why)| self.stale(l.number, &text(why, &l.name))).collect()
    }

    fn stale(&self, number: usize, message: &str) -> Diagnostic {
        let diagnostic = Code::StaleSchedule.error(message).at(format!("{}:{number}", self.file));
        let help = "write the file again with `edgecc tune`";
        Diagnostic { severity: Severity::Warning, ..diagnostic }.help(help)
    }
}

/// The text of a file with the schedules of these kernels, each once, in their order.
#[must_use]
pub fn print<'k>(
    target: &Target,
    kernels: impl IntoIterator<Item = (&'k Kernel, &'k Schedule)>,
) -> String {
    let mut text = head(VERSION, &machine_of(target)) + "\n";
    for (kernel, schedule) in kernels {
        let (key, name) = (key(kernel), &kernel.name);
        text += &format!("{key} {name:?} {}\n", print_schedule(schedule));
    }
    text
}

fn head(version: &str, machine: &str) -> String {
    format!("schedules {FORM} by {version:?} for {machine:?}")
}

/// The version and the machine in a head.
fn origin(line: &str) -> Option<[String; 2]> {
    let quoted: Vec<&str> = line.split('"').collect();
    let [_, version, _, machine, ""] = quoted.as_slice() else { return None };
    (line == head(version, machine)).then(|| [(*version).to_owned(), (*machine).to_owned()])
}

/// A line's key and content, or what is wrong with it.
fn record(number: usize, row: &str) -> Result<(String, Line), String> {
    let parts: Vec<&str> = row.splitn(3, '"').collect();
    let [key, name, schedule] = parts.as_slice() else {
        return Err("a record is a key, a name in quotes and a schedule".to_owned());
    };
    let key = key.trim_end();
    if key.len() != KEY_DIGITS || !key.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(format!("a key has {KEY_DIGITS} hexadecimal digits"));
    }
    let schedule = parse_schedule_line(schedule).map_err(|error| error.message)?;
    Ok((key.to_owned(), Line { number, name: (*name).to_owned(), schedule }))
}

const KEY_DIGITS: usize = 16;

/// Everything about a machine that schedules are chosen by.
fn machine_of(target: &Target) -> String {
    let Target { l1_bytes, l2_bytes, fma_per_4_cycles, .. } = target;
    let (arch, features) = (target.arch.name(), target.features.join(" "));
    format!("{arch} {features}, {fma_per_4_cycles} in 4 cycles, {l1_bytes} and {l2_bytes} bytes")
}

/// A hash of the kernel's text without its schedule (FNV-1a).
fn key(kernel: &Kernel) -> String {
    let bare = Kernel { schedule: None, ..kernel.clone() };
    let text = print_kernel(KernelId::from_u32(0), &bare);
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325, step);
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::{Records, print};
    use crate::eqsat::rule::Class;
    use crate::form_kernels::form_kernels;
    use crate::schedule::choices::plans;
    use edgecc_ir::graph::build::GraphBuilder;
    use edgecc_ir::graph::ops::MatMul;
    use edgecc_ir::kernel::Kernels;
    use edgecc_ir::kernel::schedule::Schedule;
    use edgecc_ir::target::{Arch, Target};
    use edgecc_ir::types::{ElemType, TensorType};

    fn product(rows: usize) -> Kernels {
        let mut b = GraphBuilder::new("m");
        let [x, w] =
            [[rows, 32], [32, 40]].map(|dims| b.input("x", TensorType::new(ElemType::F32, &dims)));
        let y = b.add(MatMul::plain(), &[x, w]).expect("a well-typed op");
        b.output("y", y);
        form_kernels(&b.finish())
    }

    /// A record of the second best plan, and that plan.
    fn recorded(kernels: &Kernels, target: &Target) -> (String, Schedule) {
        let kernel = kernels.kernels.values().next().expect("one kernel");
        let schedule = plans(kernel, target, Class::Exact).swap_remove(1);
        (print(target, [(kernel, &schedule)]), schedule)
    }

    fn warnings(text: &str, kernels: &mut Kernels, target: &Target) -> Vec<String> {
        let records = Records::parse("f", text).expect("well formed");
        let found = records.apply(kernels, target, Class::Exact);
        assert!(found.iter().all(|d| d.code == "stale-schedule"));
        found.into_iter().map(|d| d.at + " " + &d.message).collect()
    }

    #[test]
    fn a_record_comes_back_to_its_kernel() {
        let (target, mut kernels) = (Target::default_for(Arch::X86_64), product(24));
        let (text, schedule) = recorded(&kernels, &target);
        assert_eq!(warnings(&text, &mut kernels, &target), [""; 0]);
        assert_eq!(
            kernels.kernels.values().next().and_then(|k| k.schedule.clone()),
            Some(schedule)
        );
    }

    #[test]
    fn stale_records_are_warnings_that_name_the_line() {
        let (target, mut kernels) = (Target::default_for(Arch::X86_64), product(24));
        let (text, _) = recorded(&kernels, &target);
        let other = warnings(&text, &mut product(25), &target);
        assert_eq!(
            other,
            ["f:2 no kernel of the model is this one: the record of \"matmul\" is left out"]
        );
        let machine = warnings(&text, &mut kernels, &Target::default_for(Arch::Aarch64));
        assert!(machine[0].starts_with("f:1 the schedules are for another"), "{machine:?}");
        let unfit = text.replace("schedule order", "schedule tile(a0:99) order");
        let unfit = unfit.replace(" tile(a0:99)", " parts(a0:2)");
        let found = warnings(&unfit, &mut kernels, &target);
        assert!(found[0].starts_with("f:2 its kernel cannot have"), "{found:?}");
        assert!(kernels.kernels.values().all(|k| k.schedule.is_none()));
    }

    #[test]
    fn what_is_no_record_is_an_error_that_names_the_line() {
        let target = Target::default_for(Arch::X86_64);
        let (text, _) = recorded(&product(24), &target);
        let twice = text.clone() + text.lines().nth(1).expect("a record");
        for (bad, at) in [
            ("", "f:1"),
            ("schedules 9 by \"0\" for \"x\"", "f:1"),
            (&text.replace("tile(", "tiles("), "f:2"),
            (&text.replace(" schedule", ""), "f:2"),
            (&format!("{text}# note\nx"), "f:4"),
            (&twice, "f:3"),
        ] {
            let errors = Records::parse("f", bad).expect_err(bad);
            assert_eq!((errors[0].at.as_str(), errors[0].code), (at, "bad-schedules"), "{bad}");
        }
    }
}
