//! `import_onnx`: the importer never panics, and every graph that it makes verifies.

use edgecc_frontend::{ImportOptions, import};
use edgecc_ir::graph::verify::verify;
use onnx_protobuf::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto, attribute_proto, tensor_shape_proto, type_proto,
};
use protobuf::Message;

/// Imports the bytes as a model.
///
/// # Panics
/// When an imported graph does not verify.
pub fn run(data: &[u8]) {
    if let Ok(imported) = import(data, &ImportOptions::named("fuzz")) {
        assert_eq!(verify(&imported.graph), Ok(()));
    }
}

/// A small model per family of operators.
#[must_use]
pub fn corpus() -> Vec<Vec<u8>> {
    let image = [1, 2, 5, 5];
    let conv = node("Conv", &["x", "w"], &[("pads", Value::Ints(&[1, 1, 1, 1]))]);
    let pool = node("MaxPool", &["x"], &[("kernel_shape", Value::Ints(&[2, 2]))]);
    let shape = node("Reshape", &["x", "s"], &[]);
    let split = node("Transpose", &["x"], &[("perm", Value::Ints(&[0, 2, 3, 1]))]);
    let alpha = node("LeakyRelu", &["x"], &[("alpha", Value::Float(0.1))]);
    let softmax = node("Softmax", &["x"], &[("axis", Value::Int(1))]);
    let concat = node("Concat", &["x", "x"], &[("axis", Value::Int(1))]);
    let add = node("Add", &["x", "w1"], &[]);
    let quantize = node("QuantizeLinear", &["x", "scale"], &[]);
    let pad = node("Pad", &["x", "p"], &[]);
    let slice = node("Slice", &["x", "p0", "p1"], &[]);
    let nodes = [conv, pool, shape, split, alpha, softmax, concat, add, quantize, pad, slice];
    nodes
        .into_iter()
        .map(|n| model(n, &image))
        .map(|m| m.write_to_bytes().expect("a message"))
        .collect()
}

enum Value<'a> {
    Int(i64),
    Float(f32),
    Ints(&'a [i64]),
}

fn node(op: &str, inputs: &[&str], attributes: &[(&str, Value<'_>)]) -> NodeProto {
    let mut node =
        NodeProto { op_type: op.into(), name: format!("the {op}"), ..Default::default() };
    node.input = inputs.iter().map(ToString::to_string).collect();
    node.output = vec!["y".into()];
    node.attribute = attributes.iter().map(|(name, value)| attribute(name, value)).collect();
    node
}

fn attribute(name: &str, value: &Value<'_>) -> AttributeProto {
    let mut a = AttributeProto { name: name.into(), ..Default::default() };
    match value {
        Value::Int(i) => {
            a.i = *i;
            a.type_ = attribute_proto::AttributeType::INT.into();
        }
        Value::Float(f) => {
            a.f = *f;
            a.type_ = attribute_proto::AttributeType::FLOAT.into();
        }
        Value::Ints(ints) => {
            a.ints = ints.to_vec();
            a.type_ = attribute_proto::AttributeType::INTS.into();
        }
    }
    a
}

fn port(name: &str, dims: &[i64]) -> ValueInfoProto {
    let dim = |&d: &i64| tensor_shape_proto::Dimension {
        value: Some(tensor_shape_proto::dimension::Value::DimValue(d)),
        ..Default::default()
    };
    let shape = TensorShapeProto { dim: dims.iter().map(dim).collect(), ..Default::default() };
    let tensor =
        type_proto::Tensor { elem_type: 1, shape: Some(shape).into(), ..Default::default() };
    let ty = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() };
    ValueInfoProto { name: name.into(), type_: Some(ty).into(), ..Default::default() }
}

fn floats(name: &str, dims: &[i64]) -> TensorProto {
    let count = dims.iter().product::<i64>();
    TensorProto {
        name: name.into(),
        dims: dims.to_vec(),
        data_type: 1,
        float_data: (0..count).map(|i| i as f32).collect(),
        ..Default::default()
    }
}

fn ints(name: &str, values: &[i64]) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: vec![values.len() as i64],
        data_type: 7,
        int64_data: values.to_vec(),
        ..Default::default()
    }
}

fn model(node: NodeProto, input: &[i64]) -> ModelProto {
    let all = [
        floats("w", &[3, 2, 3, 3]),
        floats("w1", &[2, 1, 1]),
        floats("scale", &[]),
        ints("s", &[1, -1]),
        ints("p", &[0, 0, 1, 1, 0, 0, 1, 1]),
        ints("p0", &[0, 0, 1, 1]),
        ints("p1", &[1, 2, 4, 5]),
    ];
    let graph = GraphProto {
        name: "g".into(),
        initializer: all.into_iter().filter(|t| node.input.contains(&t.name)).collect(),
        node: vec![node],
        input: vec![port("x", input)],
        output: vec![ValueInfoProto { name: "y".into(), ..Default::default() }],
        ..Default::default()
    };
    let opset = OperatorSetIdProto { version: 17, ..Default::default() };
    ModelProto {
        ir_version: 8,
        opset_import: vec![opset],
        graph: Some(graph).into(),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use edgecc_frontend::{ImportOptions, import};

    #[test]
    fn every_seed_imports() {
        for (n, seed) in super::corpus().iter().enumerate() {
            let imported = import(seed, &ImportOptions::named("seed"));
            assert!(imported.is_ok(), "seed {n}: {imported:?}");
        }
    }
}
