//! Computes what depends on constants alone, so that weights are stored tensors.

use super::edit::{self, int};
use super::model::{Uses, reads};
use crate::{ImportOptions, import};
use edgecc_ir::graph::eval::eval;
use edgecc_ir::tensor::Tensor;
use edgecc_ir::types::TensorType;
use onnx_protobuf::{GraphProto, Message, ModelProto, NodeProto, TensorProto, ValueInfoProto};
use std::collections::{BTreeMap, BTreeSet};

/// A folded value may be larger than what it is made from up to this many bytes.
const SMALL: usize = 1 << 14;

/// Turns nodes that read constants alone into stored tensors; `given` are values of inputs. What
/// cannot be computed stays.
pub(super) fn fold(model: &mut ModelProto, given: &BTreeMap<String, Tensor>) {
    let Some(graph) = model.graph.as_mut() else { return };
    store_constants(graph);
    let nodes = constant_nodes(graph, given);
    if nodes.is_empty() {
        return;
    }
    let wanted = wanted_values(graph, &nodes);
    let known = known_bytes(graph, given);
    let Some(values) = compute(model, &nodes, &wanted, given) else { return };
    let graph = model.graph.as_mut().expect("it was there before");
    let budget = SMALL + known;
    for (name, value) in wanted.iter().zip(&values) {
        if value.bytes().len() <= budget {
            replace(graph, name, value);
        }
    }
}

/// `Constant` nodes with a tensor or a number become stored tensors.
fn store_constants(graph: &mut GraphProto) {
    let mut stored = Vec::new();
    graph.node.retain(|node| match constant_of(node) {
        Some(tensor) => {
            stored.push(tensor);
            false
        }
        None => true,
    });
    graph.initializer.extend(stored);
}

fn constant_of(node: &NodeProto) -> Option<TensorProto> {
    if node.op_type != "Constant" || !node.domain.is_empty() {
        return None;
    }
    let attr = node.attribute.first()?;
    let name = node.output.first()?;
    match attr.name.as_str() {
        "value" => Some(TensorProto { name: name.clone(), ..attr.t.as_ref()?.clone() }),
        "value_int" => {
            Some(edit::stored(name, &Tensor::from_i64s(&[], &[int(node, "value_int", 0)])))
        }
        "value_ints" => Some(edit::integers(name, &attr.ints)),
        "value_float" => Some(edit::stored(name, &Tensor::from_f32s(&[], &[attr.f]))),
        "value_floats" => {
            Some(edit::stored(name, &Tensor::from_f32s(&[attr.floats.len()], &attr.floats)))
        }
        _ => None,
    }
}

/// The nodes all of whose operands are constant, in order.
fn constant_nodes(graph: &GraphProto, given: &BTreeMap<String, Tensor>) -> Vec<usize> {
    let stored = graph.initializer.iter().map(|tensor| tensor.name.clone());
    let mut known: BTreeSet<String> = stored.chain(given.keys().cloned()).collect();
    let mut nodes = Vec::new();
    for (at, node) in graph.node.iter().enumerate() {
        let has_graph = node.attribute.iter().any(|attr| attr.g.is_some());
        let operands = reads(node);
        if !has_graph && !operands.is_empty() && operands.iter().all(|name| known.contains(name)) {
            known.extend(node.output.iter().cloned());
            nodes.push(at);
        }
    }
    nodes
}

/// The results of these nodes that others read, or that are outputs.
fn wanted_values(graph: &GraphProto, nodes: &[usize]) -> Vec<String> {
    let uses = Uses::of(graph);
    let leaves = |name: &&String| {
        let readers = uses.readers.get(*name);
        uses.outputs.contains(*name)
            || readers.is_some_and(|r| r.iter().any(|reader| nodes.binary_search(reader).is_err()))
    };
    nodes.iter().flat_map(|&at| &graph.node[at].output).filter(leaves).cloned().collect()
}

fn known_bytes(graph: &GraphProto, given: &BTreeMap<String, Tensor>) -> usize {
    let stored =
        graph.initializer.iter().map(|tensor| tensor.raw_data.len() + 4 * tensor.float_data.len());
    stored.chain(given.values().map(|value| value.bytes().len())).max().unwrap_or(0)
}

/// The wanted values of a model of these nodes alone.
fn compute(
    model: &ModelProto,
    nodes: &[usize],
    wanted: &[String],
    given: &BTreeMap<String, Tensor>,
) -> Option<Vec<Tensor>> {
    let graph = &model.graph;
    let nodes: Vec<NodeProto> = nodes.iter().map(|&at| graph.node[at].clone()).collect();
    let read: BTreeSet<String> = nodes.iter().flat_map(reads).collect();
    let is_read =
        |tensor: &&TensorProto| read.contains(&tensor.name) && !given.contains_key(&tensor.name);
    let mut initializer: Vec<TensorProto> =
        graph.initializer.iter().filter(is_read).cloned().collect();
    initializer.extend(
        given.iter().filter(|(name, _)| read.contains(*name)).map(|(n, v)| edit::stored(n, v)),
    );
    let output =
        wanted.iter().map(|name| ValueInfoProto { name: name.clone(), ..Default::default() });
    let part = ModelProto {
        ir_version: 8,
        opset_import: model.opset_import.clone(),
        graph: Some(GraphProto {
            node: nodes,
            initializer,
            output: output.collect(),
            ..Default::default()
        })
        .into(),
        ..Default::default()
    };
    let bytes = part.write_to_bytes().ok()?;
    let imported = import(&bytes, &ImportOptions::named("constants")).ok()?;
    Some(eval(&imported.graph, &[]))
}

/// A stored tensor in the place of a node's result.
fn replace(graph: &mut GraphProto, name: &str, value: &Tensor) {
    for node in &mut graph.node {
        node.output.iter_mut().filter(|output| *output == name).for_each(|output| {
            *output = edit::beside(name, "folded");
        });
    }
    graph.initializer.push(edit::stored(name, value));
}

/// The values that the user gives to inputs, as far as their types are known.
pub(super) fn given(graph: &GraphProto, options: &ImportOptions<'_>) -> BTreeMap<String, Tensor> {
    let value = |(name, constant): &(String, crate::Constant)| {
        let input = graph.input.iter().find(|input| input.name == *name)?;
        let ty = declared_type(input, constant.shape())?;
        Some((name.clone(), constant.tensor(&ty).ok()?))
    };
    options.consts.iter().filter_map(value).collect()
}

/// The type that an input declares, with the shape of its constant if that has one.
fn declared_type(input: &ValueInfoProto, shape: Option<&[usize]>) -> Option<TensorType> {
    let ty = input.type_.as_ref()?;
    let tensor = ty.tensor_type();
    let elem = crate::tensor::elem_type(tensor.elem_type).ok()?;
    let declared = || {
        let dims = tensor.shape.dim.iter();
        dims.map(|dim| usize::try_from(dim.dim_value()).ok().filter(|&d| d > 0)).collect()
    };
    let dims: Vec<usize> = shape.map(<[usize]>::to_vec).or_else(declared)?;
    Some(TensorType::new(elem, &dims))
}
