//! Files and functions stay small.

use super::assert_none;
use super::source::{files, functions};

const FILE_LINES: usize = 600;
const FUNCTION_LINES: usize = 80;
const MEDIAN_LINES: usize = 8;

#[test]
fn files_are_short() {
    let long = files().into_iter().filter_map(|file| {
        let lines = file.text.lines().count();
        (lines > FILE_LINES).then(|| format!("{}: {lines} lines", file.path))
    });
    assert_none("files with too many lines", &long.collect::<Vec<_>>());
}

#[test]
fn functions_are_short() {
    let mut long = Vec::new();
    for file in files() {
        let functions = functions(&file.text).into_iter().filter(|f| f.lines > FUNCTION_LINES);
        long.extend(functions.map(|f| format!("{}:{}: {} lines", file.path, f.line, f.lines)));
    }
    assert_none("functions with too many lines", &long);
}

#[test]
fn half_of_the_functions_are_shorter_than_the_median_allowed() {
    let mut lengths: Vec<usize> =
        files().iter().flat_map(|f| functions(f.code())).map(|f| f.lines).collect();
    lengths.sort_unstable();
    let median = lengths[lengths.len() / 2];
    println!("{} functions, median {median} lines", lengths.len());
    assert!(median <= MEDIAN_LINES, "the median function has {median} lines");
}
