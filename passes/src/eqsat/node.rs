//! E-nodes: the graph's own ops with their attributes by value.

use edgecc_ir::graph::ops::{Op, OpTag};
use egg::{Id, Language};
use smallvec::SmallVec;
use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

/// Where an e-node comes from, as a position in `Facts::origins`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct OriginId(pub(crate) u32);

/// An op over classes. The origin is a note and no part of the identity.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// The op.
    pub(crate) op: Op,
    /// Its operands.
    pub(crate) args: SmallVec<[Id; 4]>,
    /// Its first derivation.
    pub(crate) origin: OriginId,
}

impl PartialEq for Node {
    fn eq(&self, other: &Node) -> bool {
        self.args == other.args && self.op == other.op
    }
}

impl Eq for Node {}

impl PartialOrd for Node {
    fn partial_cmp(&self, other: &Node) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Node {
    fn cmp(&self, other: &Node) -> Ordering {
        (&self.op, &self.args).cmp(&(&other.op, &other.args))
    }
}

impl Hash for Node {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.op, &self.args).hash(state);
    }
}

impl Language for Node {
    type Discriminant = OpTag;

    fn discriminant(&self) -> OpTag {
        self.op.tag()
    }

    fn matches(&self, other: &Node) -> bool {
        self.args.len() == other.args.len() && self.op == other.op
    }

    fn children(&self) -> &[Id] {
        &self.args
    }

    fn children_mut(&mut self) -> &mut [Id] {
        &mut self.args
    }
}
