//! Passes and conversions: `edgecc-opt` rewrites each file as its first line says; the snapshot holds
//! input and output.

use crate::support::{repository, run};
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

const EDGECC_OPT: &str = env!("CARGO_BIN_EXE_edgecc-opt");

/// The folders of the conversions between levels, which `--to` names by their result.
const CONVERSIONS: &[&str] = &["form-kernels", "lower-to-loops"];

#[test]
fn files_are_rewritten_as_their_snapshots_say() {
    insta::glob!("*/*.eir", |path| {
        let text = fs::read_to_string(path).expect("a readable file");
        insta::assert_snapshot!(format!("{text}\n// becomes\n{}", rewritten(path, &text)));
    });
}

#[test]
fn each_pass_and_conversion_has_a_file() {
    let list = run(EDGECC_OPT, ["--list"]);
    let passes = list.lines().filter_map(|line| line.split_whitespace().nth(1));
    for folder in passes.chain(CONVERSIONS.iter().copied()) {
        let folder = repository("tests/passes").join(folder);
        let files = fs::read_dir(&folder).map(Iterator::count).unwrap_or_default();
        assert!(files > 0, "{} is missing or empty", folder.display());
    }
}

/// The output for a file with the header `// edgecc-opt ARGUMENTS`, with every step verified.
fn rewritten(path: &Path, text: &str) -> String {
    let header = text.lines().next().and_then(|l| l.strip_prefix("// edgecc-opt "));
    let arguments = header.expect("the first line has the arguments").split_whitespace();
    let arguments = arguments.chain(["--verify"]).map(OsStr::new);
    run(EDGECC_OPT, arguments.chain([path.as_os_str()]))
}
