//! Compiles the model for the program's target; links the object, leaves the module to `main.rs`.

use edgecc::{Options, TargetSpec};
use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

const MODEL: &str = "../../models/cifar_dscnn.onnx";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={MODEL}");
    let options = Options {
        name: Some("classifier".to_owned()),
        target: TargetSpec::of(env::var("TARGET")?),
        ..Options::default()
    };
    let artifact = match edgecc::compile_file(MODEL, &options) {
        Ok(artifact) => artifact,
        Err(failure) => return Err(format!("{MODEL} does not compile\n{failure}").into()),
    };
    for warning in &artifact.warnings {
        println!("cargo::warning={}", warning.message);
    }
    let folder = PathBuf::from(env::var("OUT_DIR")?);
    let object = folder.join("classifier.o");
    fs::write(&object, &artifact.object)?;
    fs::write(folder.join("classifier.rs"), &artifact.rust)?;
    println!("cargo::rustc-link-arg={}", object.display());
    Ok(())
}
