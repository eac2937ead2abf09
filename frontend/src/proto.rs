//! Protobuf in, plain data out: the only file of the importer that sees the generated ONNX types.

use crate::code::Code;
use crate::model::{
    Attr, AttrValue, Dim, GraphDef, Model, Node, Payload, TensorData, ValueInfo, ValueType,
};
use crate::wire;
use edgecc_ir::diag::Diagnostic;
use onnx_protobuf::attribute_proto::AttributeType;
use onnx_protobuf::tensor_proto::DataLocation;
use onnx_protobuf::tensor_shape_proto::Dimension;
use onnx_protobuf::tensor_shape_proto::dimension::Value as DimValue;
use onnx_protobuf::type_proto::Value as TypeValue;
use onnx_protobuf::{
    AttributeProto, FunctionProto, GraphProto, Message, ModelProto, NodeProto,
    StringStringEntryProto, TensorProto, TypeProto, ValueInfoProto,
};

/// Reads a model. Never panics, and allocates no more than a small multiple of the input's size.
pub(crate) fn parse(bytes: &[u8]) -> Result<Model, Diagnostic> {
    wire::check(bytes)?;
    let mut proto = ModelProto::parse_from_bytes(bytes)
        .map_err(|e| Code::NotOnnx.error("the file is not an ONNX model").note(e.to_string()))?;
    let Some(graph) = proto.graph.take() else {
        return Err(Code::NotOnnx
            .error("the file is not an ONNX model")
            .note("the message has no graph"));
    };
    let opset = |o: onnx_protobuf::OperatorSetIdProto| (default_domain(o.domain), o.version);
    Ok(Model {
        opsets: proto.opset_import.into_iter().map(opset).collect(),
        functions: proto.functions.into_iter().map(function).collect(),
        graph: convert_graph(graph),
    })
}

/// `ai.onnx` is the long name of the default domain.
fn default_domain(domain: String) -> String {
    if domain == "ai.onnx" { String::new() } else { domain }
}

fn function(f: FunctionProto) -> (String, String) {
    (default_domain(f.domain), f.name)
}

fn convert_graph(g: GraphProto) -> GraphDef {
    let sparse =
        |s: onnx_protobuf::SparseTensorProto| s.values.into_option().unwrap_or_default().name;
    GraphDef {
        nodes: g.node.into_iter().map(convert_node).collect(),
        initializers: g.initializer.into_iter().map(convert_tensor).collect(),
        sparse: g.sparse_initializer.into_iter().map(sparse).collect(),
        inputs: g.input.into_iter().map(convert_value).collect(),
        outputs: g.output.into_iter().map(convert_value).collect(),
    }
}

fn convert_node(n: NodeProto) -> Node {
    let attrs: Vec<Attr> = n.attribute.into_iter().map(convert_attr).collect();
    let captured = attrs.iter().flat_map(|attr| match &attr.value {
        AttrValue::Graph(graph) => graph.free_names(),
        _ => Vec::new(),
    });
    Node {
        name: n.name,
        op_type: n.op_type,
        domain: default_domain(n.domain),
        inputs: n.input,
        outputs: n.output,
        captured: captured.collect(),
        attrs,
    }
}

fn convert_attr(a: AttributeProto) -> Attr {
    let kind = match a.type_.enum_value() {
        Ok(AttributeType::UNDEFINED) => guess_kind(&a),
        Ok(kind) => kind,
        Err(_) => AttributeType::UNDEFINED,
    };
    let name = a.name;
    let value = match kind {
        _ if !a.ref_attr_name.is_empty() => AttrValue::Other("a function's parameter"),
        AttributeType::INT => AttrValue::Int(a.i),
        AttributeType::FLOAT => AttrValue::Float(a.f),
        AttributeType::STRING => AttrValue::Str(a.s),
        AttributeType::INTS => AttrValue::Ints(a.ints),
        AttributeType::FLOATS => AttrValue::Floats(a.floats),
        AttributeType::TENSOR => match a.t.into_option() {
            Some(t) => AttrValue::Tensor(convert_tensor(t)),
            None => AttrValue::Other("a missing tensor"),
        },
        AttributeType::STRINGS => AttrValue::Strings(a.strings),
        AttributeType::TENSORS => AttrValue::Other("a list of tensors"),
        AttributeType::GRAPH => match a.g.into_option() {
            Some(graph) => AttrValue::Graph(convert_graph(graph)),
            None => AttrValue::Other("a missing subgraph"),
        },
        AttributeType::GRAPHS => AttrValue::Other("a list of subgraphs"),
        AttributeType::SPARSE_TENSOR | AttributeType::SPARSE_TENSORS => {
            AttrValue::Other("a sparse tensor")
        }
        AttributeType::TYPE_PROTO | AttributeType::TYPE_PROTOS => AttrValue::Other("a type"),
        AttributeType::UNDEFINED => AttrValue::Other("a value of unknown kind"),
    };
    Attr { name, value }
}

/// IR version 1 has no kind field: the populated field decides.
fn guess_kind(a: &AttributeProto) -> AttributeType {
    match () {
        () if a.t.is_some() => AttributeType::TENSOR,
        () if a.g.is_some() => AttributeType::GRAPH,
        () if !a.ints.is_empty() => AttributeType::INTS,
        () if !a.floats.is_empty() => AttributeType::FLOATS,
        () if !a.s.is_empty() => AttributeType::STRING,
        () if !a.strings.is_empty() => AttributeType::STRINGS,
        () if a.f != 0.0 => AttributeType::FLOAT,
        () if a.i != 0 => AttributeType::INT,
        () => AttributeType::UNDEFINED,
    }
}

pub(crate) fn convert_tensor(mut t: TensorProto) -> TensorData {
    TensorData {
        name: std::mem::take(&mut t.name),
        dims: std::mem::take(&mut t.dims),
        data_type: t.data_type,
        payload: payload(t),
    }
}

fn payload(t: TensorProto) -> Payload {
    match () {
        () if t.data_location.enum_value() == Ok(DataLocation::EXTERNAL) => {
            let entry = |e: StringStringEntryProto| (e.key, e.value);
            Payload::External(t.external_data.into_iter().map(entry).collect())
        }
        () if !t.float_data.is_empty() => Payload::F32(t.float_data),
        () if !t.double_data.is_empty() => Payload::F64(t.double_data),
        () if !t.int32_data.is_empty() => Payload::I32(t.int32_data),
        () if !t.int64_data.is_empty() => Payload::I64(t.int64_data),
        () if !t.uint64_data.is_empty() => Payload::U64(t.uint64_data),
        () => Payload::Raw(t.raw_data),
    }
}

fn convert_value(v: ValueInfoProto) -> ValueInfo {
    ValueInfo { name: v.name, ty: convert_type(v.type_.into_option()) }
}

fn convert_type(ty: Option<TypeProto>) -> ValueType {
    match ty.and_then(|t| t.value) {
        Some(TypeValue::TensorType(t)) => {
            let dims = t.shape.into_option().map(|s| s.dim.into_iter().map(convert_dim).collect());
            ValueType::Tensor(t.elem_type, dims)
        }
        Some(TypeValue::SequenceType(_)) => ValueType::Other("a sequence"),
        Some(TypeValue::MapType(_)) => ValueType::Other("a map"),
        Some(TypeValue::OptionalType(_)) => ValueType::Other("an optional"),
        Some(TypeValue::SparseTensorType(_)) => ValueType::Other("a sparse tensor"),
        Some(_) | None => ValueType::Other("a value without a type"),
    }
}

/// Exporters write unknown extents as no value, 0, −1 or `?`.
fn convert_dim(d: Dimension) -> Dim {
    match d.value {
        Some(DimValue::DimValue(v)) if v > 0 => usize::try_from(v).map_or(Dim::Unknown, Dim::Known),
        Some(DimValue::DimParam(name)) if !matches!(name.as_str(), "" | "?") => Dim::Named(name),
        Some(_) | None => Dim::Unknown,
    }
}
