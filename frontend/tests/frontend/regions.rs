//! Operators with graphs inside, and recurrent ones.

use crate::build::{Model, body, float, int, ints, string};
use edgecc_frontend::{ImportOptions, import};
use edgecc_ir::graph::Graph;
use edgecc_ir::graph::eval::eval;
use edgecc_ir::graph::ops::Op;
use edgecc_ir::graph::verify::verify;
use edgecc_ir::tensor::{Scalar, Tensor};
use edgecc_ir::types::ElemType;

fn graph(m: &Model) -> Graph {
    let imported = import(&m.bytes(), &ImportOptions::named("m")).expect("a valid model");
    verify(&imported.graph).expect("the importer builds valid graphs");
    imported.graph
}

fn run(m: &Model, inputs: &[Tensor]) -> Vec<Tensor> {
    eval(&graph(m), inputs)
}

fn errors(m: &Model) -> Vec<&'static str> {
    let problems = import(&m.bytes(), &ImportOptions::named("m")).expect_err("an invalid model");
    problems.iter().map(|problem| problem.code).collect()
}

/// A body that applies one operator.
fn one_op(op_type: &str, operands: &[&str]) -> Model {
    let mut m = Model::new(16);
    m.node(op_type, operands, &["inner"], vec![]);
    m.output("inner");
    m
}

fn choice(condition: &str, then: &Model, otherwise: &Model) -> Model {
    let mut m = Model::new(16);
    m.input("x", "f32[2]");
    m.input("y", "f32[2]");
    m.ints("yes", ElemType::Bool, &[], &[1]);
    m.input("go", "bool[1]");
    let branches = vec![body("then_branch", then), body("else_branch", otherwise)];
    m.node("If", &[condition], &["z"], branches);
    m.output("z");
    m
}

#[test]
fn a_condition_chooses_a_branch_with_captured_values() {
    let m = choice("go", &one_op("Neg", &["x"]), &one_op("Sub", &["x", "y"]));
    let [x, y] = [[1.0, 2.0], [5.0, 7.0]].map(|v| Tensor::from_f32s(&[2], &v));
    for (go, wanted) in [(true, [-1.0, -2.0]), (false, [-4.0, -5.0])] {
        let go = Tensor::splat(&[1], Scalar::bool(go));
        assert_eq!(run(&m, &[x.clone(), y.clone(), go])[0].to_f32s(), wanted);
    }
}

#[test]
fn a_constant_condition_ignores_the_other_branch() {
    let m = choice("yes", &one_op("Neg", &["x"]), &one_op("NoSuchOp", &["x"]));
    let inputs = [[1.0, 2.0], [0.0, 0.0]].map(|v| Tensor::from_f32s(&[2], &v));
    let [x, y] = inputs;
    let go = Tensor::splat(&[1], Scalar::bool(false));
    assert_eq!(run(&m, &[x, y, go])[0].to_f32s(), [-1.0, -2.0]);
}

#[test]
fn branches_of_different_shapes_need_a_constant_condition() {
    let m = choice("go", &one_op("Neg", &["x"]), &one_op("ReduceMax", &["x"]));
    assert_eq!(errors(&m), ["shape-mismatch"]);
}

/// `sum + i·x` while `go`, and the sums so far.
fn sums(carried: &str) -> Model {
    let mut b = Model::new(16);
    b.input("i", "i64[]");
    b.input("go_in", "bool[]");
    b.input("sum_in", "f32[*]");
    b.node("Cast", &["i"], &["number"], vec![int("to", 1)]);
    b.node("Mul", &["number", "x"], &["term"], vec![]);
    b.node(
        carried,
        &["sum_in", "term"],
        &["sum_out"],
        match carried {
            "Concat" => vec![int("axis", 0)],
            _ => vec![],
        },
    );
    b.node("Identity", &["go_in"], &["go_out"], vec![]);
    b.output("go_out");
    b.output("sum_out");
    b
}

fn counted(body_model: &Model, results: &[&str]) -> Model {
    let mut m = Model::new(16);
    m.input("x", "f32[2]");
    m.i64s("trips", &[], &[4]);
    m.f32s("start", &[2], &[0.5, 0.25]);
    m.node("Loop", &["trips", "", "start"], results, vec![body("body", body_model)]);
    results.iter().for_each(|name| m.output(name));
    m
}

#[test]
fn a_counted_loop_carries_values_and_stacks_others() {
    let mut b = sums("Add");
    b.output("term");
    let m = counted(&b, &["sum", "terms"]);
    assert!(graph(&m).ops.values().any(|data| matches!(data.op, Op::Repeat(_))));
    let outputs = run(&m, &[Tensor::from_f32s(&[2], &[1.0, 10.0])]);
    assert_eq!(outputs[0].to_f32s(), [6.5, 60.25]);
    assert_eq!(
        outputs[1],
        Tensor::from_f32s(&[4, 2], &[0.0, 0.0, 1.0, 10.0, 2.0, 20.0, 3.0, 30.0])
    );
}

#[test]
fn a_loop_whose_values_grow_is_unrolled() {
    let m = counted(&sums("Concat"), &["all"]);
    let outputs = run(&m, &[Tensor::from_f32s(&[2], &[1.0, 10.0])]);
    assert_eq!(outputs[0].ty.shape[..], [10]);
    assert_eq!(outputs[0].to_f32s()[6..], [2.0, 20.0, 3.0, 30.0]);
}

#[test]
fn a_loop_may_end_at_run_time() {
    let mut b = Model::new(16);
    b.input("i", "i64[]");
    b.input("go_in", "bool[]");
    b.input("v", "f32[]");
    b.node("Add", &["v", "v"], &["twice"], vec![]);
    b.node("Less", &["twice", "limit"], &["go_out"], vec![]);
    b.output("go_out");
    b.output("twice");
    let mut m = Model::new(16);
    m.input("trips", "i64[1]");
    m.input("limit", "f32[]");
    m.f32s("one", &[], &[1.0]);
    m.node("Loop", &["trips", "", "one"], &["y"], vec![body("body", &b)]);
    m.output("y");
    for (trips, limit, wanted) in [(10, 20.0, 32.0), (3, 20.0, 8.0), (0, 20.0, 1.0)] {
        let inputs = [Tensor::from_i64s(&[1], &[trips]), Tensor::splat(&[], Scalar::f32(limit))];
        assert_eq!(run(&m, &inputs)[0].to_f32s(), [wanted], "{trips} trips");
    }
}

#[test]
fn a_scan_moves_along_any_axis_in_any_direction() {
    let mut b = Model::new(16);
    b.input("sum_in", "f32[2]");
    b.input("slice", "f32[2]");
    b.node("Add", &["sum_in", "slice"], &["sum_out"], vec![]);
    b.node("Identity", &["sum_out"], &["copy"], vec![]);
    b.output("sum_out");
    b.output("copy");
    let mut m = Model::new(16);
    m.input("x", "f32[2,3]");
    m.f32s("start", &[2], &[0.0, 0.0]);
    let attributes = vec![
        int("num_scan_inputs", 1),
        ints("scan_input_axes", &[1]),
        ints("scan_input_directions", &[1]),
        ints("scan_output_axes", &[-1]),
        ints("scan_output_directions", &[1]),
        body("body", &b),
    ];
    m.node("Scan", &["start", "x"], &["sum", "sums"], attributes);
    m.output("sum");
    m.output("sums");
    let outputs = run(&m, &[Tensor::from_f32s(&[2, 3], &[1.0, 2.0, 3.0, 10.0, 20.0, 30.0])]);
    assert_eq!(outputs[0].to_f32s(), [6.0, 60.0]);
    assert_eq!(outputs[1], Tensor::from_f32s(&[2, 3], &[6.0, 5.0, 3.0, 60.0, 50.0, 30.0]));
}

/// An RNN of one unit whose state is the sum of all inputs.
fn summing_rnn(direction: &str, lengths: Option<&str>) -> Model {
    let mut m = Model::new(14);
    let directions = if direction == "bidirectional" { 2 } else { 1 };
    m.input("x", "f32[3,2,1]");
    let ones = vec![1.0; directions as usize];
    m.f32s("w", &[directions, 1, 1], &ones);
    m.f32s("r", &[directions, 1, 1], &ones);
    let mut attributes = vec![string("direction", direction), int("hidden_size", 1)];
    attributes.push(crate::build::strings("activations", &vec!["affine"; ones.len()]));
    attributes.push(crate::build::floats("activation_alpha", &ones));
    if lengths.is_some() {
        m.input("lengths", "i32[2]");
    }
    let operands = ["x", "w", "r", "", lengths.unwrap_or("")];
    m.node("RNN", &operands, &["y", "y_h"], attributes);
    m.output("y");
    m.output("y_h");
    m
}

fn ramp() -> Tensor {
    Tensor::from_f32s(&[3, 2, 1], &[1.0, 10.0, 2.0, 20.0, 3.0, 30.0])
}

#[test]
fn recurrent_layers_run_in_both_directions() {
    let outputs = run(&summing_rnn("bidirectional", None), &[ramp()]);
    assert_eq!(outputs[0].ty.shape[..], [3, 2, 2, 1]);
    let all = [1.0, 10.0, 6.0, 60.0, 3.0, 30.0, 5.0, 50.0, 6.0, 60.0, 3.0, 30.0];
    assert_eq!(outputs[0].to_f32s(), all);
    assert_eq!(outputs[1].to_f32s(), [6.0, 60.0, 6.0, 60.0]);
}

#[test]
fn sequences_may_end_early_at_run_time() {
    let lengths = Tensor::from_bytes(
        edgecc_ir::types::TensorType::new(ElemType::I32, &[2]),
        [2i32, 3].iter().flat_map(|v| v.to_le_bytes()).collect(),
    );
    let inputs = [ramp(), lengths];
    let forward = run(&summing_rnn("forward", Some("lengths")), &inputs);
    assert_eq!(forward[0].to_f32s(), [1.0, 10.0, 3.0, 30.0, 0.0, 60.0]);
    assert_eq!(forward[1].to_f32s(), [3.0, 60.0]);
    let reverse = run(&summing_rnn("reverse", Some("lengths")), &inputs);
    assert_eq!(reverse[0].to_f32s(), [3.0, 60.0, 2.0, 50.0, 0.0, 30.0]);
    assert_eq!(reverse[1].to_f32s(), [3.0, 60.0]);
}

#[test]
fn gates_are_clipped() {
    let mut m = Model::new(14);
    m.input("x", "f32[1,1,1]");
    m.f32s("w", &[1, 1, 1], &[1.0]);
    m.f32s("r", &[1, 1, 1], &[0.0]);
    let attributes = vec![float("clip", 0.5), crate::build::strings("activations", &["Affine"])];
    m.node("RNN", &["x", "w", "r"], &["y"], attributes);
    m.output("y");
    let y = run(&m, &[Tensor::from_f32s(&[1, 1, 1], &[9.0])]);
    assert_eq!(y[0].to_f32s(), [0.5]);
}
