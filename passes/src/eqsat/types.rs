//! What is known of every class: its type, by the graph's own inference, and what it costs to read.

use super::node::{Node, OriginId};
use edgecc_ir::graph::ops::Op;
use edgecc_ir::loc::LocId;
use edgecc_ir::tensor::Scalar;
use edgecc_ir::types::TensorType;
use egg::{Analysis, DidMerge, Id};
use smallvec::SmallVec;

/// The e-graph over tensor ops.
pub(crate) type EGraph = egg::EGraph<Node, Facts>;

/// The analysis; constants' bytes stay in the graph's pool.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// The value of each constant whose elements are all equal.
    pub(crate) uniform: Vec<Option<Scalar>>,
    /// How each e-node was derived; an origin refers to earlier ones only.
    pub(crate) origins: Vec<Origin>,
}

/// The derivation of an e-node.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    /// An op of the graph that is rewritten.
    Source(LocId),
    /// Made by a rule out of others.
    Rule {
        /// The rule's name.
        rule: &'static str,
        /// The e-nodes that it matched.
        from: SmallVec<[OriginId; 4]>,
    },
}

/// What is known of a class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fact {
    /// The type of each of its terms.
    pub(crate) ty: TensorType,
    /// Whether it depends on constants alone; such a class is folded later and free until then.
    pub(crate) constant: bool,
    /// The value of all elements, when they are known to be equal.
    pub(crate) uniform: Option<Scalar>,
    /// The distinct bytes that reading the whole value touches.
    pub(crate) read_bytes: usize,
    /// Whether its value, which the source graph computes once, may be recomputed by its users:
    /// they all end up in one op.
    pub(crate) inline: bool,
    /// Whether several ops of the source graph need the value in memory.
    pub(crate) shared: bool,
}

impl Facts {
    /// Notes a derivation.
    pub(crate) fn origin(&mut self, origin: Origin) -> OriginId {
        self.origins.push(origin);
        OriginId(self.origins.len() as u32 - 1)
    }

    fn maker(&self, node: &Node) -> &'static str {
        match &self.origins[node.origin.0 as usize] {
            Origin::Source(_) => "the source graph",
            Origin::Rule { rule, .. } => rule,
        }
    }
}

impl Analysis<Node> for Facts {
    type Data = Fact;

    fn make(egraph: &mut EGraph, node: &Node, _id: Id) -> Fact {
        let args: SmallVec<[&Fact; 4]> = node.args.iter().map(|&a| &egraph[a].data).collect();
        let types: SmallVec<[&TensorType; 4]> = args.iter().map(|f| &f.ty).collect();
        let ty = node.op.infer(&types).unwrap_or_else(|e| {
            let (maker, op) = (egraph.analysis.maker(node), node.op.tag().mnemonic());
            panic!("G4: {maker} made an ill-typed {op}: {e}")
        });
        let (constant, uniform, read_bytes) = match &node.op {
            Op::Const(c) => (true, egraph.analysis.uniform[c.id.as_u32() as usize], ty.bytes()),
            Op::Broadcast(_) => (args[0].constant, args[0].uniform, args[0].read_bytes),
            Op::Reshape(_) | Op::Transpose(_) | Op::Slice(_) => {
                (args[0].constant, args[0].uniform, args[0].read_bytes.min(ty.bytes()))
            }
            Op::If(_) | Op::Input(_) | Op::Repeat(_) => (false, None, ty.bytes()),
            Op::Concat(_)
            | Op::Conv(_)
            | Op::Dequantize(_)
            | Op::Gather(_)
            | Op::Map(_)
            | Op::MatMul(_)
            | Op::NonMaxSuppression(_)
            | Op::NonZero(_)
            | Op::Pad(_)
            | Op::Pool(_)
            | Op::Quantize(_)
            | Op::Reduce(_)
            | Op::Requantize(_)
            | Op::Scatter(_)
            | Op::TopK(_) => (args.iter().all(|f| f.constant), None, ty.bytes()),
        };
        Fact { ty, constant, uniform, read_bytes, inline: false, shared: false }
    }

    fn merge(&mut self, a: &mut Fact, b: Fact) -> DidMerge {
        assert_eq!(a.ty, b.ty, "G4: a rule united values of different types");
        let merged = Fact {
            constant: a.constant || b.constant,
            uniform: a.uniform.or(b.uniform),
            read_bytes: a.read_bytes.min(b.read_bytes),
            inline: a.inline || b.inline,
            shared: a.shared || b.shared,
            ty: b.ty.clone(),
        };
        let did = DidMerge(merged != *a, merged != b);
        *a = merged;
        did
    }
}
