//! Models that cannot be compiled, and what the user reads about them.

use crate::build::{Model, float, int, ints, string, subgraph, tensor, value};
use edgecc_frontend::{ImportOptions, import};
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::types::ElemType;
use onnx_protobuf::StringStringEntryProto;
use onnx_protobuf::tensor_proto::DataLocation;

/// All diagnostics of a model that must not import.
pub(crate) fn rejected(bytes: &[u8], options: &ImportOptions<'_>) -> String {
    let problems = import(bytes, options).expect_err("the model is rejected");
    problems.iter().map(Diagnostic::to_string).collect::<Vec<_>>().join("\n\n")
}

fn problems(model: &Model) -> String {
    rejected(&model.bytes(), &ImportOptions::named("m"))
}

/// `x: f32[1,3,8,8]`, an operator, `y`.
fn with_node(op_type: &str, attributes: Vec<onnx_protobuf::AttributeProto>) -> Model {
    let mut m = Model::new(13);
    m.input("x", "f32[1,3,8,8]");
    m.node(op_type, &["x"], &["y"], attributes);
    m.output("y");
    m
}

#[test]
fn unknown_operator() {
    insta::assert_snapshot!(problems(&with_node("Multinomial", vec![])));
}

#[test]
fn operator_of_a_later_opset() {
    insta::assert_snapshot!(problems(&with_node("HardSwish", vec![])));
}

#[test]
fn several_unknown_operators_are_reported_together() {
    let mut m = Model::new(16);
    m.input("x", "f32[4]");
    m.node("Frobnicate", &["x"], &["a"], vec![]);
    m.node("Relu", &["a"], &["b"], vec![]);
    m.node("StringConcat", &["b"], &["c"], vec![]);
    m.node("Frobnicate", &["c"], &["d"], vec![]);
    m.node("com.microsoft::FusedGelu", &["d"], &["y"], vec![]);
    m.output("y");
    insta::assert_snapshot!(problems(&m));
}

#[test]
fn control_flow() {
    let mut m = Model::new(16);
    m.input("c", "bool[]");
    m.node("If", &["c"], &["y"], vec![subgraph("then_branch"), subgraph("else_branch")]);
    m.output("y");
    insta::assert_snapshot!(problems(&m));
}

#[test]
fn model_local_function() {
    let mut m = Model::new(16);
    m.import("mine", 1);
    m.proto.functions.push(onnx_protobuf::FunctionProto {
        name: "Block".to_owned(),
        domain: "mine".to_owned(),
        ..Default::default()
    });
    m.input("x", "f32[4]");
    m.node("mine::Block", &["x"], &["y"], vec![]);
    m.output("y");
    insta::assert_snapshot!(problems(&m));
}

#[test]
fn cycle() {
    let mut m = Model::new(13);
    m.input("x", "f32[4]");
    m.node("Add", &["x", "c"], &["a"], vec![]);
    m.node("Relu", &["a"], &["b"], vec![]);
    m.node("Neg", &["b"], &["c"], vec![]);
    m.node("Abs", &["c"], &["y"], vec![]);
    m.output("y");
    insta::assert_snapshot!(problems(&m));
}

#[test]
fn undefined_values() {
    let mut m = Model::new(13);
    m.input("image", "f32[4]");
    m.node("Add", &["imagee", "bias"], &["y"], vec![]);
    m.output("y");
    m.output("z");
    insta::assert_snapshot!(problems(&m));
}

#[test]
fn duplicate_names() {
    let mut m = Model::new(13);
    m.input("x", "f32[4]");
    m.input("x", "f32[4]");
    m.f32s("w", &[1], &[1.0]);
    m.f32s("w", &[1], &[2.0]);
    m.node("Relu", &["x"], &["w"], vec![]);
    m.node("Abs", &["x"], &["y"], vec![]);
    m.output("y");
    insta::assert_snapshot!(problems(&m));
}

#[test]
fn duplicate_output() {
    let mut m = with_node("Relu", vec![]);
    m.output("y");
    insta::assert_snapshot!(problems(&m));
}

#[test]
fn no_outputs() {
    let mut m = with_node("Relu", vec![]);
    m.graph().output.clear();
    insta::assert_snapshot!(problems(&m));
}

#[test]
fn unknown_attribute() {
    insta::assert_snapshot!(problems(&with_node("Relu", vec![float("slope", 0.1)])));
}

#[test]
fn attribute_of_the_wrong_type() {
    let mut m = with_node("MaxPool", vec![int("kernel_shape", 2)]);
    m.node("Softmax", &["x"], &["z"], vec![string("axis", "last")]);
    m.output("z");
    insta::assert_snapshot!(problems(&m));
}

#[test]
fn attribute_values_outside_the_specification() {
    let mut m = with_node("Transpose", vec![ints("perm", &[0, 0, 1, 2])]);
    m.node("Softmax", &["x"], &["a"], vec![int("axis", 4)]);
    m.node("DepthToSpace", &["x"], &["b"], vec![int("blocksize", 0)]);
    m.node("MaxPool", &["x"], &["c"], vec![ints("kernel_shape", &[2, 2]), ints("pads", &[1])]);
    ["a", "b", "c"].iter().for_each(|name| m.output(name));
    insta::assert_snapshot!(problems(&m));
}

#[test]
fn unsupported_attribute() {
    let attributes = vec![ints("kernel_shape", &[2, 2]), string("auto_pad", "SAME_MIDDLE")];
    insta::assert_snapshot!(problems(&with_node("MaxPool", attributes)));
}

#[test]
fn unsupported_result() {
    let mut m = Model::new(13);
    m.input("x", "f32[1,3,8,8]");
    m.f32s("c", &[3], &[1.0; 3]);
    m.node("BatchNormalization", &["x", "c", "c", "c", "c"], &["y", "mean"], vec![]);
    m.output("mean");
    insta::assert_snapshot!(problems(&m));
}

#[test]
fn wrong_number_of_operands() {
    let mut m = with_node("Add", vec![]);
    m.node("Conv", &["x", ""], &["z"], vec![]);
    m.output("z");
    insta::assert_snapshot!(problems(&m));
}

#[test]
fn matmul_of_matrices_that_do_not_fit() {
    let mut m = Model::new(13);
    m.input("a", "f32[2,3]");
    m.input("b", "f32[4,5]");
    m.node("MatMul", &["a", "b"], &["y"], vec![]);
    m.node("Relu", &["y"], &["z"], vec![]);
    m.output("z");
    insta::assert_snapshot!(problems(&m));
}

#[test]
fn convolution_with_other_channels() {
    let mut m = Model::new(13);
    m.input("x", "f32[1,3,8,8]");
    m.f32s("w", &[1, 4, 1, 1], &[0.0; 4]);
    m.node("Conv", &["x", "w"], &["y"], vec![]);
    m.output("y");
    insta::assert_snapshot!(problems(&m));
}

#[test]
fn window_larger_than_the_image() {
    insta::assert_snapshot!(problems(&with_node("MaxPool", vec![ints("kernel_shape", &[9, 9])])));
}

#[test]
fn shapes_that_do_not_broadcast() {
    let mut m = Model::new(13);
    m.input("a", "f32[2,3]");
    m.input("b", "f32[4]");
    m.node("Add", &["a", "b"], &["y"], vec![]);
    m.output("y");
    insta::assert_snapshot!(problems(&m));
}

#[test]
fn operator_without_a_meaning_for_the_type() {
    let mut m = Model::new(13);
    m.input("a", "i32[4]");
    m.node("Sqrt", &["a"], &["y"], vec![]);
    m.output("y");
    insta::assert_snapshot!(problems(&m));
}

#[test]
fn operands_of_different_types() {
    let mut m = Model::new(13);
    m.input("a", "f32[4]");
    m.input("b", "i64[4]");
    m.node("Mul", &["a", "b"], &["y"], vec![]);
    m.output("y");
    insta::assert_snapshot!(problems(&m));
}

#[test]
fn reshape_to_a_shape_from_an_input() {
    let mut m = Model::new(13);
    m.input("x", "f32[4]");
    m.input("shape", "i64[2]");
    m.node("Reshape", &["x", "shape"], &["y"], vec![]);
    m.output("y");
    insta::assert_snapshot!(problems(&m));
}

#[test]
fn reshape_to_another_size() {
    let mut m = Model::new(13);
    m.input("x", "f32[4]");
    m.i64s("shape", &[2], &[3, -1]);
    m.node("Reshape", &["x", "shape"], &["y"], vec![]);
    m.output("y");
    insta::assert_snapshot!(problems(&m));
}

#[test]
fn strings() {
    let mut m = Model::new(13);
    m.input("x", "string[4]");
    m.node("Identity", &["x"], &["y"], vec![]);
    m.output("y");
    insta::assert_snapshot!(problems(&m));
}

#[test]
fn cast_to_an_unsupported_type() {
    insta::assert_snapshot!(problems(&with_node("Cast", vec![int("to", 8)])));
}

#[test]
fn opset_0() {
    insta::assert_snapshot!(problems(&Model::new(0)));
}

#[test]
fn no_default_opset() {
    let mut m = with_node("Relu", vec![]);
    m.proto.opset_import[0].domain = "ai.onnx.ml".to_owned();
    insta::assert_snapshot!(problems(&m));
}

#[test]
fn training_mode() {
    let mut m = Model::new(14);
    m.input("x", "f32[1,2,4,4]");
    m.f32s("ratio", &[], &[0.25]);
    m.ints("training", ElemType::Bool, &[], &[1]);
    m.node("Dropout", &["x", "ratio", "training"], &["y"], vec![]);
    m.output("y");
    insta::assert_snapshot!(problems(&m));
}

#[test]
fn quantisation_that_is_not_supported() {
    let mut m = Model::new(21);
    m.input("x", "f32[4]");
    m.f32s("s", &[2], &[1.0, 2.0]);
    m.f32s("one", &[], &[1.0]);
    m.node("QuantizeLinear", &["x", "one"], &["a"], vec![int("output_dtype", 6)]);
    m.node("QuantizeLinear", &["x", "s"], &["b"], vec![int("axis", 0)]);
    ["a", "b"].iter().for_each(|name| m.output(name));
    insta::assert_snapshot!(problems(&m));
}

fn external(entries: &[(&str, &str)]) -> Model {
    let mut m = Model::new(13);
    m.input("x", "f32[4]");
    let mut weights = tensor(ElemType::F32.onnx_code(), &[4]);
    weights.data_location = DataLocation::EXTERNAL.into();
    weights.external_data = entries
        .iter()
        .map(|(key, value)| StringStringEntryProto {
            key: (*key).to_owned(),
            value: (*value).to_owned(),
            ..Default::default()
        })
        .collect();
    m.initializer("w", weights);
    m.node("Add", &["x", "w"], &["y"], vec![]);
    m.output("y");
    m
}

#[test]
fn external_data_above_the_model() {
    insta::assert_snapshot!(problems(&external(&[("location", "../../etc/passwd")])));
}

#[test]
fn external_data_with_an_absolute_path() {
    insta::assert_snapshot!(problems(&external(&[("location", "/etc/passwd")])));
}

#[test]
fn external_data_without_a_location() {
    insta::assert_snapshot!(problems(&external(&[])));
}

#[test]
fn external_data_of_another_length() {
    insta::assert_snapshot!(problems(&external(&[("location", "w.bin"), ("length", "12")])));
}

#[test]
fn external_data_that_is_missing() {
    let missing = |_: &edgecc_frontend::ExternalRange| Err("no such file".to_owned());
    let options = ImportOptions { external: &missing, ..ImportOptions::named("m") };
    insta::assert_snapshot!(rejected(&external(&[("location", "w.bin")]).bytes(), &options));
}

#[test]
fn external_data_that_is_too_short() {
    let short = |_: &edgecc_frontend::ExternalRange| Ok(vec![0; 3]);
    let options = ImportOptions { external: &short, ..ImportOptions::named("m") };
    insta::assert_snapshot!(rejected(&external(&[("location", "w.bin")]).bytes(), &options));
}

#[test]
fn tensor_with_other_data_than_its_shape() {
    let mut m = with_node("Relu", vec![]);
    m.f32s("w", &[3], &[1.0]);
    m.initializer("n", tensor(ElemType::F32.onnx_code(), &[-1]));
    m.node("Constant", &[], &["c"], vec![value("value", tensor(ElemType::F32.onnx_code(), &[2]))]);
    m.output("c");
    insta::assert_snapshot!(problems(&m));
}
