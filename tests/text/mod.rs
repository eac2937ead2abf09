//! The text form: each file parses and prints, or fails with the error in its snapshot.

use edgecc_ir::text::{PrintOptions, parse_any};
use std::fs;

#[test]
fn files_print_as_their_snapshots() {
    insta::glob!("*.eir", |path| {
        let text = fs::read_to_string(path).expect("a readable file");
        insta::assert_snapshot!(printed(&text));
    });
}

/// The dump of the file, which must be its own dump, or the error.
fn printed(text: &str) -> String {
    let options = PrintOptions { locs: text.contains("loc0"), ..PrintOptions::default() };
    match parse_any(text) {
        Ok(parsed) => {
            let dump = parsed.print(&options);
            let again = parse_any(&dump).expect("a dump parses");
            assert_eq!(again.print(&options), dump);
            dump
        }
        Err(error) => format!("error: {error}\n"),
    }
}
