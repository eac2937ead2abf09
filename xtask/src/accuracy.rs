//! `cargo xtask accuracy`: how many CIFAR-10 test images a compiled model gets right, and ONNX
//! Runtime with the same model.

use crate::build::{MACHINES, compiler};
use crate::command::{capture, command, quiet};
use crate::setup::{CIFAR, MODELS};
use crate::{Outcome, paths};
use std::path::{Path, PathBuf};

const SCRIPT: &str = "tests/python/accuracy.py";

/// Images and the accuracy that the model's card states for all of them.
const ALL_IMAGES: usize = 10_000;

/// How far, as a part of all images, the compiled model may be from ONNX Runtime: rounding may
/// turn an image that is undecided anyhow.
const MARGIN: f64 = 0.001;

/// What to measure.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A model from float32 images, [1,3,32,32] or [1,32,32,3], to 10 classes [default: the
    /// bundled one]
    #[arg(long)]
    model: Vec<PathBuf>,
    /// Number of images, from the first
    #[arg(long, default_value_t = ALL_IMAGES)]
    count: usize,
}

impl Args {
    /// The bundled model on a fifth of the images.
    pub(crate) fn subset() -> Args {
        Args { model: Vec::new(), count: ALL_IMAGES / 5 }
    }
}

/// Measures each model and fails if one is worse than ONNX Runtime.
pub(crate) fn run(args: &Args) -> Outcome {
    let bundled = [MODELS[0].path()?];
    let models = if args.model.is_empty() { &bundled[..] } else { &args.model };
    let edgecc = compiler()?;
    models.iter().try_for_each(|model| measure(&edgecc, model, args.count))
}

fn measure(edgecc: &Path, model: &Path, count: usize) -> Outcome {
    let folder = paths::scratch("accuracy")?;
    let (images, limit) = (CIFAR.path()?, count.to_string());
    let reference = script(&["prepare".as_ref(), model, &images, limit.as_ref(), &folder])?;
    let [native, _] = &MACHINES;
    let object = native.compile(edgecc, model, &[], &folder)?;
    let program = native.link(&object, "tests/c/batch.c")?;
    quiet(native.run(&program).arg(folder.join("records")).arg(folder.join("results")))?;
    let ours = script(&["score".as_ref(), &folder])?;
    println!(
        "{}: {:.2} % of {count} images, ONNX Runtime {:.2} %",
        paths::stem(model),
        100.0 * ours,
        100.0 * reference
    );
    if (ours - reference).abs() <= MARGIN {
        return Ok(());
    }
    Err("the accuracy differs from ONNX Runtime's".to_owned())
}

fn script(args: &[&Path]) -> Outcome<f64> {
    let text = capture(command(paths::python(), [paths::file(SCRIPT)]).args(args))?;
    text.trim().parse().map_err(|_| format!("{SCRIPT} printed {text:?}"))
}
