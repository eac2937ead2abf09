//! What operators compute, on values worked out by hand.

use crate::build::{Model, f32s, float, int, ints, string, value};
use edgecc_frontend::{ImportOptions, import};
use edgecc_ir::graph::eval::eval;
use edgecc_ir::graph::verify::verify;
use edgecc_ir::tensor::Tensor;
use edgecc_ir::types::ElemType;
use onnx_protobuf::AttributeProto;

pub(crate) fn run(m: &Model, inputs: &[Tensor]) -> Vec<Tensor> {
    let imported = import(&m.bytes(), &ImportOptions::named("m")).expect("a valid model");
    verify(&imported.graph).expect("the importer builds valid graphs");
    eval(&imported.graph, inputs)
}

/// One operator with one `f32` input `x`; the other operands are the model's initializers.
pub(crate) fn apply(
    mut m: Model,
    op_type: &str,
    operands: &[&str],
    attributes: Vec<AttributeProto>,
    x: &Tensor,
) -> Tensor {
    let dims: Vec<String> = x.ty.shape.iter().map(ToString::to_string).collect();
    m.input("x", &format!("f32[{}]", dims.join(",")));
    m.node(op_type, operands, &["y"], attributes);
    m.output("y");
    run(&m, std::slice::from_ref(x)).remove(0)
}

pub(crate) fn unary(
    opset: i64,
    op_type: &str,
    attributes: Vec<AttributeProto>,
    x: &Tensor,
) -> Tensor {
    apply(Model::new(opset), op_type, &["x"], attributes, x)
}

pub(crate) fn near(found: &Tensor, dims: &[usize], wanted: &[f32]) {
    assert_eq!(found.ty.shape[..], *dims);
    let found = found.to_f32s();
    let fits = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-5 * b.abs().max(1.0);
    assert!(found.iter().zip(wanted).all(fits), "{found:?} is not near {wanted:?}");
}

pub(crate) fn vector(values: &[f32]) -> Tensor {
    Tensor::from_f32s(&[values.len()], values)
}

/// A square image of one channel that counts from 1.
fn image(side: usize) -> Tensor {
    let values: Vec<f32> = (1..=side * side).map(|v| v as f32).collect();
    Tensor::from_f32s(&[1, 1, side, side], &values)
}

#[test]
fn activations() {
    let x = vector(&[-2.0, 0.0, 4.0]);
    let y = |op_type: &str, attributes| unary(18, op_type, attributes, &x);
    near(&y("Relu", vec![]), &[3], &[0.0, 0.0, 4.0]);
    near(&y("LeakyRelu", vec![float("alpha", 0.5)]), &[3], &[-1.0, 0.0, 4.0]);
    near(&y("Sigmoid", vec![]), &[3], &[0.119_202_92, 0.5, 0.982_013_8]);
    near(&y("HardSigmoid", vec![]), &[3], &[0.1, 0.5, 1.0]);
    near(&y("HardSwish", vec![]), &[3], &[-1.0 / 3.0, 0.0, 4.0]);
    near(&y("Elu", vec![float("alpha", 2.0)]), &[3], &[-1.729_329_4, 0.0, 4.0]);
    near(&y("Softplus", vec![]), &[3], &[0.126_928, std::f32::consts::LN_2, 4.018_15]);
    near(&y("Mish", vec![]), &[3], &[-0.252_501_5, 0.0, 3.997_413]);
    near(&y("Sign", vec![]), &[3], &[-1.0, 0.0, 1.0]);
    near(&y("ThresholdedRelu", vec![float("alpha", 4.0)]), &[3], &[0.0, 0.0, 0.0]);
}

#[test]
fn nan_passes_through_activations() {
    let x = vector(&[f32::NAN]);
    for op_type in ["Relu", "HardSigmoid", "HardSwish", "Elu", "LeakyRelu", "Selu", "Softplus"] {
        let y = unary(14, op_type, vec![], &x);
        assert!(y.to_f32s()[0].is_nan(), "{op_type}");
    }
    let clipped = unary(6 + 1, "Clip", vec![float("min", 0.0), float("max", 1.0)], &x);
    assert!(clipped.to_f32s()[0].is_nan());
}

#[test]
fn clip_bounds_are_attributes_or_operands() {
    let x = vector(&[-1.0, 0.5, 9.0]);
    let old = unary(7, "Clip", vec![float("min", 0.0), float("max", 6.0)], &x);
    near(&old, &[3], &[0.0, 0.5, 6.0]);
    let mut m = Model::new(13);
    m.f32s("hi", &[], &[6.0]);
    near(&apply(m, "Clip", &["x", "", "hi"], vec![], &x), &[3], &[-1.0, 0.5, 6.0]);
}

#[test]
fn binary_operators_broadcast() {
    let x = Tensor::from_f32s(&[2, 1], &[1.0, 2.0]);
    let mut m = Model::new(13);
    m.f32s("w", &[3], &[10.0, 20.0, 30.0]);
    let y = apply(m, "Add", &["w", "x"], vec![], &x);
    near(&y, &[2, 3], &[11.0, 21.0, 31.0, 12.0, 22.0, 32.0]);
}

#[test]
fn extrema_propagate_nan_from_either_operand() {
    for operands in [["x", "w"], ["w", "x"]] {
        let mut m = Model::new(13);
        m.f32s("w", &[2], &[1.0, 1.0]);
        let y = apply(m, "Max", &operands, vec![], &vector(&[f32::NAN, 3.0])).to_f32s();
        assert!(y[0].is_nan() && y[1] == 3.0, "{y:?}");
    }
}

#[test]
fn convolution_adds_its_bias_and_pads() {
    let mut m = Model::new(13);
    m.f32s("w", &[2, 1, 3, 3], &[1.0; 18]);
    m.f32s("b", &[2], &[0.0, 100.0]);
    let same = vec![string("auto_pad", "SAME_UPPER"), ints("strides", &[2, 2])];
    let y = apply(m, "Conv", &["x", "w", "b"], same, &image(3));
    near(&y, &[1, 2, 2, 2], &[12.0, 16.0, 24.0, 28.0, 112.0, 116.0, 124.0, 128.0]);
}

#[test]
fn max_pool_rounds_its_size_up_on_request() {
    let window = || vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])];
    near(&unary(12, "MaxPool", window(), &image(3)), &[1, 1, 1, 1], &[5.0]);
    let ceil = [window(), vec![int("ceil_mode", 1)]].concat();
    near(&unary(12, "MaxPool", ceil, &image(3)), &[1, 1, 2, 2], &[5.0, 6.0, 8.0, 9.0]);
}

#[test]
fn average_pool_counts_pads_on_request() {
    let window = || vec![ints("kernel_shape", &[2, 2]), ints("pads", &[1, 1, 0, 0])];
    let inside = unary(12, "AveragePool", window(), &image(2));
    near(&inside, &[1, 1, 2, 2], &[1.0, 1.5, 2.0, 2.5]);
    let all = [window(), vec![int("count_include_pad", 1)]].concat();
    near(&unary(12, "AveragePool", all, &image(2)), &[1, 1, 2, 2], &[0.25, 0.75, 1.0, 2.5]);
}

#[test]
fn average_pool_does_not_count_what_rounding_up_adds() {
    let window = vec![
        ints("kernel_shape", &[2, 2]),
        ints("strides", &[2, 2]),
        int("ceil_mode", 1),
        int("count_include_pad", 1),
    ];
    near(&unary(12, "AveragePool", window, &image(3)), &[1, 1, 2, 2], &[3.0, 4.5, 7.5, 9.0]);
}

#[test]
fn local_response_normalisation_sums_over_channels() {
    let x = Tensor::from_f32s(&[1, 3, 1, 1], &[1.0, 2.0, 3.0]);
    let attributes = vec![int("size", 3), float("alpha", 3.0), float("beta", 1.0)];
    let y = unary(13, "LRN", attributes, &x);
    near(&y, &[1, 3, 1, 1], &[1.0 / 6.0, 2.0 / 15.0, 3.0 / 14.0]);
}

#[test]
fn gemm_scales_and_transposes() {
    let mut m = Model::new(13);
    m.f32s("w", &[2, 2], &[1.0, 2.0, 3.0, 4.0]);
    m.f32s("c", &[2], &[1.0, 10.0]);
    let attributes = vec![int("transB", 1), float("alpha", 2.0), float("beta", 0.5)];
    let x = Tensor::from_f32s(&[1, 2], &[1.0, 1.0]);
    near(&apply(m, "Gemm", &["x", "w", "c"], attributes, &x), &[1, 2], &[6.5, 19.0]);
}

#[test]
fn matmul_takes_vectors_and_stacks() {
    let mut m = Model::new(13);
    m.f32s("w", &[2, 2], &[1.0, 2.0, 3.0, 4.0]);
    near(&apply(m, "MatMul", &["x", "w"], vec![], &vector(&[1.0, 1.0])), &[2], &[4.0, 6.0]);
    let mut m = Model::new(13);
    m.f32s("w", &[2, 1, 2], &[1.0, 2.0, 3.0, 4.0]);
    let x = Tensor::from_f32s(&[2, 1], &[1.0, 10.0]);
    let y = apply(m, "MatMul", &["w", "x"], vec![], &x);
    near(&y, &[2, 1, 1], &[21.0, 43.0]);
}

#[test]
fn batch_normalisation_folds_its_statistics() {
    let mut m = Model::new(9);
    m.f32s("scale", &[2], &[2.0, 1.0]);
    m.f32s("bias", &[2], &[0.0, 1.0]);
    m.f32s("mean", &[2], &[1.0, 0.0]);
    m.f32s("var", &[2], &[4.0, 1.0]);
    m.input("x", "f32[1,2,1,1]");
    let operands = ["x", "scale", "bias", "mean", "var"];
    m.node("BatchNormalization", &operands, &["y"], vec![float("epsilon", 0.0)]);
    m.output("y");
    near(&run(&m, &[Tensor::from_f32s(&[1, 2, 1, 1], &[3.0, 5.0])])[0], &[1, 2, 1, 1], &[2.0, 6.0]);
    let imported = import(&m.bytes(), &ImportOptions::named("m")).expect("a valid model");
    assert_eq!(imported.graph.consts.len(), 2, "one factor and one offset per channel");
}

#[test]
fn layer_normalisation_has_three_results() {
    let mut m = Model::new(17);
    m.input("x", "f32[1,2]");
    m.f32s("scale", &[2], &[1.0, 2.0]);
    m.node(
        "LayerNormalization",
        &["x", "scale"],
        &["y", "mean", "inv"],
        vec![float("epsilon", 0.0)],
    );
    ["y", "mean", "inv"].iter().for_each(|name| m.output(name));
    let results = run(&m, &[Tensor::from_f32s(&[1, 2], &[1.0, 5.0])]);
    near(&results[0], &[1, 2], &[-1.0, 2.0]);
    near(&results[1], &[1, 1], &[3.0]);
    near(&results[2], &[1, 1], &[0.5]);
}

#[test]
fn softmax_normalised_all_later_dimensions_before_opset_13() {
    let x = Tensor::from_f32s(&[1, 2, 2], &[0.0; 4]);
    near(&unary(11, "Softmax", vec![], &x), &[1, 2, 2], &[0.25; 4]);
    near(&unary(13, "Softmax", vec![], &x), &[1, 2, 2], &[0.5; 4]);
    let log = unary(13, "LogSoftmax", vec![], &vector(&[1000.0, 1000.0]));
    near(&log, &[2], &[-std::f32::consts::LN_2; 2]);
}

#[test]
fn reductions_take_axes_as_attribute_or_operand() {
    let x = Tensor::from_f32s(&[2, 2], &[1.0, 2.0, 3.0, 4.0]);
    let along = |axis| vec![ints("axes", &[axis]), int("keepdims", 0)];
    near(&unary(11, "ReduceSum", along(-1), &x), &[2], &[3.0, 7.0]);
    near(&unary(13, "ReduceMean", along(0), &x), &[2], &[2.0, 3.0]);
    near(&unary(13, "ReduceL2", along(0), &x), &[2], &[10f32.sqrt(), 20f32.sqrt()]);
    near(&unary(13, "ReduceProd", vec![], &x), &[1, 1], &[24.0]);
    let mut m = Model::new(18);
    m.i64s("axes", &[1], &[0]);
    near(&apply(m, "ReduceMax", &["x", "axes"], vec![], &x), &[1, 2], &[3.0, 4.0]);
    let big = vector(&[1000.0, 1000.0]);
    near(&unary(13, "ReduceLogSumExp", vec![], &big), &[1], &[1_000.693_1]);
    let noop = vec![int("noop_with_empty_axes", 1)];
    near(&unary(18, "ReduceSum", noop, &x), &[2, 2], &[1.0, 2.0, 3.0, 4.0]);
}

#[test]
fn slices_take_negative_bounds_and_steps() {
    let x = vector(&[0.0, 1.0, 2.0, 3.0, 4.0]);
    let attributes = vec![ints("starts", &[1]), ints("ends", &[-1])];
    near(&unary(9, "Slice", attributes, &x), &[3], &[1.0, 2.0, 3.0]);
    let mut m = Model::new(13);
    m.i64s("starts", &[1], &[-1]);
    m.i64s("ends", &[1], &[i64::MIN]);
    m.i64s("axes", &[1], &[0]);
    m.i64s("steps", &[1], &[-2]);
    let operands = ["x", "starts", "ends", "axes", "steps"];
    near(&apply(m, "Slice", &operands, vec![], &x), &[3], &[4.0, 2.0, 0.0]);
}

#[test]
fn pads_of_every_mode() {
    let x = vector(&[1.0, 2.0, 3.0]);
    let pad = |mode: &str| {
        let mut m = Model::new(19);
        m.i64s("pads", &[2], &[2, 1]);
        apply(m, "Pad", &["x", "pads"], vec![string("mode", mode)], &x)
    };
    near(&pad("constant"), &[6], &[0.0, 0.0, 1.0, 2.0, 3.0, 0.0]);
    near(&pad("edge"), &[6], &[1.0, 1.0, 1.0, 2.0, 3.0, 3.0]);
    near(&pad("reflect"), &[6], &[3.0, 2.0, 1.0, 2.0, 3.0, 2.0]);
    near(&pad("wrap"), &[6], &[2.0, 3.0, 1.0, 2.0, 3.0, 1.0]);
    let cut = unary(10, "Pad", vec![ints("pads", &[-1, 1]), float("value", 7.0)], &x);
    near(&cut, &[3], &[2.0, 3.0, 7.0]);
}

#[test]
fn splits_and_gathers() {
    let mut m = Model::new(18);
    m.input("x", "f32[5]");
    m.node("Split", &["x"], &["a", "b"], vec![int("num_outputs", 2)]);
    m.i64s("last", &[], &[-1]);
    m.i64s("picked", &[3], &[4, 2, 0]);
    m.node("Gather", &["x", "last"], &["c"], vec![]);
    m.node("Gather", &["x", "picked"], &["d"], vec![]);
    ["a", "b", "c", "d"].iter().for_each(|name| m.output(name));
    let results = run(&m, &[vector(&[0.0, 1.0, 2.0, 3.0, 4.0])]);
    near(&results[0], &[3], &[0.0, 1.0, 2.0]);
    near(&results[1], &[2], &[3.0, 4.0]);
    near(&results[2], &[], &[4.0]);
    near(&results[3], &[3], &[4.0, 2.0, 0.0]);
}

#[test]
fn tiles_expands_and_interleaves() {
    let mut m = Model::new(13);
    m.i64s("repeats", &[2], &[1, 2]);
    let row = Tensor::from_f32s(&[1, 2], &[1.0, 2.0]);
    near(&apply(m, "Tile", &["x", "repeats"], vec![], &row), &[1, 4], &[1.0, 2.0, 1.0, 2.0]);
    let mut m = Model::new(13);
    m.i64s("shape", &[2], &[2, 1]);
    near(&apply(m, "Expand", &["x", "shape"], vec![], &row), &[2, 2], &[1.0, 2.0, 1.0, 2.0]);
    let depth = Tensor::from_f32s(&[1, 4, 1, 1], &[1.0, 2.0, 3.0, 4.0]);
    let space = unary(13, "DepthToSpace", vec![int("blocksize", 2)], &depth);
    near(&space, &[1, 1, 2, 2], &[1.0, 2.0, 3.0, 4.0]);
}

#[test]
fn shape_arithmetic_leaves_nothing_behind() {
    let mut m = Model::new(13);
    m.input("x", "f32[2,3,4]");
    m.i64s("zero", &[1], &[0]);
    m.i64s("rest", &[1], &[-1]);
    m.node("Shape", &["x"], &["shape"], vec![]);
    m.node("Gather", &["shape", "zero"], &["rows"], vec![]);
    m.node("Concat", &["rows", "rest"], &["target"], vec![int("axis", 0)]);
    m.node("Reshape", &["x", "target"], &["y"], vec![]);
    m.output("y");
    let imported = import(&m.bytes(), &ImportOptions::named("m")).expect("a valid model");
    assert_eq!(imported.graph.ops.len(), 2, "the input and one reshape");
    assert_eq!(imported.graph.ty(imported.graph.outputs[0].value).to_string(), "f32[2,12]");
}

#[test]
fn quantisation_rounds_half_to_even_and_saturates() {
    let mut m = Model::new(13);
    m.f32s("scale", &[], &[2.0]);
    m.ints("zero", ElemType::U8, &[], &[1]);
    let x = vector(&[-9.0, 1.0, 3.0, 5.0, 999.0]);
    let y = apply(m, "QuantizeLinear", &["x", "scale", "zero"], vec![], &x);
    assert_eq!(y.to_i64s(), [0, 1, 3, 3, 255]);
}

#[test]
fn zero_points_per_channel_are_spelled_out() {
    let mut m = Model::new(13);
    m.ints("q", ElemType::I8, &[2, 1], &[5, 5]);
    m.f32s("scale", &[2], &[1.0, 0.5]);
    m.ints("zero", ElemType::I8, &[2], &[0, 3]);
    m.node("DequantizeLinear", &["q", "scale", "zero"], &["y"], vec![int("axis", 0)]);
    m.output("y");
    near(&run(&m, &[])[0], &[2, 1], &[5.0, 1.0]);
}

#[test]
fn quantised_weights_stay_codes() {
    let mut m = Model::new(13);
    m.ints("q", ElemType::I8, &[2, 2], &[1, 2, 3, 4]);
    m.f32s("scale", &[], &[0.5]);
    m.node("DequantizeLinear", &["q", "scale"], &["w"], vec![]);
    let x = Tensor::from_f32s(&[1, 2], &[1.0, 1.0]);
    near(&apply(m, "MatMul", &["x", "w"], vec![], &x), &[1, 2], &[2.0, 3.0]);
}

#[test]
fn integer_products_subtract_zero_points() {
    let mut m = Model::new(13);
    m.ints("a", ElemType::U8, &[1, 2], &[130, 126]);
    m.ints("w", ElemType::I8, &[2, 1], &[100, -100]);
    m.ints("zero", ElemType::U8, &[], &[128]);
    m.node("MatMulInteger", &["a", "w", "zero"], &["y"], vec![]);
    m.output("y");
    assert_eq!(run(&m, &[])[0].to_i64s(), [400]);
}

#[test]
fn casts_and_comparisons() {
    let mut m = Model::new(13);
    m.input("x", "f32[3]");
    m.node("Cast", &["x"], &["i"], vec![int("to", 3)]);
    m.node("Constant", &[], &["one"], vec![value("value", f32s(&[], &[1.0]))]);
    m.node("Greater", &["x", "one"], &["above"], vec![]);
    m.node("Where", &["above", "x", "one"], &["y"], vec![]);
    ["i", "above", "y"].iter().for_each(|name| m.output(name));
    let results = run(&m, &[vector(&[-1.9, 1.5, 300.0])]);
    assert_eq!(results[0].to_i64s(), [-1, 1, 127]);
    assert_eq!(results[1].to_i64s(), [0, 1, 1]);
    near(&results[2], &[3], &[1.0, 1.5, 300.0]);
}

#[test]
fn weights_listed_as_inputs_are_constants() {
    let mut m = Model::new(8);
    m.input("x", "f32[2]");
    m.input("w", "f32[2]");
    m.f32s("w", &[2], &[1.0, 2.0]);
    m.node("Add", &["x", "w"], &["y"], vec![]);
    m.output("y");
    let imported = import(&m.bytes(), &ImportOptions::named("m")).expect("a valid model");
    assert_eq!(imported.graph.inputs.len(), 1);
}

#[test]
fn nodes_out_of_order_and_dead_nodes() {
    let mut m = Model::new(13);
    m.input("x", "f32[1]");
    m.node("Neg", &["a"], &["y"], vec![]);
    m.node("Abs", &["x"], &["a"], vec![]);
    m.node("NoSuchOperator", &["x"], &["unused"], vec![]);
    m.output("y");
    near(&run(&m, &[vector(&[-3.0])])[0], &[1], &[-3.0]);
}
