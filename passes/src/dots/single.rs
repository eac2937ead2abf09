//! Sums of single products of codes, by the instruction for two products of halves: the upper
//! halves of the weights are zero, so that it multiplies and adds once.

use super::site::codes_and_weights;
use edgecc_ir::kernel::{Kernel, OperandId};
use edgecc_ir::scalar::ScalarExpr;
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::target::Target;
use edgecc_ir::tensor::{Scalar, Tensor};
use edgecc_ir::types::{ElemType, TensorType};

/// Makes a stage that sums products of codes of at most 16 bits multiply and add at once; gives its
/// weights, which are then `halves`.
pub(super) fn rewrite(kernel: &mut Kernel, number: usize, target: &Target) -> Option<OperandId> {
    let stage = &kernel.stages[number];
    let (weights, codes) = codes_and_weights(kernel, stage)?;
    let read = stage.reads[weights].operand;
    let fits = |elem| matches!(elem, ElemType::U8 | ElemType::I8 | ElemType::I16);
    let both = [codes.operand, read].iter().all(|&id| fits(kernel.operands[id].ty.elem));
    if !both || !target.dots.contains(&ScalarFn::DotI16) {
        return None;
    }
    kernel.stages[number].body = product(weights);
    kernel.operands[read].ty.elem = ElemType::I32;
    Some(read)
}

/// `(…) -> dot_i16(i32(x), w, 0)` of two parameters, the weights' number given.
fn product(weights: usize) -> ScalarExpr {
    ScalarExpr::build(2, |b| {
        let zero = b.constant(Scalar::from_i64(ElemType::I32, 0));
        let codes = b.param(1 - weights as u32);
        let args = [b.cast(ElemType::I32, codes), b.param(weights as u32), zero];
        b.call(ScalarFn::DotI16, &args)
    })
}

/// Each code as the lower half of a word whose upper half is zero.
pub(super) fn halves(codes: &Tensor) -> Tensor {
    let ty = TensorType { elem: ElemType::I32, ..codes.ty.clone() };
    let code = |at: usize| codes.get(at).as_i64() & 0xffff;
    Tensor::from_fn(ty, |at| Scalar::from_i64(ElemType::I32, code(at)))
}
