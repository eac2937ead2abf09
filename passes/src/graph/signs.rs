//! Codes in the form that the target's dot products want of their first factor: unsigned ones are
//! stored in the place of signed ones, up to 128 apart, or the reverse, or all in 16 bits, from the
//! ops that make them to those that use them. Only the model's inputs and outputs are converted; no
//! result changes.

use super::canonicalize::canonical;
use super::distances::distances;
use super::halves::in_bytes;
use super::rebuild::{Rebuild, live_ops, rebuild};
use crate::codes::Code;
use crate::manager::{Pass, PassCx};
use cranelift_entity::SecondaryMap;
use edgecc_ir::graph::ops::{Conv, Dequantize, Map, MatMul, Op, Pad, Quantize, Requantize, Zeros};
use edgecc_ir::graph::{Graph, OpData, OpId};
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::scalar::{ExprBuilder, NodeId, ScalarExpr, ScalarNode};
use edgecc_ir::target::Target;
use edgecc_ir::tensor::Scalar;
use edgecc_ir::types::{ElemType, Shape};
use indexmap::IndexMap;

/// The pass.
pub const PASS: Pass<Graph> = Pass {
    name: "signs",
    doc: "stores codes with the sign or the width that the target's dot products want",
    run,
};

fn run(graph: &mut Graph, cx: &PassCx<'_>) {
    let Some(shift) = Shift::of(cx.target) else { return };
    let (live, apart, distances) = (live_ops(graph), apart(graph), distances(graph));
    let mut known = Known { shift, target: cx.target, others: IndexMap::new() };
    let mut ids = live.iter();
    rebuild(graph, |new, data, args| {
        let &id = ids.next().expect("one op after the other is rebuilt");
        let wanted = !(shift.widens(data.ty.elem) && apart[id]);
        known.rewritten(new, data, args, wanted.then(|| shift.of_value(distances[id])))
    });
}

/// Values of which each code is multiplied apart from others wherever they are read: by convolutions
/// with one channel in a group, which take codes of any width as they come.
fn apart(graph: &Graph) -> SecondaryMap<OpId, bool> {
    let mut apart: SecondaryMap<OpId, bool> = SecondaryMap::with_default(true);
    for id in live_ops(graph) {
        let OpData { op, args, .. } = &graph.ops[id];
        let multiplies = matches!(op, Op::Conv(_)) && is_apart(&graph.ty(args[1]).shape);
        for (nth, &arg) in args.iter().enumerate() {
            apart[arg] &= nth == 0 && multiplies;
        }
    }
    graph.outputs.iter().for_each(|output| apart[output.value] = false);
    apart
}

/// Whether weights of this shape are those of a convolution with one channel in a group.
fn is_apart(weights: &Shape) -> bool {
    weights.rank() > 2 && weights[1] == 1
}

/// From codes of some types to those of another.
#[derive(Clone, Copy)]
struct Shift {
    from: &'static [ElemType],
    to: ElemType,
    by: i32,
}

impl Shift {
    /// Away from what no dot product of the target takes.
    fn of(target: &Target) -> Option<Shift> {
        use ElemType::{I8, I16, U8};
        let takes = |func| target.dots.contains(&func);
        let bytes = [ScalarFn::DotU8, ScalarFn::DotI8].map(takes);
        match (bytes, takes(ScalarFn::DotI16)) {
            ([true, false], _) => Some(Shift { from: &[I8], to: U8, by: 128 }),
            ([false, true], _) => Some(Shift { from: &[U8], to: I8, by: -128 }),
            ([false, false], true) => Some(Shift { from: &[U8, I8], to: I16, by: 0 }),
            _ => None,
        }
    }

    /// The shift of a value whose signed codes move by a distance.
    fn of_value(self, distance: i32) -> Shift {
        Shift { by: if self.to == ElemType::U8 { distance } else { self.by }, ..self }
    }

    fn moves(self, elem: ElemType) -> bool {
        self.from.contains(&elem)
    }

    fn widens(self, elem: ElemType) -> bool {
        self.moves(elem) && self.to.bytes() > elem.bytes()
    }

    /// From codes that were moved to those that the graph states.
    fn back(self, stated: ElemType) -> Shift {
        Shift { from: &[], to: stated, by: -self.by }
    }

    /// A code in the other form.
    fn code(self, b: &mut ExprBuilder, code: NodeId) -> NodeId {
        let wide = self.wide(b, code);
        b.cast(self.to, wide)
    }

    /// A code in the other form as an `i32`.
    fn wide(self, b: &mut ExprBuilder, code: NodeId) -> NodeId {
        let wide = b.cast(ElemType::I32, code);
        if self.by == 0 {
            return wide;
        }
        let by = b.constant(Scalar::from_i64(ElemType::I32, i64::from(self.by)));
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

    /// The same bounds and code of zero in the other form.
    fn quantize(self, op: &Quantize) -> Quantize {
        let [zero_point, lo, hi] = [op.zero_point, op.lo, op.hi].map(|code| code + self.by);
        Quantize { to: self.to, zero_point, lo, hi }
    }

    /// A function whose parameters have the other form where `back` gives the way to the stated one.
    fn reading(expr: &ScalarExpr, back: impl Fn(u32) -> Option<Shift>) -> ScalarExpr {
        let nodes = expr.nodes();
        let of_param = |id: NodeId| match nodes[id as usize] {
            ScalarNode::Param(p) => back(p).map(|back| (p, back)),
            _ => None,
        };
        ScalarExpr::build(expr.params(), |b| {
            let mut ids: Vec<NodeId> = Vec::with_capacity(nodes.len());
            for (at, node) in nodes.iter().enumerate() {
                let wide = match node {
                    ScalarNode::Cast(to, arg) if to.bytes() == 4 => of_param(*arg).zip(Some(*to)),
                    _ => None,
                };
                ids.push(match (of_param(at as NodeId), wide) {
                    (Some((p, back)), _) => {
                        let code = b.param(p);
                        back.code(b, code)
                    }
                    (None, Some(((p, back), to))) => {
                        let code = b.param(p);
                        let wide = back.wide(b, code);
                        b.cast(to, wide)
                    }
                    (None, None) => b.copy(node, &ids),
                });
            }
            ids[expr.root() as usize]
        })
    }

    /// A function that gives codes in the other form of what it states: with other bounds where it
    /// clamps numbers.
    fn giving(self, expr: &ScalarExpr, stated: ElemType) -> ScalarExpr {
        let code = Code::of_codes(expr.nodes(), expr.root());
        let code = code.filter(|code| code.fits(stated)).map(|code| code.moved(self.by as f32));
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

/// Values that exist in the other form.
struct Known<'t> {
    shift: Shift,
    target: &'t Target,
    /// By the value in the form that the graph states, which is computed from the other one.
    others: IndexMap<OpId, (OpId, Shift)>,
}

impl Known<'_> {
    /// The op in the new graph; what it makes has the other form where that is possible and `wanted`
    /// says which one.
    fn rewritten(
        &mut self,
        new: &mut Rebuild,
        data: &OpData,
        args: &[OpId],
        wanted: Option<Shift>,
    ) -> OpId {
        let (op, args) = self.reading(new, &data.op, args);
        let elem = data.ty.elem;
        let wanted = wanted.filter(|shift| shift.moves(elem));
        let given = wanted.and_then(|s| Some((s, self.giving(s, &op, &args, elem)?)));
        let Some((shift, (op, args))) = given else {
            return canonical(new, &op, &args);
        };
        let other = canonical(new, &op, &args);
        let stated = canonical(new, &shift.back(elem).map().into(), &[other]);
        self.others.insert(stated, (other, shift));
        stated
    }

    /// The same value with operands in the other form where the op can take them.
    fn reading(&self, new: &mut Rebuild, op: &Op, args: &[OpId]) -> (Op, Vec<OpId>) {
        let mut args = args.to_vec();
        let back = |at: usize| {
            let (_, shift) = self.others.get(&args[at])?;
            Some(shift.back(new.ty(args[at]).elem))
        };
        let back: Vec<Option<Shift>> = (0..args.len()).map(back).collect();
        let in_epilogue = |p: u32| if p > 0 { back[p as usize + 1] } else { None };
        let op = match op {
            Op::Map(map) => Map { body: Shift::reading(&map.body, |p| back[p as usize]) }.into(),
            Op::Conv(conv) => {
                let zeros = self.zeros(new, conv.zeros, &mut args);
                let epilogue = Shift::reading(&conv.epilogue, in_epilogue);
                Conv { zeros, epilogue, ..conv.clone() }.into()
            }
            Op::MatMul(matmul) => {
                let zeros = match self.is_of_values(new, matmul, &args) {
                    true => self.zeros_of_values(new, matmul.zeros, &mut args),
                    false => self.zeros(new, matmul.zeros, &mut args),
                };
                let epilogue = Shift::reading(&matmul.epilogue, in_epilogue);
                MatMul { zeros, epilogue, ..matmul.clone() }.into()
            }
            Op::Dequantize(op) => {
                let by = back[0].map_or(0, |back| back.by);
                Dequantize { zero_point: op.zero_point - by }.into()
            }
            Op::Requantize(op) => {
                let by = back[0].map_or(0, |back| back.by);
                let from_zero_point = op.from_zero_point - by;
                Requantize { from_zero_point, to: op.to.clone() }.into()
            }
            _ => return (op.clone(), args),
        };
        let first = usize::from(matches!(op, Op::Conv(_) | Op::MatMul(_))) * 2;
        for arg in &mut args[first..] {
            *arg = self.others.get(arg).map_or(*arg, |other| other.0);
        }
        (op, args)
    }

    /// Whether a product is of two values, one of which is packed in either form.
    fn is_of_values(&self, new: &Rebuild, matmul: &MatMul, args: &[OpId]) -> bool {
        let factors = [new.ty(args[0]), new.ty(args[1])];
        new.graph().as_const(args[1]).is_none() && in_bytes(self.target, matmul, factors)
    }

    /// Zero points after the first factor of such a product got the other form, and the second one
    /// where it is known in it.
    fn zeros_of_values(&self, new: &mut Rebuild, mut zeros: Zeros, args: &mut [OpId]) -> Zeros {
        if self.shift.moves(new.ty(args[0]).elem) {
            zeros.x += self.replaced(new, &mut args[0]);
        }
        if self.others.contains_key(&args[1]) {
            zeros.w += self.replaced(new, &mut args[1]);
        }
        zeros
    }

    /// Puts a value in the other form, converted where it is not known in it, in its place; tells
    /// how far its codes moved.
    fn replaced(&self, new: &mut Rebuild, value: &mut OpId) -> i32 {
        let known = self.others.get(value).copied();
        let (other, shift) = known.unwrap_or_else(|| {
            let map = self.shift.map();
            (canonical(new, &map.into(), &[*value]), self.shift)
        });
        *value = other;
        shift.by
    }

    /// Zero points after the first factor of a sum of products with signed weights got the other
    /// form.
    fn zeros(&self, new: &mut Rebuild, zeros: Zeros, args: &mut [OpId]) -> Zeros {
        let (codes, weights) = (new.ty(args[0]), new.ty(args[1]));
        let fits = self.shift.moves(codes.elem) && weights.elem == ElemType::I8;
        let stays = self.shift.widens(codes.elem) && is_apart(&weights.shape);
        if !fits || (stays && !self.others.contains_key(&args[0])) {
            return zeros;
        }
        Zeros { x: zeros.x + self.replaced(new, &mut args[0]), ..zeros }
    }

    /// The op that makes codes in another form of the stated type, if there is one.
    fn giving(
        &self,
        shift: Shift,
        op: &Op,
        args: &[OpId],
        stated: ElemType,
    ) -> Option<(Op, Vec<OpId>)> {
        let same = |op: Op| (op, args.to_vec());
        let other = |value: &OpId| {
            let known = self.others.get(value).filter(|(_, of)| of.by == shift.by);
            known.map(|&(other, _)| other)
        };
        let moved: Option<Vec<OpId>> = args.iter().map(other).collect();
        Some(match op {
            Op::Quantize(op) => same(shift.quantize(op).into()),
            Op::Requantize(op) => {
                let from_zero_point = op.from_zero_point;
                same(Requantize { from_zero_point, to: shift.quantize(&op.to) }.into())
            }
            Op::Map(map) => same(Map { body: shift.giving(&map.body, stated) }.into()),
            Op::Conv(conv) => {
                let epilogue = shift.giving(&conv.epilogue, stated);
                same(Conv { epilogue, ..conv.clone() }.into())
            }
            Op::MatMul(matmul) => {
                let epilogue = shift.giving(&matmul.epilogue, stated);
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
                let table = other(&args[0])?;
                let indices = args[1..].iter().copied();
                (op.clone(), [table].into_iter().chain(indices).collect())
            }
            _ => return None,
        })
    }
}
