//! `edgecc quantize` on the bundled model: what it writes is a model that still knows its image.

use super::{Folder, MODEL, SAMPLE, code, stdout};
use std::fs;

#[test]
fn a_quantised_model_still_classifies_and_is_the_same_each_time() {
    let folder = Folder::new("quantize");
    let reports = ["--report", "r.html", "--report", "r.json"];
    let args = ["quantize", MODEL, "--data", SAMPLE, "--ranges", "min-max", "-o"];
    let text = stdout(&folder.0, &[&args[..], &["one.onnx"], &reports].concat());
    assert!(text.starts_with("13 layers quantised, 0 in f32"), "{text}");
    stdout(&folder.0, &[&args[..], &["two.onnx"]].concat());
    let read = |name: &str| fs::read(folder.file(name)).expect("just written");
    assert!(read("one.onnx") == read("two.onnx"));
    assert!(read("one.onnx").len() < 150_000);
    let report: serde_json::Value = serde_json::from_slice(&read("r.json")).expect("JSON");
    assert_eq!(report["layers"].as_array().map(Vec::len), Some(13));
    assert!(String::from_utf8(read("r.html")).expect("UTF-8").ends_with("</body></html>\n"));

    let text = stdout(&folder.0, &["run", "one.onnx", "--inputs", SAMPLE]);
    let values = text.split_once(" = ").expect("name: type = values").1;
    let values: Vec<f32> = values.split_whitespace().map(|v| v.parse().expect("a float")).collect();
    assert!((values[3] - 0.918).abs() < 0.03, "class 3 is the cat: {values:?}");
    assert_eq!(code(&folder.0, &["verify", "one.onnx", "--inputs", SAMPLE]), Some(0));
}

#[test]
fn a_budget_of_nothing_keeps_layers_in_f32() {
    let folder = Folder::new("budget");
    let args = [
        "quantize",
        MODEL,
        "--data",
        SAMPLE,
        "--ranges",
        "min-max",
        "--max-drop",
        "0.1%",
        "--json",
    ];
    let report: serde_json::Value =
        serde_json::from_str(&stdout(&folder.0, &args)).expect("one object");
    let layers = report["layers"].as_array().expect("a list");
    let kept = layers.iter().filter(|layer| layer["float"] == true).count();
    assert!((1..layers.len()).contains(&kept), "{kept}");
    assert!(report["quality"]["distance"].as_f64().is_some_and(|d| d <= 0.001));
}

/// What the bundled model, quantised with some options, finds in the sample.
fn probabilities(folder: &Folder, options: &[&str]) -> Vec<f32> {
    let text = stdout(&folder.0, &[&["quantize", MODEL, "-o", "q.onnx"], options].concat());
    assert!(text.contains(" layers stored as codes, of "), "{text}");
    assert_eq!(code(&folder.0, &["verify", "q.onnx", "--inputs", SAMPLE]), Some(0));
    let text = stdout(&folder.0, &["run", "q.onnx", "--inputs", SAMPLE]);
    let values = text.split_once(" = ").expect("name: type = values").1;
    values.split_whitespace().map(|v| v.parse().expect("a float")).collect()
}

#[test]
fn quantisation_without_examples_stays_near_the_model() {
    let folder = Folder::new("plain");
    let text = stdout(&folder.0, &["run", MODEL, "--inputs", SAMPLE]);
    let values = text.split_once(" = ").expect("name: type = values").1;
    let right: Vec<f32> = values.split_whitespace().map(|v| v.parse().expect("a float")).collect();
    let rows: [(&[&str], f32, usize); 4] = [
        (&["--weights-only", "int8"], 0.01, 90_000),
        (&["--weights-only", "int8", "--block", "16"], 0.01, 100_000),
        (&["--weights-only", "int4"], 0.05, 65_000),
        (&["--dynamic"], 0.01, 280_000),
    ];
    for (options, bound, size) in rows {
        let found = probabilities(&folder, options);
        let error = right.iter().zip(&found).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(error > 0.0 && error < bound, "{options:?}: {error}");
        let bytes = fs::read(folder.file("q.onnx")).expect("just written").len();
        assert!(bytes < size, "{options:?}: {bytes}");
    }
}

#[test]
fn names_and_options_without_examples_are_checked() {
    let folder = Folder::new("plain_options");
    let run = |options: &[&str]| code(&folder.0, &[&["quantize", MODEL], options].concat());
    assert_eq!(run(&[]), Some(2));
    assert_eq!(run(&["--dynamic", "--data", SAMPLE]), Some(2));
    assert_eq!(run(&["--dynamic", "--weights-only", "int8"]), Some(2));
    assert_eq!(run(&["--weights-only", "int4", "--max-drop", "1%"]), Some(2));
    assert_eq!(run(&["--weights-only", "int4", "--block", "1"]), Some(2));
    assert_eq!(run(&["--weights-only", "int8", "--keep", "stem/con"]), Some(2));
    assert_eq!(folder.names(), [""; 0]);
    assert_eq!(run(&["--weights-only", "int4"]), Some(0));
    assert_eq!(folder.names(), ["cifar_dscnn.int4.onnx"]);
}

#[test]
fn examples_that_do_not_fit_are_refused() {
    let folder = Folder::new("misfit");
    stdout(&folder.0, &["run", MODEL, "--outputs", "wrong.npz"]);
    let refused = ["quantize", MODEL, "--data", "wrong.npz", "-o", "q.onnx"];
    assert_eq!(code(&folder.0, &refused), Some(2));
    assert_eq!(code(&folder.0, &["quantize", MODEL, "--data", "none.npz"]), Some(6));
    let keep = ["quantize", MODEL, "--data", SAMPLE, "--keep", "stem/con", "-o", "q.onnx"];
    assert_eq!(code(&folder.0, &keep), Some(2));
    assert_eq!(folder.names(), ["wrong.npz"]);
}
