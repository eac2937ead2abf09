//! Moves a scale and a shift per channel behind a convolution into its weights and bias.

use super::edit::{self, float, int};
use super::model::{Uses, constant};
use edgecc_ir::tensor::Tensor;
use edgecc_ir::types::ElemType;
use onnx_protobuf::{GraphProto, NodeProto};

/// What follows a convolution: `y = x * scale + shift` for each channel.
struct Affine {
    scale: Vec<f64>,
    shift: Vec<f64>,
}

/// Moves what can be moved until nothing is left.
pub(super) fn fold(graph: &mut GraphProto) {
    let mut at = 0;
    while at < graph.node.len() {
        if !fold_behind(graph, at) {
            at += 1;
        }
    }
}

/// Folds the reader of a convolution's result into it; tells whether it did.
fn fold_behind(graph: &mut GraphProto, at: usize) -> bool {
    let conv = &graph.node[at];
    if conv.op_type != "Conv" || !conv.domain.is_empty() {
        return false;
    }
    let Some(reader) = Uses::of(graph).only_reader(&conv.output[0]) else { return false };
    let Some(weights) = floats(graph, &conv.input[1]) else { return false };
    let bias = match conv.input.get(2).filter(|name| !name.is_empty()) {
        Some(name) => floats(graph, name),
        None => Some(Tensor::from_f32s(&[weights.ty.shape[0]], &vec![0.0; weights.ty.shape[0]])),
    };
    let rank = weights.ty.shape.rank();
    let affine = affine(graph, &graph.node[reader], &conv.output[0], weights.ty.shape[0], rank);
    let (Some(bias), Some(affine)) = (bias, affine) else { return false };
    apply(graph, at, &weights, &bias, &affine);
    let result = graph.node[reader].output[0].clone();
    graph.node[at].output[0] = result;
    graph.node.remove(reader);
    true
}

fn floats(graph: &GraphProto, name: &str) -> Option<Tensor> {
    constant(graph, name).filter(|tensor| tensor.ty.elem == ElemType::F32)
}

/// What a node does to a convolution's result, if it is the same for all of a channel.
fn affine(
    graph: &GraphProto,
    node: &NodeProto,
    input: &str,
    channels: usize,
    rank: usize,
) -> Option<Affine> {
    if !node.domain.is_empty() {
        return None;
    }
    if node.op_type == "BatchNormalization" {
        return normalisation(graph, node, channels);
    }
    let other = node.input.iter().find(|name| *name != input)?;
    let values = per_channel(&floats(graph, other)?, channels, rank)?;
    match node.op_type.as_str() {
        "Add" => Some(Affine { scale: vec![1.0; channels], shift: values }),
        "Mul" => Some(Affine { scale: values, shift: vec![0.0; channels] }),
        _ => None,
    }
}

/// ONNX BatchNormalization-15 in inference: `(x - mean) / sqrt(var + epsilon) * scale + bias`.
fn normalisation(graph: &GraphProto, node: &NodeProto, channels: usize) -> Option<Affine> {
    if node.output.iter().skip(1).any(|name| !name.is_empty()) || int(node, "training_mode", 0) != 0
    {
        return None;
    }
    let epsilon = f64::from(float(node, "epsilon", 1e-5));
    let operand = |n: usize| {
        let tensor = floats(graph, node.input.get(n)?)?;
        (tensor.numel() == channels).then(|| tensor.to_f32s())
    };
    let (gamma, beta, mean, var) = (operand(1)?, operand(2)?, operand(3)?, operand(4)?);
    let scale: Vec<f64> = gamma
        .iter()
        .zip(&var)
        .map(|(&g, &v)| f64::from(g) / (f64::from(v) + epsilon).sqrt())
        .collect();
    let shift = (0..channels).map(|c| f64::from(beta[c]) - f64::from(mean[c]) * scale[c]).collect();
    Some(Affine { scale, shift })
}

/// A constant that broadcasts over `[batch, channels, ...]` as a value per channel.
fn per_channel(tensor: &Tensor, channels: usize, rank: usize) -> Option<Vec<f64>> {
    let values: Vec<f64> = tensor.to_f32s().into_iter().map(f64::from).collect();
    if let [value] = values[..] {
        return (tensor.ty.shape.rank() <= rank).then(|| vec![value; channels]);
    }
    let (own, spatial) = (tensor.ty.shape.rank(), rank - 2);
    let is_channel = own > spatial && own <= rank && tensor.ty.shape[own - spatial - 1] == channels;
    (is_channel && values.len() == channels).then_some(values)
}

/// Gives a convolution new weights and a new bias.
fn apply(graph: &mut GraphProto, at: usize, weights: &Tensor, bias: &Tensor, affine: &Affine) {
    let per_channel = weights.numel() / affine.scale.len();
    let scaled =
        |(n, value): (usize, f32)| (f64::from(value) * affine.scale[n / per_channel]) as f32;
    let values: Vec<f32> = weights.to_f32s().into_iter().enumerate().map(scaled).collect();
    let shifted =
        |(n, value): (usize, f32)| (f64::from(value) * affine.scale[n] + affine.shift[n]) as f32;
    let shifts: Vec<f32> = bias.to_f32s().into_iter().enumerate().map(shifted).collect();
    let name = graph.node[at].output[0].clone();
    let names = ["weight", "bias"].map(|what| edit::beside(&name, what));
    graph.initializer.push(edit::stored(&names[0], &Tensor::from_f32s(&weights.ty.shape, &values)));
    graph.initializer.push(edit::stored(&names[1], &Tensor::from_f32s(&[shifts.len()], &shifts)));
    let conv = &mut graph.node[at];
    conv.input.truncate(1);
    conv.input.extend(names);
}

#[cfg(test)]
mod tests {
    use super::super::edit::node;
    use super::super::testing::{model, prepared, taps};
    use edgecc_ir::tensor::Tensor;

    #[test]
    fn what_follows_a_convolution_becomes_its_weights_and_bias() {
        let vector = |values: [f32; 2]| Tensor::from_f32s(&[2], &values);
        let stored = [
            ("w", taps(2, 1)),
            ("scale", vector([2.0, 1.0])),
            ("shift", vector([1.0, 0.0])),
            ("mean", vector([0.5, 0.0])),
            ("var", vector([1.0, 4.0])),
            ("more", Tensor::from_f32s(&[2, 1, 1], &[10.0, 20.0])),
        ];
        let nodes = vec![
            node("Conv", "conv", &["x", "w"], "a"),
            node("BatchNormalization", "norm", &["a", "scale", "shift", "mean", "var"], "b"),
            node("Add", "add", &["b", "more"], "y"),
        ];
        let model = prepared(&model(&[1, 1, 3, 3], &stored, nodes));
        let [layer] = &model.layers[..] else { panic!("one layer: {:?}", model.layers) };
        let weights = layer.weights().expect("constant");
        let near = |found: &[f32], expected: [f32; 2]| {
            found.iter().zip(expected).all(|(f, e)| (f - e).abs() < 1e-4)
        };
        assert!(near(&weights.values.to_f32s(), [2.0, 0.5]), "{weights:?}");
        assert!(near(&weights.bias, [10.0, 20.0]), "{weights:?}");
        assert_eq!(layer.output, "y");
    }
}
