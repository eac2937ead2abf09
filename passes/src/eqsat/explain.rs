//! Which rules made an op of the result, and out of which nodes of the model.

use super::node::OriginId;
use super::types::{Facts, Origin};
use edgecc_ir::graph::{Graph, OpId};
use edgecc_ir::loc::{Loc, LocId};
use std::collections::BTreeSet;

/// How an op came about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Derivation {
    /// The op in the new graph.
    pub op: OpId,
    /// The rules that led to it, in the order of their application; empty for an op that stayed.
    pub rules: Vec<&'static str>,
}

/// What became of a node of the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The op that contains it, as its mnemonic and result type.
    pub op: String,
    /// All nodes of the model in that op, as `name (kind)`.
    pub nodes: Vec<String>,
    /// The rules that led to it, in the order of their application.
    pub rules: Vec<&'static str>,
}

/// Locations and rules behind an e-node.
pub(crate) struct Derived {
    pub(crate) locs: Vec<LocId>,
    pub(crate) rules: Vec<&'static str>,
}

/// The ops of an optimised graph that contain the model's node of this name.
#[must_use]
pub fn explain(graph: &Graph, derivations: &[Derivation], name: &str) -> Vec<Explanation> {
    let explanation = |derivation: &Derivation| {
        let data = &graph.ops[derivation.op];
        let sources = graph.locs[data.loc].sources(&graph.locs);
        let is_named = |l: &&Loc| matches!(l, Loc::Source { name: n, .. } if n == name);
        sources.iter().any(is_named).then(|| Explanation {
            op: format!("{} : {}", data.op.tag().mnemonic(), data.ty),
            nodes: sources.iter().map(ToString::to_string).collect(),
            rules: derivation.rules.clone(),
        })
    };
    derivations.iter().filter_map(explanation).collect()
}

/// Follows the derivation of an e-node back to the source graph.
pub(crate) fn derivation(facts: &Facts, of: OriginId) -> Derived {
    let (mut seen, mut open) = (BTreeSet::new(), vec![of]);
    while let Some(id) = open.pop() {
        if seen.insert(id)
            && let Origin::Rule { from, .. } = &facts.origins[id.0 as usize]
        {
            open.extend(from);
        }
    }
    let mut derived = Derived { locs: Vec::new(), rules: Vec::new() };
    for id in seen {
        match &facts.origins[id.0 as usize] {
            Origin::Source(loc) if !derived.locs.contains(loc) => derived.locs.push(*loc),
            Origin::Rule { rule, .. } if !derived.rules.contains(rule) => derived.rules.push(rule),
            Origin::Source(_) | Origin::Rule { .. } => {}
        }
    }
    derived
}
