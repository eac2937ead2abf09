//! Small pieces of ONNX messages: nodes, attributes, tensors.

use crate::proto;
use crate::tensor;
use edgecc_ir::tensor::Tensor;
use edgecc_ir::types::{ElemType, TensorType};
use onnx_protobuf::attribute_proto::AttributeType;
use onnx_protobuf::{
    AttributeProto, GraphProto, NodeProto, TensorProto, TensorShapeProto, TypeProto,
    ValueInfoProto, tensor_shape_proto, type_proto,
};

/// An attribute's value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value {
    Int(i64),
    Str(&'static str),
}

/// The name of something that is added to a model beside a value or a node.
pub(super) fn beside(name: &str, what: &str) -> String {
    format!("{name}/edgecc.{what}")
}

/// A node of the default domain.
pub(super) fn node(op: &str, name: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        op_type: op.to_owned(),
        name: name.to_owned(),
        input: inputs.iter().map(|&input| input.to_owned()).collect(),
        output: vec![output.to_owned()],
        ..NodeProto::default()
    }
}

/// The node with a further attribute, in the place of one with the same name.
pub(super) fn with(mut node: NodeProto, name: &str, value: Value) -> NodeProto {
    set(&mut node, name, value);
    node
}

/// Sets an attribute.
pub(super) fn set(node: &mut NodeProto, name: &str, value: Value) {
    node.attribute.retain(|attr| attr.name != name);
    let mut attr = AttributeProto { name: name.to_owned(), ..AttributeProto::default() };
    attr.type_ = match value {
        Value::Int(i) => {
            attr.i = i;
            AttributeType::INT
        }
        Value::Str(text) => {
            attr.s = text.as_bytes().to_vec();
            AttributeType::STRING
        }
    }
    .into();
    node.attribute.push(attr);
}

/// An attribute that is a graph without inputs and with one output.
pub(super) fn branch(name: &str, node: Vec<NodeProto>, output: &str) -> AttributeProto {
    let output = ValueInfoProto { name: output.to_owned(), ..Default::default() };
    let graph =
        GraphProto { name: name.to_owned(), node, output: vec![output], ..Default::default() };
    AttributeProto {
        name: name.to_owned(),
        type_: AttributeType::GRAPH.into(),
        g: Some(graph).into(),
        ..Default::default()
    }
}

/// Removes an attribute and gives it.
pub(super) fn take(node: &mut NodeProto, name: &str) -> Option<AttributeProto> {
    let at = node.attribute.iter().position(|attr| attr.name == name)?;
    Some(node.attribute.remove(at))
}

/// An integer attribute or its default.
pub(super) fn int(node: &NodeProto, name: &str, default: i64) -> i64 {
    node.attribute.iter().find(|attr| attr.name == name).map_or(default, |attr| attr.i)
}

/// A float attribute or its default.
pub(super) fn float(node: &NodeProto, name: &str, default: f32) -> f32 {
    node.attribute.iter().find(|attr| attr.name == name).map_or(default, |attr| attr.f)
}

/// A text attribute, empty when there is none.
pub(super) fn text<'a>(node: &'a NodeProto, name: &str) -> &'a [u8] {
    node.attribute.iter().find(|attr| attr.name == name).map_or(&[], |attr| &attr.s)
}

/// A list of integers as sizes, or `default`; nothing when one is negative.
pub(super) fn sizes(node: &NodeProto, name: &str, default: Vec<usize>) -> Option<Vec<usize>> {
    match node.attribute.iter().find(|attr| attr.name == name) {
        None => Some(default),
        Some(attr) => attr.ints.iter().map(|&v| usize::try_from(v).ok()).collect(),
    }
}

/// A stored tensor with a value.
pub(super) fn stored(name: &str, value: &Tensor) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims: value.ty.shape.iter().map(|&d| d as i64).collect(),
        data_type: value.ty.elem.onnx_code() as i32,
        raw_data: value.bytes().to_vec(),
        ..TensorProto::default()
    }
}

/// A stored tensor of 64-bit integers.
pub(super) fn integers(name: &str, values: &[i64]) -> TensorProto {
    stored(name, &Tensor::from_i64s(&[values.len()], values))
}

/// A stored tensor of 8-bit codes.
pub(super) fn codes(name: &str, elem: ElemType, dims: &[usize], codes: &[i32]) -> TensorProto {
    let bytes = codes.iter().map(|&code| code as u8).collect();
    stored(name, &Tensor::from_bytes(TensorType::new(elem, dims), bytes))
}

/// The value of a stored tensor whose type is not a narrow one and whose elements are inside.
pub(super) fn value(stored: &TensorProto) -> Option<Tensor> {
    let data = proto::convert_tensor(stored.clone());
    let (tensor, ty) = tensor::decode(data, &crate::no_external_data).ok()?;
    ty.format.is_none().then_some(tensor)
}

/// A value with a type.
pub(super) fn typed(name: &str, ty: &TensorType) -> ValueInfoProto {
    let dim = |&d: &usize| {
        let mut dim = tensor_shape_proto::Dimension::new();
        dim.set_dim_value(d as i64);
        dim
    };
    let shape = TensorShapeProto { dim: ty.shape.iter().map(dim).collect(), ..Default::default() };
    let mut tensor = type_proto::Tensor::new();
    tensor.elem_type = ty.elem.onnx_code() as i32;
    tensor.shape = Some(shape).into();
    let mut kind = TypeProto::new();
    kind.set_tensor_type(tensor);
    ValueInfoProto { name: name.to_owned(), type_: Some(kind).into(), ..Default::default() }
}
