//! Scales the channels of values and undoes it in the weights behind, so that one scale of codes
//! fits all channels.

use super::edit::{self, beside, node};
use super::layers::{Layer, Operand, Weights};
use super::model::Uses;
use super::roles::{Role, role};
use edgecc_ir::tensor::Tensor;
use edgecc_ir::types::ElemType;
use onnx_protobuf::GraphProto;
use std::collections::BTreeMap;

/// Whether a value's channels can be scaled: it is computed in `f32`, and only layers with weights
/// see the scaled one.
pub(super) fn is_scalable(graph: &GraphProto, uses: &Uses, value: &str) -> bool {
    let Some(&at) = uses.producer.get(value) else { return true };
    match role(graph, &graph.node[at]) {
        Role::Other => true,
        Role::Bounds => is_scalable(graph, uses, &graph.node[at].input[0]),
        Role::Moves(_) | Role::Computes(_) => false,
    }
}

/// Divides channels of values by factors and multiplies the weights of all layers that read them.
pub(super) fn scale(
    graph: &mut GraphProto,
    layers: &[Layer],
    factors: &BTreeMap<String, Vec<f32>>,
) {
    let uses = Uses::of(graph);
    let mut added = Vec::new();
    for (value, factors) in factors {
        let readers: Vec<&Layer> = layers.iter().filter(|l| l.input == *value).collect();
        let Some(first) = readers.first() else { continue };
        let maker = maker(graph, &uses, layers, value, readers.len());
        match maker.and_then(|maker| Some((maker, maker.weights()?))) {
            Some((maker, weights)) => divide_results(graph, maker, weights, factors),
            None => added
                .push((uses.producer.get(value).copied(), division(graph, first, value, factors))),
        }
        let scaled = if maker.is_some() { value.clone() } else { beside(value, "scaled") };
        for layer in readers {
            multiply_weights(graph, layer, factors, &scaled);
        }
    }
    added.sort_by_key(|(at, _)| std::cmp::Reverse(at.map_or(0, |at| at + 1)));
    for (at, node) in added {
        graph.node.insert(at.map_or(0, |at| at + 1), node);
    }
}

/// The layer that makes a value, perhaps bounded by zero, if nothing but `readers` layers sees it.
fn maker<'a>(
    graph: &GraphProto,
    uses: &Uses,
    layers: &'a [Layer],
    value: &str,
    readers: usize,
) -> Option<&'a Layer> {
    let seen = uses.readers.get(value).map_or(0, Vec::len);
    if seen != readers || uses.outputs.contains(value) {
        return None;
    }
    let producer = &graph.node[*uses.producer.get(value)?];
    if producer.op_type == "Relu" && uses.only_reader(&producer.input[0]).is_some() {
        return layers.iter().find(|layer| layer.output == producer.input[0]);
    }
    layers.iter().find(|layer| layer.output == value)
}

/// A node that divides the channels of a value.
fn division(
    graph: &mut GraphProto,
    layer: &Layer,
    value: &str,
    factors: &[f32],
) -> onnx_protobuf::NodeProto {
    let inverse: Vec<f32> = factors.iter().map(|f| 1.0 / f).collect();
    let mut dims = vec![inverse.len()];
    if layer.op.starts_with("Conv") {
        let spatial = layer.weights().map_or(0, |w| w.values.ty.shape.rank() - 2);
        dims.extend(vec![1; spatial]);
    }
    let (name, scaled) = (beside(value, "inverse"), beside(value, "scaled"));
    graph.initializer.push(edit::stored(&name, &Tensor::from_f32s(&dims, &inverse)));
    node("Mul", &scaled, &[value, &name], &scaled)
}

/// Divides what a layer computes for each channel.
fn divide_results(graph: &mut GraphProto, layer: &Layer, weights: &Weights, factors: &[f32]) {
    let bias: Vec<f32> = weights.bias.iter().zip(factors).map(|(b, f)| b / f).collect();
    let values = stored_weights(graph, layer);
    let divided = |(at, value): (usize, f32)| value / factors[weights.result_channel(at)];
    let values: Vec<f32> = values.to_f32s().into_iter().enumerate().map(divided).collect();
    replace_weights(graph, layer, weights, &values);
    let bias =
        edit::stored(&beside(&layer.name, "scaled_bias"), &Tensor::from_f32s(&[bias.len()], &bias));
    match layer.sum {
        Some(sum) => {
            let products = graph.node[layer.product].output[0].clone();
            let operands = &mut graph.node[sum].input;
            operands.iter_mut().filter(|o| **o != products).for_each(|o| o.clone_from(&bias.name));
        }
        None if layer.op == "MatMul" => return,
        None => {
            let operands = &mut graph.node[layer.product].input;
            operands.truncate(2);
            operands.push(bias.name.clone());
        }
    }
    graph.initializer.push(bias);
}

/// Multiplies the weights for each channel of a layer's input.
fn multiply_weights(graph: &mut GraphProto, layer: &Layer, factors: &[f32], input: &str) {
    let Operand::Weights(weights) = &layer.operand else { return };
    let values = stored_weights(graph, layer);
    let scaled = |(at, value): (usize, f32)| value * factors[weights.input_channel(at)];
    let values: Vec<f32> = values.to_f32s().into_iter().enumerate().map(scaled).collect();
    replace_weights(graph, layer, weights, &values);
    input.clone_into(&mut graph.node[layer.product].input[0]);
}

/// The weights as they are now: a layer may be scaled on both sides.
fn stored_weights(graph: &GraphProto, layer: &Layer) -> Tensor {
    let name = &graph.node[layer.product].input[1];
    let stored = super::model::constant(graph, name).filter(|t| t.ty.elem == ElemType::F32);
    stored.expect("the weights of a layer are stored")
}

fn replace_weights(graph: &mut GraphProto, layer: &Layer, weights: &Weights, values: &[f32]) {
    let name = beside(&layer.name, "scaled_weights");
    graph.initializer.retain(|tensor| tensor.name != name);
    graph
        .initializer
        .push(edit::stored(&name, &Tensor::from_f32s(&weights.values.ty.shape, values)));
    graph.node[layer.product].input[1] = name;
}

#[cfg(test)]
mod tests {
    use super::super::edit::node;
    use super::super::testing::{graph, model, ops, prepared, taps};
    use edgecc_ir::tensor::Tensor;
    use std::collections::BTreeMap;

    fn values(model: &super::super::FloatModel, layer: usize) -> Vec<f32> {
        model.layers[layer].weights().expect("constant").values.to_f32s()
    }

    #[test]
    fn the_layer_before_takes_the_factors_where_it_can() {
        let nodes = vec![
            node("Conv", "first", &["x", "v"], "a"),
            node("Relu", "relu", &["a"], "b"),
            node("Conv", "second", &["b", "w"], "y"),
        ];
        let before =
            prepared(&model(&[1, 1, 4, 4], &[("v", taps(2, 1)), ("w", taps(1, 2))], nodes));
        let after = before.scaled(&BTreeMap::from([("b".to_owned(), vec![4.0, 0.5])]));
        assert_eq!(values(&after, 0), [0.25, 2.0]);
        assert_eq!(values(&after, 1), [4.0, 0.5]);
        assert_eq!(ops(&graph(&after.bytes())), "Conv Relu Conv");
    }

    #[test]
    fn other_values_are_divided_before_their_readers() {
        let nodes =
            vec![node("Sigmoid", "s", &["x"], "s"), node("MatMul", "product", &["s", "w"], "y")];
        let weights = Tensor::from_f32s(&[2, 1], &[1.0, 1.0]);
        let before = prepared(&model(&[3, 2], &[("w", weights)], nodes));
        assert!(before.is_scalable("s"));
        let after = before.scaled(&BTreeMap::from([("s".to_owned(), vec![2.0, 8.0])]));
        assert_eq!(values(&after, 0), [2.0, 8.0]);
        assert_eq!(ops(&graph(&after.bytes())), "Sigmoid Mul MatMul");
    }
}
