//! Narrow floats and integers below a byte: what a caller sees and what is computed.

use crate::build::{Model, int, tensor};
use crate::values::{apply, near, run, vector};
use edgecc_ir::tensor::{Scalar, Tensor};
use edgecc_ir::types::{ElemType, TensorType};
use onnx_protobuf::TensorProto;

const BFLOAT16: i64 = 16;
const FLOAT8E4M3FN: i64 = 17;
const INT4: i64 = 22;

fn codes(elem: ElemType, codes: &[u64]) -> Tensor {
    let ty = TensorType::new(elem, &[codes.len()]);
    Tensor::from_fn(ty, |i| Scalar::from_bits(elem, codes[i]))
}

fn packed(code: i64, dims: &[i64], bytes: &[u8]) -> TensorProto {
    TensorProto { raw_data: bytes.to_vec(), ..tensor(code as u32, dims) }
}

/// An input of a narrow type.
fn narrow_input(m: &mut Model, name: &str, code: i64, extent: usize) {
    m.input(name, &format!("f32[{extent}]"));
    let input = m.graph().input.last_mut().expect("it was added");
    let ty = input.type_.as_mut().and_then(|ty| ty.value.as_mut());
    if let Some(onnx_protobuf::type_proto::Value::TensorType(ty)) = ty {
        ty.elem_type = code as i32;
    }
}

#[test]
fn callers_see_codes_and_sums_are_rounded() {
    let mut m = Model::new(13);
    narrow_input(&mut m, "x", BFLOAT16, 2);
    m.initializer("one", packed(BFLOAT16, &[], &[0x80, 0x3f]));
    m.node("Add", &["x", "one"], &["y"], vec![]);
    m.node("Transpose", &["x"], &["z"], vec![]);
    m.output("y");
    m.output("z");
    let x = codes(ElemType::U16, &[0x3b80, 0x4040]);
    let results = run(&m, std::slice::from_ref(&x));
    assert_eq!(results[0], codes(ElemType::U16, &[0x3f80, 0x4080]), "1 + 2⁻⁸ rounds to 1");
    assert_eq!(results[1], x);
}

#[test]
fn casts_to_and_from_codes() {
    let x = vector(&[1.0, -0.3, 1000.0, f32::NAN]);
    let eight = apply(Model::new(19), "Cast", &["x"], vec![int("to", FLOAT8E4M3FN)], &x);
    assert_eq!(eight, codes(ElemType::U8, &[0x38, 0xaa, 0x7e, 0x7f]));
    let open = vec![int("to", FLOAT8E4M3FN), int("saturate", 0)];
    let eight = apply(Model::new(19), "Cast", &["x"], open, &x);
    assert_eq!(eight.get(2), Scalar::from_bits(ElemType::U8, 0x7f));
    let mut m = Model::new(21);
    narrow_input(&mut m, "x", FLOAT8E4M3FN, 1);
    m.node("Cast", &["x"], &["y"], vec![int("to", 1)]);
    m.output("y");
    near(&run(&m, &[codes(ElemType::U8, &[0xaa])])[0], &[1], &[-0.3125]);
}

#[test]
fn a_cast_takes_the_type_of_another_operand() {
    let mut m = Model::new(21);
    m.initializer("like", packed(INT4, &[1], &[0]));
    let x = vector(&[-3.5, 7.0, 8.0]);
    let y = apply(m, "CastLike", &["x", "like"], vec![], &x);
    assert_eq!(y.to_i64s(), [-3, 7, -8]);
}

#[test]
fn blocks_of_small_codes_have_their_own_scales() {
    let mut m = Model::new(21);
    m.initializer("q", packed(INT4, &[1, 3], &[0x1f, 0x07]));
    m.f32s("scale", &[1, 2], &[2.0, 0.5]);
    m.initializer("zero", packed(INT4, &[1, 2], &[0x10]));
    let attributes = vec![int("axis", 1), int("block_size", 2)];
    m.node("DequantizeLinear", &["q", "scale", "zero"], &["y"], attributes);
    m.output("y");
    near(&run(&m, &[])[0], &[1, 3], &[-2.0, 2.0, 3.0]);
}

#[test]
fn quantisation_saturates_to_the_bounds_of_small_integers() {
    let mut m = Model::new(21);
    m.f32s("scale", &[], &[2.0]);
    m.initializer("zero", packed(INT4, &[], &[1]));
    let x = vector(&[-100.0, 1.0, 5.0, 100.0]);
    let y = apply(m, "QuantizeLinear", &["x", "scale", "zero"], vec![], &x);
    assert_eq!(y.to_i64s(), [-8, 1, 3, 7]);
}

#[test]
fn quantisation_to_narrow_floats_rounds_to_their_numbers() {
    let mut m = Model::new(21);
    m.f32s("scale", &[], &[2.0]);
    m.initializer("zero", packed(FLOAT8E4M3FN, &[], &[0]));
    let y = apply(m, "QuantizeLinear", &["x", "scale", "zero"], vec![], &vector(&[2.0, 1e6]));
    assert_eq!(y, codes(ElemType::U8, &[0x38, 0x7e]));
}
