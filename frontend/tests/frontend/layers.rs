//! Composed layers: attention, losses, causal convolutions, grids, blocks, bit patterns.

use crate::build::{Model, float, int, ints, string};
use crate::values::{apply, near, run, unary, vector};
use edgecc_ir::tensor::Tensor;
use edgecc_ir::types::ElemType;
use onnx_protobuf::AttributeProto;

/// Two equal queries over two keys whose scores are 0, so that visible values are averaged.
fn attend(m: Model, operands: &[&str], attributes: Vec<AttributeProto>) -> Tensor {
    let mut m = m;
    m.f32s("k", &[1, 1, 2, 1], &[0.0, 0.0]);
    m.f32s("v", &[1, 1, 2, 1], &[2.0, 4.0]);
    let q = Tensor::from_f32s(&[1, 1, 2, 1], &[1.0, 1.0]);
    apply(m, "Attention", &[&["x", "k", "v"], operands].concat(), attributes, &q)
}

#[test]
fn attention_averages_what_a_query_sees() {
    let all = attend(Model::new(23), &[], vec![]);
    near(&all, &[1, 1, 2, 1], &[3.0, 3.0]);
    let causal = attend(Model::new(23), &[], vec![int("is_causal", 1)]);
    near(&causal, &[1, 1, 2, 1], &[2.0, 3.0]);
    let narrow = vec![int("left_window_size", 0), int("is_causal", 1)];
    near(&attend(Model::new(25), &[], narrow), &[1, 1, 2, 1], &[2.0, 4.0]);
    let mut m = Model::new(23);
    m.ints("mask", ElemType::Bool, &[2, 2], &[0, 0, 0, 1]);
    near(&attend(m, &["mask"], vec![]), &[1, 1, 2, 1], &[0.0, 4.0]);
}

#[test]
fn attention_adds_masks_and_counts_valid_keys() {
    let mut m = Model::new(23);
    m.f32s("mask", &[1], &[0.0]);
    near(&attend(m, &["mask"], vec![]), &[1, 1, 2, 1], &[2.0, 2.0]);
    let mut m = Model::new(24);
    m.i64s("lengths", &[1], &[1]);
    near(&attend(m, &["", "", "", "lengths"], vec![]), &[1, 1, 2, 1], &[2.0, 2.0]);
}

#[test]
fn attention_appends_to_its_cache_and_shares_keys_between_heads() {
    let mut m = Model::new(23);
    m.input("q", "f32[1,1,2]");
    m.f32s("k", &[1, 1, 1], &[0.0]);
    m.f32s("v", &[1, 1, 1], &[4.0]);
    m.f32s("past_k", &[1, 1, 1, 1], &[0.0]);
    m.f32s("past_v", &[1, 1, 1, 1], &[2.0]);
    let heads = vec![int("q_num_heads", 2), int("kv_num_heads", 1), float("softcap", 1.0)];
    let operands = ["q", "k", "v", "", "past_k", "past_v"];
    m.node("Attention", &operands, &["y", "pk", "pv", "qk"], heads);
    ["y", "pv", "qk"].iter().for_each(|name| m.output(name));
    let results = run(&m, &[Tensor::from_f32s(&[1, 1, 2], &[1.0, 5.0])]);
    near(&results[0], &[1, 1, 2], &[3.0, 3.0]);
    near(&results[1], &[1, 1, 2, 1], &[2.0, 4.0]);
    near(&results[2], &[1, 2, 1, 2], &[0.0; 4]);
}

#[test]
fn losses_weigh_the_named_classes() {
    let loss = |reduction: &str| {
        let mut m = Model::new(13);
        m.i64s("t", &[3], &[1, 0, 1]);
        m.f32s("w", &[2], &[10.0, 1.0]);
        let x = Tensor::from_f32s(&[3, 2], &[0.0, -1.0, -2.0, 0.0, 0.0, -3.0]);
        let operands = ["x", "t", "w"];
        let attributes = vec![string("reduction", reduction)];
        apply(m, "NegativeLogLikelihoodLoss", &operands, attributes, &x)
    };
    near(&loss("none"), &[3], &[1.0, 20.0, 3.0]);
    near(&loss("sum"), &[], &[24.0]);
    near(&loss("mean"), &[], &[2.0]);
}

#[test]
fn losses_leave_out_targets_to_ignore() {
    let mut m = Model::new(13);
    m.i64s("t", &[2], &[-1, 0]);
    let x = Tensor::from_f32s(&[2, 2], &[5.0, -1.0, 0.0, 0.0]);
    let attributes = vec![int("ignore_index", -1)];
    let y = apply(m, "SoftmaxCrossEntropyLoss", &["x", "t"], attributes, &x);
    near(&y, &[], &[std::f32::consts::LN_2]);
}

#[test]
fn causal_convolutions_keep_their_last_positions() {
    let mut m = Model::new(27);
    m.input("x", "f32[1,1,3]");
    m.f32s("w", &[1, 1, 2], &[10.0, 1.0]);
    m.f32s("state", &[1, 1, 1], &[7.0]);
    m.node("CausalConvWithState", &["x", "w", "", "state"], &["y", "next"], vec![]);
    m.output("y");
    m.output("next");
    let results = run(&m, &[Tensor::from_f32s(&[1, 1, 3], &[1.0, 2.0, 3.0])]);
    near(&results[0], &[1, 1, 3], &[71.0, 12.0, 23.0]);
    near(&results[1], &[1, 1, 1], &[3.0]);
}

#[test]
fn rotary_embeddings_turn_pairs_by_their_position() {
    let turned = |interleaved| {
        let mut m = Model::new(23);
        m.f32s("cos", &[2, 1], &[1.0, 0.0]);
        m.f32s("sin", &[2, 1], &[0.0, 1.0]);
        m.i64s("at", &[1, 1], &[1]);
        let attributes = vec![
            int("interleaved", interleaved),
            int("rotary_embedding_dim", 2),
            int("num_heads", 1),
        ];
        let x = Tensor::from_f32s(&[1, 1, 3], &[1.0, 2.0, 3.0]);
        apply(m, "RotaryEmbedding", &["x", "cos", "sin", "at"], attributes, &x)
    };
    near(&turned(0), &[1, 1, 3], &[-2.0, 1.0, 3.0]);
    near(&turned(1), &[1, 1, 3], &[-2.0, 1.0, 3.0]);
}

#[test]
fn recurrent_attention_adds_to_its_state_and_corrects_it() {
    let recur = |rule: &str, beta: &str| {
        let mut m = Model::new(27);
        m.f32s("k", &[1, 2, 1], &[1.0, 2.0]);
        m.f32s("v", &[1, 2, 1], &[3.0, 5.0]);
        m.f32s("beta", &[1, 2, 1], &[1.0, 0.5]);
        let attributes = vec![
            int("q_num_heads", 1),
            int("kv_num_heads", 1),
            float("scale", 2.0),
            string("update_rule", rule),
        ];
        let q = Tensor::from_f32s(&[1, 2, 1], &[1.0, 1.0]);
        apply(m, "LinearAttention", &["x", "k", "v", "", "", beta], attributes, &q)
    };
    near(&recur("linear", ""), &[1, 2, 1], &[6.0, 26.0]);
    near(&recur("delta", "beta"), &[1, 2, 1], &[6.0, 4.0]);
}

#[test]
fn grids_run_over_pixel_centres_or_corners() {
    let grid = |corners| {
        let mut m = Model::new(20);
        m.i64s("size", &[4], &[1, 1, 1, 2]);
        let theta = Tensor::from_f32s(&[1, 2, 3], &[1.0, 0.0, 0.0, 0.0, 0.0, 5.0]);
        apply(m, "AffineGrid", &["x", "size"], vec![int("align_corners", corners)], &theta)
    };
    near(&grid(0), &[1, 1, 2, 2], &[-0.5, 5.0, 0.5, 5.0]);
    near(&grid(1), &[1, 1, 2, 2], &[-1.0, 5.0, 1.0, 5.0]);
}

#[test]
fn boxes_are_cut_and_padded_around_the_centre() {
    let boxed = |extent| {
        let mut m = Model::new(18);
        m.i64s("shape", &[1], &[extent]);
        apply(m, "CenterCropPad", &["x", "shape"], vec![], &vector(&[1.0, 2.0, 3.0, 4.0]))
    };
    near(&boxed(1), &[1], &[2.0]);
    near(&boxed(7), &[7], &[0.0, 1.0, 2.0, 3.0, 4.0, 0.0, 0.0]);
}

#[test]
fn blocks_overlap_and_add() {
    let mut m = Model::new(18);
    m.i64s("image", &[2], &[1, 3]);
    m.i64s("block", &[2], &[1, 2]);
    let x = Tensor::from_f32s(&[1, 2, 2], &[1.0, 2.0, 10.0, 20.0]);
    let y = apply(m, "Col2Im", &["x", "image", "block"], vec![], &x);
    near(&y, &[1, 1, 1, 3], &[1.0, 12.0, 20.0]);
}

#[test]
fn bits_change_their_meaning() {
    let bits = unary(26, "BitCast", vec![int("to", 6)], &vector(&[1.0]));
    assert_eq!(bits.to_i64s(), [0x3f80_0000]);
    let mut m = Model::new(26);
    m.input("x", "f16[1]");
    m.node("BitCast", &["x"], &["y"], vec![int("to", 16)]);
    m.output("y");
    let half = Tensor::from_bytes(
        edgecc_ir::types::TensorType::new(ElemType::F16, &[1]),
        vec![0x80, 0x3f],
    );
    assert_eq!(run(&m, &[half])[0].to_i64s(), [0x3f80]);
}

#[test]
fn batch_statistics_move_the_stored_ones() {
    let mut m = Model::new(15);
    m.input("x", "f32[2,1]");
    for (name, value) in [("scale", 1.0), ("bias", 0.0), ("mean", 10.0), ("var", 1.0)] {
        m.f32s(name, &[1], &[value]);
    }
    let attributes = vec![int("training_mode", 1), float("momentum", 0.5), float("epsilon", 0.0)];
    let operands = ["x", "scale", "bias", "mean", "var"];
    m.node("BatchNormalization", &operands, &["y", "m", "v"], attributes);
    ["y", "m", "v"].iter().for_each(|name| m.output(name));
    let results = run(&m, &[Tensor::from_f32s(&[2, 1], &[1.0, 5.0])]);
    near(&results[0], &[2, 1], &[-1.0, 1.0]);
    near(&results[1], &[1], &[6.5]);
    near(&results[2], &[1], &[2.5]);
}

#[test]
fn pools_of_any_power() {
    let x = Tensor::from_f32s(&[1, 1, 2], &[-1.0, 2.0]);
    let y = unary(18, "LpPool", vec![ints("kernel_shape", &[2]), int("p", 3)], &x);
    near(&y, &[1, 1, 1], &[9f32.cbrt()]);
}

#[test]
fn integer_zero_points_per_row_and_column() {
    let mut m = Model::new(10);
    m.ints("a", ElemType::U8, &[2, 1], &[3, 5]);
    m.ints("w", ElemType::U8, &[1, 2], &[10, 20]);
    m.ints("za", ElemType::U8, &[2], &[1, 2]);
    m.ints("zw", ElemType::U8, &[2], &[0, 10]);
    m.node("MatMulInteger", &["a", "w", "za", "zw"], &["y"], vec![]);
    m.output("y");
    assert_eq!(run(&m, &[])[0].to_i64s(), [20, 20, 30, 30]);
}

#[test]
fn remainders_by_infinity() {
    let mut m = Model::new(13);
    m.f32s("limit", &[], &[f32::INFINITY]);
    let rest = apply(m, "Mod", &["x", "limit"], vec![int("fmod", 1)], &vector(&[-2.0, 3.0]));
    near(&rest, &[2], &[-2.0, 3.0]);
}
