//! Graph: tensors. One op has one result, so an op is its value.
//!
//! Invariants, checked by `verify`:
//! **G1** every op has exactly one result and as many operands as its row allows.
//! **G2** `order` is a topological order and contains each live op once.
//! **G3** all types are static, rank at most 8, element counts fit 2^48; an empty tensor is legal.
//! **G4** the stored type is `op.infer(operand types)`.
//! **G5** no implicit broadcast: each operand of a `map` body or an epilogue has the result's shape.
//! **G6** ops are pure: any op may be removed, duplicated, reordered.
//! **G7** constants are interned by content.
//! **G8** every op has a location.
//!
//! A body inside an op is a graph of its own, of which the same holds.

pub mod body;
pub mod build;
pub mod eval;
pub mod ops;
pub mod random;
pub mod verify;

use crate::kernel::{ConstId, Port};
use crate::loc::{LocId, LocTable};
use crate::tensor::Tensor;
use crate::types::TensorType;
use cranelift_entity::{PrimaryMap, SecondaryMap, entity_impl};
use ops::Op;
use smallvec::SmallVec;

/// An op and the value that it computes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OpId(u32);
entity_impl!(OpId, "op");

/// A typed tensor program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    /// The model's name, a C identifier.
    pub name: String,
    /// All ops, also dead ones.
    pub ops: PrimaryMap<OpId, OpData>,
    /// The constant pool.
    pub consts: PrimaryMap<ConstId, Tensor>,
    /// Inputs in the caller's order; `Op::Input` refers to them by position.
    pub inputs: Vec<Port>,
    /// Outputs in the caller's order.
    pub outputs: Vec<Output>,
    /// Live ops in execution order.
    pub order: Vec<OpId>,
    /// Locations of the ops.
    pub locs: LocTable,
}

/// An op, its operands, its type and its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpData {
    /// What is computed.
    pub op: Op,
    /// Operands.
    pub args: SmallVec<[OpId; 4]>,
    /// Type of the result.
    pub ty: TensorType,
    /// Origin.
    pub loc: LocId,
}

/// A named result of the graph.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Output {
    /// Name in the model.
    pub name: String,
    /// The value.
    pub value: OpId,
}

impl Graph {
    /// The result type of an op.
    #[must_use]
    pub fn ty(&self, op: OpId) -> &TensorType {
        &self.ops[op].ty
    }

    /// How often each op is an operand of an op of `order` or an output.
    #[must_use]
    pub fn uses(&self) -> SecondaryMap<OpId, u32> {
        let mut uses = SecondaryMap::new();
        let operands = self.order.iter().flat_map(|&op| &self.ops[op].args);
        operands.chain(self.outputs.iter().map(|o| &o.value)).for_each(|&op| uses[op] += 1);
        uses
    }

    /// The constant that an op is, if it is one.
    #[must_use]
    pub fn as_const(&self, op: OpId) -> Option<&Tensor> {
        match &self.ops[op].op {
            Op::Const(c) => Some(&self.consts[c.id]),
            _ => None,
        }
    }
}
