//! How coarse the results of a quantised model are: the step of the codes that they are made of.

use edgecc_ir::graph::ops::Op;
use edgecc_ir::graph::{Graph, OpId};
use std::collections::BTreeMap;

/// For each output that follows a quantisation, what one step of the codes makes of it: 1 for codes,
/// else the largest scale of the nearest `dequantize`.
pub(super) fn steps(graph: &Graph) -> Vec<Option<f64>> {
    let mut steps: BTreeMap<OpId, f64> = BTreeMap::new();
    for &id in &graph.order {
        let data = &graph.ops[id];
        let operands = data.args.iter().filter_map(|a| steps.get(a).copied()).reduce(f64::max);
        let step = match &data.op {
            Op::Quantize(_) | Op::Requantize(_) => Some(1.0),
            Op::Dequantize(_) => operands.and_then(|_| largest(graph, data.args[1])),
            _ => operands,
        };
        steps.extend(step.map(|step| (id, step)));
    }
    graph.outputs.iter().map(|output| steps.get(&output.value).copied()).collect()
}

/// The largest element of a constant that may be repeated.
fn largest(graph: &Graph, id: OpId) -> Option<f64> {
    match graph.as_const(id) {
        Some(values) => values.iter().map(|v| v.as_f64()).reduce(f64::max),
        None => graph.ops[id].args.first().and_then(|&a| largest(graph, a)),
    }
}

#[cfg(test)]
mod tests {
    use super::steps;
    use edgecc_ir::text::parse_graph;

    #[test]
    fn outputs_behind_a_quantisation_have_its_step() {
        let text = "graph @g (%0 \"x\": f32[2]) -> (%3 \"q\", %4 \"y\", %5 \"z\") {
          %1 = const dense<[0.25]> : f32[]
          %2 = broadcast %1 {dims = []} : f32[2]
          %3 = quantize %0, %2 {zero_point = 0} : i8[2]
          %4 = dequantize %3, %2 {zero_point = 0} : f32[2]
          %5 = map %0 {body = (x0) -> abs(x0)} : f32[2]
        }";
        let graph = parse_graph(text).expect("well formed").ir;
        assert_eq!(steps(&graph), [Some(1.0), Some(0.25), None]);
    }
}
