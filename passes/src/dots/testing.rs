//! Sums of products of codes, for tests.

use edgecc_ir::graph::Graph;
use edgecc_ir::graph::build::GraphBuilder;
use edgecc_ir::graph::ops::Op;
use edgecc_ir::tensor::{Scalar, Tensor};
use edgecc_ir::types::{ElemType, TensorType};

/// Codes over their whole range.
pub(crate) fn codes(elem: ElemType, dims: &[usize]) -> Tensor {
    let (lo, hi) = elem.int_range().expect("codes");
    let ty = TensorType::new(elem, dims);
    Tensor::from_fn(ty, |i| Scalar::from_i64(elem, lo + (i as i64 * 97 + 31) % (hi - lo + 1)))
}

/// A graph of one op, whose second operand is constant.
pub(crate) fn contraction(op: impl Into<Op>, x: &Tensor, weights: Tensor) -> Graph {
    let mut b = GraphBuilder::new("m");
    let input = b.input("x", x.ty.clone());
    let weights = b.constant(weights);
    let y = b.add(op, &[input, weights]).expect("a well-typed op");
    b.output("y", y);
    b.finish()
}
