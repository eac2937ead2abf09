//! Models whose layers compute in `f32` with weights that are stored as codes.

use super::edit::{self, Value, beside, node};
use super::layers::{Layer, Weights};
use super::model::remove_dead;
use super::upgrade::{self, Obstacle};
use super::{FloatModel, written};
use crate::code::Code;
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::tensor::Tensor;
use edgecc_ir::types::ElemType;
use onnx_protobuf::tensor_proto::DataType;
use onnx_protobuf::{GraphProto, ModelProto, NodeProto, TensorProto};
use std::collections::BTreeSet;

/// Weights as codes whose zero is 0.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredCodes {
    /// Bits of a code: 4 or 8.
    pub bits: u32,
    /// As many as weights, in their order.
    pub codes: Vec<i32>,
    /// Row-major.
    pub scales: Vec<f32>,
    /// One of channels, or those of the weights with one of blocks.
    pub scale_dims: Vec<usize>,
    /// The dimension of channels or of blocks.
    pub axis: usize,
    /// Weights of a block, where blocks share a scale.
    pub block: Option<usize>,
}

/// The operator set in which codes of 4 bits and blocks appeared.
const OPSET: i64 = 21;

/// The IR version that belongs to it.
const IR_VERSION: i64 = 10;

impl StoredCodes {
    fn is_new(&self) -> bool {
        self.bits < 8 || self.block.is_some()
    }
}

impl Weights {
    /// The dimension of the input's channels, which results are summed over.
    #[must_use]
    pub fn summed_axis(&self) -> usize {
        usize::from(self.axis == 0)
    }
}

impl FloatModel {
    /// The model with the weights of layers stored as codes: one entry for each layer, nothing for
    /// those that stay as they are.
    ///
    /// # Errors
    /// When the codes need a newer operator set than the model can be raised to.
    pub fn with_stored_codes(
        &self,
        codes: &[Option<StoredCodes>],
    ) -> Result<Vec<u8>, Vec<Diagnostic>> {
        let mut proto = self.proto.clone();
        let graph = proto.graph.as_mut().expect("a prepared model has a graph");
        let (mut made, mut decoding) = (BTreeSet::new(), Vec::new());
        for (layer, codes) in self.layers.iter().zip(codes) {
            if let Some(codes) = codes {
                decoding.extend(store(graph, layer, codes, &mut made));
            }
        }
        graph.node.splice(0..0, decoding);
        if codes.iter().flatten().any(StoredCodes::is_new) {
            raise(&mut proto)?;
        }
        remove_dead(proto.graph.as_mut().expect("it was there before"));
        Ok(written(&proto))
    }
}

fn raise(proto: &mut ModelProto) -> Result<(), Vec<Diagnostic>> {
    if let Some(Obstacle { op, since }) = upgrade::obstacle(proto, OPSET) {
        let message = format!("{op} has another form since opset {since}, and codes need {OPSET}");
        let help = "codes of 8 bits with a scale for each channel need no newer opset";
        return Err(vec![Code::UnsupportedOpset.error(message).help(help)]);
    }
    upgrade::upgrade(proto, OPSET);
    proto.ir_version = proto.ir_version.max(IR_VERSION);
    Ok(())
}

/// Makes a layer read weights that are decoded, by a node that is the result if it is new: weights
/// that several layers share are stored once.
fn store(
    graph: &mut GraphProto,
    layer: &Layer,
    codes: &StoredCodes,
    made: &mut BTreeSet<(String, usize)>,
) -> Option<NodeProto> {
    let weights = layer.weights()?;
    let old = graph.node[layer.product].input[1].clone();
    let [stored, scale, result] =
        ["codes", "scale", "decoded"].map(|what| beside(&old, &format!("{what}{}", codes.axis)));
    graph.node[layer.product].input[1].clone_from(&result);
    if !made.insert((old, codes.axis)) {
        return None;
    }
    graph.initializer.push(tensor(&stored, &weights.values.ty.shape, codes));
    let scales = Tensor::from_f32s(&codes.scale_dims, &codes.scales);
    graph.initializer.push(edit::stored(&scale, &scales));
    let mut decode = node("DequantizeLinear", &result, &[&stored, &scale], &result);
    edit::set(&mut decode, "axis", Value::Int(codes.axis as i64));
    if let Some(block) = codes.block {
        edit::set(&mut decode, "block_size", Value::Int(block as i64));
    }
    Some(decode)
}

/// Codes of 4 bits are stored in pairs, the first one in the low bits.
fn tensor(name: &str, dims: &[usize], codes: &StoredCodes) -> TensorProto {
    if codes.bits == 8 {
        return edit::codes(name, ElemType::I8, dims, &codes.codes);
    }
    let pair = |pair: &[i32]| (pair[0] & 15) as u8 | (pair.get(1).map_or(0, |c| c & 15) as u8) << 4;
    TensorProto {
        name: name.to_owned(),
        dims: dims.iter().map(|&d| d as i64).collect(),
        data_type: DataType::INT4 as i32,
        raw_data: codes.codes.chunks(2).map(pair).collect(),
        ..TensorProto::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::edit::node;
    use super::super::testing::{graph, model, ops, prepared};
    use super::StoredCodes;
    use edgecc_ir::tensor::Tensor;

    fn product(op: &str) -> super::FloatModel {
        let weights = Tensor::from_f32s(&[3, 1], &[1.0, -2.0, 7.0]);
        let nodes = vec![
            node("MatMul", "a", &["x", "w"], "p"),
            node("MatMul", "b", &["x", "w"], "q"),
            node(op, "c", &["p", "q"], "y"),
        ];
        prepared(&model(&[1, 3], &[("w", weights)], nodes))
    }

    fn codes(bits: u32, block: Option<usize>) -> StoredCodes {
        let (scales, scale_dims, axis) = match block {
            Some(_) => (vec![1.0; 2], vec![2, 1], 0),
            None => (vec![1.0], vec![1], 1),
        };
        StoredCodes { bits, codes: vec![1, -2, 7], scales, scale_dims, axis, block }
    }

    #[test]
    fn codes_of_4_bits_are_pairs_in_a_newer_operator_set() {
        let codes = vec![Some(codes(4, Some(2))); 2];
        let bytes = product("Add").with_stored_codes(&codes).expect("no obstacle");
        let graph = graph(&bytes);
        assert_eq!(ops(&graph), "DequantizeLinear MatMul MatMul Add");
        let stored = graph.initializer.iter().find(|t| t.data_type == 22).expect("INT4");
        assert_eq!((&stored.dims[..], &stored.raw_data[..]), (&[3, 1][..], &[0xe1, 0x07][..]));
    }

    #[test]
    fn codes_of_8_bits_need_no_newer_operator_set() {
        let model = product("GroupNormalization");
        assert!(model.with_stored_codes(&[Some(codes(8, None)), None]).is_ok());
        assert!(model.with_stored_codes(&[Some(codes(8, Some(2))), None]).is_err());
    }
}
