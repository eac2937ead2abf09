//! The toolchains that programs with compiled models are built with.

use super::{repository, run};
use std::path::{Path, PathBuf};

/// A toolchain: its compilers and what runs its programs.
pub(crate) struct Toolchain {
    /// Name for `--target`.
    pub(crate) arch: &'static str,
    /// The C compiler.
    pub(crate) cc: &'static str,
    runner: &'static [&'static str],
}

/// One per architecture.
pub(crate) const TOOLCHAINS: [Toolchain; 2] = [
    Toolchain { arch: "x86_64", cc: "gcc", runner: &[] },
    Toolchain {
        arch: "aarch64",
        cc: "aarch64-linux-gnu-gcc",
        runner: &["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu"],
    },
];

/// How to compile the driver for a model named net.
pub(crate) const DRIVER: [&str; 3] = ["-std=c11", "-DMODEL=net", "-Iruntime-shim/include"];

/// What every source is compiled with.
pub(crate) const WARNINGS: [&str; 5] = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O2"];

impl Toolchain {
    /// Compiles a source of the repository and links it with objects beside their headers.
    pub(crate) fn link(
        &self,
        source: &str,
        flags: &[&str],
        objects: &[&PathBuf],
        to: &Path,
    ) -> PathBuf {
        let include = format!("-I{}", to.parent().expect("a file in a folder").display());
        let source = repository(source);
        let words = WARNINGS.iter().chain(flags).map(Path::new).chain([Path::new(&include)]);
        let files = [source.as_path()].into_iter().chain(objects.iter().map(|o| o.as_path()));
        run(self.cc, words.chain(files).chain([Path::new("-o"), to]));
        to.to_owned()
    }

    /// Runs a program with its arguments.
    pub(crate) fn run(&self, program: &[&Path]) -> String {
        let program = program.iter().copied();
        let words: Vec<&Path> = self.runner.iter().map(Path::new).chain(program).collect();
        run(words[0].to_str().expect("UTF-8"), &words[1..])
    }
}
