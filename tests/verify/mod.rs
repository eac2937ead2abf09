//! The verifiers: each file breaks the invariant that its name starts with; the snapshot shows how
//! it is reported. A file of loops is checked for the default x86-64 machine.
//!
//! G6 has nothing to check, and a text cannot break G8: its reader gives every op a location.

use edgecc_ir::diag::Violation;
use edgecc_ir::target::{Arch, Target};
use edgecc_ir::text::{Any, parse_any};
use edgecc_ir::{graph, kernel, loops};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const INVARIANTS: &[&str] = &[
    "g1", "g2", "g3", "g4", "g5", "g7", "k1", "k2", "k3", "k4", "k5", "k6", "k7", "k8", "l1", "l2",
    "l3", "l4", "l5", "l6",
];

#[test]
fn broken_invariants_are_reported_as_their_snapshots() {
    insta::glob!("*.eir", |path| {
        let text = fs::read_to_string(path).expect("a readable file");
        let found = violations(&text);
        let invariant = invariant_of(path);
        assert!(found.iter().any(|v| v.invariant.eq_ignore_ascii_case(&invariant)), "{found:?}");
        let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(lines.join("\n"));
    });
}

#[test]
fn every_invariant_has_a_file() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/verify");
    let paths = fs::read_dir(folder).expect("the folder of this test");
    let paths = paths.map(|entry| entry.expect("a readable folder").path());
    let files = paths.filter(|path| path.extension().is_some_and(|e| e == "eir"));
    let found: BTreeSet<String> = files.map(|path| invariant_of(&path)).collect();
    assert!(found.iter().eq(INVARIANTS), "{found:?}");
}

/// `g4` for `g4-wrong-type.eir`.
fn invariant_of(path: &Path) -> String {
    let name = path.file_name().and_then(|n| n.to_str()).expect("an ASCII name");
    name.split('-').next().unwrap_or_default().to_owned()
}

fn violations(text: &str) -> Vec<Violation> {
    let target = Target::default_for(Arch::X86_64);
    let result = match parse_any(text).expect("the file parses") {
        Any::Graph(graph) => graph::verify::verify(&graph.ir),
        Any::Kernels(kernels) => kernel::verify::verify(&kernels.ir),
        Any::Loops(loops) => loops::verify::verify(&loops.ir, Some(&target)),
    };
    result.err().unwrap_or_default()
}
