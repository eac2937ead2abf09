//! The innermost loops of hot kernels, as machine code: what they look like, that nothing is
//! spilled in them, and that most of their instructions multiply and add.

mod hot;

use crate::strategies::{SUBJECTS, Subject};
use edgecc::driver::compile_graph;
use edgecc::{OptLevel, Options, WeightFormat};
use edgecc_ir::graph::Graph;
use edgecc_ir::target::{Arch, Cpu, Target};
use edgecc_ir::text::parse_graph;
use hot::{Loop, all_innermost, hottest};
use std::fs;

/// Multiply-adds as a part of all instructions of a hot loop on AArch64, where each takes a lane
/// of a register as a factor; x86-64 needs a broadcast for most.
const AARCH64_SHARE: f64 = 0.66;

#[test]
fn hot_loops_are_as_their_snapshots() {
    insta::glob!("*.eir", |path| {
        let text = fs::read_to_string(path).expect("a readable file");
        for arch in [Arch::X86_64, Arch::Aarch64] {
            let hot = compile(&text, arch);
            insta::with_settings!({ snapshot_suffix => suffix(path, arch) }, {
                insta::assert_snapshot!(hot.text());
            });
        }
    });
}

#[test]
fn hot_loops_do_not_spill() {
    insta::glob!("*.eir", |path| {
        let text = fs::read_to_string(path).expect("a readable file");
        for arch in [Arch::X86_64, Arch::Aarch64] {
            let hot = compile(&text, arch);
            assert_eq!(hot.stack_accesses(), 0, "{}:\n{}", suffix(path, arch), hot.text());
        }
    });
}

#[test]
fn hot_loops_mostly_multiply() {
    insta::glob!("*.eir", |path| {
        let hot = compile(&fs::read_to_string(path).expect("a readable file"), Arch::Aarch64);
        let share = hot.multiply_adds() as f64 / hot.instructions() as f64;
        assert!(share >= AARCH64_SHARE, "{}: {share:.2}\n{}", path.display(), hot.text());
    });
}

/// Processors for which the loops of strategies are shown, by their rows in the table.
const SHOWN: &[&str] = &["x86-64-v4", "x86-64-v3", "generic"];

#[test]
fn the_hot_loop_of_each_strategy_is_as_its_snapshot() {
    let mut last = "";
    for subject in
        SUBJECTS.iter().filter(|s| s.strategy != std::mem::replace(&mut last, s.strategy))
    {
        for cpu in SHOWN {
            let hot = hot_loop(subject.even_graph(), target(cpu), &subject.options());
            insta::assert_snapshot!(format!("{}-{cpu}", subject.strategy), start(&hot.text()));
        }
    }
}

/// Processors whose dot products differ.
const WITH_CODES: &[&str] = &["alderlake", "x86-64-v3", "x86-64-v2"];

#[test]
fn the_hot_loops_on_codes_are_as_their_snapshots() {
    for name in ["codes_product", "codes_depthwise"] {
        let subject = SUBJECTS.iter().find(|s| s.name == name).expect("a row of the table");
        for cpu in WITH_CODES {
            let hot = hot_loop(subject.even_graph(), target(cpu), &subject.options());
            insta::assert_snapshot!(format!("{name}-{cpu}"), start(&hot.text()));
            // Windows keep some of their weights on the stack, where registers are few.
            let spills = if name == "codes_product" { hot.stack_accesses() } else { 0 };
            assert_eq!(spills, 0, "{name}, {cpu}:\n{}", hot.text());
        }
    }
}

/// Windows of five taps, which fit no word.
const WITHOUT_WORDS: &[&str] = &["codes_wide_depthwise"];

#[test]
fn sums_of_products_of_codes_are_dot_products_in_every_loop_where_aarch64_has_them() {
    let on_codes = SUBJECTS.iter().filter(|s| s.name.starts_with("codes_"));
    for subject in on_codes.filter(|s| !WITHOUT_WORDS.contains(&s.name)) {
        for cpu in ["cortex-a55", "neoverse-n1"] {
            let code = code(subject.even_graph(), target(cpu), &subject.options());
            let loops = all_innermost(&code);
            let dots: usize = loops.iter().map(|l| l.count(&["sdot", "usdot"])).sum();
            assert!(dots > 0, "{}, {cpu}:\n{code}", subject.name);
            for each in loops {
                let others = each.count(&["smull", "umull", "mul v", "mla v"]);
                assert_eq!(others, 0, "{}, {cpu}:\n{}", subject.name, each.text());
            }
        }
    }
}

/// The first lines of a loop, which show what the others look like.
fn start(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    let rest = lines.split_off(lines.len().min(SHOWN_LINES)).len();
    let more = format!("and {rest} more");
    lines.extend((rest > 0).then_some(more.as_str()));
    lines.join("\n")
}

const SHOWN_LINES: usize = 60;

/// Most have none; those of convolutions with several loops around keep some of their pointers there.
#[test]
fn stack_accesses_in_hot_loops_of_strategies_are_as_their_snapshot() {
    let mut found = String::new();
    for subject in SUBJECTS {
        for cpu in SHOWN {
            let hot = hot_loop(subject.even_graph(), target(cpu), &subject.options());
            let (all, stack) = (hot.instructions(), hot.stack_accesses());
            let Subject { strategy, name, .. } = subject;
            found += &format!("{stack} of {all}: {name}, {strategy} for {cpu}\n");
        }
    }
    insta::assert_snapshot!("stack-accesses", found);
}

fn target(cpu: &str) -> Target {
    Cpu::named(cpu).expect("a row of the table").target()
}

/// With weights as they are in the file.
fn compile(graph: &str, arch: Arch) -> Loop {
    let graph = parse_graph(graph).expect("the file is a graph").ir;
    let weights = WeightFormat::F32;
    let options = Options { opt_level: OptLevel::Os, weights, ..Options::default() };
    hot_loop(graph, Target::default_for(arch), &options)
}

/// The hottest loop of the graph's kernels.
fn hot_loop(graph: Graph, target: Target, options: &Options) -> Loop {
    hottest(&code(graph, target, options)).expect("the program has loops")
}

/// The machine code of the graph's kernels, as text.
fn code(graph: Graph, target: Target, options: &Options) -> String {
    let compiled = compile_graph(graph, Vec::new(), target, options, &mut |_, _| {});
    let compiled = compiled.expect("the graph is supported");
    edgecc_backend::dump::disassembly(&compiled.loops, &compiled.target).expect("a legal program")
}

fn suffix(path: &std::path::Path, arch: Arch) -> String {
    let stem = path.file_stem().expect("a file").to_string_lossy();
    format!("{stem}-{}", arch.name())
}
