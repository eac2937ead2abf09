//! What several subjects need: the bundled model, folders, outside tools.

pub(crate) mod case;
pub(crate) mod emulator;
pub(crate) mod toolchain;

use edgecc::{Artifact, Division, Options, TargetSpec, compile_file};
use edgecc_ir::target::Target;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// The architectures that edgecc compiles for.
pub(crate) const ARCHS: [&str; 2] = ["x86_64", "aarch64"];

/// A file of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The model that comes with the project.
pub(crate) fn bundled() -> PathBuf {
    repository("models/cifar_dscnn.onnx")
}

/// The bundled model, compiled under a name.
pub(crate) fn compile_bundled(arch: &str, name: &str) -> Artifact {
    let options = Options {
        name: Some(name.to_owned()),
        target: TargetSpec::of(arch),
        division: Division { parts: 3, grain: 1 },
        ..Options::default()
    };
    compile_file(bundled(), &options).expect("the bundled model compiles")
}

/// Whether this machine runs code for a target.
pub(crate) fn runs_here(target: &Target) -> bool {
    let host = edgecc::target::resolve(&TargetSpec::native()).expect("a known machine");
    target.arch == host.arch && target.features.iter().all(|f| host.features.contains(f))
}

/// An empty folder for one test's files, inside the build directory.
pub(crate) fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("the build directory is writable");
    folder
}

/// Whether the outside tools are promised to be here, as `cargo xtask test` does. Without them a
/// test says that it did not run; with them it may not be left out.
pub(crate) fn has_tools(test: &str) -> bool {
    let promised = env::var_os("EDGECC_TOOLS").is_some();
    if !promised {
        eprintln!("{test}: not run, it needs the tools that `cargo xtask test` installs");
    }
    promised
}

/// Runs a program and gives what it printed; a failure shows all that it said.
pub(crate) fn run<A: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = A>) -> String {
    let output = Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|why| panic!("cannot start {program}: {why}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{program}: {}", text(&output.stdout) + &text(&output.stderr));
    text(&output.stdout)
}
