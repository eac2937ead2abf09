//! Codes with the sign that the target's dot products want of their first factor: unsigned ones are
//! stored in the place of signed ones, or the reverse, 128 apart, from the ops that make them to
//! those that use them. Only the model's inputs and outputs are converted; no result changes.

use super::canonicalize::canonical;
use super::rebuild::{Rebuild, rebuild};
use crate::codes::Code;
use crate::manager::{Pass, PassCx};
use edgecc_ir::graph::ops::{Conv, Dequantize, Map, MatMul, Op, Pad, Quantize, Requantize, Zeros};
use edgecc_ir::graph::{Graph, OpData, OpId};
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::scalar::{ExprBuilder, NodeId, ScalarExpr, ScalarNode};
use edgecc_ir::target::Target;
use edgecc_ir::tensor::Scalar;
use edgecc_ir::types::ElemType;
use indexmap::IndexMap;

/// The pass.
pub const PASS: Pass<Graph> = Pass {
    name: "signs",
    doc: "stores codes with the sign that the target's dot products want",
    run,
};

fn run(graph: &mut Graph, cx: &PassCx<'_>) {
    let Some(shift) = Shift::of(cx.target) else { return };
    let mut known = Known { shift, others: IndexMap::new() };
    rebuild(graph, |new, data, args| known.rewritten(new, data, args));
}

/// From codes of one sign to those of the other.
#[derive(Clone, Copy)]
struct Shift {
    from: ElemType,
    to: ElemType,
    by: i32,
}

impl Shift {
    /// Away from what no dot product of the target takes.
    fn of(target: &Target) -> Option<Shift> {
        let takes = |func| target.dots.contains(&func);
        match (takes(ScalarFn::DotU8), takes(ScalarFn::DotI8)) {
            (true, false) => Some(Shift { from: ElemType::I8, to: ElemType::U8, by: 128 }),
            (false, true) => Some(Shift { from: ElemType::U8, to: ElemType::I8, by: -128 }),
            _ => None,
        }
    }

    fn back(self) -> Shift {
        Shift { from: self.to, to: self.from, by: -self.by }
    }

    /// A code of the other sign.
    fn code(self, b: &mut ExprBuilder, code: NodeId) -> NodeId {
        let wide = self.wide(b, code);
        b.cast(self.to, wide)
    }

    /// A code of the other sign as an `i32`.
    fn wide(self, b: &mut ExprBuilder, code: NodeId) -> NodeId {
        let by = b.constant(Scalar::from_i64(ElemType::I32, i64::from(self.by)));
        let wide = b.cast(ElemType::I32, code);
        b.call(ScalarFn::Add, &[wide, by])
    }

    fn map(self) -> Map {
        Map {
            body: ScalarExpr::build(1, |b| {
                let code = b.param(0);
                self.code(b, code)
            }),
        }
    }

    /// The same bounds and code of zero for the other sign.
    fn quantize(self, op: &Quantize) -> Quantize {
        let [zero_point, lo, hi] = [op.zero_point, op.lo, op.hi].map(|code| code + self.by);
        Quantize { to: self.to, zero_point, lo, hi }
    }

    /// A function whose parameters marked `shifted` have the other sign.
    fn reading(self, expr: &ScalarExpr, shifted: impl Fn(u32) -> bool) -> ScalarExpr {
        let nodes = expr.nodes();
        let is_shifted =
            |id: NodeId| matches!(nodes[id as usize], ScalarNode::Param(p) if shifted(p));
        ScalarExpr::build(expr.params(), |b| {
            let mut ids: Vec<NodeId> = Vec::with_capacity(nodes.len());
            for (at, node) in nodes.iter().enumerate() {
                let id = match node {
                    ScalarNode::Param(p) if is_shifted(at as NodeId) => {
                        let code = b.param(*p);
                        self.back().code(b, code)
                    }
                    ScalarNode::Cast(to, arg) if is_shifted(*arg) && to.bytes() == 4 => {
                        let ScalarNode::Param(p) = nodes[*arg as usize] else {
                            unreachable!("a shifted parameter")
                        };
                        let code = b.param(p);
                        let wide = self.back().wide(b, code);
                        b.cast(*to, wide)
                    }
                    _ => b.copy(node, &ids),
                };
                ids.push(id);
            }
            ids[expr.root() as usize]
        })
    }

    /// A function that gives codes of the other sign: with other bounds where it clamps numbers.
    fn giving(self, expr: &ScalarExpr) -> ScalarExpr {
        let code = Code::of_codes(expr.nodes(), expr.root());
        let code = code.filter(|code| code.fits(self.from)).map(|code| code.moved(self.by as f32));
        ScalarExpr::build(expr.params(), |b| match code {
            Some(code) => {
                let x = b.inline(&expr.subexpression(code.x), ExprBuilder::param);
                let clamped = code.stated(b, x);
                b.cast(self.to, clamped)
            }
            None => {
                let code = b.inline(expr, ExprBuilder::param);
                self.code(b, code)
            }
        })
    }
}

/// Values that exist with the other sign.
struct Known {
    shift: Shift,
    /// By the value with the sign that the graph states, which is computed from the other one.
    others: IndexMap<OpId, OpId>,
}

impl Known {
    /// The op in the new graph; what it makes has the other sign where that is possible.
    fn rewritten(&mut self, new: &mut Rebuild, data: &OpData, args: &[OpId]) -> OpId {
        let (op, args) = self.reading(new, &data.op, args);
        if data.ty.elem != self.shift.from {
            return canonical(new, &op, &args);
        }
        let Some((op, args)) = self.giving(&op, &args) else {
            return canonical(new, &op, &args);
        };
        let other = canonical(new, &op, &args);
        let stated = canonical(new, &self.shift.back().map().into(), &[other]);
        self.others.insert(stated, other);
        stated
    }

    /// The same value with operands of the other sign where the op can take them.
    fn reading(&self, new: &mut Rebuild, op: &Op, args: &[OpId]) -> (Op, Vec<OpId>) {
        let shift = self.shift;
        let mut args = args.to_vec();
        let is_known = |at: usize| self.others.contains_key(&args[at]);
        let op = match op {
            Op::Map(map) => Map { body: shift.reading(&map.body, |p| is_known(p as usize)) }.into(),
            Op::Conv(conv) => {
                let zeros = self.zeros(new, conv.zeros, &mut args);
                let is_known = |p: u32| p > 0 && self.others.contains_key(&args[p as usize + 1]);
                let epilogue = shift.reading(&conv.epilogue, is_known);
                Conv { zeros, epilogue, ..conv.clone() }.into()
            }
            Op::MatMul(matmul) => {
                let zeros = self.zeros(new, matmul.zeros, &mut args);
                let is_known = |p: u32| p > 0 && self.others.contains_key(&args[p as usize + 1]);
                let epilogue = shift.reading(&matmul.epilogue, is_known);
                MatMul { zeros, epilogue, ..matmul.clone() }.into()
            }
            Op::Dequantize(op) if is_known(0) => {
                Dequantize { zero_point: op.zero_point + shift.by }.into()
            }
            Op::Requantize(op) if is_known(0) => {
                let from_zero_point = op.from_zero_point + shift.by;
                Requantize { from_zero_point, to: op.to.clone() }.into()
            }
            _ => return (op.clone(), args),
        };
        let first = usize::from(matches!(op, Op::Conv(_) | Op::MatMul(_))) * 2;
        for arg in &mut args[first..] {
            *arg = self.others.get(arg).copied().unwrap_or(*arg);
        }
        (op, args)
    }

    /// Zero points after the first factor of a sum of products with signed weights got the other
    /// sign.
    fn zeros(&self, new: &mut Rebuild, zeros: Zeros, args: &mut [OpId]) -> Zeros {
        let fits = new.ty(args[0]).elem == self.shift.from && new.ty(args[1]).elem == ElemType::I8;
        if !fits {
            return zeros;
        }
        args[0] = match self.others.get(&args[0]) {
            Some(&other) => other,
            None => canonical(new, &self.shift.map().into(), &[args[0]]),
        };
        Zeros { x: zeros.x + self.shift.by, ..zeros }
    }

    /// The op that makes codes of the other sign, if there is one.
    fn giving(&self, op: &Op, args: &[OpId]) -> Option<(Op, Vec<OpId>)> {
        let shift = self.shift;
        let same = |op: Op| (op, args.to_vec());
        let moved: Option<Vec<OpId>> = args.iter().map(|a| self.others.get(a).copied()).collect();
        Some(match op {
            Op::Quantize(op) => same(shift.quantize(op).into()),
            Op::Requantize(op) => {
                let from_zero_point = op.from_zero_point;
                same(Requantize { from_zero_point, to: shift.quantize(&op.to) }.into())
            }
            Op::Map(map) => same(Map { body: shift.giving(&map.body) }.into()),
            Op::Conv(conv) => {
                let epilogue = shift.giving(&conv.epilogue);
                same(Conv { epilogue, ..conv.clone() }.into())
            }
            Op::MatMul(matmul) => {
                let epilogue = shift.giving(&matmul.epilogue);
                same(MatMul { epilogue, ..matmul.clone() }.into())
            }
            Op::Reshape(_) | Op::Transpose(_) | Op::Slice(_) | Op::Broadcast(_) | Op::Concat(_) => {
                (op.clone(), moved?)
            }
            Op::Pool(pool) if matches!(pool.func, ScalarFn::Max | ScalarFn::Min) => {
                (op.clone(), moved?)
            }
            Op::Pad(pad) => {
                let value = pad.value.as_i64() + i64::from(shift.by);
                let pad = Pad { value: Scalar::from_i64(shift.to, value), ..pad.clone() };
                (pad.into(), moved?)
            }
            Op::Gather(_) => {
                let table = *self.others.get(&args[0])?;
                let indices = args[1..].iter().copied();
                (op.clone(), [table].into_iter().chain(indices).collect())
            }
            _ => return None,
        })
    }
}
