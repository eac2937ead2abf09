//! What a graph means: reference evaluation, op by op.

use super::ops::Op;
use super::{Graph, OpId};
use crate::tensor::Tensor;
use cranelift_entity::SecondaryMap;
use smallvec::SmallVec;

/// The outputs for these inputs, both in the caller's order.
///
/// # Panics
/// When the graph does not verify or an input's type is not its port's.
#[must_use]
pub fn eval(graph: &Graph, inputs: &[Tensor]) -> Vec<Tensor> {
    eval_ops(graph, inputs, |_, _| {})
}

/// Like `eval`, and shows the value of every op that computes something, in execution order.
///
/// A value is dropped after its last use, so the memory needed is that of the live values.
///
/// # Panics
/// When the graph does not verify or an input's type is not its port's.
pub fn eval_ops(
    graph: &Graph,
    inputs: &[Tensor],
    mut visit: impl FnMut(OpId, &Tensor),
) -> Vec<Tensor> {
    check_inputs(graph, inputs);
    let mut run = Run { graph, inputs, values: SecondaryMap::new(), uses: graph.uses() };
    for &op in &graph.order {
        if matches!(graph.ops[op].op, Op::Input(_) | Op::Const(_)) {
            continue;
        }
        let value = run.compute(op);
        visit(op, &value);
        run.values[op] = Some(value);
        run.release_operands(op);
    }
    graph.outputs.iter().map(|o| run.value(o.value).clone()).collect()
}

fn check_inputs(graph: &Graph, inputs: &[Tensor]) {
    assert_eq!(inputs.len(), graph.inputs.len(), "one tensor per input");
    for (port, input) in graph.inputs.iter().zip(inputs) {
        assert_eq!(port.ty, input.ty, "type of input {}", port.name);
    }
}

struct Run<'a> {
    graph: &'a Graph,
    inputs: &'a [Tensor],
    values: SecondaryMap<OpId, Option<Tensor>>,
    uses: SecondaryMap<OpId, u32>,
}

impl Run<'_> {
    fn value(&self, op: OpId) -> &Tensor {
        match &self.graph.ops[op].op {
            Op::Const(c) => &self.graph.consts[c.id],
            Op::Input(i) => &self.inputs[i.index as usize],
            _ => self.values[op].as_ref().expect("G2: operands are computed before their uses"),
        }
    }

    fn compute(&self, op: OpId) -> Tensor {
        let data = &self.graph.ops[op];
        let args: SmallVec<[&Tensor; 4]> = data.args.iter().map(|&a| self.value(a)).collect();
        let value = data.op.eval(&args);
        assert_eq!(value.ty, data.ty, "G4: the stored type of {op}");
        value
    }

    fn release_operands(&mut self, op: OpId) {
        for &arg in &self.graph.ops[op].args {
            self.uses[arg] -= 1;
            if self.uses[arg] == 0 {
                self.values[arg] = None;
            }
        }
        if self.uses[op] == 0 {
            self.values[op] = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{eval, eval_ops};
    use crate::graph::build::GraphBuilder;
    use crate::graph::ops::{Map, Reshape};
    use crate::scalar::ScalarExpr;
    use crate::scalar::func::ScalarFn;
    use crate::tensor::Tensor;
    use crate::types::Shape;

    #[test]
    fn ops_run_in_order_and_each_is_shown() {
        let x = Tensor::from_f32s(&[2], &[1.0, 2.0]);
        let mut b = GraphBuilder::new("g");
        let input = b.input("x", x.ty.clone());
        let two = b.constant(Tensor::from_f32s(&[2], &[2.0, 2.0]));
        let mul = Map { body: ScalarExpr::call(ScalarFn::Mul) };
        let twice = b.add(mul, &[input, two]).expect("a product");
        let column = b.add(Reshape { shape: Shape::new(&[2, 1]) }, &[twice]).expect("a reshape");
        b.output("y", column);
        b.output("x", input);
        let (graph, mut seen) = (b.finish(), Vec::new());
        let outputs = eval_ops(&graph, std::slice::from_ref(&x), |op, _| seen.push(op));
        assert_eq!(seen, [twice, column]);
        assert_eq!(outputs, [Tensor::from_f32s(&[2, 1], &[2.0, 4.0]), x.clone()]);
        assert_eq!(outputs, eval(&graph, &[x]));
    }
}
