//! `--dim`, `--shape` and `--const`.

use crate::build::Model;
use crate::diagnostics::rejected;
use edgecc_frontend::{ImportOptions, import};

fn model(input: &str) -> Model {
    let mut m = Model::new(13);
    m.input("image", input);
    m.node("Relu", &["image"], &["y"], vec![]);
    m.output("y");
    m
}

/// Options from flags such as `batch=1` (`--dim`), `image:1x3` (`--shape`) and `image~0.5`
/// (`--const`).
fn options(flags: &[&str]) -> ImportOptions<'static> {
    let mut options = ImportOptions::named("m");
    for flag in flags {
        if let Some((name, value)) = flag.split_once('~') {
            options.consts.push((name.to_owned(), value.parse().expect("a literal")));
        } else if let Some((name, value)) = flag.split_once('=') {
            options.dims.push((name.to_owned(), value.parse().expect("a number")));
        } else if let Some((name, dims)) = flag.split_once(':') {
            let dims = dims.split('x').map(|d| d.parse().expect("a number")).collect();
            options.shapes.push((name.to_owned(), dims));
        }
    }
    options
}

fn problems(input: &str, flags: &[&str]) -> String {
    rejected(&model(input).bytes(), &options(flags))
}

fn shape(input: &str, flags: &[&str]) -> String {
    let imported = import(&model(input).bytes(), &options(flags)).expect("a valid model");
    imported.graph.ty(imported.graph.outputs[0].value).to_string()
}

#[test]
fn dimensions_are_bound_by_name_or_by_shape() {
    assert_eq!(shape("f32[N,3]", &["N=2"]), "f32[2,3]");
    assert_eq!(shape("f32[?,3]", &["image:2x3"]), "f32[2,3]");
    assert_eq!(shape("f32[*]", &["image:2x3"]), "f32[2,3]");
    assert_eq!(shape("f32[N,3]", &["image:2x3", "N=2"]), "f32[2,3]");
}

#[test]
fn a_shape_binds_the_names_of_other_inputs() {
    let mut m = model("f32[N,3]");
    m.input("mask", "f32[N]");
    m.node("Abs", &["mask"], &["z"], vec![]);
    m.output("z");
    let imported = import(&m.bytes(), &options(&["image:2x3"])).expect("a valid model");
    assert_eq!(imported.graph.ty(imported.graph.outputs[1].value).to_string(), "f32[2]");
}

#[test]
fn unset_named_dimensions() {
    insta::assert_snapshot!(problems("f32[batch,3,height,width]", &["height=8"]));
}

#[test]
fn unset_unnamed_dimensions() {
    insta::assert_snapshot!(problems("f32[?,3,height,0]", &[]));
}

#[test]
fn unset_rank() {
    insta::assert_snapshot!(problems("f32[*]", &[]));
}

#[test]
fn misspelt_dimension() {
    insta::assert_snapshot!(problems("f32[batch,3]", &["bacth=1"]));
}

#[test]
fn dimension_of_a_static_model() {
    insta::assert_snapshot!(problems("f32[1,3]", &["batch=1"]));
}

#[test]
fn misspelt_input() {
    insta::assert_snapshot!(problems("f32[?,3]", &["imag:1x3"]));
}

#[test]
fn shape_of_another_rank() {
    insta::assert_snapshot!(problems("f32[?,3]", &["image:1x3x3"]));
}

#[test]
fn shape_that_contradicts_the_model() {
    insta::assert_snapshot!(problems("f32[N,3]", &["image:1x4"]));
}

#[test]
fn shape_that_contradicts_a_dimension() {
    insta::assert_snapshot!(problems("f32[N,3]", &["image:1x3", "N=2"]));
}

#[test]
fn unset_dimensions_and_unsupported_operators_are_reported_together() {
    let mut m = model("f32[N,3]");
    m.node("StringConcat", &["y"], &["z"], vec![]);
    m.output("z");
    insta::assert_snapshot!(rejected(&m.bytes(), &options(&[])));
}

#[test]
fn an_input_with_a_value_is_a_constant_and_binds_its_dimensions() {
    let mut m = model("f32[N]");
    m.input("mask", "f32[N]");
    m.node("Add", &["image", "mask"], &["z"], vec![]);
    m.output("z");
    let graph = import(&m.bytes(), &options(&["image~[1,-2]"])).expect("a valid model").graph;
    let inputs: Vec<_> = graph.inputs.iter().map(|i| i.name.as_str()).collect();
    assert_eq!(inputs, ["mask"]);
    let constant = graph.as_const(graph.outputs[0].value).expect("folded");
    assert_eq!(constant.to_f32s(), [1.0, 0.0]);
}

#[test]
fn misspelt_constant() {
    insta::assert_snapshot!(problems("f32[3]", &["imag~1"]));
}

#[test]
fn constant_of_another_type() {
    insta::assert_snapshot!(problems("i8[3]", &["image~300"]));
}

#[test]
fn constant_of_another_shape() {
    insta::assert_snapshot!(problems("f32[3]", &["image~[1,2]"]));
}
