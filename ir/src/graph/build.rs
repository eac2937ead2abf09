//! Builds graphs op by op; every way to make a `Graph` goes through here.

use super::ops::{Const, Input, Op, TypeError};
use super::{Graph, OpData, OpId, Output};
use crate::kernel::{ConstId, Port};
use crate::loc::{Loc, LocId, LocTable};
use crate::tensor::Tensor;
use crate::types::TensorType;
use cranelift_entity::{EntityRef, PrimaryMap};
use indexmap::IndexMap;
use smallvec::SmallVec;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Adds typed ops in topological order, interning constants.
#[derive(Debug)]
pub struct GraphBuilder {
    graph: Graph,
    interned: IndexMap<u64, Vec<ConstId>>,
    loc: LocId,
}

impl GraphBuilder {
    /// An empty graph.
    #[must_use]
    pub fn new(name: &str) -> GraphBuilder {
        let mut locs = LocTable::new();
        let loc = locs.push(Loc::Unknown);
        let graph = Graph {
            name: name.to_owned(),
            ops: PrimaryMap::new(),
            consts: PrimaryMap::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            order: Vec::new(),
            locs,
        };
        GraphBuilder { graph, interned: IndexMap::new(), loc }
    }

    /// An empty graph with the constants and locations of another one, ids unchanged.
    #[must_use]
    pub fn with_pools(
        name: &str,
        consts: PrimaryMap<ConstId, Tensor>,
        locs: LocTable,
    ) -> GraphBuilder {
        let mut builder = GraphBuilder::new(name);
        for (id, tensor) in &consts {
            builder.interned.entry(content_hash(tensor)).or_default().push(id);
        }
        builder.graph.consts = consts;
        if !locs.is_empty() {
            builder.graph.locs = locs;
        }
        builder
    }

    /// Ops added from now on come from here.
    pub fn set_loc(&mut self, loc: Loc) {
        self.loc = self.graph.locs.push(loc);
    }

    /// Ops added from now on come from this existing location.
    pub fn set_loc_id(&mut self, loc: LocId) {
        self.loc = loc;
    }

    /// The location of ops added now.
    #[must_use]
    pub fn loc(&self) -> LocId {
        self.loc
    }

    /// Adds an input.
    pub fn input(&mut self, name: &str, ty: TensorType) -> OpId {
        let index = self.graph.inputs.len() as u32;
        self.graph.inputs.push(Port { name: name.to_owned(), ty: ty.clone() });
        self.push(Op::Input(Input { index, ty: ty.clone() }), &[], ty)
    }

    /// Adds a constant, interned by content (G7).
    pub fn constant(&mut self, tensor: Tensor) -> OpId {
        let ty = tensor.ty.clone();
        let id = self.intern(tensor);
        self.push(Op::Const(Const { id, ty: ty.clone() }), &[], ty)
    }

    /// The id of a constant with this content.
    pub fn intern(&mut self, tensor: Tensor) -> ConstId {
        let known = self.interned.entry(content_hash(&tensor)).or_default();
        if let Some(&id) = known.iter().find(|&&id| self.graph.consts[id] == tensor) {
            return id;
        }
        let id = self.graph.consts.push(tensor);
        known.push(id);
        id
    }

    /// Adds an op with the type that it infers.
    pub fn add(&mut self, op: impl Into<Op>, args: &[OpId]) -> Result<OpId, TypeError> {
        let op = op.into();
        let ty = {
            let types: SmallVec<[&TensorType; 4]> =
                args.iter().map(|&a| self.graph.ty(a)).collect();
            op.infer(&types)?
        };
        Ok(self.push(op, args, ty))
    }

    /// Names a result.
    pub fn output(&mut self, name: &str, value: OpId) {
        self.graph.outputs.push(Output { name: name.to_owned(), value });
    }

    /// The graph so far.
    #[must_use]
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The finished graph.
    #[must_use]
    pub fn finish(self) -> Graph {
        self.graph
    }

    fn push(&mut self, op: Op, args: &[OpId], ty: TensorType) -> OpId {
        debug_assert!(args.iter().all(|a| a.index() < self.graph.ops.len()));
        let data = OpData { op, args: SmallVec::from_slice(args), ty, loc: self.loc };
        let id = self.graph.ops.push(data);
        self.graph.order.push(id);
        id
    }
}

/// Samples large constants: equal hashes are compared in full, and a graph has few constants of
/// one type that agree in hundreds of places but not in all.
fn content_hash(tensor: &Tensor) -> u64 {
    const SAMPLES: usize = 512;
    let mut hasher = DefaultHasher::new();
    tensor.ty.hash(&mut hasher);
    let step = (tensor.bytes().len() / SAMPLES) | 1;
    tensor.bytes().iter().step_by(step).for_each(|byte| byte.hash(&mut hasher));
    hasher.finish()
}
