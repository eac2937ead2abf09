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
