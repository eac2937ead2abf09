//! A model under rewriting: who makes and who reads each value, which values are constant.

use super::edit;
use edgecc_ir::tensor::Tensor;
use onnx_protobuf::{GraphProto, ModelProto, NodeProto};
use std::collections::{BTreeMap, BTreeSet};

/// Places of nodes by the names of values.
#[derive(Debug, Default)]
pub(super) struct Uses {
    /// The node that makes a value.
    pub(super) producer: BTreeMap<String, usize>,
    /// The nodes that read it, also from graphs inside them.
    pub(super) readers: BTreeMap<String, Vec<usize>>,
    /// The model's outputs.
    pub(super) outputs: BTreeSet<String>,
}

impl Uses {
    pub(super) fn of(graph: &GraphProto) -> Uses {
        let mut uses = Uses::default();
        uses.outputs.extend(graph.output.iter().map(|output| output.name.clone()));
        for (at, node) in graph.node.iter().enumerate() {
            for name in reads(node) {
                uses.readers.entry(name).or_default().push(at);
            }
            for name in &node.output {
                uses.producer.insert(name.clone(), at);
            }
        }
        uses
    }

    /// The only reader of a value that is not an output.
    pub(super) fn only_reader(&self, value: &str) -> Option<usize> {
        match self.readers.get(value).map(Vec::as_slice) {
            Some([reader]) if !self.outputs.contains(value) => Some(*reader),
            _ => None,
        }
    }
}

/// The names that a node and the graphs inside it read.
pub(super) fn reads(node: &NodeProto) -> Vec<String> {
    let inside = node.attribute.iter().filter_map(|attr| attr.g.as_ref()).flat_map(free_names);
    node.input.iter().filter(|name| !name.is_empty()).cloned().chain(inside).collect()
}

/// The names that a graph reads and does not define.
fn free_names(graph: &GraphProto) -> Vec<String> {
    let defined: BTreeSet<&String> = definitions(graph).collect();
    let mut names: Vec<String> = graph.node.iter().flat_map(reads).collect();
    names.extend(graph.output.iter().map(|output| output.name.clone()));
    names.retain(|name| !defined.contains(name));
    names
}

/// The names that a graph itself defines.
pub(super) fn definitions(graph: &GraphProto) -> impl Iterator<Item = &String> {
    let inputs = graph.input.iter().map(|input| &input.name);
    let stored = graph.initializer.iter().map(|tensor| &tensor.name);
    inputs.chain(stored).chain(graph.node.iter().flat_map(|node| &node.output))
}

/// The value of a stored tensor.
pub(super) fn constant(graph: &GraphProto, name: &str) -> Option<Tensor> {
    edit::value(graph.initializer.iter().find(|tensor| tensor.name == name)?)
}

/// Removes nodes and stored tensors that no output needs.
pub(super) fn remove_dead(graph: &mut GraphProto) {
    let mut live: BTreeSet<String> = graph.output.iter().map(|o| o.name.clone()).collect();
    let mut keep = vec![false; graph.node.len()];
    for (at, node) in graph.node.iter().enumerate().rev() {
        if node.output.iter().any(|name| live.contains(name)) {
            keep[at] = true;
            live.extend(reads(node));
        }
    }
    let mut keep = keep.into_iter();
    graph.node.retain(|_| keep.next().unwrap_or(false));
    graph.initializer.retain(|tensor| live.contains(&tensor.name));
    graph.sparse_initializer.clear();
    graph.quantization_annotation.clear();
    let made: BTreeSet<&String> = graph.node.iter().flat_map(|node| &node.output).collect();
    graph.value_info.retain(|info| made.contains(&info.name));
}

/// The version of the default operator set.
pub(super) fn opset(model: &ModelProto) -> i64 {
    let is_default = |domain: &str| domain.is_empty() || domain == "ai.onnx";
    model.opset_import.iter().find(|o| is_default(&o.domain)).map_or(1, |o| o.version)
}
