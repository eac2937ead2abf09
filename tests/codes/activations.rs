//! A graph of activations between codes of either sign: behind products, and behind codes that are read
//! again, with functions that compiled code approximates and with one that it does not.

use edgecc_ir::graph::build::GraphBuilder;
use edgecc_ir::graph::ops::{Dequantize, Map, MatMul, Quantize, Zeros};
use edgecc_ir::graph::{Graph, OpId};
use edgecc_ir::rng::Rng;
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::scalar::{ExprBuilder, NodeId, ScalarExpr};
use edgecc_ir::tensor::{Scalar, Tensor};
use edgecc_ir::types::{ElemType, TensorType};

/// Rows of the input, whose elements are those of an image, and codes in each.
const ROWS: usize = 96;
const WIDTHS: [usize; 3] = [32, 80, 37];

/// Codes of a type around a code of zero.
#[derive(Clone, Copy)]
struct Scale {
    elem: ElemType,
    zero: i32,
    step: f32,
}

impl Scale {
    fn of(elem: ElemType, step: f32) -> Scale {
        Scale { elem, zero: if elem == ElemType::U8 { 121 } else { -7 }, step }
    }

    fn number(self, b: &mut ExprBuilder, code: NodeId) -> NodeId {
        let step = b.f32(self.step);
        let body = Dequantize { zero_point: self.zero }.body();
        b.inline(&body, |_, p| [code, step][p as usize])
    }

    fn code(self, b: &mut ExprBuilder, number: NodeId) -> NodeId {
        let step = b.f32(self.step);
        let body = Quantize::full(self.elem, self.zero).body();
        b.inline(&body, |_, p| [number, step][p as usize])
    }
}

/// The graph, with codes of a type.
pub(super) fn graph(elem: ElemType) -> Graph {
    let mut b = GraphBuilder::new("net");
    let [coarse, fine] = [0.04, 0.011].map(|step| Scale::of(elem, step));
    let x = b.input("x", TensorType::new(ElemType::F32, &[ROWS, WIDTHS[0]]));
    let codes = mapped(&mut b, x, |b, x| fine.code(b, x));
    let wide = product(&mut b, codes, [WIDTHS[0], WIDTHS[1]], (fine, coarse), logistic);
    let again = mapped(&mut b, wide, |b, code| {
        let x = coarse.number(b, code);
        let y = b.call(ScalarFn::Tanh, &[x]);
        fine.code(b, y)
    });
    let last = product(&mut b, again, [WIDTHS[1], WIDTHS[2]], (fine, coarse), hard);
    b.output("y", last);
    b.finish()
}

fn mapped(
    b: &mut GraphBuilder,
    x: OpId,
    body: impl FnOnce(&mut ExprBuilder, NodeId) -> NodeId,
) -> OpId {
    let body = ScalarExpr::build(1, |b| {
        let x = b.param(0);
        body(b, x)
    });
    b.add(Map { body }, &[x]).expect("well-typed")
}

/// Products of codes with random weights, as codes, and what `gate` makes of them times themselves.
fn product(
    b: &mut GraphBuilder,
    x: OpId,
    dims: [usize; 2],
    (from, to): (Scale, Scale),
    gate: fn(&mut ExprBuilder, NodeId) -> NodeId,
) -> OpId {
    let mut rng = Rng::new(dims[0] as u64);
    let weights = Tensor::from_fn(TensorType::new(ElemType::I8, &dims), |_| {
        Scalar::from_i64(ElemType::I8, rng.below(255) as i64 - 127)
    });
    let weights = b.constant(weights);
    let epilogue = ScalarExpr::build(1, |b| {
        let (sum, scale) = (b.param(0), b.f32(from.step * 0.003));
        let real = b.cast(ElemType::F32, sum);
        let real = b.call(ScalarFn::Mul, &[real, scale]);
        let code = to.code(b, real);
        let x = to.number(b, code);
        let gate = gate(b, x);
        let y = b.call(ScalarFn::Mul, &[x, gate]);
        to.code(b, y)
    });
    let zeros = Zeros { x: from.zero, w: 0 };
    b.add(MatMul { zeros, epilogue, ..MatMul::plain() }, &[x, weights]).expect("well-typed")
}

/// `1 / (1 + e⁻ˣ)`
fn logistic(b: &mut ExprBuilder, x: NodeId) -> NodeId {
    let (one, negated) = (b.f32(1.0), b.call(ScalarFn::Neg, &[x]));
    let power = b.call(ScalarFn::Exp, &[negated]);
    let sum = b.call(ScalarFn::Add, &[power, one]);
    b.call(ScalarFn::Div, &[one, sum])
}

/// `x / 6 + 1 / 2` between 0 and 1
fn hard(b: &mut ExprBuilder, x: NodeId) -> NodeId {
    let [sixth, half, zero, one] = [1.0 / 6.0, 0.5, 0.0, 1.0].map(|number| b.f32(number));
    let scaled = b.call(ScalarFn::Mul, &[x, sixth]);
    let sum = b.call(ScalarFn::Add, &[scaled, half]);
    let above = b.call(ScalarFn::Max, &[sum, zero]);
    b.call(ScalarFn::Min, &[above, one])
}
