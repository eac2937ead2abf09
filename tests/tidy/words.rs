//! Words that must not occur, and the line that each file starts with.

use super::assert_none;
use super::source::{File, files};

/// A word, where it is forbidden, and why. Split in two, so that this table does not break its
/// own rules.
struct Banned {
    word: [&'static str; 2],
    at: fn(&str) -> bool,
    why: &'static str,
}

const BANNED: &[Banned] = &[
    Banned { word: ["TO", "DO"], at: everywhere, why: "plans belong in issues" },
    Banned { word: ["FIX", "ME"], at: everywhere, why: "plans belong in issues" },
    Banned { word: ["todo", "!("], at: everywhere, why: "unfinished code" },
    Banned { word: ["unimplemented", "!("], at: everywhere, why: "unfinished code" },
    Banned { word: ["dbg", "!("], at: everywhere, why: "left from debugging" },
    Banned { word: ["#[igno", "re"], at: everywhere, why: "assert the known failure instead" },
    Banned { word: ["Hash", "Map"], at: in_compiler, why: "its order is not deterministic" },
    Banned { word: ["Hash", "Set"], at: in_compiler, why: "its order is not deterministic" },
    Banned { word: ["Instant::", "now"], at: in_compiler, why: "the compiler reads no clock" },
    Banned { word: ["System", "Time"], at: in_compiler, why: "the compiler reads no clock" },
    Banned { word: ["Diagnostic::", "error("], at: outside_diag, why: "codes are rows of a table" },
    Banned { word: ["allow(unsafe", "_code"], at: outside_shim, why: "unsafe is the shim's" },
];

/// Crates whose result must depend on nothing but their input.
const COMPILER: &[&str] = &["ir/", "frontend/", "passes/", "backend/", "src/lib.rs", "src/driver"];

fn everywhere(_: &str) -> bool {
    true
}

fn in_compiler(path: &str) -> bool {
    COMPILER.iter().any(|room| path.starts_with(room))
}

fn outside_shim(path: &str) -> bool {
    !path.starts_with("runtime-shim/")
}

fn outside_diag(path: &str) -> bool {
    path != "ir/src/diag.rs"
}

#[test]
fn banned_words_do_not_occur() {
    let broken: Vec<_> = files().iter().flat_map(banned_in).collect();
    assert_none("banned words", &broken);
}

fn banned_in(file: &File) -> Vec<String> {
    let banned = BANNED.iter().filter(|banned| (banned.at)(&file.path));
    let found = banned.flat_map(|banned| {
        let word = banned.word.concat();
        let lines = file.text.lines().enumerate().filter(move |(_, line)| line.contains(&word));
        lines.map(|(at, _)| format!("{}:{}: {}", file.path, at + 1, banned.why))
    });
    found.collect()
}

#[test]
fn files_start_with_their_job() {
    let silent: Vec<_> =
        files().into_iter().filter(|f| !f.text.starts_with("//! ")).map(|f| f.path).collect();
    assert_none("files without a first line of documentation", &silent);
}

#[test]
fn rooms_have_a_card() {
    let headings = ["# Room: ", "Purpose", "In → Out", "Owns", "Never", "To add", "Tests"]
        .map(|h| format!("//! {h}"));
    let rooms = ["ir", "frontend", "passes", "backend", "runtime-shim"];
    let files = files();
    let mut missing = Vec::new();
    for room in rooms {
        let path = format!("{room}/src/lib.rs");
        let file = files.iter().find(|f| f.path == path).expect("every room is a library");
        let absent =
            headings.iter().filter(|&h| !file.text.lines().any(|l| l.starts_with(h.as_str())));
        missing.extend(absent.map(|h| format!("{path}: no line starts with {h:?}")));
    }
    assert_none("incomplete room cards", &missing);
}
