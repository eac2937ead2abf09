//! `edgecc quantize` on the bundled model: what it writes is a model that still knows its image.

use super::{Folder, MODEL, SAMPLE, code, stdout};
use onnx_protobuf::{Message, ModelProto, NodeProto, TensorProto};
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
    let decisions = [&args[..7], &["0", "--measure", "decisions", "--json"]].concat();
    let report: serde_json::Value =
        serde_json::from_str(&stdout(&folder.0, &decisions)).expect("one object");
    assert_eq!(report["quality"]["decisions"], 0.0);
}

/// The layer with an outlier, and its channel.
const PLANTED: (&str, usize) = ("block2/pointwise/conv", 5);

/// The bundled model with one channel of a layer's input 80 times as large, for which its weights
/// make up.
fn with_outlier() -> Vec<u8> {
    const TIMES: f32 = 80.0;
    let bytes = fs::read(MODEL).expect("the model is bundled");
    let mut model = ModelProto::parse_from_bytes(&bytes).expect("a model");
    let graph = model.graph.as_mut().expect("a graph");
    let at = graph.node.iter().position(|n| n.name == PLANTED.0).expect("the model has the layer");
    let (input, weights) = (graph.node[at].input[0].clone(), graph.node[at].input[1].clone());
    let stored = graph.initializer.iter_mut().find(|t| t.name == weights).expect("stored");
    let channels = stored.dims[1] as usize;
    for (n, bytes) in stored.raw_data.chunks_exact_mut(4).enumerate() {
        let weight = f32::from_le_bytes(bytes.try_into().expect("four bytes"));
        let part = if n % channels == PLANTED.1 { TIMES } else { 1.0 };
        bytes.copy_from_slice(&(weight / part).to_le_bytes());
    }
    let factor = |n: usize| if n == PLANTED.1 { TIMES } else { 1.0 };
    graph.initializer.push(TensorProto {
        name: "outlier".to_owned(),
        dims: vec![channels as i64, 1, 1],
        data_type: 1,
        raw_data: (0..channels).flat_map(|n| factor(n).to_le_bytes()).collect(),
        ..Default::default()
    });
    let planted = NodeProto {
        op_type: "Mul".to_owned(),
        input: vec![input, "outlier".to_owned()],
        output: vec!["planted".to_owned()],
        ..Default::default()
    };
    "planted".clone_into(&mut graph.node[at].input[0]);
    graph.node.insert(at, planted);
    model.write_to_bytes().expect("writable")
}

#[test]
fn a_planted_outlier_is_found_and_costs_one_layer_at_most() {
    let folder = Folder::new("outlier");
    fs::write(folder.file("planted.onnx"), with_outlier()).expect("writable");
    let report = |options: &[&str]| -> serde_json::Value {
        let args = ["quantize", "planted.onnx", "--data", SAMPLE, "--ranges", "mse", "--json"];
        let text = stdout(&folder.0, &[&args, options].concat());
        serde_json::from_str(&text).expect("one object")
    };
    let loss =
        |report: &serde_json::Value| report["quality"]["distance"].as_f64().expect("a number");
    let kept = |report: &serde_json::Value| -> Vec<String> {
        let layers = report["layers"].as_array().expect("a list");
        let float = layers.iter().filter(|layer| layer["float"] == true);
        float.map(|layer| layer["name"].as_str().expect("a name").to_owned()).collect()
    };
    let plain = report(&["--keep-channels"]);
    assert_eq!(plain["layers"][0]["name"], PLANTED.0);
    assert!(loss(&plain) > 0.05, "{}", loss(&plain));
    let lifted = report(&["--keep-channels", "--max-drop", "1%"]);
    assert_eq!(kept(&lifted), [PLANTED.0]);
    assert!(loss(&lifted) <= 0.01, "{}", loss(&lifted));
    let alike = report(&["--max-drop", "1%"]);
    assert_eq!(kept(&alike), [""; 0], "channels made alike need no layer in f32");
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

/// Bytes of weights in the object of `q.onnx`.
fn weights_bytes(folder: &Folder, format: &str) -> u64 {
    stdout(&folder.0, &["q.onnx", "--weights", format, "-o", "q.o"]);
    let report = fs::read(folder.file("q.json")).expect("just written");
    let report: serde_json::Value = serde_json::from_slice(&report).expect("JSON");
    report["weights_bytes"].as_u64().expect("a size")
}

#[test]
fn weights_of_a_few_bits_keep_them_in_the_object() {
    let folder = Folder::new("codes");
    let rows: [(&[&str], u64); 3] = [
        (&["--weights-only", "int8"], 30),
        (&["--weights-only", "int8", "--block", "16"], 35),
        (&["--weights-only", "int4"], 25),
    ];
    for (options, percent) in rows {
        let quantize = ["quantize", MODEL, "-o", "q.onnx"];
        stdout(&folder.0, &[&quantize, options].concat());
        let [codes, numbers] = ["model", "f32"].map(|format| weights_bytes(&folder, format));
        assert!(100 * codes < percent * numbers, "{options:?}: {codes} of {numbers} bytes");
        let f32s = ["verify", "q.onnx", "--inputs", SAMPLE, "--weights", "f32"];
        assert_eq!(code(&folder.0, &f32s), Some(0));
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
    assert_eq!(run(&["--data", SAMPLE, "--measure", "decisions"]), Some(2));
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
