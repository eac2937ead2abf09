//! Searches and scatters, and results whose size depends on the data.

use crate::build::{Model, int, ints, string};
use crate::values::{apply, run, vector};
use edgecc_frontend::{ImportOptions, import};
use edgecc_ir::tensor::Tensor;

#[test]
fn the_largest_elements_come_with_their_positions() {
    let mut m = Model::new(11);
    m.input("x", "f32[4]");
    m.i64s("k", &[1], &[2]);
    m.node("TopK", &["x", "k"], &["values", "places"], vec![int("largest", 0)]);
    m.output("values");
    m.output("places");
    let results = run(&m, &[vector(&[3.0, 1.0, 2.0, 1.0])]);
    assert_eq!((results[0].to_f32s(), results[1].to_i64s()), (vec![1.0, 1.0], vec![1, 3]));
}

#[test]
fn updates_replace_or_combine() {
    let x = Tensor::from_f32s(&[2, 2], &[1.0, 2.0, 3.0, 4.0]);
    let scatter = |op_type: &str, reduction: &str, index: (&[i64], &[i64]), updates: &[f32]| {
        let mut m = Model::new(18);
        m.i64s("index", index.0, index.1);
        let dims = if op_type == "ScatterND" { [1, 2] } else { [2, 1] };
        m.f32s("updates", &dims, updates);
        let attributes = vec![string("reduction", reduction)];
        apply(m, op_type, &["x", "index", "updates"], attributes, &x).to_f32s()
    };
    let rows = (&[1, 1][..], &[-1][..]);
    assert_eq!(scatter("ScatterND", "none", rows, &[8.0, 9.0]), [1.0, 2.0, 8.0, 9.0]);
    let elements = (&[2, 1][..], &[1, 1][..]);
    assert_eq!(scatter("ScatterElements", "add", elements, &[8.0, 9.0]), [1.0, 2.0, 20.0, 4.0]);
    assert_eq!(scatter("ScatterElements", "max", elements, &[2.0, 9.0]), [1.0, 2.0, 9.0, 4.0]);
}

#[test]
fn a_cache_is_written_round() {
    let mut m = Model::new(24);
    m.f32s("new", &[1, 2, 1], &[8.0, 9.0]);
    m.i64s("from", &[1], &[2]);
    let x = Tensor::from_f32s(&[1, 3, 1], &[1.0, 2.0, 3.0]);
    let circular = vec![string("mode", "circular")];
    let y = apply(m, "TensorScatter", &["x", "new", "from"], circular, &x);
    assert_eq!(y.to_f32s(), [9.0, 2.0, 8.0]);
}

/// Positions of elements that are not zero, one per row.
fn positions() -> Model {
    let mut m = Model::new(13);
    m.input("x", "f32[3]");
    m.node("NonZero", &["x"], &["columns"], vec![]);
    m.node("Transpose", &["columns"], &["y"], vec![ints("perm", &[1, 0])]);
    m
}

#[test]
fn a_size_that_depends_on_the_data_becomes_an_output() {
    let mut m = positions();
    m.output("y");
    let imported = import(&m.bytes(), &ImportOptions::named("m")).expect("a valid model");
    let names: Vec<&str> = imported.graph.outputs.iter().map(|o| o.name.as_str()).collect();
    assert_eq!(names, ["y", "y.count"]);
    let results = run(&m, &[vector(&[0.0, 5.0, 6.0])]);
    assert_eq!((results[0].to_i64s(), results[1].to_i64s()), (vec![1, 2, 0], vec![2]));
}

#[test]
fn what_needs_a_size_that_depends_on_the_data_is_refused() {
    let mut m = positions();
    m.node("ReduceSum", &["y"], &["sum"], vec![]);
    m.output("sum");
    let problems = import(&m.bytes(), &ImportOptions::named("m")).expect_err("refused");
    assert_eq!(problems[0].code, "data-dependent-shape");
}

#[test]
fn selections_from_constants_are_exact() {
    let mut m = Model::new(13);
    m.input("x", "f32[3]");
    m.f32s("c", &[4], &[2.0, 0.0, 1.0, 2.0]);
    m.initializer("kept", crate::build::tensor(9, &[2]));
    m.graph().initializer[1].int32_data = vec![0, 1];
    m.node("NonZero", &["c"], &["places"], vec![]);
    m.node("Unique", &["c"], &["values", "first", "inverse", "counts"], vec![]);
    m.node("Compress", &["x", "kept"], &["second"], vec![]);
    for name in ["places", "values", "first", "inverse", "counts", "second"] {
        m.output(name);
    }
    let results = run(&m, &[vector(&[7.0, 8.0, 9.0])]);
    let ints: Vec<Vec<i64>> = results.iter().map(Tensor::to_i64s).collect();
    let expected: [&[i64]; 6] =
        [&[0, 2, 3], &[0, 1, 2], &[1, 2, 0], &[2, 0, 1, 2], &[1, 1, 2], &[8]];
    assert_eq!(ints, expected);
}
