//! Numbers that become codes: fewer operations for the same codes.
//!
//! Purpose   rounds numbers that are clamped to a few bits by an addition, and reads back codes that
//!           were never stored as the numbers they were made from.
//! In → Out  Kernels → Kernels of the same results, bit for bit.
//! Owns      the forms of such functions after the graph.
//! Never     looks beyond one function.
//! Tests     `mod tests`.

use edgecc_ir::kernel::Kernels;
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::scalar::{ExprBuilder, NodeId, ScalarExpr, ScalarNode};
use edgecc_ir::tensor::Scalar;
use edgecc_ir::types::ElemType;

/// 1.5·2²³: the sum with a number of less than 22 bits has the number, rounded to the nearest whole
/// one (to even between two), in its lowest bits.
const SHIFTER: f32 = 12_582_912.0;
/// Codes below this leave room for a zero point in those bits.
const MOST: f32 = 1_048_576.0;

/// Rewrites the functions of every stage.
pub fn simplify_codes(kernels: &mut Kernels) {
    for kernel in kernels.kernels.values_mut().filter(|k| k.schedule.is_none()) {
        for number in 0..kernel.stages.len() {
            let stage = &kernel.stages[number];
            let (body, epilogue) = (simplified(&stage.body), simplified(&stage.epilogue));
            let stage = &mut kernel.stages[number];
            (stage.body, stage.epilogue) = (body, epilogue);
        }
    }
}

/// `cast(min(max(round(x) + z, lo), hi))`, with literals.
#[derive(Clone, Copy)]
struct Code {
    x: NodeId,
    zero: f32,
    lo: f32,
    hi: f32,
}

/// The same function with codes rounded by addition.
fn simplified(expr: &ScalarExpr) -> ScalarExpr {
    let nodes = expr.nodes();
    ScalarExpr::build(expr.params(), |b| {
        let mut ids: Vec<NodeId> = Vec::with_capacity(nodes.len());
        for node in nodes {
            let id = match node {
                ScalarNode::Cast(to, arg) if to.is_int() && to.bytes() == 1 => {
                    match Code::of(nodes, *arg) {
                        Some(code) => code.rounded(b, *to, &ids),
                        None => b.copy(node, &ids),
                    }
                }
                ScalarNode::Cast(ElemType::F32, arg) => match stored_code(nodes, *arg) {
                    Some(number) => ids[number as usize],
                    None => b.copy(node, &ids),
                },
                _ => b.copy(node, &ids),
            };
            ids.push(id);
        }
        ids[expr.root() as usize]
    })
}

/// The number that a code was made from, where that is the code itself: a whole one in its range.
fn stored_code(nodes: &[ScalarNode], code: NodeId) -> Option<NodeId> {
    match nodes[code as usize] {
        ScalarNode::Cast(to, arg) if to.is_int() && to.bytes() == 1 => {
            Code::of(nodes, arg).filter(|code| code.fits(to)).map(|_| arg)
        }
        _ => None,
    }
}

impl Code {
    /// The form of the operand of a conversion to a code, if it is that.
    fn of(nodes: &[ScalarNode], clamped: NodeId) -> Option<Code> {
        let (raised, hi) = with_literal(nodes, ScalarFn::Min, clamped)?;
        let (whole, lo) = with_literal(nodes, ScalarFn::Max, raised)?;
        let (rounded, zero) = with_literal(nodes, ScalarFn::Add, whole).unwrap_or((whole, 0.0));
        let ScalarNode::Call(ScalarFn::Round, args) = &nodes[rounded as usize] else { return None };
        let literals = [zero, lo, hi];
        let whole = literals.iter().all(|l| l.fract() == 0.0 && l.abs() <= MOST);
        (whole && lo <= hi).then(|| Code { x: args[0], zero, lo, hi })
    }

    fn fits(self, to: ElemType) -> bool {
        let range = to.int_range().expect("an integer type");
        range.0 as f32 <= self.lo && self.hi <= range.1 as f32
    }

    /// The code: clamped first, which whole bounds allow; a NaN still becomes the lower one.
    fn rounded(self, b: &mut ExprBuilder, to: ElemType, ids: &[NodeId]) -> NodeId {
        let [lo, hi, shifter] =
            [self.lo - self.zero, self.hi - self.zero, SHIFTER].map(|v| b.f32(v));
        let raised = b.call(ScalarFn::Max, &[ids[self.x as usize], lo]);
        let clamped = b.call(ScalarFn::Min, &[raised, hi]);
        let shifted = b.call(ScalarFn::Add, &[clamped, shifter]);
        let bits = b.call(ScalarFn::Bitcast, &[shifted]);
        let zero = b.constant(Scalar::from_i64(ElemType::I32, self.zero as i64));
        let code = if self.zero == 0.0 { bits } else { b.call(ScalarFn::Add, &[bits, zero]) };
        b.cast(to, code)
    }
}

/// The other operand of a call whose second one is a literal number, and the literal.
fn with_literal(nodes: &[ScalarNode], func: ScalarFn, id: NodeId) -> Option<(NodeId, f32)> {
    let ScalarNode::Call(found, args) = &nodes[id as usize] else { return None };
    let ScalarNode::Const(literal) = &nodes[*args.get(1)? as usize] else { return None };
    (*found == func && literal.elem() == ElemType::F32).then(|| (args[0], literal.as_f32()))
}

#[cfg(test)]
mod tests {
    use super::simplified;
    use edgecc_ir::scalar::eval::eval;
    use edgecc_ir::scalar::func::ScalarFn;
    use edgecc_ir::scalar::{ExprBuilder, NodeId, ScalarExpr};
    use edgecc_ir::tensor::Scalar;
    use edgecc_ir::types::ElemType;

    fn quantized(b: &mut ExprBuilder, to: ElemType, zero: f32, [lo, hi]: [f32; 2]) -> NodeId {
        let [x, zero, lo, hi] = [b.param(0), b.f32(zero), b.f32(lo), b.f32(hi)];
        let rounded = b.call(ScalarFn::Round, &[x]);
        let moved = b.call(ScalarFn::Add, &[rounded, zero]);
        let raised = b.call(ScalarFn::Max, &[moved, lo]);
        let clamped = b.call(ScalarFn::Min, &[raised, hi]);
        b.cast(to, clamped)
    }

    #[test]
    fn every_number_becomes_the_same_code() {
        let halves = (-2000..2000).map(|n| n as f32 / 4.0);
        let special = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, 3e9, -3e9, 0.499_999_97];
        let numbers: Vec<f32> = halves.chain(special).collect();
        for (to, zero, bounds) in [
            (ElemType::U8, 0.0, [0.0, 255.0]),
            (ElemType::U8, 131.0, [131.0, 255.0]),
            (ElemType::I8, -7.0, [-128.0, 127.0]),
        ] {
            let plain = ScalarExpr::build(1, |b| quantized(b, to, zero, bounds));
            let cheap = simplified(&plain);
            assert_ne!(cheap, plain);
            for &x in &numbers {
                let args = [Scalar::f32(x)];
                assert_eq!(eval(&cheap, &args), eval(&plain, &args), "{x} {zero}");
            }
        }
    }

    #[test]
    fn codes_that_are_read_back_stay_numbers() {
        let back = ScalarExpr::build(1, |b| {
            let code = quantized(b, ElemType::U8, 3.0, [0.0, 255.0]);
            b.cast(ElemType::F32, code)
        });
        let number = simplified(&back);
        for x in [-9.0, 1.5, 2.5, 400.0, f32::NAN] {
            let args = [Scalar::f32(x)];
            assert_eq!(eval(&number, &args), eval(&back, &args));
        }
        assert_eq!(number.cost(), 4);
    }
}
