//! `parse_text`: parsing never panics, what parses also verifies without a panic, and prints to a
//! text that parses back to the same text.

use crate::graphs::random_graph;
use edgecc_ir::rng::Rng;
use edgecc_ir::target::{Arch, Target};
use edgecc_ir::text::{Any, PrintOptions, parse_any, print_graph, print_kernels, print_loops};
use edgecc_ir::{graph, kernel, loops};
use edgecc_passes::eqsat::rule::Class;
use edgecc_passes::schedule::parts::{Division, divide};
use edgecc_passes::{form_kernels, lower_to_loops, schedule};

/// Parses the bytes as a dump of any level.
///
/// # Panics
/// When the text's law does not hold.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(parsed) = parse_any(text) else { return };
    let options = PrintOptions::default();
    let printed = parsed.print(&options);
    let again =
        parse_any(&printed).unwrap_or_else(|e| panic!("what is printed parses: {e:?}\n{printed}"));
    assert_eq!(again.print(&options), printed, "print, parse, print is print");
    verify(&parsed);
}

/// Runs the level's verifier; only a panic is a finding.
fn verify(parsed: &Any) {
    match parsed {
        Any::Graph(graph) => drop(graph::verify::verify(&graph.ir)),
        Any::Kernels(kernels) => drop(kernel::verify::verify(&kernels.ir)),
        Any::Loops(loops) => drop(loops::verify::verify(&loops.ir, None)),
    }
}

/// Dumps of small random programs at every level.
#[must_use]
pub fn corpus() -> Vec<Vec<u8>> {
    (0..24).flat_map(dumps).map(String::into_bytes).collect()
}

fn dumps(seed: u64) -> [String; 3] {
    let mut rng = Rng::new(seed);
    let case = random_graph(&mut rng, 3);
    let target = Target::default_for(Arch::Aarch64);
    let options = PrintOptions::default();
    let mut kernels = form_kernels::form_kernels(&case.graph);
    schedule::schedule(&mut kernels, &target, Class::Reassoc);
    let division = Division { parts: 1 + rng.below(4) as u32, grain: 1 };
    divide(&mut kernels, &target, division);
    let loops = lower_to_loops::lower(&kernels, &target);
    [
        print_graph(&case.graph, &options),
        print_kernels(&kernels, &options),
        print_loops(&loops, &options),
    ]
}
