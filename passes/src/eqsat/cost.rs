//! What an op costs: bytes moved plus arithmetic, in units of one byte to or from memory.

use super::node::Node;
use super::types::{EGraph, Fact};
use edgecc_ir::graph::ops::{Op, is_code};
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::scalar::{ScalarExpr, ScalarNode};
use egg::Id;

/// Starting a kernel.
const CALL: f64 = 256.0;
/// A view: an access map or nothing.
const VIEW: f64 = 1.0;
/// What is folded before code is made; more than nothing, so that fewer ops win.
const FOLDED: f64 = 0.001;
/// Elements of a transpose are not neighbours on one side.
const STRIDED: f64 = 2.0;
/// One multiply-add of a contraction.
const MULTIPLY_ADD: f64 = 0.125;
/// One scalar function of a body.
const SCALAR: f64 = 0.0625;
/// Scalar functions that take as long as a division.
const DIVISION: usize = 4;

/// The cost of computing `class` by `node`, its operands given.
pub(crate) fn node_cost(egraph: &EGraph, class: Id, node: &Node) -> f64 {
    let result = &egraph[class].data;
    if result.constant {
        return FOLDED;
    }
    let args: Vec<&Fact> = node.args.iter().map(|&a| &egraph[a].data).collect();
    let reads: usize = args.iter().map(|f| f.read_bytes).sum();
    let traffic = CALL + (reads + result.ty.bytes()) as f64;
    let elements = result.ty.shape.numel() as f64;
    let scalar = |body: &ScalarExpr| elements * work(body) * SCALAR;
    match &node.op {
        Op::Input(_) | Op::Const(_) => 0.0,
        Op::Reshape(_) | Op::Broadcast(_) => VIEW,
        Op::Transpose(_) => STRIDED * traffic,
        Op::Slice(_)
        | Op::Pad(_)
        | Op::Concat(_)
        | Op::NonMaxSuppression(_)
        | Op::NonZero(_)
        | Op::Scatter(_)
        | Op::TopK(_) => traffic,
        Op::Gather(_) => {
            let picked = args[0].read_bytes.saturating_sub(result.ty.bytes());
            traffic - picked as f64 + elements * SCALAR
        }
        Op::Repeat(op) => traffic + op.work() as f64,
        Op::If(op) => traffic + op.work() as f64,
        Op::Map(op) => traffic + scalar(&op.body),
        Op::Quantize(_) | Op::Dequantize(_) => traffic + elements * 4.0 * SCALAR,
        Op::Requantize(_) => traffic + elements * 8.0 * SCALAR,
        Op::Reduce(_) => traffic + args[0].ty.shape.numel() as f64 * SCALAR,
        Op::Pool(op) => {
            let taps: u32 = op.kernel.iter().product();
            traffic + elements * f64::from(taps) * SCALAR
        }
        Op::Conv(op) => {
            let per_sum: usize = args[1].ty.shape[1..].iter().product();
            traffic + elements * per_sum as f64 * multiply_add(args[0]) + scalar(&op.epilogue)
        }
        Op::MatMul(op) => {
            let rank = args[0].ty.shape.rank();
            let inner = args[0].ty.shape[rank - 1 - usize::from(op.transpose_a)];
            traffic + elements * inner as f64 * multiply_add(args[0]) + scalar(&op.epilogue)
        }
    }
}

/// Products of codes are the cheaper ones: more of them fit a register.
fn multiply_add(factor: &Fact) -> f64 {
    if is_code(factor.ty.elem) { MULTIPLY_ADD / 2.0 } else { MULTIPLY_ADD }
}

/// The scalar functions of a body; a division counts as several, a product that is added as none.
fn work(body: &ScalarExpr) -> f64 {
    let fused = (0..=body.root()).filter(|&id| body.multiply_add(id).is_some()).count();
    let divides = |n: &&ScalarNode| matches!(n, ScalarNode::Call(ScalarFn::Div, _));
    let divisions = body.nodes().iter().filter(divides).count();
    (body.cost() - fused + (DIVISION - 1) * divisions) as f64
}
