//! Sums of few products of single codes as sums of numbers: exact while every sum is a whole number
//! that `f32` holds, and then multiplied and added at once where dot products are not.

use super::site::codes_and_weights;
use crate::rebind::bound_constants;
use edgecc_ir::kernel::{Access, Kernel, KernelId, Kernels, OperandId, Role, Stage};
use edgecc_ir::scalar::eval::cast_tensor;
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::scalar::{ExprBuilder, NodeId, ScalarExpr, ScalarNode};
use edgecc_ir::target::Target;
use edgecc_ir::tensor::{Scalar, Tensor};
use edgecc_ir::types::ElemType;

/// Whole numbers up to this are exact in `f32`.
const EXACT: i64 = 1 << 24;
/// The largest product of a code and a weight of 8 bits.
const PRODUCT: i64 = 255 * 128;

/// Makes a stage sum its products as numbers; gives the constants that are stored as such.
pub(super) fn rewrite(
    kernels: &mut Kernels,
    id: KernelId,
    number: usize,
    target: &Target,
) -> Option<Vec<OperandId>> {
    let kernel = &kernels.kernels[id];
    let stage = &kernel.stages[number];
    let (weights, codes) = codes_and_weights(kernel, stage)?;
    let weights_operand = stage.reads[weights].operand;
    let elems = [codes.operand, weights_operand].map(|id| kernel.operands[id].ty.elem);
    let suits = target.fma && !target.dots_add && target.dots.contains(&ScalarFn::DotI16);
    let bytes = elems.iter().all(|elem| elem.is_int() && elem.bytes() == 1);
    let zero = Scalar::from_i64(ElemType::I32, 0);
    if !suits || !bytes || stage.reduce.as_ref()?.init != zero {
        return None;
    }
    let products: i64 = kernel.reduce_axes(stage).map(|a| kernel.extent(a) as i64).product();
    let (epilogue, bias) = of_numbers(kernel, stage)?;
    let bound = bias.map_or(Some(0), |bias| largest(kernels, id, bias))?;
    if products.saturating_mul(PRODUCT).saturating_add(bound) >= EXACT {
        return None;
    }
    let kernel = &mut kernels.kernels[id];
    let stage = &mut kernel.stages[number];
    stage.body = product(weights as u32);
    stage.epilogue = epilogue;
    stage.reduce.as_mut()?.init = Scalar::f32(0.0);
    let stored: Vec<OperandId> = [weights_operand].into_iter().chain(bias).collect();
    stored.iter().for_each(|&id| kernel.operands[id].ty.elem = ElemType::F32);
    Some(stored)
}

/// The largest magnitude of the elements that calls bind to an operand; `None` unless all are
/// constants of 32 bits.
fn largest(kernels: &Kernels, kernel: KernelId, operand: OperandId) -> Option<i64> {
    let bound = bound_constants(kernels, kernel, operand)?;
    let fits = bound.iter().all(|tensor| tensor.ty.elem == ElemType::I32);
    let all = bound.iter().flat_map(|tensor| tensor.iter());
    fits.then(|| all.map(|value| value.as_i64().abs()).max().unwrap_or(0))
}

/// Each element as a number.
pub(super) fn numbers(tensor: &Tensor) -> Tensor {
    cast_tensor(ElemType::F32, tensor)
}

/// `(…) -> f32(x) · w` of two parameters, the weights' number given.
fn product(weights: u32) -> ScalarExpr {
    ScalarExpr::build(2, |b| {
        let codes = b.param(1 - weights);
        let codes = b.cast(ElemType::F32, codes);
        let weights = b.param(weights);
        b.call(ScalarFn::Mul, &[codes, weights])
    })
}

/// The epilogue of a sum that is a number, and the constant that it adds to the sum, which must be
/// one too; `None` where it does more with the sum than to convert it.
fn of_numbers(kernel: &Kernel, stage: &Stage) -> Option<(ScalarExpr, Option<OperandId>)> {
    let expr = &stage.epilogue;
    let nodes = expr.nodes();
    let (sum, bias) = match expr.addend() {
        Some((node, param)) => {
            let read = stage.epilogue_reads.get(param.checked_sub(1)? as usize)?;
            (node, Some(lone_constant(kernel, read)?))
        }
        None => (nodes.iter().position(|n| *n == ScalarNode::Param(0))? as NodeId, None),
    };
    let is_number = |node: &ScalarNode| match node {
        ScalarNode::Cast(to, arg) => *arg != sum || *to == ElemType::F32,
        ScalarNode::Call(_, args) => !args.contains(&sum),
        ScalarNode::Param(_) | ScalarNode::Const(_) | ScalarNode::Lookup(..) => true,
    };
    let fits = nodes.iter().all(is_number) && expr.root() != sum;
    fits.then(|| (unconverted(expr, sum), bias))
}

/// The expression where a node is a number already.
fn unconverted(expr: &ScalarExpr, sum: NodeId) -> ScalarExpr {
    ScalarExpr::build(expr.params(), |b: &mut ExprBuilder| {
        let mut ids: Vec<NodeId> = Vec::new();
        for node in expr.nodes() {
            ids.push(match node {
                ScalarNode::Cast(_, arg) if *arg == sum => ids[*arg as usize],
                node => b.copy(node, &ids),
            });
        }
        ids[expr.root() as usize]
    })
}

/// The operand of a read if it is a constant that nothing else reads.
fn lone_constant(kernel: &Kernel, access: &Access) -> Option<OperandId> {
    let is_const = kernel.operands[access.operand].role == Role::Const;
    (is_const && kernel.is_read_once(access.operand)).then_some(access.operand)
}
