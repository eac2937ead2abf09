//! Whole models: each graph goes through every level for both architectures. At each level the
//! invariants hold, the text reads back as itself, and the outputs are those of the graph; the
//! snapshots show the levels.
//!
//! Constants that a file gives as a hash are random. A file that starts with `// with clif` shows
//! the CLIF too.

mod case;

use case::{Case, level, native};
use edgecc::driver::{Ir, compile_graph};
use edgecc::{Options, Verify};
use edgecc_ir::target::{Arch, Target};
use edgecc_ir::text::{PrintOptions, parse_any, print_graph, print_kernels, print_loops};
use std::fs;

/// The last pass of each level, whose result a snapshot shows.
const SHOWN: &[&str] = &["dce", "schedule", "plan"];

#[test]
fn levels_agree_and_look_as_their_snapshots() {
    insta::glob!("*.eir", |path| {
        let text = fs::read_to_string(path).expect("a readable file");
        let case = Case::read(&text);
        for arch in [Arch::X86_64, Arch::Aarch64] {
            let levels = levels(&case, arch, text.starts_with("// with clif"));
            insta::assert_snapshot!(arch.name(), format!("{text}\n{levels}"));
        }
    });
}

/// The text of the shown levels, once every level is checked.
fn levels(case: &Case, arch: Arch, with_clif: bool) -> String {
    let (target, mut shown) = (Target::default_for(arch), String::new());
    let options = Options { verify: Verify::Each, ..Options::default() };
    let compiled =
        compile_graph(case.graph.clone(), Vec::new(), target.clone(), &options, &mut |pass, ir| {
            let place = format!("{} after {pass} for {}", case.graph.name, arch.name());
            assert_reads_back(&place, ir);
            case.assert_agrees(&place, &level(ir, &case.inputs));
            if SHOWN.contains(&pass) {
                shown += &format!("// after {pass}\n{}\n", print(ir, &PrintOptions::default()));
            }
        });
    let compiled = compiled.unwrap_or_else(|failure| panic!("{failure:?}"));
    if edgecc_rt::abi::Arch::host().is_some_and(|host| host.name() == arch.name()) {
        let place = format!("{} as code", case.graph.name);
        case.assert_agrees(&place, &native(&compiled, &case.inputs));
    }
    if with_clif {
        let clif = edgecc_backend::dump::clif(&compiled.loops, &target);
        shown += &format!("// clif\n{}", clif.expect("the program is legal"));
    }
    shown
}

/// The law of the text form: a dump parses, and what it parses to has the same dump.
fn assert_reads_back(place: &str, ir: Ir<'_>) {
    let dump = print(ir, &PrintOptions::exact());
    let parsed = parse_any(&dump).unwrap_or_else(|error| panic!("{place}: {error}\n{dump}"));
    assert_eq!(parsed.print(&PrintOptions::exact()), dump, "{place}: the dump changes");
}

fn print(ir: Ir<'_>, options: &PrintOptions) -> String {
    match ir {
        Ir::Graph(graph) => print_graph(graph, options),
        Ir::Kernels(kernels) => print_kernels(kernels, options),
        Ir::Loops(loops) => print_loops(loops, options),
    }
}
