//! Models whose products compute on codes with scales that are found in each run.

use super::edit::{self, Value, beside, node, with};
use super::layers::{Layer, Operand};
use super::model::remove_dead;
use super::{FloatModel, LayerCodes, written};
use edgecc_ir::tensor::Tensor;
use edgecc_ir::types::ElemType;
use onnx_protobuf::NodeProto;
use onnx_protobuf::tensor_proto::DataType;
use std::collections::BTreeSet;

impl Layer {
    /// Whether it is a product of matrices with constant weights, which has a form in which the
    /// scale of its input is found in each run.
    #[must_use]
    pub fn can_be_dynamic(&self) -> bool {
        matches!(self.operand, Operand::Weights(_)) && matches!(self.op.as_str(), "Gemm" | "MatMul")
    }
}

impl FloatModel {
    /// The model with layers that `can_be_dynamic` computing on codes: one entry for each layer,
    /// nothing for those that stay in `f32`.
    #[must_use]
    pub fn dynamic(&self, codes: &[Option<LayerCodes>]) -> Vec<u8> {
        let mut proto = self.proto.clone();
        let graph = proto.graph.as_mut().expect("a prepared model has a graph");
        let (mut nodes, mut made) = (Vec::new(), BTreeSet::new());
        for (at, node) in graph.node.iter().enumerate() {
            let owner = self.layers.iter().zip(codes).find_map(|(layer, codes)| {
                let is_part = layer.product == at || layer.sum == Some(at);
                codes.as_ref().filter(|_| is_part).map(|codes| (layer, codes))
            });
            match owner {
                None => nodes.push(node.clone()),
                Some((layer, codes)) if layer.product == at => {
                    quantise_input(&layer.input, &mut made, &mut nodes);
                    graph.initializer.extend(stored(layer, codes));
                    nodes.extend(product(layer, codes));
                }
                Some(_) => {}
            }
        }
        graph.node = nodes;
        remove_dead(graph);
        written(&proto)
    }
}

/// The names of a value's codes, their scale and the code of zero.
fn names(value: &str) -> [String; 3] {
    ["codes", "scale", "zero"].map(|what| beside(value, what))
}

/// A value that several layers read is quantised once.
fn quantise_input(value: &str, made: &mut BTreeSet<String>, nodes: &mut Vec<NodeProto>) {
    if made.insert(value.to_owned()) {
        let [codes, scale, zero] = names(value);
        let mut quantise = node("DynamicQuantizeLinear", &codes, &[value], &codes);
        quantise.output.extend([scale, zero]);
        nodes.push(quantise);
    }
}

/// Weights with a row for each element of the input, their scales, the bias.
fn stored(layer: &Layer, codes: &LayerCodes) -> Vec<onnx_protobuf::TensorProto> {
    let channels = codes.scales.len();
    let rows = codes.codes.len() / channels.max(1);
    let at = |n: usize| match codes.axis {
        0 => codes.codes[n % channels * rows + n / channels],
        _ => codes.codes[n],
    };
    let ordered: Vec<i32> = (0..codes.codes.len()).map(at).collect();
    let vector = |what: &str, values: &[f32]| {
        edit::stored(&beside(&layer.name, what), &Tensor::from_f32s(&[channels], values))
    };
    vec![
        edit::codes(
            &beside(&layer.name, "weight_codes"),
            ElemType::I8,
            &[rows, channels],
            &ordered,
        ),
        vector("weight_scale", &codes.scales),
        vector("bias", &codes.bias),
    ]
}

/// `input_scale * weight_scale * sum + bias`.
fn product(layer: &Layer, codes: &LayerCodes) -> Vec<NodeProto> {
    let name = |what: &str| beside(&layer.name, what);
    let [input, scale, zero] = names(&layer.input);
    let [weights, weight_scale] = ["weight_codes", "weight_scale"].map(name);
    let [sums, numbers, scales, bias] = ["sums", "numbers", "scales", "bias"].map(name);
    let has_bias = codes.bias.iter().any(|&b| b != 0.0);
    let scaled = if has_bias { name("products") } else { layer.output.clone() };
    let cast = node("Cast", &numbers, &[&sums], &numbers);
    let mut nodes = vec![
        node("MatMulInteger", &layer.name, &[&input, &weights, &zero], &sums),
        with(cast, "to", Value::Int(DataType::FLOAT as i64)),
        node("Mul", &scales, &[&scale, &weight_scale], &scales),
        node("Mul", &name("scaled"), &[&numbers, &scales], &scaled),
    ];
    if has_bias {
        nodes.push(node("Add", &name("sum"), &[&scaled, &bias], &layer.output));
    }
    nodes
}

#[cfg(test)]
mod tests {
    use super::super::edit::node;
    use super::super::testing::{graph, model, ops, plan, prepared};
    use edgecc_ir::tensor::Tensor;

    #[test]
    fn layers_with_one_input_share_its_codes() {
        let weights = Tensor::from_f32s(&[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let bias = Tensor::from_f32s(&[2], &[0.0, 1.0]);
        let nodes = vec![
            node("MatMul", "a", &["x", "w"], "p"),
            node("MatMul", "b", &["x", "w"], "q"),
            node("Add", "sum", &["q", "c"], "s"),
            node("Sub", "result", &["p", "s"], "y"),
        ];
        let model = prepared(&model(&[4, 3], &[("w", weights), ("c", bias)], nodes));
        assert!(model.layers.iter().all(super::Layer::can_be_dynamic));
        let graph = graph(&model.dynamic(&plan(&model).layers));
        let product = "MatMulInteger Cast Mul Mul";
        let expected = format!("DynamicQuantizeLinear {product} {product} Add Sub");
        assert_eq!(ops(&graph), expected);
    }

    #[test]
    fn transposed_weights_are_turned() {
        let weights = Tensor::from_f32s(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let mut gemm = node("Gemm", "gemm", &["x", "w"], "y");
        super::edit::set(&mut gemm, "transB", super::Value::Int(1));
        let model = prepared(&model(&[4, 3], &[("w", weights)], vec![gemm]));
        let graph = graph(&model.dynamic(&plan(&model).layers));
        let codes = graph.initializer.iter().find(|t| t.name.ends_with("codes")).expect("stored");
        assert_eq!((&codes.dims[..], &codes.raw_data[..]), (&[3, 2][..], &[1, 4, 2, 5, 3, 6][..]));
    }
}
