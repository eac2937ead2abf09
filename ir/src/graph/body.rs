//! Graphs inside ops: what a repetition repeats and what a choice chooses from.

use super::Graph;
use super::ops::Op;
use crate::text::{PrintOptions, print_graph};
use crate::types::TensorType;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// A graph as an attribute. Its inputs are the parameters that the op's operands are bound to; its
/// constants are its own.
///
/// The graph is shared between equal ops and never changes, so that comparing bodies is cheap.
#[derive(Clone)]
pub struct Body(Arc<Shared>);

struct Shared {
    graph: Graph,
    /// Of everything but locations.
    digest: u64,
}

impl From<Graph> for Body {
    fn from(graph: Graph) -> Body {
        let digest = digest(&graph);
        Body(Arc::new(Shared { graph, digest }))
    }
}

impl Body {
    /// The graph.
    #[must_use]
    pub fn graph(&self) -> &Graph {
        &self.0.graph
    }

    /// The types of the parameters.
    pub fn params(&self) -> impl ExactSizeIterator<Item = &TensorType> {
        self.graph().inputs.iter().map(|port| &port.ty)
    }

    /// The types of the results.
    pub fn results(&self) -> impl ExactSizeIterator<Item = &TensorType> {
        self.graph().outputs.iter().map(|output| self.graph().ty(output.value))
    }

    /// Elements that one evaluation computes, roughly.
    #[must_use]
    pub fn work(&self) -> usize {
        let graph = self.graph();
        let elements = graph.order.iter().map(|&op| match &graph.ops[op].op {
            Op::Repeat(repeat) => repeat.work(),
            Op::If(choice) => choice.work(),
            _ => graph.ty(op).shape.numel(),
        });
        elements.fold(0, usize::saturating_add)
    }
}

impl PartialEq for Body {
    fn eq(&self, other: &Body) -> bool {
        let same = Arc::ptr_eq(&self.0, &other.0);
        same || self.0.digest == other.0.digest && self.graph() == other.graph()
    }
}

impl Eq for Body {}

impl Hash for Body {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.digest.hash(state);
    }
}

impl PartialOrd for Body {
    fn partial_cmp(&self, other: &Body) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Body {
    /// By digest; bodies that differ with equal digests by their text.
    fn cmp(&self, other: &Body) -> Ordering {
        let text = |body: &Body| print_graph(body.graph(), &PrintOptions::exact());
        self.0.digest.cmp(&other.0.digest).then_with(|| match self == other {
            true => Ordering::Equal,
            false => text(self).cmp(&text(other)),
        })
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&print_graph(self.graph(), &PrintOptions::default()))
    }
}

fn digest(graph: &Graph) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&graph.inputs, &graph.outputs).hash(&mut hasher);
    for &id in &graph.order {
        let data = &graph.ops[id];
        (id, &data.op, &data.args, &data.ty).hash(&mut hasher);
    }
    for tensor in graph.consts.values() {
        (&tensor.ty, tensor.bytes()).hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::Body;
    use crate::graph::build::GraphBuilder;
    use crate::tensor::Tensor;
    use std::cmp::Ordering;

    fn constant(value: f32) -> Body {
        let mut b = GraphBuilder::new("b");
        let c = b.constant(Tensor::from_f32s(&[1], &[value]));
        b.output("y", c);
        b.finish().into()
    }

    #[test]
    fn bodies_are_equal_by_content() {
        assert_eq!(constant(1.0), constant(1.0));
        assert_eq!(constant(1.0).cmp(&constant(1.0)), Ordering::Equal);
        assert_ne!(constant(1.0), constant(2.0));
        assert_ne!(constant(1.0).cmp(&constant(2.0)), Ordering::Equal);
    }
}
