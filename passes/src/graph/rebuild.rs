//! Rebuilding a graph op by op: the only way that passes change one.

use cranelift_entity::{PrimaryMap, SecondaryMap};
use edgecc_ir::graph::build::GraphBuilder;
use edgecc_ir::graph::ops::{Const, Op};
use edgecc_ir::graph::{Graph, OpData, OpId, Output};
use edgecc_ir::kernel::ConstId;
use edgecc_ir::loc::{Loc, LocId, LocTable};
use edgecc_ir::tensor::Tensor;
use edgecc_ir::types::TensorType;
use indexmap::IndexMap;
use smallvec::SmallVec;
use std::mem::take;

/// A graph being built from an old one; equal ops become one.
pub(crate) struct Rebuild {
    builder: GraphBuilder,
    known: IndexMap<(Op, SmallVec<[OpId; 4]>), OpId>,
    inputs: Vec<OpId>,
}

/// The program that is being replaced, without its pools.
pub(crate) struct OldGraph {
    /// Its ops.
    pub(crate) ops: PrimaryMap<OpId, OpData>,
    /// Those that the outputs need, in topological order.
    pub(crate) live: Vec<OpId>,
    /// Its results.
    pub(crate) outputs: Vec<Output>,
}

/// Replaces each live op by what `each` makes of it; operands are already new.
pub(crate) fn rebuild(
    graph: &mut Graph,
    mut each: impl FnMut(&mut Rebuild, &OpData, &[OpId]) -> OpId,
) {
    let (old, mut new) = Rebuild::start(graph);
    let mut map: SecondaryMap<OpId, Option<OpId>> = SecondaryMap::new();
    for &id in &old.live {
        let data = &old.ops[id];
        let args: SmallVec<[OpId; 4]> =
            data.args.iter().map(|&a| map[a].expect("G2: operands come first")).collect();
        new.set_loc(data.loc);
        map[id] = Some(each(&mut new, data, &args));
    }
    let outputs = old.outputs.into_iter();
    let outputs: Vec<Output> =
        outputs.map(|o| Output { value: map[o.value].expect("G2: live"), ..o }).collect();
    *graph = new.finish(&outputs);
}

/// The ops that some output needs, in the graph's order.
pub(crate) fn live_ops(graph: &Graph) -> Vec<OpId> {
    let mut needed: SecondaryMap<OpId, bool> = SecondaryMap::new();
    graph.outputs.iter().for_each(|o| needed[o.value] = true);
    for &id in graph.order.iter().rev() {
        if needed[id] {
            graph.ops[id].args.iter().for_each(|&a| needed[a] = true);
        }
    }
    graph.order.iter().copied().filter(|&id| needed[id]).collect()
}

impl Rebuild {
    /// Takes `graph` apart; its pools move into the new graph, ids unchanged.
    pub(crate) fn start(graph: &mut Graph) -> (OldGraph, Rebuild) {
        let live = live_ops(graph);
        let (consts, locs) = (take(&mut graph.consts), take(&mut graph.locs));
        let new = Rebuild::with_pools(graph, consts, locs);
        let old = OldGraph { live, ops: take(&mut graph.ops), outputs: take(&mut graph.outputs) };
        (old, new)
    }

    fn with_pools(graph: &Graph, consts: PrimaryMap<ConstId, Tensor>, locs: LocTable) -> Rebuild {
        let mut builder = GraphBuilder::with_pools(&graph.name, consts, locs);
        let inputs = graph.inputs.iter().enumerate().map(|(index, port)| {
            let is_input =
                |id: &&OpId| matches!(&graph.ops[**id].op, Op::Input(i) if i.index as usize == index);
            if let Some(&op) = graph.order.iter().find(is_input) {
                builder.set_loc_id(graph.ops[op].loc);
            }
            builder.input(&port.name, port.ty.clone())
        });
        let inputs = inputs.collect();
        Rebuild { builder, known: IndexMap::new(), inputs }
    }

    /// Adds an op, or returns the equal one that exists.
    ///
    /// # Panics
    /// When it does not type-check (G4): a bug in the calling pass.
    pub(crate) fn emit(&mut self, op: impl Into<Op>, args: &[OpId]) -> OpId {
        let op = op.into();
        if let Op::Input(input) = &op {
            return self.inputs[input.index as usize];
        }
        let key = (op, SmallVec::from_slice(args));
        if let Some(&known) = self.known.get(&key) {
            return known;
        }
        let id = self.builder.add(key.0.clone(), args).unwrap_or_else(|e| {
            panic!("G4: a pass made an ill-typed {}: {e}", key.0.tag().mnemonic())
        });
        self.known.insert(key, id);
        id
    }

    /// Adds a constant, interned by content.
    pub(crate) fn constant(&mut self, tensor: Tensor) -> OpId {
        let ty = tensor.ty.clone();
        let id = self.builder.intern(tensor);
        self.emit(Const { id, ty }, &[])
    }

    /// Ops added from now on come from here.
    pub(crate) fn set_loc(&mut self, loc: LocId) {
        self.builder.set_loc_id(loc);
    }

    /// One location for several.
    pub(crate) fn fused_loc(&mut self, parts: &[LocId]) -> LocId {
        if let [only] = parts {
            return *only;
        }
        self.builder.set_loc(Loc::Fused(parts.to_vec()));
        self.builder.loc()
    }

    /// The graph so far.
    pub(crate) fn graph(&self) -> &Graph {
        self.builder.graph()
    }

    /// The op that computes a value.
    pub(crate) fn op(&self, id: OpId) -> &Op {
        &self.graph().ops[id].op
    }

    /// The n-th operand of an op.
    pub(crate) fn arg(&self, id: OpId, n: usize) -> OpId {
        self.graph().ops[id].args[n]
    }

    /// The type of a value.
    pub(crate) fn ty(&self, id: OpId) -> &TensorType {
        self.graph().ty(id)
    }

    /// The new graph with these results; what they do not need is not in its order.
    pub(crate) fn finish(mut self, outputs: &[Output]) -> Graph {
        outputs.iter().for_each(|o| self.builder.output(&o.name, o.value));
        let mut graph = self.builder.finish();
        graph.order = live_ops(&graph);
        graph
    }
}
