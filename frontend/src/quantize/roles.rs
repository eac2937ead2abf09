//! How codes pass through operators: which ones move them, which ones compute on them.

use super::model::Uses;
use onnx_protobuf::{GraphProto, NodeProto};
use std::collections::BTreeMap;

/// What an operator does with quantised operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Its results are some of the elements of its first `n` operands, which share a scale.
    Moves(usize),
    /// It computes with each of its first `n` operands, which have scales of their own.
    Computes(usize),
    /// It bounds its operand, which is no more than narrower bounds of the codes.
    Bounds,
    /// Operands stay as they are.
    Other,
}

/// Any number of operands.
const ALL: usize = usize::MAX;

const ROLES: &[(&str, Role)] = &[
    ("Add", Role::Computes(2)),
    ("AveragePool", Role::Computes(1)),
    ("Clip", Role::Bounds),
    ("Concat", Role::Moves(ALL)),
    ("DepthToSpace", Role::Moves(1)),
    ("Flatten", Role::Moves(1)),
    ("GlobalAveragePool", Role::Computes(1)),
    ("GlobalMaxPool", Role::Moves(1)),
    ("Identity", Role::Moves(1)),
    ("MaxPool", Role::Moves(1)),
    ("Relu", Role::Bounds),
    ("Reshape", Role::Moves(1)),
    ("Slice", Role::Moves(1)),
    ("SpaceToDepth", Role::Moves(1)),
    ("Split", Role::Moves(1)),
    ("Squeeze", Role::Moves(1)),
    ("Transpose", Role::Moves(1)),
    ("Unsqueeze", Role::Moves(1)),
];

/// The role of a node in a graph. An addition of a constant is no computation on codes: it is done
/// with the sum before it.
pub(super) fn role(graph: &GraphProto, node: &NodeProto) -> Role {
    if !node.domain.is_empty() {
        return Role::Other;
    }
    let row = ROLES.iter().find(|(op, _)| *op == node.op_type);
    let role = row.map_or(Role::Other, |(_, role)| *role);
    let is_stored = |name: &String| graph.initializer.iter().any(|tensor| tensor.name == *name);
    let operands = &node.input[..operands(role, node)];
    if operands.iter().any(|name| name.is_empty() || is_stored(name)) { Role::Other } else { role }
}

/// How many operands of a node the role is about.
pub(super) fn operands(role: Role, node: &NodeProto) -> usize {
    let count = match role {
        Role::Moves(count) | Role::Computes(count) => count,
        Role::Bounds => 1,
        Role::Other => 0,
    };
    count.min(node.input.len())
}

/// The values that are quantised, each with the representative of those that share its scale.
pub(super) struct Views<'a> {
    graph: &'a GraphProto,
    uses: &'a Uses,
    /// Values by name; another one that shares the scale, or itself.
    leader: BTreeMap<String, String>,
}

impl<'a> Views<'a> {
    pub(super) fn new(graph: &'a GraphProto, uses: &'a Uses) -> Views<'a> {
        Views { graph, uses, leader: BTreeMap::new() }
    }

    /// Quantises a value, and whatever that asks for before it.
    pub(super) fn add(&mut self, value: &str) {
        if self.leader.contains_key(value) {
            return;
        }
        self.leader.insert(value.to_owned(), value.to_owned());
        self.add_inside(value, value);
    }

    fn add_inside(&mut self, value: &str, view: &str) {
        let Some(&at) = self.uses.producer.get(value) else { return };
        let node = &self.graph.node[at];
        let role = role(self.graph, node);
        for operand in &node.input[..operands(role, node)] {
            match role {
                Role::Moves(_) => {
                    self.add(operand);
                    self.join(operand, view);
                }
                Role::Computes(_) => self.add(operand),
                Role::Bounds => self.add_inside(operand, view),
                Role::Other => {}
            }
        }
    }

    fn join(&mut self, a: &str, b: &str) {
        let (a, b) = (self.leader(a), self.leader(b));
        let (first, second) = if a <= b { (a, b) } else { (b, a) };
        self.leader.insert(second, first);
    }

    fn leader(&self, value: &str) -> String {
        let mut value = value;
        while self.leader[value] != value {
            value = &self.leader[value];
        }
        value.to_owned()
    }

    /// Each quantised value with its representative.
    pub(super) fn groups(&self) -> BTreeMap<String, String> {
        self.leader.keys().map(|value| (value.clone(), self.leader(value))).collect()
    }
}
