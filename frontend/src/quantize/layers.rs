//! The layers of a model that can be quantised: products of a value with weights or with another
//! value, and the bias behind them.

use super::edit::{float, int, sizes, text};
use super::model::{Uses, constant};
use edgecc_ir::tensor::Tensor;
use edgecc_ir::types::ElemType;
use onnx_protobuf::{GraphProto, NodeProto};

/// A layer: a sum of products, perhaps with a bias.
#[derive(Clone, Debug)]
pub struct Layer {
    /// The name of its first node, which no other node has.
    pub name: String,
    /// The operator of that node.
    pub op: String,
    /// The value that the weights are applied to.
    pub input: String,
    /// What the input is multiplied with.
    pub operand: Operand,
    /// The result, with the bias.
    pub output: String,
    /// Which elements of the input a result depends on.
    pub reach: Reach,
    /// The node of the products.
    pub(super) product: usize,
    /// The node that adds the bias, where that is another one.
    pub(super) sum: Option<usize>,
}

/// The second factor of a layer.
#[derive(Clone, Debug)]
pub enum Operand {
    /// Constant.
    Weights(Weights),
    /// The name of another value.
    Value(String),
}

/// Constant weights.
#[derive(Clone, Debug)]
pub struct Weights {
    /// `f32`.
    pub values: Tensor,
    /// The dimension of results' channels; all others are summed over.
    pub axis: usize,
    /// Per channel; zeros when the layer has none.
    pub bias: Vec<f32>,
    /// How many parts of the input have weights of their own; channels are divided alike.
    pub groups: usize,
}

/// Which elements of the input are multiplied with the weights of one result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The last dimension.
    Row,
    /// The second dimension, in windows over those behind it.
    Window(Window),
    /// Not described.
    Other,
}

/// A convolution's geometry, for each spatial dimension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Taps.
    pub kernel: Vec<usize>,
    /// Input elements from window to window.
    pub strides: Vec<usize>,
    /// Input elements from tap to tap.
    pub dilations: Vec<usize>,
    /// Zeros before the first element; nothing when they follow from the input's size.
    pub pads: Option<Vec<usize>>,
}

impl Layer {
    /// The weights, if they are constant.
    #[must_use]
    pub fn weights(&self) -> Option<&Weights> {
        match &self.operand {
            Operand::Weights(weights) => Some(weights),
            Operand::Value(_) => None,
        }
    }

    /// The dimension of the channels of the input and of the result, of so many.
    #[must_use]
    pub fn channel_axis(&self, rank: usize) -> usize {
        if self.reach == Reach::Row { rank.saturating_sub(1) } else { 1 }
    }

    /// The values that it reads.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        let other = match &self.operand {
            Operand::Weights(_) => None,
            Operand::Value(name) => Some(name.as_str()),
        };
        [self.input.as_str()].into_iter().chain(other)
    }
}

impl Weights {
    /// The channel of results that a weight belongs to; weights are counted in row-major order.
    #[must_use]
    pub fn result_channel(&self, at: usize) -> usize {
        let inner: usize = self.values.ty.shape[self.axis + 1..].iter().product();
        at / inner % self.values.ty.shape[self.axis]
    }

    /// The channel of the input that a weight is applied to.
    #[must_use]
    pub fn input_channel(&self, at: usize) -> usize {
        let (dims, taps) =
            (&self.values.ty.shape, self.values.ty.shape[2..].iter().product::<usize>());
        if self.axis == 1 {
            return at / (dims[1] * taps);
        }
        let in_group = (dims[0] / self.groups).max(1);
        at / taps % dims[1] + at / (dims[1] * taps) / in_group * dims[1]
    }

    /// How many channels the input has.
    #[must_use]
    pub fn input_channels(&self) -> usize {
        let dims = &self.values.ty.shape;
        if self.axis == 1 { dims[0] } else { dims[1] * self.groups }
    }
}

/// Every layer, in the order of nodes.
pub(super) fn layers(graph: &GraphProto) -> Vec<Layer> {
    let uses = Uses::of(graph);
    let nodes = graph.node.iter().enumerate();
    nodes.filter_map(|(at, node)| layer(graph, &uses, at, node)).collect()
}

fn layer(graph: &GraphProto, uses: &Uses, at: usize, node: &NodeProto) -> Option<Layer> {
    if !node.domain.is_empty() {
        return None;
    }
    let (operand, reach) = match node.op_type.as_str() {
        "Conv" => (convolution(graph, node)?, Reach::Window(window(graph, node)?)),
        "ConvTranspose" => (transposed(graph, node)?, Reach::Other),
        "Gemm" => (linear(graph, node)?, Reach::Row),
        "MatMul" => (product(graph, node)?, Reach::Row),
        _ => return None,
    };
    let mut layer = Layer {
        name: node.name.clone(),
        op: node.op_type.clone(),
        input: node.input[0].clone(),
        operand,
        output: node.output[0].clone(),
        reach,
        product: at,
        sum: None,
    };
    if node.op_type == "MatMul" {
        attach_bias(graph, uses, &mut layer);
    }
    Some(layer)
}

fn floats(graph: &GraphProto, name: &str) -> Option<Tensor> {
    constant(graph, name).filter(|tensor| tensor.ty.elem == ElemType::F32)
}

/// A constant bias per channel, zeros when the operand is left out.
fn bias(graph: &GraphProto, node: &NodeProto, channels: usize) -> Option<Vec<f32>> {
    let Some(name) = node.input.get(2).filter(|name| !name.is_empty()) else {
        return Some(vec![0.0; channels]);
    };
    let values = floats(graph, name)?.to_f32s();
    match values.len() {
        n if n == channels => Some(values),
        1 => Some(vec![values[0]; channels]),
        _ => None,
    }
}

fn convolution(graph: &GraphProto, node: &NodeProto) -> Option<Operand> {
    let values = floats(graph, &node.input[1])?;
    let groups = usize::try_from(int(node, "group", 1)).ok()?;
    let bias = bias(graph, node, values.ty.shape[0])?;
    Some(Operand::Weights(Weights { values, axis: 0, bias, groups }))
}

/// Channels are the second dimension; with groups they would be divided over the first.
fn transposed(graph: &GraphProto, node: &NodeProto) -> Option<Operand> {
    let values = floats(graph, &node.input[1])?;
    if int(node, "group", 1) != 1 {
        return None;
    }
    let bias = bias(graph, node, values.ty.shape[1])?;
    Some(Operand::Weights(Weights { values, axis: 1, bias, groups: 1 }))
}

fn linear(graph: &GraphProto, node: &NodeProto) -> Option<Operand> {
    let plain = float(node, "alpha", 1.0) == 1.0 && float(node, "beta", 1.0) == 1.0;
    if !plain || int(node, "transA", 0) != 0 {
        return None;
    }
    let values = floats(graph, &node.input[1])?;
    let axis = usize::from(int(node, "transB", 0) == 0);
    let bias = bias(graph, node, values.ty.shape[axis])?;
    Some(Operand::Weights(Weights { values, axis, bias, groups: 1 }))
}

/// With weights of two dimensions, or with another value that is not a constant.
fn product(graph: &GraphProto, node: &NodeProto) -> Option<Operand> {
    let is_stored = |name: &String| graph.initializer.iter().any(|tensor| tensor.name == *name);
    if is_stored(&node.input[0]) {
        return None;
    }
    if !is_stored(&node.input[1]) {
        return Some(Operand::Value(node.input[1].clone()));
    }
    let values = floats(graph, &node.input[1])?;
    let channels = *values.ty.shape.last()?;
    let bias = vec![0.0; channels];
    (values.ty.shape.rank() == 2).then_some(Operand::Weights(Weights {
        values,
        axis: 1,
        bias,
        groups: 1,
    }))
}

/// Makes the addition of a constant per channel behind a product a part of the layer.
fn attach_bias(graph: &GraphProto, uses: &Uses, layer: &mut Layer) {
    let Operand::Weights(weights) = &mut layer.operand else { return };
    let Some(reader) = uses.only_reader(&layer.output) else { return };
    let node = &graph.node[reader];
    if node.op_type != "Add" || !node.domain.is_empty() {
        return;
    }
    let Some(other) = node.input.iter().find(|name| **name != layer.output) else { return };
    let Some(values) = floats(graph, other) else { return };
    let channels = weights.bias.len();
    if values.numel() == channels && values.ty.shape.last() == Some(&channels) {
        weights.bias = values.to_f32s();
        layer.output.clone_from(&node.output[0]);
        layer.sum = Some(reader);
    }
}

/// ONNX Conv-11; nothing for attributes that break its rules.
fn window(graph: &GraphProto, node: &NodeProto) -> Option<Window> {
    let shape = constant(graph, &node.input[1])?.ty.shape;
    let kernel = shape.get(2..)?.to_vec();
    let rank = kernel.len();
    let pads = match text(node, "auto_pad") {
        b"" | b"NOTSET" => {
            let pads = sizes(node, "pads", vec![0; 2 * rank])?;
            Some(pads.get(..rank)?.to_vec())
        }
        b"VALID" => Some(vec![0; rank]),
        _ => None,
    };
    let strides = sizes(node, "strides", vec![1; rank])?;
    let dilations = sizes(node, "dilations", vec![1; rank])?;
    (strides.len() == rank && dilations.len() == rank).then_some(Window {
        kernel,
        strides,
        dilations,
        pads,
    })
}

#[cfg(test)]
mod tests {
    use super::super::edit::node;
    use super::super::testing::{model, prepared};
    use edgecc_ir::tensor::Tensor;

    #[test]
    fn weights_are_found_behind_nodes_on_constants() {
        let stored = [
            ("w", Tensor::from_f32s(&[3, 2], &[1.0; 6])),
            ("b", Tensor::from_f32s(&[3], &[1.0, 2.0, 3.0])),
        ];
        let nodes = vec![
            node("Transpose", "turn", &["w"], "t"),
            node("MatMul", "product", &["x", "t"], "p"),
            node("Add", "sum", &["b", "p"], "y"),
        ];
        let model = prepared(&model(&[4, 2], &stored, nodes));
        let layer = &model.layers[0];
        let weights = layer.weights().expect("constant");
        assert_eq!(weights.values.ty.shape[..], [2, 3]);
        assert_eq!((weights.axis, weights.bias.as_slice()), (1, &[1.0, 2.0, 3.0][..]));
        assert_eq!((layer.output.as_str(), layer.sum.is_some()), ("y", true));
    }

    #[test]
    fn weights_know_their_channels() {
        let values = Tensor::from_f32s(&[4, 1, 1, 2], &[0.0; 8]);
        let grouped = super::Weights { values, axis: 0, bias: vec![0.0; 4], groups: 2 };
        let channels: Vec<(usize, usize)> =
            (0..8).map(|at| (grouped.result_channel(at), grouped.input_channel(at))).collect();
        assert_eq!(channels[..4], [(0, 0), (0, 0), (1, 0), (1, 0)]);
        assert_eq!(channels[4..], [(2, 1), (2, 1), (3, 1), (3, 1)]);
        assert_eq!(grouped.input_channels(), 2);
    }

    #[test]
    fn a_product_of_values_is_a_layer_without_weights() {
        let nodes =
            vec![node("Sigmoid", "s", &["x"], "s"), node("MatMul", "product", &["x", "s"], "y")];
        let model = prepared(&model(&[2, 2], &[], nodes));
        assert!(model.layers[0].weights().is_none());
        assert_eq!(model.layers[0].values().collect::<Vec<_>>(), ["x", "s"]);
    }
}
