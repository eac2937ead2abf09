//! Evaluates ops on constants with the reference evaluator.
//!
//! A value is stored only when it is not larger than the constants that it is made of, or small. A
//! larger one, and each broadcast, stays an expression but can be an operand of a folded op.

use super::canonicalize::canonical;
use super::rebuild::{Rebuild, rebuild};
use crate::manager::Pass;
use edgecc_ir::graph::ops::Op;
use edgecc_ir::graph::{Graph, OpData, OpId};
use edgecc_ir::tensor::Tensor;
use indexmap::{IndexMap, IndexSet};

/// The pass.
pub const PASS: Pass<Graph> = Pass {
    name: "fold_constants",
    doc: "evaluates ops whose operands are all constant",
    run: |graph, _| fold(graph, |_, _, _| false),
};

/// The pass before rules have seen the codes of quantised constants.
pub const EXCEPT_CODES: Pass<Graph> = Pass {
    name: "fold_numbers",
    doc: "evaluates ops whose operands are all constant, but not dequantised codes and views of them",
    run: |graph, _| fold(graph, shows_codes),
};

/// Results of at most this many bytes are always stored.
const SMALL_BYTES: usize = 4096;

/// Elements that a folded repetition or choice may compute.
const MAX_WORK: usize = 1 << 20;

/// Codes of one byte may become `f32`.
const DEQUANTIZE_GROWTH: usize = 4;

/// Folds all but what `keep` says.
fn fold(graph: &mut Graph, keep: fn(&Rebuild, &Op, &[OpId]) -> bool) {
    let mut exprs = Exprs::default();
    rebuild(graph, |new, data, args| {
        let Some(leaves) = exprs.leaves(new, data, args) else {
            return canonical(new, &data.op, args);
        };
        if may_store(new, data, &leaves) && !keep(new, &data.op, args) {
            let value = exprs.eval(new, &data.op, args);
            return new.constant(value);
        }
        let id = new.emit(data.op.clone(), args);
        exprs.pending.insert(id, leaves);
        id
    });
}

/// Whether a constant is a dequantised one, perhaps moved.
fn shows_codes(new: &Rebuild, op: &Op, args: &[OpId]) -> bool {
    match op {
        Op::Dequantize(_) => true,
        Op::Reshape(_) | Op::Transpose(_) | Op::Slice(_) => {
            shows_codes(new, new.op(args[0]), &new.graph().ops[args[0]].args)
        }
        _ => false,
    }
}

fn may_store(new: &Rebuild, data: &OpData, leaves: &IndexSet<OpId>) -> bool {
    if matches!(data.op, Op::Const(_) | Op::Broadcast(_)) {
        return false;
    }
    let source: usize = leaves.iter().map(|&c| new.ty(c).bytes()).sum();
    let growth = if matches!(data.op, Op::Dequantize(_)) { DEQUANTIZE_GROWTH } else { 1 };
    data.ty.bytes() <= SMALL_BYTES.max(source.saturating_mul(growth))
}

/// Whether an evaluation is known to take little time.
fn is_cheap(op: &Op) -> bool {
    match op {
        Op::Repeat(op) => op.work() <= MAX_WORK,
        Op::If(op) => op.work() <= MAX_WORK,
        _ => true,
    }
}

/// Constant expressions that are not stored, with the constants that they are made of.
#[derive(Default)]
struct Exprs {
    pending: IndexMap<OpId, IndexSet<OpId>>,
}

impl Exprs {
    /// The constants that an op depends on, when it depends on nothing else.
    fn leaves(&self, new: &Rebuild, data: &OpData, args: &[OpId]) -> Option<IndexSet<OpId>> {
        if args.is_empty() && !matches!(data.op, Op::Const(_)) || !is_cheap(&data.op) {
            return None;
        }
        let mut leaves = IndexSet::new();
        for arg in args {
            match self.pending.get(arg) {
                _ if new.graph().as_const(*arg).is_some() => {
                    leaves.insert(*arg);
                }
                Some(pending) => leaves.extend(pending.iter().copied()),
                None => return None,
            }
        }
        Some(leaves)
    }

    fn eval(&self, new: &Rebuild, op: &Op, args: &[OpId]) -> Tensor {
        let values: Vec<Tensor> = args
            .iter()
            .filter(|&&a| new.graph().as_const(a).is_none())
            .map(|&a| self.eval(new, new.op(a), &new.graph().ops[a].args))
            .collect();
        let mut values = values.iter();
        let operands: Vec<&Tensor> = args
            .iter()
            .map(|&a| {
                let stored = new.graph().as_const(a);
                stored.unwrap_or_else(|| values.next().expect("one per operand not stored"))
            })
            .collect();
        op.eval(&operands)
    }
}
