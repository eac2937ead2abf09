//! Whole tasks, such as reading text, with compiled models and with ONNX Runtime: the answers must
//! be the same.

use super::rows;
use crate::command::{capture, command, quiet};
use crate::models::Model;
use crate::setup::archive;
use crate::{Outcome, paths};
use std::path::{Path, PathBuf};

const SCRIPT: &str = "tests/python/tasks.py";

/// A task of the script.
struct Task {
    name: &'static str,
    /// Rows of the models' table.
    models: &'static [&'static str],
    /// The archive and the file in it that the task works on.
    data: Option<(&'static str, &'static str)>,
}

const PICTURE: Option<(&str, &str)> = Some(("skimage", "skimage/data/astronaut.png"));
const RECORDING: Option<(&str, &str)> = Some(("webrtcvad", "webrtcvad-2.0.10/test-audio.raw"));

const TASKS: &[Task] = &[
    Task { name: "read", models: &["ppocrv4_rec"], data: None },
    Task { name: "find_speech", models: &["silero_vad"], data: RECORDING },
    Task { name: "remove_noise", models: &["dtln_1", "dtln_2"], data: RECORDING },
    Task { name: "find_faces", models: &["yunet_320"], data: PICTURE },
    Task { name: "compare_sentences", models: &["minilm"], data: None },
];

/// Arguments of the reference that are the compiler's too; each has a value.
const SHARED: &[&str] = &["--shape", "--dim", "--const"];

/// Runs the tasks whose models are at hand; fails if one has another answer than ONNX Runtime.
pub(super) fn run(edgecc: &Path, folder: Option<&Path>) -> Outcome {
    let models = rows::models(folder, "")?;
    let mut failed = Vec::new();
    for task in TASKS {
        let find = |name: &&str| models.iter().find(|model| model.name == **name);
        let Some(found) = task.models.iter().map(find).collect::<Option<Vec<_>>>() else {
            println!("{}: not run, it needs --dir with {}", task.name, task.models.join(", "));
            continue;
        };
        match perform(edgecc, task, &found) {
            Ok(answer) => println!("{}: {}", task.name, answer.trim()),
            Err(why) => failed.push(format!("{}: {why}", task.name)),
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n")) }
}

fn perform(edgecc: &Path, task: &Task, models: &[&Model]) -> Outcome<String> {
    let folder = paths::scratch("task")?;
    let data = task.data.map(|(key, member)| archive::member(key, member)).transpose()?;
    let mut python = command(paths::python(), [paths::file(SCRIPT)]);
    python.arg(task.name).arg(data.unwrap_or_else(|| "-".into()));
    for model in models {
        python.arg(&model.path).arg(shared_object(edgecc, model, &folder)?);
    }
    capture(&mut python)
}

/// A model as a shared object under the name `model`.
pub(super) fn shared_object(edgecc: &Path, model: &Model, folder: &Path) -> Outcome<PathBuf> {
    let path = folder.join(&model.name).with_extension("so");
    quiet(
        command(edgecc, ["--name", "model", "--emit"])
            .arg(format!("so={}", path.display()))
            .args(shared_args(model))
            .arg(&model.path),
    )?;
    Ok(path)
}

/// The compiler's arguments among those of a model.
pub(super) fn shared_args(model: &Model) -> impl Iterator<Item = &String> {
    let is_shared = |pair: &&[String]| SHARED.contains(&pair[0].as_str());
    model.args.chunks(2).filter(is_shared).flatten()
}
