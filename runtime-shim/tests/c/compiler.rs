//! Running C compilers, each test in a folder of its own.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder for one test's files, inside the build directory.
pub(crate) fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    fs::create_dir_all(&folder).expect("the build directory is writable");
    folder
}

/// Runs a compiler with `edgecc.h` in reach and all warnings as errors, and asserts that it is
/// content. False when there is no such compiler.
pub(crate) fn compile<A: AsRef<OsStr>>(compiler: &str, args: &[A]) -> bool {
    let include = concat!("-I", env!("CARGO_MANIFEST_DIR"), "/include");
    let mut command = Command::new(compiler);
    command.args(["-Wall", "-Wextra", "-Wpedantic", "-Werror", include]).args(args);
    let Ok(ran) = command.output() else {
        eprintln!("{compiler} is not installed: its part of the test is left out");
        return false;
    };
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    true
}
