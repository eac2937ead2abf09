//! The Python oracles in an environment of their own.

use crate::Outcome;
use crate::command::{capture, command, quiet, show};
use crate::paths;
use std::fs;

const REQUIREMENTS: &str = include_str!("../../../tests/python/requirements.txt");

/// Makes the environment, unless it has exactly these requirements already.
pub(super) fn install() -> Outcome {
    let marker = paths::cache().join("venv/requirements.txt");
    if fs::read_to_string(&marker).is_ok_and(|text| text == REQUIREMENTS) {
        println!("Python oracles: present");
        return Ok(());
    }
    println!("Python oracles: installing");
    check_version()?;
    let venv = paths::cache().join("venv");
    // pip comes from outside: the venv of some distributions cannot bring its own.
    quiet(command("python3", ["-m", "venv", "--clear", "--without-pip"]).arg(&venv))?;
    show(
        command("python3", ["-m", "pip", "--python"])
            .arg(paths::python())
            .args(["install", "--quiet", "--no-deps", "--only-binary", ":all:", "--requirement"])
            .arg(paths::file("tests/python/requirements.txt")),
    )?;
    fs::write(&marker, REQUIREMENTS).map_err(|e| format!("cannot write {}: {e}", marker.display()))
}

fn check_version() -> Outcome {
    let script = "import sys; print(sys.version_info >= (3, 11))";
    let answer = capture(&mut command("python3", ["-c", script]))?;
    if answer.trim() == "True" {
        return Ok(());
    }
    Err("the oracles need Python 3.11 or newer as `python3`".to_owned())
}
