//! The Rust files of the workspace, and the functions in them.

use std::fs;
use std::path::Path;

/// Folders with Rust code, from the workspace's root.
const FOLDERS: &[&str] = &[
    "backend",
    "benches",
    "examples",
    "frontend",
    "fuzz",
    "ir",
    "passes",
    "runtime-shim",
    "src",
    "tests",
    "xtask",
];

/// A file with its path from the root.
pub(super) struct File {
    pub(super) path: String,
    pub(super) text: String,
}

/// A function: its first line, counted from 1, and how many lines it has.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Function {
    pub(super) line: usize,
    pub(super) lines: usize,
}

/// Every Rust file, sorted by path.
pub(super) fn files() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    FOLDERS.iter().for_each(|folder| collect(root, &root.join(folder), &mut files));
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<File>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("the folder is readable").path();
        if path.is_dir() && !path.ends_with("target") {
            collect(root, &path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let name = path.strip_prefix(root).expect("the walk starts at the root");
            let text = fs::read_to_string(&path).expect("sources are UTF-8");
            files.push(File { path: name.display().to_string(), text });
        }
    }
}

impl File {
    /// The text before the unit tests.
    pub(super) fn code(&self) -> &str {
        self.text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(&self.text)
    }
}

/// The functions with a body. Relies on rustfmt: a body ends with a brace under the `fn` line's
/// first letter.
pub(super) fn functions(text: &str) -> Vec<Function> {
    let lines: Vec<&str> = text.lines().collect();
    let starts = (0..lines.len()).filter(|&at| starts_function(lines[at]));
    starts.filter_map(|at| Some(Function { line: at + 1, lines: length(&lines[at..])? })).collect()
}

fn starts_function(line: &str) -> bool {
    let mut rest = line.trim_start();
    if let Some(visible) = rest.strip_prefix("pub(") {
        rest = visible.split_once(") ").map_or("", |(_, rest)| rest);
    }
    for word in ["pub ", "const ", "unsafe ", "extern \"C\" "] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    rest.starts_with("fn ")
}

/// Lines up to the closing brace; none for a declaration without a body.
fn length(lines: &[&str]) -> Option<usize> {
    let indent = lines[0].len() - lines[0].trim_start().len();
    let is_outer = |line: &str| !line.is_empty() && line.len() - line.trim_start().len() == indent;
    for (at, line) in lines.iter().enumerate() {
        if at == 0 && line.ends_with('}') {
            return Some(1);
        }
        if line.ends_with(';') && is_outer(line) {
            return None;
        }
        if at > 0 && is_outer(line) && line.trim_start().starts_with('}') {
            return Some(at + 1);
        }
    }
    None
}

#[test]
fn functions_are_found_with_their_lengths() {
    let text = "fn a() {}\n\
                trait T {\n    fn b(\n        x: u8,\n    );\n    fn c();\n}\n\
                pub(super) const fn d(\n    x: u8,\n) -> u8 {\n    x;\n}\n";
    let found: Vec<_> = functions(text).iter().map(|f| (f.line, f.lines)).collect();
    assert_eq!(found, [(1, 1), (8, 5)]);
}
