//! From a model to a program: edgecc compiles, gcc links, the machine or qemu runs.

use crate::Outcome;
use crate::command::{command, quiet, text};
use crate::paths;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A machine that compiled models can run on here.
pub(crate) struct Machine {
    /// Name for `--target`.
    pub(crate) arch: &'static str,
    /// The C compiler.
    gcc: &'static str,
    /// What comes before the program's own name.
    runner: &'static [&'static str],
}

const X86_64: Machine = Machine { arch: "x86_64", gcc: "gcc", runner: &[] };
/// Arm, under qemu.
pub(crate) const AARCH64: Machine = Machine {
    arch: "aarch64",
    gcc: "aarch64-linux-gnu-gcc",
    // A processor without optional features: code for the default CPU may not need any.
    runner: &["qemu-aarch64", "-cpu", "cortex-a53", "-L", "/usr/aarch64-linux-gnu"],
};

/// The machines on which every model is checked.
pub(crate) const MACHINES: [Machine; 2] = [X86_64, AARCH64];

/// A compiled model: the object and what is known about it.
pub(crate) struct Object {
    /// The object file.
    pub(crate) path: PathBuf,
    /// Prefix of its symbols.
    name: &'static str,
}

/// The part of the compiler's report that tables show; sizes in bytes.
#[derive(Deserialize, Serialize)]
pub(crate) struct Report {
    pub(crate) macs: u64,
    pub(crate) weights_bytes: u64,
    pub(crate) code_bytes: u64,
    pub(crate) object_bytes: u64,
    pub(crate) arena_bytes: u64,
    pub(crate) arena_lower_bound: u64,
    pub(crate) stack_bytes: u64,
}

/// One step of a compiled model.
#[derive(Deserialize)]
pub(crate) struct Layer {
    /// The function that it calls, without the prefix of the model's symbols.
    pub(crate) function: String,
    /// Multiply-adds.
    pub(crate) macs: u64,
}

/// The steps in the compiler's report.
#[derive(Deserialize)]
struct Layers {
    layers: Vec<Layer>,
}

/// The symbol name of models under test.
const NAME: &str = "model";

/// Builds the command-line compiler with the profile that everything else uses.
pub(crate) fn compiler() -> Outcome<PathBuf> {
    quiet(&mut cargo(&["build", "--quiet", "--package", "edgecc", "--bin", "edgecc"]))?;
    Ok(paths::target().join("debug/edgecc"))
}

/// Builds the compiler as users get it.
pub(crate) fn release_compiler() -> Outcome<PathBuf> {
    quiet(&mut cargo(&[
        "build",
        "--quiet",
        "--release",
        "--package",
        "edgecc",
        "--bin",
        "edgecc",
    ]))?;
    Ok(paths::target().join("release/edgecc"))
}

/// Cargo in the workspace: the one that runs this program.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut cargo = command(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()), args);
    cargo.current_dir(paths::root());
    cargo
}

impl Report {
    /// The arena as a multiple of the bound that no plan can go below.
    pub(crate) fn arena_ratio(&self) -> f64 {
        self.arena_bytes as f64 / self.arena_lower_bound.max(1) as f64
    }
}

impl Object {
    /// What the compiler says about it.
    pub(crate) fn report(&self) -> Outcome<Report> {
        self.parse()
    }

    /// The steps of one inference; functions may occur several times.
    pub(crate) fn layers(&self) -> Outcome<Vec<Layer>> {
        self.parse::<Layers>().map(|parts| parts.layers)
    }

    /// The symbol of one of its functions.
    pub(crate) fn symbol(&self, function: &str) -> String {
        format!("edgecc_{}_{function}", self.name)
    }

    fn parse<T: DeserializeOwned>(&self) -> Outcome<T> {
        let path = self.path.with_extension("json");
        let text = fs::read(&path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
        serde_json::from_slice(&text).map_err(|e| format!("{}: {e}", path.display()))
    }
}

impl Machine {
    /// Compiles a model into an object in `folder`.
    pub(crate) fn compile(
        &self,
        edgecc: &Path,
        model: &Path,
        args: &[String],
        folder: &Path,
    ) -> Outcome<Object> {
        let path = folder.join(format!("{}.o", self.arch));
        quiet(
            command(edgecc, ["--target", self.arch, "--name", NAME, "-o"])
                .arg(&path)
                .args(args)
                .arg(model),
        )?;
        Ok(Object { path, name: NAME })
    }

    /// Links an object with a C source of `tests/c` or `benches`.
    pub(crate) fn link(&self, object: &Object, source: &str) -> Outcome<PathBuf> {
        self.link_with(object, source, &[])
    }

    /// Links as `link` does, with further options, libraries among them.
    pub(crate) fn link_with(
        &self,
        object: &Object,
        source: &str,
        options: &[&str],
    ) -> Outcome<PathBuf> {
        let source = paths::file(source);
        let program = object.path.with_extension(paths::stem(&source));
        quiet(
            command(self.gcc, ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-I"])
                .arg(paths::file("runtime-shim/include"))
                .arg(format!("-DMODEL={}", object.name))
                .arg(&source)
                .arg(&object.path)
                .args(options)
                .arg("-o")
                .arg(&program),
        )?;
        Ok(program)
    }

    /// A command that runs a program of this machine.
    pub(crate) fn run(&self, program: &Path) -> Command {
        let words = [self.runner, &[text(program)]].concat();
        command(words[0], &words[1..])
    }
}
