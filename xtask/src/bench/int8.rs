//! Models on codes of 8 bits: the lines of `benches/models/int8.txt`, quantised once and kept in
//! the cache as long as what makes them is the same.

use super::rows::{self, Case, MADE, Twin};
use super::{Args, scratch};
use crate::command::{command, quiet};
use crate::models::Model;
use crate::models::line::{Line, parse};
use crate::{Outcome, paths};
use std::fs;
use std::path::{Path, PathBuf};

const TABLE: &str = "benches/models/int8.txt";

const SCRIPT: &str = "benches/models/quantise.py";

/// What decides, besides its lines, what a quantised model is.
const MAKERS: [&str; 6] = [
    SCRIPT,
    "benches/models/blocks.py",
    "benches/models/sequence.py",
    "benches/models/vision.py",
    "tests/python/reference.py",
    "tests/python/requirements.txt",
];

/// The models whose names the arguments ask for, each with its twin in f32.
pub(super) fn cases(args: &Args) -> Outcome<Vec<Case>> {
    let (table, twins) = (read(TABLE)?, read(rows::TABLE)?);
    let (lines, twins) = (parse(TABLE, &table)?, parse(rows::TABLE, &twins)?);
    let folder = scratch("models")?;
    let wanted = lines.iter().filter(|line| line.name.contains(&args.models));
    let cases = wanted.map(|line| case(line, twin_of(line, &twins)?, &folder));
    let cases = cases.collect::<Outcome<Vec<_>>>()?;
    if cases.is_empty() { Err(format!("no model of {TABLE} is wanted")) } else { Ok(cases) }
}

/// The line of the model that a line quantises.
fn twin_of<'a>(line: &Line<'_>, twins: &'a [Line<'a>]) -> Outcome<&'a Line<'a>> {
    let twin = twins.iter().find(|twin| twin.name == line.path && twin.archive == MADE);
    twin.ok_or_else(|| format!("{TABLE}: {} is not a model that {} makes", line.path, rows::TABLE))
}

fn case(line: &Line<'_>, twin: &Line<'_>, folder: &Path) -> Outcome<Case> {
    let Model { path, args, .. } = rows::model(twin, folder)?;
    let quantised = quantised(line, twin, &path, &args)?;
    let model = Model { name: line.name.to_owned(), path: quantised.join("model.onnx"), args };
    Ok(Case { model, twin: Some(Twin { path, samples: quantised.join("samples.npz") }) })
}

/// The folder with the quantised model and the inputs from which it has its scales.
fn quantised(line: &Line<'_>, twin: &Line<'_>, model: &Path, args: &[String]) -> Outcome<PathBuf> {
    let folder = paths::cache().join("int8").join(line.name);
    let (marker, wanted) = (folder.join("made-by.txt"), made_by(line, twin)?);
    if fs::read_to_string(&marker).is_ok_and(|text| text == wanted) {
        return Ok(folder);
    }
    paths::create(&folder)?;
    let script = paths::file(SCRIPT);
    let mut python = command(paths::python(), ["-B".as_ref(), script.as_os_str()]);
    quiet(python.arg(line.archive).arg(model).arg(&folder).args(args))?;
    fs::write(&marker, wanted).map_err(|e| format!("cannot write {}: {e}", marker.display()))?;
    Ok(folder)
}

/// Everything that the quantised model depends on.
fn made_by(line: &Line<'_>, twin: &Line<'_>) -> Outcome<String> {
    let makers = MAKERS.iter().map(|path| read(path)).collect::<Outcome<String>>()?;
    Ok(format!("{line:?} {twin:?}\n{makers}"))
}

fn read(path: &str) -> Outcome<String> {
    fs::read_to_string(paths::file(path)).map_err(|e| format!("{path}: {e}"))
}

#[cfg(test)]
mod tests {
    use super::{TABLE, made_by, read, twin_of};
    use crate::bench::rows;
    use crate::models::line::parse;

    #[test]
    fn each_line_quantises_a_made_model_to_a_known_format() {
        let formats = read(super::SCRIPT).expect("a file of the repository");
        let [table, twins] = [TABLE, rows::TABLE].map(|name| read(name).expect("a table"));
        let twins = parse(rows::TABLE, &twins).expect("well formed");
        for line in parse(TABLE, &table).expect("well formed") {
            let twin = twin_of(&line, &twins).expect("a made model");
            assert!(formats.contains(&format!("\"{}\": (", line.archive)), "{}", line.name);
            assert!(made_by(&line, twin).expect("readable").contains(twin.path));
        }
    }
}
