//! Takes the branch of an `If` whose condition is constant into the graph around it.

use super::edit::{self, node};
use super::model::definitions;
use edgecc_ir::tensor::Tensor;
use onnx_protobuf::{GraphProto, NodeProto};
use std::collections::{BTreeMap, BTreeSet};

/// Replaces each such node by its branch; tells whether there was one.
pub(super) fn inline(graph: &mut GraphProto, given: &BTreeMap<String, Tensor>) -> bool {
    let conditions: Vec<Option<bool>> =
        graph.node.iter().map(|node| condition(graph, node, given)).collect();
    if conditions.iter().all(Option::is_none) {
        return false;
    }
    let mut names: BTreeSet<String> = definitions(graph).cloned().collect();
    let nodes = std::mem::take(&mut graph.node);
    for (node, condition) in nodes.into_iter().zip(conditions) {
        match condition.and_then(|taken| branch(&node, taken)) {
            Some(branch) => splice(graph, &node, branch, &mut names),
            None => graph.node.push(node),
        }
    }
    true
}

/// The value of an `If` node's condition, if it is known.
fn condition(
    graph: &GraphProto,
    node: &NodeProto,
    given: &BTreeMap<String, Tensor>,
) -> Option<bool> {
    if node.op_type != "If" || !node.domain.is_empty() {
        return None;
    }
    let name = node.input.first()?;
    let stored = || edit::value(graph.initializer.iter().find(|tensor| tensor.name == *name)?);
    let value = given.get(name).cloned().or_else(stored)?;
    (value.numel() == 1).then(|| value.get(0).is_true())
}

fn branch(node: &NodeProto, taken: bool) -> Option<GraphProto> {
    let name = if taken { "then_branch" } else { "else_branch" };
    node.attribute.iter().find(|attr| attr.name == name)?.g.as_ref().cloned()
}

/// Adds a branch's nodes and constants under names that are not taken; its outputs get the names
/// of the node's results.
fn splice(
    graph: &mut GraphProto,
    taken: &NodeProto,
    mut branch: GraphProto,
    names: &mut BTreeSet<String>,
) {
    let own: Vec<String> = definitions(&branch).cloned().collect();
    let mut renamed = BTreeMap::new();
    for name in own {
        let mut fresh = name.clone();
        while !names.insert(fresh.clone()) {
            fresh += "_";
        }
        renamed.insert(name, fresh);
    }
    rename(&mut branch, &renamed);
    graph.initializer.append(&mut branch.initializer);
    graph.node.append(&mut branch.node);
    for (inner, outer) in branch.output.iter().zip(&taken.output) {
        graph.node.push(node("Identity", &taken.name, &[&inner.name], outer));
    }
}

/// Renames values of a graph wherever they occur, also in graphs inside.
fn rename(graph: &mut GraphProto, names: &BTreeMap<String, String>) {
    let swap = |name: &mut String| {
        if let Some(new) = names.get(name) {
            name.clone_from(new);
        }
    };
    graph.initializer.iter_mut().for_each(|tensor| swap(&mut tensor.name));
    graph.output.iter_mut().for_each(|output| swap(&mut output.name));
    for node in &mut graph.node {
        node.input.iter_mut().chain(&mut node.output).for_each(swap);
        let inside = node.attribute.iter_mut().filter_map(|attr| attr.g.as_mut());
        inside.for_each(|inner| rename(inner, names));
    }
}

#[cfg(test)]
mod tests {
    use super::super::edit::{node, stored};
    use super::super::testing::{graph, model, ops, prepared};
    use edgecc_ir::tensor::{Scalar, Tensor};
    use onnx_protobuf::attribute_proto::AttributeType;
    use onnx_protobuf::{AttributeProto, GraphProto, ValueInfoProto};

    /// A graph that applies an operator to `x`; the name of its result is also one around it.
    fn branch(name: &str, op: &str) -> AttributeProto {
        let output = ValueInfoProto { name: "a".to_owned(), ..Default::default() };
        let bias = Tensor::from_f32s(&[1], &[1.0]);
        let graph = GraphProto {
            node: vec![node(op, "", &["x", "k"], "a")],
            initializer: vec![stored("k", &bias)],
            output: vec![output],
            ..Default::default()
        };
        AttributeProto {
            name: name.to_owned(),
            type_: AttributeType::GRAPH.into(),
            g: Some(graph).into(),
            ..Default::default()
        }
    }

    #[test]
    fn the_taken_branch_stays_under_free_names() {
        let mut choice = node("If", "if", &["c"], "b");
        choice.attribute = vec![branch("then_branch", "Mul"), branch("else_branch", "Sub")];
        let nodes =
            vec![node("Neg", "neg", &["x"], "a"), choice, node("Add", "add", &["a", "b"], "y")];
        let condition = Tensor::splat(&[], Scalar::bool(false));
        let prepared = prepared(&model(&[1], &[("c", condition)], nodes));
        let graph = graph(&prepared.bytes());
        assert_eq!(ops(&graph), "Neg Sub Identity Add");
        assert_eq!(graph.node[2].input, graph.node[1].output);
        assert_ne!(graph.node[0].output, graph.node[1].output);
    }
}
