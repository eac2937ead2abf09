//! The bundled model on this machine: the right class, and the sizes that its users plan with.

use crate::support::{ARCHS, bundled, compile_bundled, repository};
use edgecc::{Options, WeightFormat, compile_file};
use edgecc_rt::buffer::{as_bytes, as_bytes_mut};
use edgecc_rt::load::Library;
use ndarray::Array4;
use ndarray_npy::NpzReader;
use std::fmt::Write as _;
use std::fs::File;

/// What the model's card says about the sample.
const CAT: usize = 3;
const PROBABILITY: f32 = 0.918;

#[test]
fn the_sample_is_a_cat() {
    let model = compile_file(bundled(), &Options::default()).expect("the model compiles");
    let probabilities = infer(&model, &sample());
    let best = (0..10).max_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b]));
    assert_eq!(best, Some(CAT));
    assert!((probabilities[CAT] - PROBABILITY).abs() < 1e-3, "{probabilities:?}");
    assert!((probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-5);
}

#[test]
fn weights_in_half_the_memory_give_nearly_the_same() {
    let of = |weights| {
        let options = Options { weights, ..Options::default() };
        compile_file(bundled(), &options).expect("the model compiles")
    };
    let (single, half) = (of(WeightFormat::Model), of(WeightFormat::F16));
    let bytes = [&single, &half].map(|model| model.report.weights_bytes as f64);
    assert!(bytes[1] < 0.6 * bytes[0], "{bytes:?}");
    let [want, found] = [&single, &half].map(|model| infer(model, &sample()));
    assert_ne!(want, found);
    assert!(want.iter().zip(found).all(|(a, b)| (a - b).abs() < 2e-3), "{want:?} {found:?}");
}

#[test]
fn sizes_are_as_their_snapshot() {
    let mut table = String::new();
    for arch in ARCHS {
        let report = compile_bundled(arch, "model").report;
        let (arena, bound) = (report.arena_bytes, report.arena_lower_bound);
        writeln!(table, "{arch}: {} multiply-adds", report.macs).expect("a string");
        writeln!(table, "  arena {arena} bytes, lower bound {bound}").expect("a string");
        writeln!(table, "  weights {} KiB", report.weights_bytes.div_ceil(1024)).expect("a string");
    }
    insta::assert_snapshot!(table);
}

fn sample() -> Vec<f32> {
    let file = File::open(repository("models/sample.npz")).expect("the sample is bundled");
    let mut archive = NpzReader::new(file).expect("an archive");
    let image: Array4<f32> = archive.by_name("image").expect("the card names the array");
    image.into_raw_vec_and_offset().0
}

fn infer(model: &edgecc::Artifact, image: &[f32]) -> [f32; 10] {
    let library = edgecc_backend::link::shared_object(&model.object).expect("our own object");
    let library = Library::from_bytes(&library).expect("a shared library");
    let loaded = library.model(&model.name).expect("this machine's own code");
    let mut probabilities = [0.0; 10];
    let (size, align) = (model.report.arena_bytes as usize, model.report.arena_align as usize);
    let mut memory = vec![0; size + align];
    let start = memory.as_ptr().align_offset(align);
    let outputs = &mut [as_bytes_mut(&mut probabilities)];
    let workspace = &mut memory[start..start + size];
    loaded.run(&[as_bytes(image)], outputs, workspace).expect("the buffers fit");
    probabilities
}
