//! Small models for tests.

use super::edit;
use super::{Affine, FloatModel, LayerCodes, Plan, prepare};
use crate::ImportOptions;
use edgecc_ir::tensor::Tensor;
use edgecc_ir::types::{ElemType, TensorType};
use onnx_protobuf::{
    GraphProto, Message, ModelProto, NodeProto, OperatorSetIdProto, ValueInfoProto,
};

/// A model of opset 13 from `x` to `y`.
pub(super) fn model(
    dims: &[usize],
    stored: &[(&str, Tensor)],
    nodes: Vec<NodeProto>,
) -> ModelProto {
    let output = ValueInfoProto { name: "y".to_owned(), ..Default::default() };
    let graph = GraphProto {
        name: "test".to_owned(),
        node: nodes,
        initializer: stored.iter().map(|(name, value)| edit::stored(name, value)).collect(),
        input: vec![input("x", dims)],
        output: vec![output],
        ..Default::default()
    };
    ModelProto {
        ir_version: 8,
        opset_import: vec![OperatorSetIdProto { version: 13, ..Default::default() }],
        graph: Some(graph).into(),
        ..Default::default()
    }
}

/// The model in the form that quantisation starts from.
pub(super) fn prepared(model: &ModelProto) -> FloatModel {
    let bytes = model.write_to_bytes().expect("writable");
    prepare(&bytes, &ImportOptions::named("test")).expect("a valid model")
}

/// A plan with the scale 1 for everything.
pub(super) fn plan(model: &FloatModel) -> Plan {
    let leaders = model.views(|_| true);
    let affine = Affine { elem: ElemType::U8, scale: 1.0, zero: 128 };
    let values = leaders.values().map(|leader| (leader.clone(), affine)).collect();
    let layer = |layer: &super::Layer| {
        let weights = layer.weights()?;
        let codes = weights.values.to_f32s().into_iter().map(|w| w as i32).collect();
        let (dims, scales) = (weights.values.ty.shape.to_vec(), vec![1.0; weights.bias.len()]);
        Some(LayerCodes { dims, codes, scales, axis: weights.axis, bias: weights.bias.clone() })
    };
    let layers = model.layers.iter().map(layer).collect();
    Plan { leaders, values, layers, ..Plan::default() }
}

/// The graph in the bytes of a model.
pub(super) fn graph(bytes: &[u8]) -> GraphProto {
    ModelProto::parse_from_bytes(bytes).expect("a model").graph.unwrap_or_default()
}

/// The operators of a graph in order.
pub(super) fn ops(graph: &GraphProto) -> String {
    graph.node.iter().map(|node| node.op_type.as_str()).collect::<Vec<_>>().join(" ")
}

/// Weights of a convolution with so many channels and 1 x 1 taps, all 1.
pub(super) fn taps(out: usize, channels: usize) -> Tensor {
    Tensor::from_f32s(&[out, channels, 1, 1], &vec![1.0; out * channels])
}

fn input(name: &str, dims: &[usize]) -> ValueInfoProto {
    edit::typed(name, &TensorType::new(ElemType::F32, dims))
}
