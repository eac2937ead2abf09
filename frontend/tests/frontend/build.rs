//! Builds small models.

use edgecc_ir::types::ElemType;
use onnx_protobuf::attribute_proto::AttributeType;
use onnx_protobuf::tensor_shape_proto::{Dimension, dimension};
use onnx_protobuf::{
    AttributeProto, GraphProto, Message, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TypeProto, ValueInfoProto, type_proto,
};

/// A model under construction.
pub(crate) struct Model {
    pub(crate) proto: ModelProto,
}

impl Model {
    /// An empty model that imports one version of the default operator set.
    pub(crate) fn new(opset: i64) -> Model {
        let mut model = Model { proto: ModelProto { ir_version: 8, ..Default::default() } };
        model.proto.graph = Some(GraphProto::new()).into();
        model.import("", opset);
        model
    }

    /// Imports an operator set.
    pub(crate) fn import(&mut self, domain: &str, version: i64) {
        let domain = domain.to_owned();
        self.proto.opset_import.push(OperatorSetIdProto { domain, version, ..Default::default() });
    }

    pub(crate) fn graph(&mut self) -> &mut GraphProto {
        self.proto.graph.as_mut().expect("new() makes a graph")
    }

    /// An input such as `f32[N,3,?,8]`.
    pub(crate) fn input(&mut self, name: &str, ty: &str) {
        let info = value_info(name, ty);
        self.graph().input.push(info);
    }

    pub(crate) fn output(&mut self, name: &str) {
        let info = ValueInfoProto { name: name.to_owned(), ..Default::default() };
        self.graph().output.push(info);
    }

    pub(crate) fn f32s(&mut self, name: &str, dims: &[i64], values: &[f32]) {
        self.initializer(name, f32s(dims, values));
    }

    pub(crate) fn i64s(&mut self, name: &str, dims: &[i64], values: &[i64]) {
        let tensor =
            TensorProto { int64_data: values.to_vec(), ..tensor(ElemType::I64.onnx_code(), dims) };
        self.initializer(name, tensor);
    }

    /// Values of an integer type of at most 32 bits, or of `bool`.
    pub(crate) fn ints(&mut self, name: &str, elem: ElemType, dims: &[i64], values: &[i32]) {
        let tensor = TensorProto { int32_data: values.to_vec(), ..tensor(elem.onnx_code(), dims) };
        self.initializer(name, tensor);
    }

    pub(crate) fn initializer(&mut self, name: &str, tensor: TensorProto) {
        let tensor = TensorProto { name: name.to_owned(), ..tensor };
        self.graph().initializer.push(tensor);
    }

    /// A node named after its first result.
    pub(crate) fn node(
        &mut self,
        op_type: &str,
        inputs: &[&str],
        outputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) {
        let strings = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        let (domain, op_type) = op_type.split_once("::").unwrap_or(("", op_type));
        self.graph().node.push(NodeProto {
            input: strings(inputs),
            output: strings(outputs),
            name: format!("{}_node", outputs.first().unwrap_or(&"")),
            op_type: op_type.to_owned(),
            domain: domain.to_owned(),
            attribute: attributes,
            ..Default::default()
        });
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.proto.write_to_bytes().expect("a message in memory can be written")
    }
}

/// A tensor without data.
pub(crate) fn tensor(data_type: u32, dims: &[i64]) -> TensorProto {
    TensorProto { dims: dims.to_vec(), data_type: data_type as i32, ..Default::default() }
}

pub(crate) fn f32s(dims: &[i64], values: &[f32]) -> TensorProto {
    TensorProto { float_data: values.to_vec(), ..tensor(ElemType::F32.onnx_code(), dims) }
}

fn value_info(name: &str, ty: &str) -> ValueInfoProto {
    let (elem, dims) = ty.trim_end_matches(']').split_once('[').expect("elem[dims]");
    let code = ElemType::from_name(elem).map_or(8, ElemType::onnx_code);
    let mut tensor = type_proto::Tensor { elem_type: code as i32, ..Default::default() };
    if dims != "*" {
        let dims = dims.split(',').filter(|d| !d.is_empty()).map(dimension).collect();
        tensor.shape =
            Some(onnx_protobuf::TensorShapeProto { dim: dims, ..Default::default() }).into();
    }
    let value = Some(type_proto::Value::TensorType(tensor));
    let ty = TypeProto { value, ..Default::default() };
    ValueInfoProto { name: name.to_owned(), type_: Some(ty).into(), ..Default::default() }
}

fn dimension(text: &str) -> Dimension {
    let value = match text.parse() {
        Ok(extent) => Some(dimension::Value::DimValue(extent)),
        Err(_) if text == "?" => None,
        Err(_) => Some(dimension::Value::DimParam(text.to_owned())),
    };
    Dimension { value, ..Default::default() }
}

fn attribute(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto { name: name.to_owned(), type_: kind.into(), ..Default::default() }
}

pub(crate) fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { i: value, ..attribute(name, AttributeType::INT) }
}

pub(crate) fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto { ints: values.to_vec(), ..attribute(name, AttributeType::INTS) }
}

pub(crate) fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto { f: value, ..attribute(name, AttributeType::FLOAT) }
}

pub(crate) fn floats(name: &str, values: &[f32]) -> AttributeProto {
    AttributeProto { floats: values.to_vec(), ..attribute(name, AttributeType::FLOATS) }
}

pub(crate) fn string(name: &str, value: &str) -> AttributeProto {
    AttributeProto { s: value.as_bytes().to_vec(), ..attribute(name, AttributeType::STRING) }
}

pub(crate) fn value(name: &str, tensor: TensorProto) -> AttributeProto {
    AttributeProto { t: Some(tensor).into(), ..attribute(name, AttributeType::TENSOR) }
}

pub(crate) fn subgraph(name: &str) -> AttributeProto {
    AttributeProto { g: Some(GraphProto::new()).into(), ..attribute(name, AttributeType::GRAPH) }
}

/// The graph of another model as an attribute.
pub(crate) fn body(name: &str, model: &Model) -> AttributeProto {
    AttributeProto { g: model.proto.graph.clone(), ..attribute(name, AttributeType::GRAPH) }
}

pub(crate) fn strings(name: &str, values: &[&str]) -> AttributeProto {
    let strings = values.iter().map(|v| v.as_bytes().to_vec()).collect();
    AttributeProto { strings, ..attribute(name, AttributeType::STRINGS) }
}
