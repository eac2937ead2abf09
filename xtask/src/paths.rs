//! Where things are: the workspace, the cache of downloads, the scratch folder.

use crate::Outcome;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("this package is a folder of the workspace").to_owned()
}

/// A file of the workspace.
pub(crate) fn file(path: &str) -> PathBuf {
    root().join(path)
}

/// What was downloaded; survives `cargo clean`. Tests get it as `EDGECC_TOOLS`.
pub(crate) fn cache() -> PathBuf {
    file(".cache")
}

/// The Python that has the oracles.
pub(crate) fn python() -> PathBuf {
    cache().join("venv/bin/python")
}

/// Where Cargo puts what it builds.
pub(crate) fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| file("target"), PathBuf::from)
}

/// An empty folder for one task's files.
pub(crate) fn scratch(task: &str) -> Outcome<PathBuf> {
    let folder = target().join("xtask").join(task);
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .map_err(|e| format!("cannot empty {}: {e}", folder.display()))?;
    }
    create(&folder)?;
    Ok(folder)
}

/// Makes a folder and those above it.
pub(crate) fn create(folder: &Path) -> Outcome {
    fs::create_dir_all(folder).map_err(|e| format!("cannot create {}: {e}", folder.display()))
}

/// A file's name without folder and extension.
pub(crate) fn stem(path: &Path) -> String {
    path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default()
}
