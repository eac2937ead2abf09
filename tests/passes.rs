//! Passes: each file is rewritten by the passes that its first line names; the snapshot holds input
//! and output.

use edgecc_ir::graph::Graph;
use edgecc_ir::graph::verify::verify;
use edgecc_ir::target::{Arch, Target};
use edgecc_ir::text::{PrintOptions, parse_graph, print_graph};
use edgecc_passes::graph::PASSES;
use edgecc_passes::manager::{Pass, PassCx, PassOptions, run_passes};
use std::fs;

#[test]
fn files_are_rewritten_as_their_snapshots_say() {
    insta::glob!("passes/*/*.eir", |path| {
        let text = fs::read_to_string(path).expect("a readable file");
        insta::assert_snapshot!(format!("{text}\n// becomes\n{}", rewritten(&text)));
    });
}

#[test]
fn each_graph_pass_has_a_file() {
    for pass in PASSES {
        let folder = format!("{}/tests/passes/{}", env!("CARGO_MANIFEST_DIR"), pass.name);
        let files = fs::read_dir(&folder).map(Iterator::count).unwrap_or_default();
        assert!(files > 0, "{folder} is missing or empty");
    }
}

fn rewritten(text: &str) -> String {
    let mut graph = parse_graph(text).expect("the file parses").ir;
    assert_eq!(verify(&graph), Ok(()));
    let (target, options) = (Target::default_for(Arch::X86_64), PassOptions::default());
    let cx = PassCx::new(&target, &options);
    run_passes(&mut graph, named_passes(text), &cx, |_, _, _| ());
    print_graph(&graph, &PrintOptions::default())
}

/// The passes of the header `// edgecc-opt --pass=first,second`.
fn named_passes(text: &str) -> Vec<&'static Pass<Graph>> {
    let header = text.lines().next().and_then(|l| l.strip_prefix("// edgecc-opt --pass="));
    let names = header.expect("the first line names passes").split(',');
    let find = |name| PASSES.iter().find(|p| p.name == name).expect("a graph pass");
    names.map(find).collect()
}
