//! Examples: an archive whose arrays have a further dimension, or a folder of archives.

use crate::cli::arrays::{self, Arrays};
use edgecc::quantize::Data;
use edgecc::{Code, Failure};
use edgecc_ir::tensor::Tensor;
use edgecc_ir::types::TensorType;
use std::fs;
use std::path::{Path, PathBuf};

/// Reads examples; the array `labels` holds their classes, if there is one.
pub(super) fn read(path: &Path, labels: &str) -> Result<Data, Failure> {
    let mut data = Data::default();
    if path.is_dir() {
        for file in archives(path)? {
            add(&mut data, arrays::read(&file)?, labels);
        }
    } else {
        for example in examples(arrays::read(path)?)? {
            add(&mut data, example, labels);
        }
    }
    match &data.labels {
        Some(found) if found.len() != data.examples.len() => {
            let message = format!("{} examples have {} labels", data.examples.len(), found.len());
            Err(Code::BadArrays.error(message).into())
        }
        _ => Ok(data),
    }
}

fn add(data: &mut Data, mut example: Arrays, labels: &str) {
    if let Some(label) = example.remove(labels) {
        data.labels.get_or_insert_default().extend(label.to_i64s());
    }
    data.examples.push(example);
}

/// The archives of a folder, by name.
fn archives(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = fs::read_dir(folder).map_err(|e| {
        Code::ReadFile.error(format!("cannot read the folder {}: {e}", folder.display()))
    })?;
    let paths = entries.flatten().map(|entry| entry.path());
    let mut paths: Vec<PathBuf> =
        paths.filter(|p| p.extension().is_some_and(|e| e == "npz")).collect();
    paths.sort();
    Ok(paths)
}

/// Takes arrays apart along their first dimension.
fn examples(arrays: Arrays) -> Result<Vec<Arrays>, Failure> {
    let count =
        arrays.values().map(|a| a.ty.shape.first().copied().unwrap_or(1)).max().unwrap_or(0);
    let mut examples = vec![Arrays::new(); count];
    for (name, array) in arrays {
        let own = array.ty.shape.first().copied().unwrap_or(1);
        if own != count {
            let message = format!("the array {name:?} has {own} examples, another has {count}");
            return Err(Code::BadArrays.error(message).into());
        }
        for (n, example) in examples.iter_mut().enumerate() {
            example.insert(name.clone(), part(&array, n));
        }
    }
    Ok(examples)
}

/// One element along the first dimension.
fn part(array: &Tensor, n: usize) -> Tensor {
    let dims = array.ty.shape.get(1..).unwrap_or_default();
    let ty = TensorType::new(array.ty.elem, dims);
    let size = ty.bytes();
    Tensor::from_bytes(ty, array.bytes()[n * size..][..size].to_vec())
}

#[cfg(test)]
mod tests {
    use super::{examples, part};
    use crate::cli::arrays::Arrays;
    use edgecc_ir::tensor::Tensor;

    #[test]
    fn the_first_dimension_counts_examples() {
        let array = Tensor::from_f32s(&[2, 2], &[1.0, 2.0, 3.0, 4.0]);
        assert_eq!(part(&array, 1), Tensor::from_f32s(&[2], &[3.0, 4.0]));
        let labels = Tensor::from_i64s(&[2], &[7, 8]);
        let arrays = Arrays::from([("x".to_owned(), array), ("labels".to_owned(), labels)]);
        let found = examples(arrays).expect("both have two");
        assert_eq!(found[1]["labels"].to_i64s(), [8]);
    }

    #[test]
    fn every_array_has_all_examples() {
        let array = |n| Tensor::from_i64s(&[n], &vec![0; n]);
        let arrays = Arrays::from([("x".to_owned(), array(2)), ("y".to_owned(), array(3))]);
        assert!(examples(arrays).is_err());
    }
}
