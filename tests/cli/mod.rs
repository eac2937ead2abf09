//! The command line as a script sees it: exit codes, files, machine-readable output.

mod help;
mod quantize;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/cifar_dscnn.onnx");
const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/sample.npz");

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("edgecc-{test}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("the temporary folder is writable");
        Folder(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).expect("the folder exists");
        let name = |e: std::io::Result<fs::DirEntry>| {
            e.expect("readable").file_name().to_string_lossy().into_owned()
        };
        let mut names: Vec<String> = entries.map(name).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The compiler with a clean environment, in a folder.
fn edgecc(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_edgecc"));
    command.args(args).current_dir(folder).env_remove("EDGECC_FLAGS").env("COLUMNS", "100");
    command
}

fn output(folder: &Path, args: &[&str]) -> Output {
    edgecc(folder, args).output().expect("the compiler starts")
}

fn code(folder: &Path, args: &[&str]) -> Option<i32> {
    output(folder, args).status.code()
}

fn stdout(folder: &Path, args: &[&str]) -> String {
    let output = output(folder, args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("reports are UTF-8")
}

#[test]
fn each_kind_of_failure_has_its_exit_code() {
    let folder = Folder::new("exit");
    fs::write(folder.file("bad.onnx"), b"not a model").expect("writable");
    let bad = folder.file("bad.onnx");
    let bad = bad.to_str().expect("a UTF-8 path");
    for (args, expected) in [
        (&["targets"][..], 0),
        (&[bad], 1),
        (&["--no-such-option"], 2),
        (&[MODEL, "--target", "mips"], 2),
        (&[MODEL, "--features", "+avx9"], 2),
        (&[MODEL, "--dim", "no_such_dim=1"], 2),
        (&[MODEL, "--name", "a-b"], 2),
        (&[MODEL, "--max-arena", "1K"], 5),
        (&[MODEL, "--max-code", "1K"], 5),
        (&["missing.onnx"], 6),
        (&[MODEL, "-o", "missing/model.o"], 6),
    ] {
        assert_eq!(code(&folder.0, args), Some(expected), "{args:?}");
    }
    assert_eq!(folder.names(), ["bad.onnx"], "a failure leaves nothing");
}

#[test]
fn a_failure_keeps_the_files_of_the_last_success() {
    let folder = Folder::new("keep");
    fs::write(folder.file("m.o"), b"old").expect("writable");
    assert_eq!(code(&folder.0, &[MODEL, "-o", "m.o", "--max-arena", "1K"]), Some(5));
    assert_eq!(fs::read(folder.file("m.o")).expect("still there"), b"old");
}

#[test]
fn the_default_output_is_four_files() {
    let folder = Folder::new("files");
    let summary = stdout(&folder.0, &[MODEL]);
    assert!(summary.contains("image: f32[1,3,32,32]"), "{summary}");
    let names = ["h", "json", "o", "rs"].map(|e| format!("cifar_dscnn.{e}"));
    assert_eq!(folder.names(), names);
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let (one, two) = (Folder::new("same-one"), Folder::new("same-two"));
    for target in ["x86_64", "aarch64"] {
        for (folder, lang) in [(&one, "C"), (&two, "de_DE.UTF-8")] {
            let args = [MODEL, "-q", "-o", target, "--target", target, "--emit", "obj,header,rust"];
            let status = edgecc(&folder.0, &args).env("LANG", lang).env("LC_ALL", lang).status();
            assert!(status.expect("the compiler starts").success());
        }
    }
    assert_eq!(one.names(), two.names());
    for name in one.names() {
        let read = |folder: &Folder| fs::read(folder.file(&name)).expect("just written");
        assert!(read(&one) == read(&two), "{name} differs");
    }
}

#[test]
fn every_json_report_parses() {
    let folder = Folder::new("json");
    stdout(&folder.0, &[MODEL, "-q", "-o", "m.o"]);
    for args in [
        &[MODEL, "--json", "-o", "m.o"][..],
        &["inspect", MODEL, "--json"],
        &["inspect", "m.o", "--json"],
        &["bench", MODEL, "--runs", "1", "--profile", "--json"],
        &["tune", MODEL, "--seconds", "0.1", "--json"],
        &["targets", "--json"],
        &["ops", "--json"],
    ] {
        let text = stdout(&folder.0, args);
        assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{args:?}: {text}");
    }
}

/// A short search writes a file that compilations read, with the same bytes each time.
#[test]
fn what_tune_writes_is_read_by_compile() {
    let folder = Folder::new("tune");
    stdout(&folder.0, &["tune", MODEL, "--seconds", "0.5", "-o", "s"]);
    let args = ["-q", MODEL, "--schedules", "s", "--error-format", "short", "-o"];
    for name in ["one.o", "two.o"] {
        let found = output(&folder.0, &[&args[..], &[name]].concat());
        assert!(found.status.success() && found.stderr.is_empty());
    }
    let read = |name: &str| fs::read(folder.file(name)).expect("just written");
    assert!(read("one.o") == read("two.o"));
    let other = [&args[1..], &["three.o", "--target", "aarch64"]].concat();
    let warned = String::from_utf8(output(&folder.0, &other).stderr).expect("UTF-8");
    assert!(warned.starts_with("s:1: warning[stale-schedule]: "), "{warned}");
    fs::write(folder.file("s"), "none").expect("writable");
    assert_eq!(code(&folder.0, &[&args[..], &["four.o"]].concat()), Some(2));
}

#[test]
fn diagnostics_have_a_json_form() {
    let folder = Folder::new("diagnostics");
    let output = output(&folder.0, &["--error-format", "json", MODEL, "--cpu", "z80"]);
    let line: serde_json::Value = serde_json::from_slice(&output.stderr).expect("one object");
    assert_eq!(line["code"], "unknown-cpu");
    assert!(output.stdout.is_empty());
}

#[test]
fn the_bundled_image_is_classified() {
    let folder = Folder::new("run");
    let text = stdout(&folder.0, &["run", MODEL, "--inputs", SAMPLE]);
    let values = text.split_once(" = ").expect("name: type = values").1;
    let values: Vec<f32> = values.split_whitespace().map(|v| v.parse().expect("a float")).collect();
    assert!((values[3] - 0.918).abs() < 0.001, "class 3 is the cat: {values:?}");
}

#[test]
fn a_mismatch_is_found_and_named() {
    let folder = Folder::new("verify");
    stdout(&folder.0, &["run", MODEL, "--inputs", SAMPLE, "--outputs", "right.npz"]);
    let verify = |expected: &str, rtol: &str| {
        let args = ["verify", MODEL, "--inputs", SAMPLE, "--expected", expected, "--rtol", rtol];
        let output = output(&folder.0, &args);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), text.lines().last().unwrap_or_default().to_owned())
    };
    assert_eq!(verify("right.npz", "1e-4"), (Some(0), "edgecc verify: PASSED".to_owned()));
    stdout(&folder.0, &["run", MODEL, "--outputs", "wrong.npz"]);
    let failed = "edgecc verify: FAILED at import".to_owned();
    assert_eq!(verify("wrong.npz", "1e-4"), (Some(4), failed));
}
