//! Bytes that are not models, and models that lie about their size.

use crate::build::{Model, int, tensor, value};
use crate::diagnostics::rejected;
use edgecc_frontend::{ImportOptions, import};
use edgecc_ir::types::ElemType;

fn small_model() -> Model {
    let mut m = Model::new(13);
    m.input("x", "f32[1,4]");
    m.f32s("w", &[4, 2], &[0.5; 8]);
    m.node("MatMul", &["x", "w"], &["y"], vec![]);
    m.output("y");
    m
}

fn reject(bytes: &[u8]) -> String {
    rejected(bytes, &ImportOptions::named("m"))
}

#[test]
fn empty_file() {
    insta::assert_snapshot!(reject(&[]));
}

#[test]
fn not_a_protobuf() {
    insta::assert_snapshot!(reject(b"<!DOCTYPE html><html>404</html>"));
}

#[test]
fn truncated_file() {
    let bytes = small_model().bytes();
    insta::assert_snapshot!(reject(&bytes[..bytes.len() - 20]));
}

#[test]
fn groups_that_would_overflow_the_stack() {
    insta::assert_snapshot!(reject(&vec![0x0b; 1 << 20]));
}

#[test]
fn tensor_that_claims_2_to_the_40_elements() {
    let mut m = small_model();
    m.initializer("huge", tensor(ElemType::F32.onnx_code(), &[1 << 20, 1 << 20]));
    insta::assert_snapshot!(reject(&m.bytes()));
}

#[test]
fn input_beyond_the_address_space() {
    let mut m = small_model();
    m.graph().input.clear();
    m.input("x", "f32[4294967296,4294967296]");
    insta::assert_snapshot!(reject(&m.bytes()));
}

#[test]
fn shapes_that_grow_without_bound() {
    let mut m = Model::new(13);
    m.i64s("shape", &[3], &[1 << 30, 1 << 30, 1 << 30]);
    m.i64s("nine", &[9], &[1; 9]);
    m.f32s("limit", &[], &[1e30]);
    m.f32s("one", &[], &[1.0]);
    m.node("ConstantOfShape", &["shape"], &["a"], vec![]);
    m.node("ConstantOfShape", &["nine"], &["b"], vec![]);
    m.node("Range", &["one", "limit", "one"], &["c"], vec![]);
    ["a", "b", "c"].iter().for_each(|name| m.output(name));
    insta::assert_snapshot!(reject(&m.bytes()));
}

#[test]
fn no_prefix_and_no_flipped_bit_panics() {
    let bytes = small_model().bytes();
    for length in 0..bytes.len() {
        let _ = import(&bytes[..length], &ImportOptions::named("m"));
    }
    for at in 0..8 * bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at / 8] ^= 1 << (at % 8);
        let _ = import(&flipped, &ImportOptions::named("m"));
    }
}

#[test]
fn extreme_attributes_do_not_panic() {
    for extreme in [i64::MIN, -1, 0, i64::from(i32::MAX), i64::MAX] {
        for (op_type, attribute) in [
            ("Softmax", "axis"),
            ("Flatten", "axis"),
            ("Concat", "axis"),
            ("Split", "axis"),
            ("LRN", "size"),
            ("DepthToSpace", "blocksize"),
            ("SpaceToDepth", "blocksize"),
            ("Cast", "to"),
            ("Shape", "start"),
        ] {
            let mut m = Model::new(18);
            m.input("x", "f32[1,4,2,2]");
            m.node(op_type, &["x"], &["y"], vec![int(attribute, extreme)]);
            m.output("y");
            let _ = import(&m.bytes(), &ImportOptions::named("m"));
        }
    }
}

#[test]
fn extreme_operands_do_not_panic() {
    for extreme in [i64::MIN, -1, 0, i64::from(i32::MAX), i64::MAX] {
        for op_type in ["Reshape", "Expand", "Tile", "Pad", "Gather", "Split", "Unsqueeze"] {
            let mut m = Model::new(13);
            m.input("x", "f32[2]");
            m.i64s("v", &[2], &[extreme, 1]);
            m.node(op_type, &["x", "v"], &["y"], vec![]);
            m.node("Slice", &["x", "v", "v"], &["z"], vec![]);
            ["y", "z"].iter().for_each(|name| m.output(name));
            let _ = import(&m.bytes(), &ImportOptions::named("m"));
        }
    }
}

#[test]
fn big_constants_of_one_value_take_no_space() {
    let mut m = Model::new(13);
    m.i64s("shape", &[2], &[1 << 14, 1 << 14]);
    let one = crate::build::f32s(&[1], &[1.0]);
    m.node("ConstantOfShape", &["shape"], &["w"], vec![value("value", one)]);
    m.input("x", "f32[1,16384]");
    m.node("MatMul", &["x", "w"], &["y"], vec![]);
    m.output("y");
    let imported = import(&m.bytes(), &ImportOptions::named("m")).expect("a valid model");
    let stored: usize = imported.graph.consts.values().map(|t| t.bytes().len()).sum();
    assert_eq!(stored, 4);
}
