//! Leaves out the ops and constants that no output needs.

use edgecc_ir::graph::build::GraphBuilder;
use edgecc_ir::graph::ops::Op;
use edgecc_ir::graph::{Graph, OpData, OpId};
use std::collections::{BTreeMap, BTreeSet};

/// The same graph without dead ops and constants; inputs stay.
pub(crate) fn prune(mut graph: Graph) -> Graph {
    let live = live_ops(&graph);
    let locs = std::mem::take(&mut graph.locs);
    let mut builder = GraphBuilder::with_pools(&graph.name, Default::default(), locs);
    let mut moved: BTreeMap<OpId, OpId> = BTreeMap::new();
    for id in graph.order.iter().copied().filter(|id| live.contains(id)) {
        let OpData { op, args, ty, loc } = graph.ops[id].clone();
        builder.set_loc_id(loc);
        let args: Vec<OpId> = args.iter().map(|a| moved[a]).collect();
        let new = match op {
            Op::Input(input) => builder.input(&graph.inputs[input.index as usize].name, ty),
            Op::Const(c) => builder.constant(graph.consts[c.id].clone()),
            other => builder.add(other, &args).expect("G4: the op type-checked before"),
        };
        moved.insert(id, new);
    }
    for output in &graph.outputs {
        builder.output(&output.name, moved[&output.value]);
    }
    builder.finish()
}

fn live_ops(graph: &Graph) -> BTreeSet<OpId> {
    let inputs = graph.order.iter().copied().filter(|&id| matches!(graph.ops[id].op, Op::Input(_)));
    let mut live = BTreeSet::new();
    let mut todo: Vec<OpId> = inputs.chain(graph.outputs.iter().map(|o| o.value)).collect();
    while let Some(id) = todo.pop() {
        if live.insert(id) {
            todo.extend(graph.ops[id].args.iter().copied());
        }
    }
    live
}

#[cfg(test)]
mod tests {
    use super::prune;
    use edgecc_ir::graph::build::GraphBuilder;
    use edgecc_ir::tensor::Tensor;
    use edgecc_ir::types::{ElemType, TensorType};

    #[test]
    fn dead_constants_go_and_unused_inputs_stay() {
        let mut b = GraphBuilder::new("g");
        b.input("unused", TensorType::new(ElemType::F32, &[1]));
        b.constant(Tensor::from_f32s(&[1], &[1.0]));
        let kept = b.constant(Tensor::from_f32s(&[1], &[2.0]));
        b.output("y", kept);
        let graph = prune(b.finish());
        assert_eq!((graph.ops.len(), graph.consts.len(), graph.inputs.len()), (2, 1, 1));
    }
}
