//! The models: one line of `tests/zoo/models.txt` each, and those of a folder.

use crate::models::line::{Line, parse};
use crate::models::{Model, in_folder};
use crate::setup::archive;
use crate::{Outcome, paths};
use std::fs;
use std::path::Path;

const TABLE: &str = "tests/zoo/models.txt";

/// The archive that stands for the folder of `--dir`.
const FOLDER: &str = "dir";

/// The models of the table and of the folder whose names contain `filter`. A file of the folder
/// has the name and the arguments of its line, if there is one.
pub(super) fn models(folder: Option<&Path>, filter: &str) -> Outcome<Vec<Model>> {
    let text = fs::read_to_string(paths::file(TABLE)).map_err(|e| format!("{TABLE}: {e}"))?;
    let lines = parse(TABLE, &text)?;
    let mut models = Vec::new();
    for line in &lines {
        if line.archive != FOLDER && line.name.contains(filter) {
            let path = archive::member(line.archive, line.path)?;
            models.push(Model { name: line.name.to_owned(), path, args: line.args.clone() });
        }
    }
    let files = folder.map(in_folder).transpose()?.unwrap_or_default();
    let described = files.into_iter().map(|model| describe(model, &lines));
    models.extend(described.filter(|model| model.name.contains(filter)));
    if models.is_empty() { Err("no models to check".to_owned()) } else { Ok(models) }
}

fn describe(model: Model, lines: &[Line<'_>]) -> Model {
    let file = format!("{}.onnx", model.name);
    match lines.iter().find(|line| line.archive == FOLDER && line.path == file) {
        Some(line) => Model { name: line.name.to_owned(), args: line.args.clone(), ..model },
        None => model,
    }
}

#[cfg(test)]
mod tests {
    use super::describe;
    use crate::models::Model;
    use crate::models::line::parse;

    #[test]
    fn a_file_gets_the_arguments_of_its_line() {
        let lines =
            parse("a table", "a  dir:b.onnx  --low 1\nc pip:d/e.onnx\n").expect("two lines");
        let file =
            |name: &str| Model { name: name.to_owned(), path: "/b.onnx".into(), args: Vec::new() };
        let known = describe(file("b"), &lines);
        assert_eq!((known.name.as_str(), known.args.len()), ("a", 2));
        assert_eq!(describe(file("e"), &lines).name, "e");
    }
}
