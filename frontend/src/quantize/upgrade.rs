//! Raises a model to a newer operator set: a row for each change of an operator's form that keeps
//! its meaning. Operators without a row have the same form in the versions between.

use super::edit::{self, Value, float, int, node, set, take, text};
use edgecc_ir::tensor::{Scalar, Tensor};
use onnx_protobuf::{GraphProto, ModelProto, NodeProto};

/// The oldest operator set that can be raised.
pub(super) const OLDEST: i64 = 7;

/// A change of an operator's form.
struct Row {
    op: &'static str,
    /// The first operator set with the new form.
    since: i64,
    change: fn(&mut Change<'_>, NodeProto),
}

/// Where changed nodes and their new operands go.
struct Change<'a> {
    graph: &'a mut GraphProto,
    nodes: Vec<NodeProto>,
}

const fn row(op: &'static str, since: i64, change: fn(&mut Change<'_>, NodeProto)) -> Row {
    Row { op, since, change }
}

/// In ascending order of versions.
const ROWS: &[Row] = &[
    row("BatchNormalization", 9, |c, n| c.without(n, "spatial")),
    row("Slice", 10, |c, n| c.operands(n, &["starts", "ends", "axes"])),
    row("TopK", 10, |c, n| c.operands(n, &["k"])),
    row("Upsample", 10, upsample),
    row("Clip", 11, clip),
    row("Pad", 11, pad),
    row("Resize", 11, resize),
    row("Scatter", 11, |c, n| c.renamed(n, "ScatterElements")),
    row("Dropout", 12, dropout),
    row("Squeeze", 13, |c, n| c.operands(n, &["axes"])),
    row("Unsqueeze", 13, |c, n| c.operands(n, &["axes"])),
    row("ReduceSum", 13, |c, n| c.operands(n, &["axes"])),
    row("Split", 13, |c, n| c.operands(n, &["split"])),
    row("Softmax", 13, flattened),
    row("LogSoftmax", 13, flattened),
    row("Hardmax", 13, flattened),
    row("RoiAlign", 16, |c, n| c.setting(n, "coordinate_transformation_mode", "output_half_pixel")),
    row("Split", 18, split),
    row("ReduceMean", 18, |c, n| c.operands(n, &["axes"])),
    row("ReduceMax", 18, |c, n| c.operands(n, &["axes"])),
    row("ReduceMin", 18, |c, n| c.operands(n, &["axes"])),
    row("ReduceProd", 18, |c, n| c.operands(n, &["axes"])),
    row("ReduceL1", 18, |c, n| c.operands(n, &["axes"])),
    row("ReduceL2", 18, |c, n| c.operands(n, &["axes"])),
    row("ReduceLogSum", 18, |c, n| c.operands(n, &["axes"])),
    row("ReduceLogSumExp", 18, |c, n| c.operands(n, &["axes"])),
    row("ReduceSumSquare", 18, |c, n| c.operands(n, &["axes"])),
    row("GridSample", 20, grid_sample),
];

/// An operator whose form has changed and that has no row.
pub(super) struct Obstacle {
    pub(super) op: &'static str,
    /// The first operator set with the new form.
    pub(super) since: i64,
}

const OBSTACLES: &[Obstacle] =
    &[Obstacle { op: "DFT", since: 20 }, Obstacle { op: "GroupNormalization", since: 21 }];

/// What keeps a model from being raised to `version`.
pub(super) fn obstacle(model: &ModelProto, version: i64) -> Option<&'static Obstacle> {
    let old = super::model::opset(model);
    let applies = |row: &&Obstacle| old < row.since && row.since <= version;
    OBSTACLES.iter().filter(applies).find(|row| contains(&model.graph, row.op))
}

/// Whether a graph or one inside it has such a node.
fn contains(graph: &GraphProto, op: &str) -> bool {
    let inside = |node: &NodeProto| {
        node.attribute.iter().filter_map(|a| a.g.as_ref()).any(|g| contains(g, op))
    };
    graph.node.iter().any(|node| (node.op_type == op && node.domain.is_empty()) || inside(node))
}

/// Raises the default operator set to `version`, if it is older.
pub(super) fn upgrade(model: &mut ModelProto, version: i64) {
    let old = super::model::opset(model);
    if old >= version {
        return;
    }
    if let Some(graph) = model.graph.as_mut() {
        upgrade_graph(graph, old, version);
    }
    for import in &mut model.opset_import {
        if import.domain.is_empty() || import.domain == "ai.onnx" {
            import.version = version;
        }
    }
}

/// Also graphs inside of nodes, whose operands become stored tensors of their own.
fn upgrade_graph(graph: &mut GraphProto, old: i64, new: i64) {
    for inner in graph.node.iter_mut().flat_map(|n| &mut n.attribute).filter_map(|a| a.g.as_mut()) {
        upgrade_graph(inner, old, new);
    }
    for row in ROWS.iter().filter(|row| old < row.since && row.since <= new) {
        let nodes = std::mem::take(&mut graph.node);
        let mut change = Change { graph, nodes: Vec::new() };
        for node in nodes {
            match node.op_type == row.op && node.domain.is_empty() {
                true => (row.change)(&mut change, node),
                false => change.nodes.push(node),
            }
        }
        let nodes = change.nodes;
        graph.node = nodes;
    }
}

impl Change<'_> {
    /// A stored operand beside a node; its name.
    fn stored(&mut self, node: &NodeProto, what: &str, value: &Tensor) -> String {
        let name = edit::beside(node.output.first().map_or("", String::as_str), what);
        self.graph.initializer.push(edit::stored(&name, value));
        name
    }

    /// Attributes with integers become the operands behind the first.
    fn operands(&mut self, mut node: NodeProto, names: &[&str]) {
        let taken: Vec<_> = names.iter().map(|name| take(&mut node, name)).collect();
        if taken.iter().any(Option::is_some) {
            for (name, attr) in names.iter().zip(taken) {
                let operand = attr.map_or_else(String::new, |attr| {
                    let ints = if attr.ints.is_empty() { vec![attr.i] } else { attr.ints };
                    self.stored(&node, name, &Tensor::from_i64s(&[ints.len()], &ints))
                });
                node.input.push(operand);
            }
            while node.input.last().is_some_and(String::is_empty) {
                node.input.pop();
            }
        }
        self.nodes.push(node);
    }

    fn without(&mut self, mut node: NodeProto, name: &str) {
        take(&mut node, name);
        self.nodes.push(node);
    }

    fn renamed(&mut self, node: NodeProto, op: &str) {
        self.nodes.push(NodeProto { op_type: op.to_owned(), ..node });
    }

    /// Sets an attribute whose default has changed.
    fn setting(&mut self, mut node: NodeProto, name: &str, value: &'static str) {
        if text(&node, name).is_empty() {
            set(&mut node, name, Value::Str(value));
        }
        self.nodes.push(node);
    }
}

fn number(value: f32) -> Tensor {
    Tensor::splat(&[], Scalar::f32(value))
}

fn clip(change: &mut Change<'_>, mut node: NodeProto) {
    let lo = take(&mut node, "min").map(|attr| change.stored(&node, "min", &number(attr.f)));
    let hi = take(&mut node, "max").map(|attr| change.stored(&node, "max", &number(attr.f)));
    node.input.extend([lo.unwrap_or_default(), hi.unwrap_or_default()]);
    change.nodes.push(node);
}

fn pad(change: &mut Change<'_>, mut node: NodeProto) {
    let value = number(float(&node, "value", 0.0));
    take(&mut node, "value");
    let pads = take(&mut node, "pads").map(|attr| attr.ints).unwrap_or_default();
    let pads = change.stored(&node, "pads", &Tensor::from_i64s(&[pads.len()], &pads));
    let value = change.stored(&node, "value", &value);
    node.input.extend([pads, value]);
    change.nodes.push(node);
}

/// The scales were an attribute up to version 8.
fn upsample(change: &mut Change<'_>, mut node: NodeProto) {
    if let Some(attr) = take(&mut node, "scales") {
        let scales = Tensor::from_f32s(&[attr.floats.len()], &attr.floats);
        let scales = change.stored(&node, "scales", &scales);
        node.input.push(scales);
    }
    change.renamed(node, "Resize");
}

/// Version 10 knew one way to place samples.
fn resize(change: &mut Change<'_>, mut node: NodeProto) {
    node.input.insert(1, String::new());
    set(&mut node, "coordinate_transformation_mode", Value::Str("asymmetric"));
    set(&mut node, "nearest_mode", Value::Str("floor"));
    change.nodes.push(node);
}

/// Does nothing in inference.
fn dropout(change: &mut Change<'_>, mut node: NodeProto) {
    node.attribute.clear();
    node.input.truncate(1);
    node.output.truncate(1);
    change.renamed(node, "Identity");
}

/// Up to version 12 all dimensions from `axis` on were one.
fn flattened(change: &mut Change<'_>, mut softmax: NodeProto) {
    let axis = int(&softmax, "axis", 1);
    if axis == -1 {
        return change.nodes.push(softmax);
    }
    let (x, y) = (softmax.input[0].clone(), softmax.output[0].clone());
    let [shape, flat, result] = ["shape", "flat", "rows"].map(|what| edit::beside(&y, what));
    change.nodes.push(node("Shape", &shape, &[&x], &shape));
    let flatten = node("Flatten", &flat, &[&x], &flat);
    change.nodes.push(edit::with(flatten, "axis", Value::Int(axis)));
    softmax.input[0] = flat;
    softmax.output[0].clone_from(&result);
    set(&mut softmax, "axis", Value::Int(-1));
    change.nodes.push(softmax);
    change.nodes.push(node("Reshape", &edit::beside(&y, "unflatten"), &[&result, &shape], &y));
}

/// Equal parts are counted since version 18.
fn split(change: &mut Change<'_>, mut node: NodeProto) {
    if node.input.len() == 1 {
        let count = node.output.len() as i64;
        set(&mut node, "num_outputs", Value::Int(count));
    }
    change.nodes.push(node);
}

fn grid_sample(change: &mut Change<'_>, mut node: NodeProto) {
    match text(&node, "mode") {
        b"bilinear" => set(&mut node, "mode", Value::Str("linear")),
        b"bicubic" => set(&mut node, "mode", Value::Str("cubic")),
        _ => {}
    }
    change.nodes.push(node);
}

#[cfg(test)]
mod tests {
    use super::super::edit::{Value, int, node, with};
    use super::{obstacle, upgrade};
    use onnx_protobuf::{AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto};

    fn upgraded(node: NodeProto, from: i64, to: i64) -> GraphProto {
        let mut model = ModelProto {
            opset_import: vec![OperatorSetIdProto { version: from, ..Default::default() }],
            graph: Some(GraphProto { node: vec![node], ..Default::default() }).into(),
            ..Default::default()
        };
        upgrade(&mut model, to);
        assert_eq!(model.opset_import[0].version, to);
        model.graph.unwrap_or_default()
    }

    #[test]
    fn attributes_become_operands() {
        let mut squeeze = node("Squeeze", "", &["x"], "y");
        let axes = AttributeProto { name: "axes".to_owned(), ints: vec![1], ..Default::default() };
        squeeze.attribute.push(axes);
        let graph = upgraded(squeeze, 11, 13);
        assert_eq!(graph.node[0].input, ["x", "y/edgecc.axes"]);
        assert_eq!(graph.initializer[0].dims, [1]);
        assert!(graph.node[0].attribute.is_empty());
    }

    #[test]
    fn softmax_over_several_dimensions_is_flattened() {
        let softmax = with(node("Softmax", "", &["x"], "y"), "axis", Value::Int(2));
        let graph = upgraded(softmax, 12, 13);
        let ops: Vec<&str> = graph.node.iter().map(|n| n.op_type.as_str()).collect();
        assert_eq!(ops, ["Shape", "Flatten", "Softmax", "Reshape"]);
        assert_eq!(int(&graph.node[1], "axis", 0), 2);
        assert_eq!(graph.node[3].output, ["y"]);
    }

    #[test]
    fn an_operator_without_a_row_is_an_obstacle_where_its_form_changes() {
        let model = |op: &str, version| ModelProto {
            opset_import: vec![OperatorSetIdProto { version, ..Default::default() }],
            graph: Some(GraphProto { node: vec![node(op, "", &["x"], "y")], ..Default::default() })
                .into(),
            ..Default::default()
        };
        let is_free = |op, from, to| obstacle(&model(op, from), to).is_none();
        assert!(is_free("DFT", 17, 19) && !is_free("DFT", 17, 21) && is_free("DFT", 20, 21));
        assert!(!is_free("GroupNormalization", 18, 21) && is_free("Relu", 13, 21));
    }

    #[test]
    fn rows_apply_in_their_versions_only() {
        let split = || node("Split", "", &["x"], "y");
        assert!(upgraded(split(), 12, 13).node[0].attribute.is_empty());
        assert_eq!(int(&upgraded(split(), 13, 21).node[0], "num_outputs", 0), 1);
    }
}
