//! `cargo xtask models`: compiles models for every machine, runs them under hard conditions and
//! compares with ONNX Runtime.

pub(crate) mod check;
pub(crate) mod line;
pub(crate) mod oracle;
pub(crate) mod table;

use crate::build::{MACHINES, compiler};
use crate::setup::MODELS;
use crate::{Outcome, paths};
use std::fs;
use std::path::{Path, PathBuf};

/// Which models to check and how to print the result.
#[derive(clap::Args, Default)]
pub(crate) struct Args {
    /// Check every .onnx file of this folder instead of the pinned models
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Check only models whose names contain this
    #[arg(long, default_value = "")]
    filter: String,
    /// Shape of an input, in every model that has it
    #[arg(long, value_name = "INPUT:1x3x224x224")]
    shape: Vec<String>,
    /// Value of a symbolic dimension [default: 1]
    #[arg(long, value_name = "NAME=N")]
    dim: Vec<String>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// A model to check.
pub(crate) struct Model {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    /// Arguments of the reference that close the model's open dimensions.
    pub(crate) args: Vec<String>,
}

/// Checks each model, prints the table and fails if one model failed.
pub(crate) fn run(args: &Args) -> Outcome {
    let models = chosen(args)?;
    let edgecc = compiler()?;
    let mut rows = Vec::new();
    for model in &models {
        eprintln!("checking {}", model.name);
        rows.push(check::check(&edgecc, model, &MACHINES));
    }
    println!("{}", if args.json { table::json(&rows) } else { table::text(&rows) });
    let failed = rows.iter().filter(|row| !row.passed()).count();
    if failed == 0 { Ok(()) } else { Err(format!("{failed} of {} models failed", rows.len())) }
}

fn chosen(args: &Args) -> Outcome<Vec<Model>> {
    let mut models = match &args.dir {
        Some(folder) => in_folder(folder)?,
        None => pinned()?,
    };
    models.retain(|model| model.name.contains(&args.filter));
    let flags = |flag: &str, values: &[String]| -> Vec<String> {
        values.iter().flat_map(|value| [flag.to_owned(), value.clone()]).collect()
    };
    let extra = [flags("--shape", &args.shape), flags("--dim", &args.dim)].concat();
    models.iter_mut().for_each(|model| model.args.extend(extra.iter().cloned()));
    if models.is_empty() { Err("no models to check".to_owned()) } else { Ok(models) }
}

/// The models that this project fetches.
pub(crate) fn pinned() -> Outcome<Vec<Model>> {
    let model = |pinned: &crate::setup::Pinned| {
        let args = pinned.args.iter().map(|&a| a.to_owned()).collect();
        Ok(Model { name: pinned.name.to_owned(), path: pinned.path()?, args })
    };
    MODELS.iter().map(model).collect()
}

/// Every .onnx file of a folder, sorted by name.
pub(crate) fn in_folder(folder: &Path) -> Outcome<Vec<Model>> {
    let entries = fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut models: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|e| e == "onnx"))
        .map(|path| Model { name: paths::stem(&path), path, args: Vec::new() })
        .collect();
    models.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(models)
}
