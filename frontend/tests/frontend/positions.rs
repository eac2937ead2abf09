//! Operators that compare, search or accumulate along positions, on values worked out by hand.

use crate::build::{Model, int, string};
use crate::values::{apply, near, run, unary, vector};
use edgecc_ir::tensor::Tensor;
use edgecc_ir::types::ElemType;

fn matrix(rows: usize, values: &[f32]) -> Tensor {
    Tensor::from_f32s(&[rows, values.len() / rows], values)
}

#[test]
fn the_first_or_the_last_of_equal_elements_is_found() {
    let x = matrix(2, &[1.0, 3.0, 3.0, 5.0, 2.0, 5.0]);
    let find = |op_type: &str, attributes| unary(13, op_type, attributes, &x);
    assert_eq!(find("ArgMax", vec![int("axis", 1)]), Tensor::from_i64s(&[2, 1], &[1, 0]));
    let last = vec![int("axis", -1), int("select_last_index", 1), int("keepdims", 0)];
    assert_eq!(find("ArgMax", last), Tensor::from_i64s(&[2], &[2, 2]));
    assert_eq!(find("ArgMin", vec![]), Tensor::from_i64s(&[1, 3], &[0, 1, 0]));
}

#[test]
fn nan_is_found_only_in_the_first_place() {
    let nan = f32::NAN;
    for (values, place) in [([nan, 2.0, 3.0], 0), ([1.0, nan, 3.0], 2), ([nan; 3], 0)] {
        assert_eq!(unary(13, "ArgMax", vec![], &vector(&values)).to_i64s(), [place], "{values:?}");
    }
    let x = vector(&[f32::NEG_INFINITY, f32::NEG_INFINITY, nan]);
    assert_eq!(unary(13, "ArgMax", vec![int("select_last_index", 1)], &x).to_i64s(), [1]);
}

#[test]
fn hardmax_marks_one_element() {
    let x = Tensor::from_f32s(&[2, 2, 2], &[1.0, 3.0, 3.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    let rows = unary(13, "Hardmax", vec![], &x);
    assert_eq!(rows.to_f32s(), [0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0]);
    let flattened = unary(11, "Hardmax", vec![], &x);
    assert_eq!(flattened.to_f32s(), [0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]);
}

#[test]
fn negative_one_hot_indices_count_from_the_end_since_opset_11() {
    for (opset, third) in [(9, [5.0, 5.0, 5.0]), (11, [5.0, 5.0, 2.0])] {
        let mut m = Model::new(opset);
        m.i64s("depth", &[], &[3]);
        m.f32s("levels", &[2], &[5.0, 2.0]);
        let y = apply(m, "OneHot", &["x", "depth", "levels"], vec![], &vector(&[1.0, 7.0, -1.0]));
        assert_eq!(y.to_f32s()[..6], [5.0, 2.0, 5.0, 5.0, 5.0, 5.0]);
        assert_eq!(y.to_f32s()[6..], third);
    }
}

#[test]
fn a_triangle_is_kept() {
    let x = matrix(2, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    near(&unary(14, "Trilu", vec![], &x), &[2, 3], &[1.0, 2.0, 3.0, 0.0, 5.0, 6.0]);
    let mut m = Model::new(14);
    m.i64s("k", &[], &[1]);
    let y = apply(m, "Trilu", &["x", "k"], vec![int("upper", 0)], &x);
    near(&y, &[2, 3], &[1.0, 2.0, 0.0, 4.0, 5.0, 6.0]);
}

#[test]
fn ones_lie_on_a_diagonal() {
    let attributes = vec![int("k", -1), int("dtype", i64::from(ElemType::I32.onnx_code()))];
    let y = unary(9, "EyeLike", attributes, &matrix(2, &[7.0; 6]));
    assert_eq!((y.ty.elem, y.to_i64s()), (ElemType::I32, vec![0, 0, 0, 1, 0, 0]));
}

#[test]
fn running_sums_start_at_either_end() {
    let x = vector(&[1.0, 2.0, 3.0, 4.0, 5.0]);
    let sums = |attributes| {
        let mut m = Model::new(14);
        m.i64s("axis", &[], &[0]);
        apply(m, "CumSum", &["x", "axis"], attributes, &x).to_f32s()
    };
    assert_eq!(sums(vec![]), [1.0, 3.0, 6.0, 10.0, 15.0]);
    assert_eq!(sums(vec![int("exclusive", 1)]), [0.0, 1.0, 3.0, 6.0, 10.0]);
    assert_eq!(sums(vec![int("reverse", 1)]), [15.0, 14.0, 12.0, 9.0, 5.0]);
    let both = vec![int("reverse", 1), int("exclusive", 1)];
    assert_eq!(sums(both), [14.0, 12.0, 9.0, 5.0, 0.0]);
}

#[test]
fn running_products_start_at_one() {
    let mut m = Model::new(26);
    m.i64s("axis", &[1], &[-1]);
    let x = vector(&[2.0, 3.0, 4.0]);
    let y = apply(m, "CumProd", &["x", "axis"], vec![int("exclusive", 1)], &x);
    assert_eq!(y.to_f32s(), [1.0, 2.0, 6.0]);
}

fn einsum(equation: &str, operands: &[&Tensor]) -> Tensor {
    let mut m = Model::new(12);
    let names: Vec<String> = (0..operands.len()).map(|n| format!("x{n}")).collect();
    for (name, x) in names.iter().zip(operands) {
        let dims: Vec<String> = x.ty.shape.iter().map(ToString::to_string).collect();
        m.input(name, &format!("f32[{}]", dims.join(",")));
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    m.node("Einsum", &names, &["y"], vec![string("equation", equation)]);
    m.output("y");
    let operands: Vec<Tensor> = operands.iter().map(|&x| x.clone()).collect();
    run(&m, &operands).remove(0)
}

#[test]
fn einstein_sums() {
    let x = matrix(2, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let square = matrix(2, &[1.0, 2.0, 3.0, 4.0]);
    near(&einsum("ij->ji", &[&x]), &[3, 2], &[1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    near(&einsum("ij -> i", &[&x]), &[2], &[6.0, 15.0]);
    near(&einsum("ii->i", &[&square]), &[2], &[1.0, 4.0]);
    near(&einsum("ii", &[&square]), &[], &[5.0]);
    near(&einsum("ij,jk", &[&square, &x]), &[2, 3], &[9.0, 12.0, 15.0, 19.0, 26.0, 33.0]);
    near(
        &einsum("i,j->ij", &[&vector(&[1.0, 2.0]), &vector(&[3.0, 4.0])]),
        &[2, 2],
        &[3.0, 4.0, 6.0, 8.0],
    );
    near(&einsum("ij,kj,k->i", &[&x, &x, &vector(&[1.0, 1.0])]), &[2], &[46.0, 109.0]);
}

#[test]
fn einstein_sums_over_ellipses_broadcast() {
    let stack = Tensor::from_f32s(&[2, 1, 2], &[1.0, 2.0, 3.0, 4.0]);
    let one = Tensor::from_f32s(&[1, 2, 2], &[1.0, 0.0, 0.0, 1.0]);
    let y = einsum("...ij,...jk->...ik", &[&stack, &one]);
    near(&y, &[2, 1, 2], &[1.0, 2.0, 3.0, 4.0]);
}

#[test]
fn determinants_of_a_stack() {
    let values = [2.0, 1.0, 1.0, 3.0, 0.0, 1.0, 1.0, 0.0, 1.0, 2.0, 2.0, 4.0];
    let y = unary(11, "Det", vec![], &Tensor::from_f32s(&[3, 2, 2], &values));
    near(&y, &[3], &[5.0, -1.0, 0.0]);
    let three = matrix(3, &[0.0, 2.0, 1.0, 3.0, 0.0, 1.0, 1.0, 1.0, 4.0]);
    near(&unary(11, "Det", vec![], &three), &[], &[-19.0]);
}

#[test]
fn truth_values_reduce_to_any_and_all() {
    let mut m = Model::new(20);
    m.input("x", "bool[2,2]");
    m.i64s("axes", &[1], &[1]);
    m.node("ReduceMax", &["x", "axes"], &["any"], vec![int("keepdims", 0)]);
    m.node("ReduceMin", &["x", "axes"], &["all"], vec![int("keepdims", 0)]);
    m.output("any");
    m.output("all");
    let ty = edgecc_ir::types::TensorType::new(ElemType::Bool, &[2, 2]);
    let results = run(&m, &[Tensor::from_bytes(ty, vec![0, 1, 1, 1])]);
    assert_eq!([results[0].to_i64s(), results[1].to_i64s()], [[1, 1], [0, 1]]);
}
