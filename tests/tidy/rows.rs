//! Rows of tables: each is described, and each has what proves it.

use super::assert_none;
use super::source::files;
use crate::support::repository;
use edgecc_ir::scalar::func::ScalarFn;
use std::collections::BTreeSet;
use std::fs;

/// Invariants that no text file can break, with the reason.
const UNBREAKABLE: &[(&str, &str)] = &[
    ("G6", "a promise about ops, which have no way to break it"),
    ("G8", "the parser gives every op a location"),
];

#[test]
fn graph_passes_have_files_that_show_them() {
    let folder = |name: &str| repository("tests/passes").join(name.replace('-', "_"));
    let names = edgecc_passes::graph::PASSES.iter().map(|pass| pass.name);
    let missing: BTreeSet<String> =
        names.filter(|name| !folder(name).is_dir()).map(str::to_owned).collect();
    assert_none("passes without tests/passes/<name>", &Vec::from_iter(missing));
}

#[test]
fn strategies_have_kernels_that_are_measured() {
    let table = fs::read_to_string(repository("benches/models/kernels.txt")).expect("a file");
    let measured: BTreeSet<&str> =
        table.lines().filter_map(|line| line.split_whitespace().nth(2)).collect();
    let names = edgecc_passes::schedule::STRATEGIES.iter().map(|row| row.name);
    let missing: Vec<String> =
        names.filter(|name| !measured.contains(name)).map(str::to_owned).collect();
    assert_none("strategies without a line in benches/models/kernels.txt", &missing);
}

#[test]
fn invariants_have_files_that_break_them() {
    let files = file_names("tests/verify");
    let proved = |id: &str| files.iter().any(|f| f.starts_with(&(id.to_lowercase() + "-")));
    let excused = |id: &str| UNBREAKABLE.iter().any(|(known, _)| *known == id);
    let doc = fs::read_to_string(repository("docs/ir.md")).expect("the IR is documented");
    let missing: Vec<String> =
        invariants(&doc).into_iter().filter(|id| !proved(id) && !excused(id)).collect();
    assert_none("invariants without tests/verify/<number>-*.eir", &missing);
}

#[test]
fn rows_are_described() {
    let passes = edgecc_passes::graph::PASSES.iter().map(|row| (row.name, row.doc));
    let loops = edgecc_passes::loops::PASSES.iter().map(|row| (row.name, row.doc));
    let strategies = edgecc_passes::schedule::STRATEGIES.iter().map(|row| (row.name, row.doc));
    let targets = edgecc_fuzz::TARGETS.iter().map(|row| (row.name, row.doc));
    let kinds = edgecc_passes::recognise::ROW_KINDS.iter().map(|row| (row.name, row.doc));
    let activations = edgecc_passes::recognise::ACTIVATIONS.iter().map(|row| (row.name, row.doc));
    let rows = passes.chain(loops).chain(strategies).chain(targets).chain(kinds).chain(activations);
    let silent = rows.filter(|(_, doc)| doc.is_empty() || doc.ends_with('.'));
    let silent: Vec<String> = silent.map(|(name, _)| name.to_owned()).collect();
    assert_none("rows without one line of description, or with a full stop", &silent);
}

/// With the rule that diagnostics are made from rows, this covers every code that can be shown.
#[test]
fn codes_are_explained() {
    let tables = files();
    let tables = tables.iter().filter(|file| file.text.contains("\ncodes! {"));
    let explained: BTreeSet<_> = edgecc::code::explanations().map(|(name, _)| name).collect();
    let rows: Vec<String> = tables.flat_map(|file| codes(&file.text)).collect();
    assert_eq!(rows.len(), explained.len());
    let silent: Vec<String> =
        rows.into_iter().filter(|name| !explained.contains(name.as_str())).collect();
    assert_none("codes that `edgecc explain` does not know", &silent);
}

#[test]
fn scalar_functions_have_distinct_names() {
    let names: BTreeSet<_> = ScalarFn::ALL.iter().map(|f| f.info().mnemonic).collect();
    assert_eq!(names.len(), ScalarFn::ALL.len());
}

/// The names in a table of codes, whose rows start with `Variant "name" Kind`.
fn codes(text: &str) -> Vec<String> {
    let table = text.split("\ncodes! {").nth(1).and_then(|rest| rest.split("\n}").next());
    let is_row =
        |line: &&str| line.split_whitespace().nth(1).is_some_and(|word| word.starts_with('"'));
    let rows = table.unwrap_or_default().lines().filter(is_row);
    rows.filter_map(|row| row.split('"').nth(1)).map(str::to_owned).collect()
}

/// The numbers in bold that the documentation defines, such as **G1**, of invariants that a dump
/// of one level can break.
fn invariants(doc: &str) -> BTreeSet<String> {
    let words = doc.split("**").skip(1).step_by(2);
    let is_number = |w: &&str| {
        w.len() == 2 && w.starts_with(['G', 'K', 'L']) && w.ends_with(|c: char| c.is_ascii_digit())
    };
    words.filter(is_number).map(str::to_owned).collect()
}

fn file_names(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(repository(folder)).expect("the folder exists").flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
