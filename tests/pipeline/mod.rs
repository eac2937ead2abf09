//! Whole models: each graph goes through every level for both architectures. At each level the
//! invariants hold, the text reads back as itself, and the outputs are those of the graph; the
//! snapshots show the levels.
//!
//! Constants that a file gives as a hash are random. A file that starts with `// with clif` shows
//! the CLIF too.

use crate::support::case::{Case, level, native};
use edgecc::driver::{Compiled, Ir, compile_graph};
use edgecc::{Division, Options, Verify};
use edgecc_ir::target::{Arch, Target};
use edgecc_ir::text::{PrintOptions, parse_any, print_graph, print_kernels, print_loops};
use edgecc_rt::hooks::Hooks;
use edgecc_rt::pool::Pool;
use std::num::NonZero;
use std::{fs, thread};

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

/// Whatever the number of parts, and whoever runs them: several models share the threads of a pool.
#[test]
fn parts_and_threads_change_no_bit() {
    let pool = Pool::new(NonZero::new(3).expect("not zero")).expect("the system gives threads");
    thread::scope(|scope| {
        insta::glob!("*.eir", |path| {
            let case = Case::read(&fs::read_to_string(path).expect("a readable file"));
            let pool = &pool;
            scope.spawn(move || run_in_parts(&case, pool));
        });
    });
}

fn run_in_parts(case: &Case, pool: &Pool) {
    let mut whole = None;
    for parts in [1, 2, 3, 8] {
        let compiled = divided(case, parts);
        let expected = native(&compiled, &Hooks::NONE, &case.inputs);
        let place = format!("{} in {parts} parts", case.graph.name);
        assert_eq!(&expected, whole.get_or_insert_with(|| expected.clone()), "{place}");
        for _ in 0..20 {
            assert_eq!(native(&compiled, &pool.hooks(), &case.inputs), expected, "{place}");
        }
    }
}

/// The graph for this machine, its kernels divided however little they do.
fn divided(case: &Case, parts: u32) -> Compiled {
    let host = edgecc_rt::abi::Arch::host().expect("tests run where code is made for");
    let arch = [Arch::X86_64, Arch::Aarch64].into_iter().find(|arch| arch.name() == host.name());
    let target = Target::default_for(arch.expect("both lists have the same architectures"));
    let division = Division { parts, grain: 1 };
    let options = Options { verify: Verify::Each, division, ..Options::default() };
    let graph = case.graph.clone();
    let compiled = compile_graph(graph, Vec::new(), target, &options, &mut |pass, ir| {
        case.assert_agrees(pass, &level(ir, &case.inputs));
    });
    compiled.unwrap_or_else(|failure| panic!("{failure:?}"))
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
        case.assert_agrees(&place, &native(&compiled, &Hooks::NONE, &case.inputs));
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
