//! Checks the invariants of graphs.
//!
//! G6 needs no check: an op's meaning depends on its attributes and operands alone.

use super::ops::{Op, TypeError};
use super::{Graph, OpId};
use crate::diag::Violation;
use crate::kernel::ConstId;
use crate::types::{MAX_RANK, TensorType};
use cranelift_entity::EntitySet;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// The largest number of elements of any tensor (G3).
const MAX_NUMEL: usize = 1 << 48;

/// Checks G1 to G8 on all ops of `order` and of the bodies in them; every violation is reported.
pub fn verify(graph: &Graph) -> Result<(), Vec<Violation>> {
    let mut check = Check { graph, found: Vec::new() };
    check.order();
    for &op in graph.order.iter().filter(|&&op| graph.ops.is_valid(op)) {
        check.op(op);
    }
    check.consts();
    if check.found.is_empty() { Ok(()) } else { Err(check.found) }
}

struct Check<'a> {
    graph: &'a Graph,
    found: Vec<Violation>,
}

impl Check<'_> {
    fn report(&mut self, invariant: &'static str, op: OpId, message: impl Into<String>) {
        let place = match self.graph.ops.get(op) {
            Some(data) => format!("{op} ({})", data.op.tag().mnemonic()),
            None => op.to_string(),
        };
        self.found.push(Violation::new(invariant, place, message));
    }

    fn order(&mut self) {
        let mut done: EntitySet<OpId> = EntitySet::new();
        for &op in &self.graph.order {
            let Some(data) = self.graph.ops.get(op) else {
                self.report("G2", op, "the order names an op that does not exist");
                continue;
            };
            for &arg in data.args.iter().filter(|&&arg| !done.contains(arg)) {
                self.report("G2", op, format!("operand {arg} does not come before its use"));
            }
            if !done.insert(op) {
                self.report("G2", op, "the op occurs twice in the order");
            }
        }
        for output in self.graph.outputs.iter().filter(|o| !done.contains(o.value)) {
            let message = format!("output \"{}\" is not in the order", output.name);
            self.report("G2", output.value, message);
        }
    }

    fn op(&mut self, op: OpId) {
        let data = &self.graph.ops[op];
        if !self.graph.locs.is_valid(data.loc) {
            self.report("G8", op, format!("{} is not in the table", data.loc));
        }
        if let Err(message) = check_size(&data.ty) {
            self.report("G3", op, message);
        }
        if self.bodies(op) > 0 {
            return;
        }
        let counts = operand_counts(&data.op);
        if !counts.contains(&data.args.len()) {
            let (least, found) = (counts.start(), data.args.len());
            return self.report("G1", op, format!("expected {least} operands, found {found}"));
        }
        if data.args.iter().all(|&arg| self.graph.ops.is_valid(arg)) {
            self.types(op);
        }
    }

    /// The number of violations in an op's bodies.
    fn bodies(&mut self, op: OpId) -> usize {
        let inner = self.graph.ops[op].op.bodies();
        let found = inner.into_iter().filter_map(|body| verify(body.graph()).err()).flatten();
        let found = found.map(|v| Violation { at: format!("{op}: {}", v.at), ..v });
        let before = self.found.len();
        self.found.extend(found);
        self.found.len() - before
    }

    fn types(&mut self, op: OpId) {
        let data = &self.graph.ops[op];
        let args: Vec<&TensorType> = data.args.iter().map(|&arg| self.graph.ty(arg)).collect();
        let same_shape = shapes_like_result(&data.op, &args);
        if let Some(arg) = same_shape.iter().find(|arg| arg.shape != data.ty.shape) {
            return self.report(
                "G5",
                op,
                format!("operand {arg} is not of the shape of {}", data.ty),
            );
        }
        match data.op.infer(&args).and_then(|ty| self.outer_type(&data.op, ty)) {
            Ok(ty) if ty == data.ty => {}
            Ok(ty) => self.report("G4", op, format!("stored type {}, inferred {ty}", data.ty)),
            Err(message) => self.report("G4", op, message),
        }
    }

    /// The type of what an input or constant refers to; other ops keep theirs.
    fn outer_type(&self, op: &Op, ty: TensorType) -> Result<TensorType, TypeError> {
        match op {
            Op::Input(input) => {
                let port = self.graph.inputs.get(input.index as usize);
                port.map(|p| p.ty.clone()).ok_or_else(|| format!("no input {}", input.index))
            }
            Op::Const(c) => {
                let tensor = self.graph.consts.get(c.id);
                tensor.map(|t| t.ty.clone()).ok_or_else(|| format!("no constant {}", c.id))
            }
            _ => Ok(ty),
        }
    }

    fn consts(&mut self) {
        let mut known: BTreeMap<(&TensorType, &[u8]), ConstId> = BTreeMap::new();
        for (id, tensor) in &self.graph.consts {
            if let Some(first) = known.insert((&tensor.ty, tensor.bytes()), id) {
                let message = format!("same content as {first}");
                self.found.push(Violation::new("G7", id.to_string(), message));
            }
        }
    }
}

fn check_size(ty: &TensorType) -> Result<(), String> {
    if ty.shape.rank() > MAX_RANK {
        return Err(format!("{ty} has rank {}, above {MAX_RANK}", ty.shape.rank()));
    }
    if ty.shape.numel() > MAX_NUMEL {
        return Err(format!("{ty} has more than 2^48 elements"));
    }
    Ok(())
}

/// How many operands an op takes.
fn operand_counts(op: &Op) -> RangeInclusive<usize> {
    let exactly = |n: usize| n..=n;
    match op {
        Op::Input(_) | Op::Const(_) => exactly(0),
        Op::Broadcast(_)
        | Op::NonZero(_)
        | Op::Pad(_)
        | Op::Pool(_)
        | Op::Reduce(_)
        | Op::Reshape(_)
        | Op::Slice(_)
        | Op::TopK(_)
        | Op::Transpose(_) => exactly(1),
        Op::Dequantize(_) | Op::Quantize(_) => exactly(2),
        Op::Requantize(_) => exactly(3),
        Op::NonMaxSuppression(_) => exactly(5),
        Op::Scatter(_) => 2..=usize::MAX,
        Op::Map(map) => exactly((map.body.params() as usize).max(1)),
        Op::MatMul(matmul) => exactly((matmul.epilogue.params() as usize).max(1) + 1),
        Op::Conv(conv) => exactly((conv.epilogue.params() as usize).max(1) + 1),
        Op::Gather(gather) => exactly(1 + gather.index_dims().count()),
        Op::Concat(_) | Op::If(_) => 1..=usize::MAX,
        Op::Repeat(op) => exactly(op.body.params().len()),
    }
}

/// The operands that must have the result's shape (G5).
fn shapes_like_result<'a>(op: &Op, args: &'a [&'a TensorType]) -> &'a [&'a TensorType] {
    match op {
        Op::Map(_) | Op::Dequantize(_) | Op::Quantize(_) | Op::Requantize(_) => args,
        Op::MatMul(_) | Op::Conv(_) => &args[2..],
        Op::Broadcast(_)
        | Op::Concat(_)
        | Op::Const(_)
        | Op::Gather(_)
        | Op::If(_)
        | Op::Input(_)
        | Op::NonMaxSuppression(_)
        | Op::NonZero(_)
        | Op::Pad(_)
        | Op::Pool(_)
        | Op::Reduce(_)
        | Op::Repeat(_)
        | Op::Reshape(_)
        | Op::Scatter(_)
        | Op::Slice(_)
        | Op::TopK(_)
        | Op::Transpose(_) => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::verify;
    use crate::graph::build::GraphBuilder;
    use crate::graph::ops::{Map, Reshape};
    use crate::graph::{Graph, OpId};
    use crate::loc::LocId;
    use crate::scalar::ScalarExpr;
    use crate::scalar::func::ScalarFn;
    use crate::tensor::Tensor;
    use crate::types::{ElemType, Shape, TensorType};
    use cranelift_entity::EntityRef;

    /// `y = reshape(x + [1, 2])`; ops 0 to 3.
    fn sound() -> Graph {
        let mut b = GraphBuilder::new("g");
        let x = b.input("x", TensorType::new(ElemType::F32, &[2]));
        let c = b.constant(Tensor::from_f32s(&[2], &[1.0, 2.0]));
        let add = Map { body: ScalarExpr::call(ScalarFn::Add) };
        let sum = b.add(add, &[x, c]).expect("a sum");
        let y = b.add(Reshape { shape: Shape::new(&[2, 1]) }, &[sum]).expect("a reshape");
        b.output("y", y);
        b.finish()
    }

    fn op(index: usize) -> OpId {
        OpId::new(index)
    }

    #[track_caller]
    fn check_broken(invariant: &str, damage: impl FnOnce(&mut Graph)) {
        let mut graph = sound();
        damage(&mut graph);
        let found = verify(&graph).expect_err("the graph is broken");
        assert!(found.iter().any(|v| v.invariant == invariant), "{found:?}");
    }

    #[test]
    fn a_sound_graph_verifies() {
        assert_eq!(verify(&sound()), Ok(()));
    }

    #[test]
    fn g1_counts_operands() {
        check_broken("G1", |g| g.ops[op(3)].args.clear());
    }

    #[test]
    fn g2_wants_operands_first() {
        check_broken("G2", |g| g.order.swap(2, 3));
    }

    #[test]
    fn g2_wants_each_op_once() {
        check_broken("G2", |g| g.order.push(op(3)));
    }

    #[test]
    fn g2_wants_outputs_in_the_order() {
        check_broken("G2", |g| g.order.truncate(3));
    }

    #[test]
    fn g3_bounds_rank() {
        check_broken("G3", |g| g.ops[op(3)].ty.shape = Shape::new(&[1; 9]));
    }

    #[test]
    fn g4_compares_stored_and_inferred_types() {
        check_broken("G4", |g| g.ops[op(3)].ty.elem = ElemType::I32);
        check_broken("G4", |g| g.inputs.clear());
    }

    #[test]
    fn g5_forbids_implicit_broadcast() {
        check_broken("G5", |g| g.ops[op(1)].ty.shape = Shape::new(&[1]));
    }

    #[test]
    fn g7_wants_distinct_constants() {
        check_broken("G7", |g| {
            g.consts.push(Tensor::from_f32s(&[2], &[1.0, 2.0]));
        });
    }

    #[test]
    fn g8_wants_known_locations() {
        check_broken("G8", |g| g.ops[op(3)].loc = LocId::new(99));
    }

    #[test]
    fn all_violations_are_reported() {
        let mut graph = sound();
        graph.ops[op(2)].loc = LocId::new(99);
        graph.ops[op(3)].loc = LocId::new(99);
        assert_eq!(verify(&graph).expect_err("two violations").len(), 2);
    }
}
