//! In which order layers can be looked at, so that all that one depends on comes before it.

use super::layers::Layer;
use super::model::reads;
use onnx_protobuf::GraphProto;
use std::collections::BTreeMap;

/// Layers with weights by the largest number of such layers on a way to them.
pub(super) fn stages(graph: &GraphProto, layers: &[Layer]) -> Vec<Vec<usize>> {
    let mut depths: BTreeMap<String, usize> = BTreeMap::new();
    let mut stages: Vec<Vec<usize>> = Vec::new();
    for (at, node) in graph.node.iter().enumerate() {
        let known = reads(node).into_iter().filter_map(|name| depths.get(&name).copied());
        let mut depth = known.max().unwrap_or(0);
        let layer = layers.iter().position(|l| l.product == at && l.weights().is_some());
        if let Some(n) = layer {
            stages.resize_with(stages.len().max(depth + 1), Vec::new);
            stages[depth].push(n);
            depth += 1;
        }
        depths.extend(node.output.iter().map(|name| (name.clone(), depth)));
    }
    stages
}

#[cfg(test)]
mod tests {
    use super::super::edit::node;
    use super::super::testing::{model, prepared, taps};

    #[test]
    fn a_layer_follows_all_that_it_depends_on() {
        let nodes = vec![
            node("Conv", "first", &["x", "v"], "a"),
            node("Relu", "relu", &["a"], "b"),
            node("Conv", "left", &["b", "v"], "c"),
            node("Conv", "right", &["a", "v"], "d"),
            node("Add", "sum", &["c", "x"], "e"),
            node("Conv", "last", &["e", "v"], "f"),
            node("Concat", "all", &["f", "d"], "y"),
        ];
        let mut model = model(&[1, 2, 4, 4], &[("v", taps(2, 2))], nodes);
        let graph = model.graph.as_mut().expect("a graph");
        let axis = super::super::edit::Value::Int(1);
        let all = graph.node.pop().expect("seven nodes");
        graph.node.push(super::super::edit::with(all, "axis", axis));
        assert_eq!(prepared(&model).stages(), [vec![0], vec![1, 2], vec![3]]);
    }
}
