//! Gathers, resizing and sampling, on values worked out by hand.

use crate::build::{Model, float, floats, int, ints, string};
use crate::values::{apply, near, run, unary, vector};
use edgecc_frontend::{ImportOptions, import};
use edgecc_ir::graph::ops::Op;
use edgecc_ir::tensor::{Scalar, Tensor};
use edgecc_ir::types::{ElemType, TensorType};
use onnx_protobuf::AttributeProto;

fn i64s(dims: &[usize], values: &[i64]) -> Tensor {
    Tensor::from_i64s(dims, values)
}

/// One operator of `x: f32[…]` and `i: i64[…]`, both known at run time only.
fn indexed(op_type: &str, attributes: Vec<AttributeProto>, x: &Tensor, indices: &Tensor) -> Tensor {
    let mut m = Model::new(13);
    for (name, tensor) in [("x", x), ("i", indices)] {
        m.input(name, &tensor.ty.to_string());
    }
    m.node(op_type, &["x", "i"], &["y"], attributes);
    m.output("y");
    run(&m, &[x.clone(), indices.clone()]).remove(0)
}

fn table() -> Tensor {
    Tensor::from_f32s(&[2, 3], &[0.0, 1.0, 2.0, 10.0, 11.0, 12.0])
}

#[test]
fn indices_at_run_time_count_from_either_end() {
    let y = indexed("Gather", vec![int("axis", 1)], &table(), &i64s(&[2, 1], &[-1, 0]));
    near(&y, &[2, 2, 1], &[2.0, 0.0, 12.0, 10.0]);
}

#[test]
fn elements_are_gathered_along_one_dimension() {
    let y = indexed("GatherElements", vec![int("axis", 1)], &table(), &i64s(&[1, 2], &[-1, 1]));
    near(&y, &[1, 2], &[2.0, 1.0]);
}

#[test]
fn points_and_rows_are_gathered_by_tuples() {
    let points = i64s(&[2, 2], &[1, -1, 0, 0]);
    near(&indexed("GatherND", vec![], &table(), &points), &[2], &[12.0, 0.0]);
    let rows = i64s(&[1, 1, 1], &[1]);
    near(&indexed("GatherND", vec![], &table(), &rows), &[1, 1, 3], &[10.0, 11.0, 12.0]);
    let batched = i64s(&[2, 1], &[2, 0]);
    let attributes = vec![int("batch_dims", 1)];
    near(&indexed("GatherND", attributes, &table(), &batched), &[2], &[2.0, 10.0]);
}

#[test]
fn sequences_are_reversed_up_to_their_lengths() {
    let attributes = vec![int("time_axis", 1), int("batch_axis", 0)];
    let y = indexed("ReverseSequence", attributes, &table(), &i64s(&[2], &[2, 3]));
    near(&y, &[2, 3], &[1.0, 0.0, 2.0, 12.0, 11.0, 10.0]);
}

/// Resizes a vector to `count` elements.
fn resized(values: &[f32], count: i64, attributes: Vec<AttributeProto>) -> Vec<f32> {
    let mut m = Model::new(19);
    m.i64s("sizes", &[1], &[count]);
    apply(m, "Resize", &["x", "", "", "sizes"], attributes, &vector(values)).to_f32s()
}

fn transform(name: &str) -> AttributeProto {
    string("coordinate_transformation_mode", name)
}

#[test]
fn the_nearest_element_is_taken() {
    let values = [1.0, 2.0, 3.0];
    assert_eq!(resized(&values, 6, vec![]), [1.0, 1.0, 2.0, 2.0, 3.0, 3.0]);
    let floor = || vec![transform("asymmetric"), string("nearest_mode", "floor")];
    assert_eq!(resized(&values, 4, floor()), [1.0, 1.0, 2.0, 3.0]);
    assert_eq!(resized(&[1.0, 2.0, 3.0, 4.0], 2, floor()), [1.0, 3.0]);
}

#[test]
fn whole_factors_need_no_indices() {
    let mut m = Model::new(13);
    m.input("x", "f32[1,2,3,3]");
    m.f32s("scales", &[4], &[1.0, 1.0, 2.0, 2.0]);
    m.node("Resize", &["x", "", "scales"], &["y"], vec![transform("asymmetric")]);
    m.output("y");
    let graph = import(&m.bytes(), &ImportOptions::named("m")).expect("a valid model").graph;
    assert!(graph.ops.values().any(|op| matches!(op.op, Op::Broadcast(_))));
    assert!(!graph.ops.values().any(|op| matches!(op.op, Op::Gather(_))));
}

#[test]
fn elements_between_are_interpolated() {
    let linear = || vec![string("mode", "linear")];
    let y = vector(&resized(&[1.0, 2.0], 4, linear()));
    near(&y, &[4], &[1.0, 1.25, 1.75, 2.0]);
    let corners = [linear(), vec![transform("align_corners")]].concat();
    near(&vector(&resized(&[1.0, 3.0], 3, corners)), &[3], &[1.0, 2.0, 3.0]);
    let cubic = vec![string("mode", "cubic"), float("cubic_coeff_a", -0.5)];
    near(&vector(&resized(&[0.0, 1.0, 2.0, 3.0, 4.0], 5, cubic)), &[5], &[0.0, 1.0, 2.0, 3.0, 4.0]);
    let smooth = [linear(), vec![int("antialias", 1)]].concat();
    near(&vector(&resized(&[0.0, 4.0, 8.0, 12.0], 2, smooth)), &[2], &[2.5, 9.5]);
}

#[test]
fn many_neighbours_multiply_with_a_matrix() {
    let values: Vec<f32> = (0..16).map(|v| v as f32).collect();
    let attributes = vec![string("mode", "cubic"), int("antialias", 1)];
    let y = resized(&values, 2, attributes);
    assert!((y[0] + y[1] - 15.0).abs() < 1e-4 && y[0] < y[1], "{y:?}");
}

#[test]
fn what_is_cropped_outside_is_extrapolated() {
    let mut m = Model::new(13);
    m.f32s("roi", &[2], &[0.5, 1.5]);
    m.i64s("sizes", &[1], &[3]);
    let attributes = vec![
        string("mode", "linear"),
        transform("tf_crop_and_resize"),
        float("extrapolation_value", 9.0),
    ];
    let operands = ["x", "roi", "", "sizes"];
    let y = apply(m, "Resize", &operands, attributes, &vector(&[0.0, 1.0, 2.0]));
    near(&y, &[3], &[1.0, 2.0, 9.0]);
}

#[test]
fn upsample_takes_scales_as_attribute_or_operand() {
    let old = unary(7, "Upsample", vec![floats("scales", &[2.0])], &vector(&[1.0, 2.0]));
    near(&old, &[4], &[1.0, 1.0, 2.0, 2.0]);
    let mut m = Model::new(9);
    m.f32s("scales", &[1], &[2.0]);
    let linear = vec![string("mode", "linear")];
    let y = apply(m, "Upsample", &["x", "scales"], linear, &vector(&[1.0, 2.0]));
    near(&y, &[4], &[1.0, 1.5, 2.0, 2.0]);
}

/// Samples the row `1 2 3` at these coordinates.
fn sampled(at: &[f32], attributes: Vec<AttributeProto>) -> Vec<f32> {
    let mut m = Model::new(20);
    m.input("x", "f32[1,1,3]");
    let grid = Tensor::from_f32s(&[1, at.len(), 1], at);
    m.input("grid", &grid.ty.to_string());
    m.node("GridSample", &["x", "grid"], &["y"], attributes);
    m.output("y");
    run(&m, &[Tensor::from_f32s(&[1, 1, 3], &[1.0, 2.0, 3.0]), grid])[0].to_f32s()
}

#[test]
fn points_are_sampled_with_every_padding() {
    let corners = || int("align_corners", 1);
    assert_eq!(sampled(&[-1.0, 0.5, 1.0], vec![corners()]), [1.0, 2.5, 3.0]);
    assert_eq!(sampled(&[-1.5, 2.0], vec![corners()]), [0.5, 0.0]);
    let padding = |mode: &str| vec![corners(), string("padding_mode", mode)];
    assert_eq!(sampled(&[-1.5, 2.0], padding("border")), [1.0, 3.0]);
    assert_eq!(sampled(&[-1.5, 2.0], padding("reflection")), [1.5, 2.0]);
    let nearest = vec![string("mode", "nearest")];
    assert_eq!(sampled(&[-0.9, 0.1, 1.5], nearest), [1.0, 2.0, 0.0]);
    let cubic = vec![corners(), string("mode", "cubic"), string("padding_mode", "border")];
    assert_eq!(sampled(&[-1.0, 0.0], cubic), [1.0, 2.0]);
}

#[test]
fn images_are_sampled_by_columns_and_rows() {
    let mut m = Model::new(16);
    m.input("x", "f32[1,1,2,2]");
    m.f32s("grid", &[1, 1, 2, 2], &[1.0, -1.0, -1.0, 1.0]);
    m.node("GridSample", &["x", "grid"], &["y"], vec![int("align_corners", 1)]);
    m.output("y");
    let x = Tensor::from_f32s(&[1, 1, 2, 2], &[1.0, 2.0, 3.0, 4.0]);
    near(&run(&m, &[x])[0], &[1, 1, 1, 2], &[2.0, 3.0]);
}

#[test]
fn regions_are_sampled_and_pooled() {
    let pooled = |mode: &str, rois: &[f32]| {
        let mut m = Model::new(16);
        m.input("x", "f32[1,1,2,2]");
        m.input("rois", "f32[1,4]");
        m.i64s("batch", &[1], &[0]);
        let attributes = vec![string("mode", mode), int("sampling_ratio", 2)];
        m.node("RoiAlign", &["x", "rois", "batch"], &["y"], attributes);
        m.output("y");
        let x = Tensor::from_f32s(&[1, 1, 2, 2], &[1.0, 2.0, 3.0, 4.0]);
        run(&m, &[x, Tensor::from_f32s(&[1, 4], rois)]).remove(0)
    };
    near(&pooled("avg", &[0.0, 0.0, 2.0, 2.0]), &[1, 1, 1, 1], &[2.5]);
    near(&pooled("max", &[0.0, 0.0, 2.0, 2.0]), &[1, 1, 1, 1], &[4.0]);
    near(&pooled("avg", &[90.0, 90.0, 92.0, 92.0]), &[1, 1, 1, 1], &[0.0]);
}

#[test]
fn a_pool_names_the_first_largest_elements() {
    let mut m = Model::new(12);
    m.input("x", "f32[1,2,2,3]");
    let attributes = vec![ints("kernel_shape", &[2, 2])];
    m.node("MaxPool", &["x"], &["y", "i"], attributes);
    m.output("i");
    let ty = TensorType::new(ElemType::F32, &[1, 2, 2, 3]);
    let values = [1.0, 5.0, 5.0, 2.0, 3.0, 4.0, 0.0, 0.0, 0.0, 0.0, 7.0, 0.0];
    let x = Tensor::from_fn(ty, |i| Scalar::f32(values[i]));
    assert_eq!(run(&m, &[x])[0], i64s(&[1, 2, 1, 2], &[1, 1, 10, 10]));
}
