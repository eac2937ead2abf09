//! Transposed convolutions, Fourier transforms and windows, on values worked out by hand.

use crate::build::{Model, int, ints, string};
use crate::values::{apply, near, run, unary, vector};
use edgecc_ir::tensor::Tensor;
use onnx_protobuf::AttributeProto;

fn transposed(kernel: &[f32], x: &[f32], attributes: Vec<AttributeProto>) -> Tensor {
    let mut m = Model::new(13);
    m.f32s("w", &[1, 1, kernel.len() as i64], kernel);
    let x = Tensor::from_f32s(&[1, 1, x.len()], x);
    apply(m, "ConvTranspose", &["x", "w"], attributes, &x)
}

#[test]
fn transposed_windows_overlap_and_add() {
    let y = |attributes| transposed(&[1.0, 10.0, 100.0], &[1.0, 2.0], attributes);
    near(&y(vec![]), &[1, 1, 4], &[1.0, 12.0, 120.0, 200.0]);
    let strided = y(vec![ints("strides", &[2])]);
    near(&strided, &[1, 1, 5], &[1.0, 10.0, 102.0, 20.0, 200.0]);
    let apart = y(vec![ints("strides", &[4])]);
    near(&apart, &[1, 1, 7], &[1.0, 10.0, 100.0, 0.0, 2.0, 20.0, 200.0]);
    let dilated = y(vec![ints("strides", &[2]), ints("dilations", &[2])]);
    near(&dilated, &[1, 1, 7], &[1.0, 0.0, 12.0, 0.0, 120.0, 0.0, 200.0]);
}

#[test]
fn transposed_windows_are_cut_to_their_size() {
    let y = |attributes: Vec<AttributeProto>| {
        let stride = vec![ints("strides", &[2])];
        transposed(&[1.0, 10.0, 100.0], &[1.0, 2.0], [stride, attributes].concat())
    };
    near(&y(vec![ints("pads", &[1, 2])]), &[1, 1, 2], &[10.0, 102.0]);
    let longer = y(vec![ints("pads", &[1, 0]), ints("output_padding", &[1])]);
    near(&longer, &[1, 1, 5], &[10.0, 102.0, 20.0, 200.0, 0.0]);
    near(&y(vec![ints("output_shape", &[3])]), &[1, 1, 3], &[10.0, 102.0, 20.0]);
    near(&y(vec![string("auto_pad", "SAME_UPPER")]), &[1, 1, 4], &[1.0, 10.0, 102.0, 20.0]);
}

#[test]
fn transposed_groups_have_their_own_weights() {
    let mut m = Model::new(13);
    m.f32s("w", &[2, 1, 1, 2], &[1.0, 2.0, 10.0, 20.0]);
    m.f32s("b", &[2], &[0.5, 0.0]);
    let x = Tensor::from_f32s(&[1, 2, 1, 2], &[1.0, 2.0, 3.0, 4.0]);
    let attributes = vec![int("group", 2), ints("strides", &[1, 2])];
    let y = apply(m, "ConvTranspose", &["x", "w", "b"], attributes, &x);
    near(&y, &[1, 2, 1, 4], &[1.5, 2.5, 2.5, 4.5, 30.0, 60.0, 40.0, 80.0]);
}

#[test]
fn fourier_transforms_have_an_inverse() {
    let x = Tensor::from_f32s(&[1, 4, 1], &[1.0, 2.0, 3.0, 4.0]);
    let half = unary(17, "DFT", vec![int("onesided", 1)], &x);
    near(&half, &[1, 3, 2], &[10.0, 0.0, -2.0, 2.0, -2.0, 0.0]);
    let back = unary(17, "DFT", vec![int("onesided", 1), int("inverse", 1)], &half);
    near(&back, &[1, 4, 1], &[1.0, 2.0, 3.0, 4.0]);
    let whole = unary(20, "DFT", vec![], &x);
    near(&whole, &[1, 4, 2], &[10.0, 0.0, -2.0, 2.0, -2.0, 0.0, -2.0, -2.0]);
    let back = unary(20, "DFT", vec![int("inverse", 1)], &whole);
    near(&back, &[1, 4, 2], &[1.0, 0.0, 2.0, 0.0, 3.0, 0.0, 4.0, 0.0]);
}

#[test]
fn fourier_transforms_run_along_any_axis_and_fill_up_with_zeros() {
    let mut m = Model::new(20);
    m.i64s("length", &[], &[2]);
    m.i64s("axis", &[], &[0]);
    let x = Tensor::from_f32s(&[1, 2, 1], &[3.0, 5.0]);
    let y = apply(m, "DFT", &["x", "length", "axis"], vec![], &x);
    near(&y, &[2, 2, 2], &[3.0, 0.0, 5.0, 0.0, 3.0, 0.0, 5.0, 0.0]);
}

#[test]
fn frames_are_windowed_and_transformed() {
    let mut m = Model::new(17);
    m.i64s("step", &[], &[1]);
    m.f32s("window", &[2], &[1.0, 10.0]);
    let x = Tensor::from_f32s(&[1, 3, 1], &[1.0, 2.0, 3.0]);
    let y = apply(m, "STFT", &["x", "step", "window"], vec![], &x);
    near(&y, &[1, 2, 2, 2], &[21.0, 0.0, -19.0, 0.0, 32.0, 0.0, -28.0, 0.0]);
}

#[test]
fn windows_are_constants() {
    let window = |op_type: &str, periodic| {
        let mut m = Model::new(17);
        m.i64s("size", &[], &[5]);
        m.node(op_type, &["size"], &["y"], vec![int("periodic", periodic)]);
        m.output("y");
        run(&m, &[]).remove(0)
    };
    near(&window("HannWindow", 0), &[5], &[0.0, 0.5, 1.0, 0.5, 0.0]);
    near(&window("BlackmanWindow", 0), &[5], &[0.0, 0.34, 1.0, 0.34, 0.0]);
    let hamming = vector(&[0.086_956_52, 0.402_408_3, 0.912_809, 0.912_809, 0.402_408_3]);
    near(&window("HammingWindow", 1), &[5], &hamming.to_f32s());
}
