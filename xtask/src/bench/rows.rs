//! The models: the lines of `benches/models/models.txt`, or files.

use super::{Args, scratch};
use crate::command::{command, quiet};
use crate::models::Model;
use crate::models::line::{Line, parse};
use crate::setup::archive;
use crate::{Outcome, paths};
use std::fs;
use std::path::{Path, PathBuf};

pub(super) const TABLE: &str = "benches/models/models.txt";

/// The origin of models that `benches/models/make.py` makes.
pub(super) const MADE: &str = "made";

/// A model to measure.
pub(super) struct Case {
    pub(super) model: Model,
    /// What a model on codes was made from.
    pub(super) twin: Option<Twin>,
}

/// A model in f32 with a copy on codes.
pub(super) struct Twin {
    pub(super) path: PathBuf,
    /// The inputs from which the copy has its scales.
    pub(super) samples: PathBuf,
}

/// The models that the arguments ask for, where they can be read.
pub(super) fn cases(args: &Args) -> Outcome<Vec<Case>> {
    let models = models(args)?.into_iter();
    Ok(models.map(|model| Case { model, twin: None }).collect())
}

fn models(args: &Args) -> Outcome<Vec<Model>> {
    let folder = scratch("models")?;
    if !args.model.is_empty() {
        let file = |path: &PathBuf| Model {
            name: paths::stem(path),
            path: path.clone(),
            args: Vec::new(),
        };
        return Ok(args.model.iter().map(file).collect());
    }
    let text = fs::read_to_string(paths::file(TABLE)).map_err(|e| format!("{TABLE}: {e}"))?;
    let lines = parse(TABLE, &text)?;
    let wanted = lines.iter().filter(|line| line.name.contains(&args.models));
    let models = wanted.map(|line| model(line, &folder)).collect::<Outcome<Vec<_>>>()?;
    if models.is_empty() { Err(format!("no model of {TABLE} is wanted")) } else { Ok(models) }
}

/// The model of a line, its open dimensions closed.
pub(super) fn model(line: &Line<'_>, folder: &Path) -> Outcome<Model> {
    let path = match line.archive {
        MADE => make(line, folder)?,
        archive => closed(&archive::member(archive, line.path)?, line, folder)?,
    };
    Ok(Model { name: line.name.to_owned(), path, args: reference_args(&line.args) })
}

/// What is not closed in the model already.
fn reference_args(args: &[String]) -> Vec<String> {
    let pairs = args.chunks(2).filter(|pair| !["--shape", "--const"].contains(&pair[0].as_str()));
    pairs.flatten().cloned().collect()
}

/// The model that the function of a line makes.
pub(super) fn make(line: &Line<'_>, folder: &Path) -> Outcome<PathBuf> {
    let to = folder.join(format!("{}.onnx", line.name));
    let script = paths::file("benches/models/make.py");
    quiet(command(paths::python(), ["-B"]).arg(script).arg(line.path).arg(&to))?;
    Ok(to)
}

/// A published model with its shapes and constants, so that every peer reads the same file.
fn closed(model: &Path, line: &Line<'_>, folder: &Path) -> Outcome<PathBuf> {
    let to = folder.join(format!("{}.onnx", line.name));
    let script = paths::file("benches/models/close.py");
    quiet(command(paths::python(), [&script, model, &to]).args(&line.args))?;
    Ok(to)
}

#[cfg(test)]
mod tests {
    use super::{MADE, TABLE, reference_args};
    use crate::bench::kernels::TABLE as KERNELS;
    use crate::models::line::parse;
    use crate::paths;
    use std::fs;

    #[test]
    fn closed_shapes_are_not_given_twice() {
        let args = ["--shape", "x:1x3", "--low", "1"].map(str::to_owned);
        assert_eq!(reference_args(&args), ["--low", "1"]);
    }

    #[test]
    fn made_models_are_functions_of_the_folder() {
        let read =
            |name: &str| fs::read_to_string(paths::file(name)).expect("a file of the repository");
        let code =
            ["vision", "sequence", "kernels"].map(|n| read(&format!("benches/models/{n}.py")));
        let code = code.concat();
        for table in [TABLE, KERNELS] {
            for line in parse(table, &read(table)).expect("well formed") {
                let function = line.path.split(':').next().unwrap_or_default();
                let is_there = code.contains(&format!("def {function}("));
                assert!(line.archive != MADE || is_there, "{}", line.path);
            }
        }
    }
}
