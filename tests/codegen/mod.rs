//! The innermost loops of hot kernels, as machine code: what they look like, that nothing is
//! spilled in them, and that most of their instructions multiply and add.

mod hot;

use edgecc::Options;
use edgecc::driver::compile_graph;
use edgecc_ir::target::{Arch, Target};
use edgecc_ir::text::parse_graph;
use hot::{Loop, hottest};
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

/// The hottest loop of the graph's most expensive kernel.
fn compile(graph: &str, arch: Arch) -> Loop {
    let graph = parse_graph(graph).expect("the file is a graph").ir;
    let target = Target::default_for(arch);
    let compiled = compile_graph(graph, Vec::new(), target, &Options::default(), &mut |_, _| {});
    let compiled = compiled.expect("the graph is supported");
    let code = edgecc_backend::dump::disassembly(&compiled.loops, &compiled.target);
    hottest(&code.expect("a legal program")).expect("the program has loops that multiply")
}

fn suffix(path: &std::path::Path, arch: Arch) -> String {
    let stem = path.file_stem().expect("a file").to_string_lossy();
    format!("{stem}-{}", arch.name())
}
