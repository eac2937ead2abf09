//! Python environments: the oracles' and the peers'.

use crate::Outcome;
use crate::command::{capture, command, quiet, show};
use crate::paths;
use std::fs;
use std::path::PathBuf;

/// An environment with exactly the packages of one file.
pub(crate) struct Environment {
    /// What it is for, in messages.
    title: &'static str,
    /// Its folder in the cache.
    folder: &'static str,
    /// The file of its packages.
    requirements: &'static str,
    /// What pip is told besides.
    flags: &'static [&'static str],
}

/// What says whether results are right.
pub(crate) const ORACLES: Environment = Environment {
    title: "Python oracles",
    folder: "venv",
    requirements: "tests/python/requirements.txt",
    flags: &[],
};

/// What speed is compared with.
pub(crate) const PEERS: Environment = Environment {
    title: "peers",
    folder: "peers",
    requirements: "benches/peers/requirements.txt",
    flags: &["--require-hashes", "--ignore-requires-python"],
};

impl Environment {
    /// Its interpreter.
    pub(crate) fn python(&self) -> PathBuf {
        paths::cache().join(self.folder).join("bin/python")
    }

    /// Each package with its version.
    pub(crate) fn packages(&self) -> Outcome<Vec<(String, String)>> {
        Ok(packages(&self.wanted()?))
    }

    /// Makes the environment, unless it has exactly these requirements already.
    pub(crate) fn install(&self) -> Outcome {
        let folder = paths::cache().join(self.folder);
        let (marker, wanted) = (folder.join("requirements.txt"), self.wanted()?);
        if fs::read_to_string(&marker).is_ok_and(|text| text == wanted) {
            eprintln!("{}: present", self.title);
            return Ok(());
        }
        eprintln!("{}: installing", self.title);
        check_version()?;
        // pip comes from outside: the venv of some distributions cannot bring its own.
        quiet(command("python3", ["-m", "venv", "--clear", "--without-pip"]).arg(&folder))?;
        show(
            command("python3", ["-m", "pip", "--python"])
                .arg(self.python())
                .args(["install", "--quiet", "--no-deps", "--only-binary", ":all:"])
                .args(self.flags)
                .arg("--requirement")
                .arg(paths::file(self.requirements)),
        )?;
        fs::write(&marker, wanted).map_err(|e| format!("cannot write {}: {e}", marker.display()))
    }

    fn wanted(&self) -> Outcome<String> {
        let path = paths::file(self.requirements);
        fs::read_to_string(&path).map_err(|e| format!("cannot read {}: {e}", path.display()))
    }
}

/// The `name==version` of a file of requirements.
fn packages(requirements: &str) -> Vec<(String, String)> {
    let pins = requirements.lines().filter(|line| !line.starts_with(['#', ' ']));
    let split = |line: &str| {
        let (name, version) = line.trim_end_matches([' ', '\\']).split_once("==")?;
        Some((name.to_owned(), version.to_owned()))
    };
    pins.filter_map(split).collect()
}

fn check_version() -> Outcome {
    let script = "import sys; print(sys.version_info >= (3, 11))";
    let answer = capture(&mut command("python3", ["-c", script]))?;
    if answer.trim() == "True" {
        return Ok(());
    }
    Err("Python 3.11 or newer is needed as `python3`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::packages;

    #[test]
    fn pins_are_read_without_hashes() {
        let text = "# note\na==1 \\\n    --hash=sha256:0\nb==2.0\n";
        let pairs = [("a", "1"), ("b", "2.0")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(packages(text), pairs);
    }
}
