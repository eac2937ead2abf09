//! Positions inside a tensor as values: what masks compare.

use crate::emit::Emit;
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::graph::OpId;
use edgecc_ir::tensor::{Scalar, Tensor};
use edgecc_ir::types::{ElemType, Shape, TensorType};

/// A tensor of this shape whose elements are their own positions along `dim`.
pub(super) fn positions(
    emit: &mut Emit,
    elem: ElemType,
    shape: &Shape,
    dim: usize,
) -> Result<OpId, Diagnostic> {
    let count = shape[dim];
    let at = |i| Scalar::from_i64(elem, i as i64);
    let counted = emit.constant(Tensor::from_fn(TensorType::new(elem, &[count]), at));
    emit.spread(counted, dim, shape)
}

/// A repeated scalar.
pub(super) fn filled(emit: &mut Emit, value: Scalar, shape: &Shape) -> Result<OpId, Diagnostic> {
    let scalar = emit.constant(Tensor::splat(&[], value));
    emit.broadcast(scalar, shape)
}

/// An operand of one element as a scalar.
pub(super) fn as_scalar(emit: &mut Emit, x: OpId) -> Result<OpId, Diagnostic> {
    emit.reshape(x, &[])
}
