//! Scopes of names: the model's graph, and the graphs inside its nodes.

use super::Walk;
use crate::code::Code;
use crate::emit::Emit;
use crate::grid::{Grid, Value};
use crate::model::GraphDef;
use crate::order::execution_order;
use crate::prune::prune;
use crate::tensor;
use edgecc_ir::graph::{Graph, OpId};
use edgecc_ir::loc::Loc;
use edgecc_ir::tensor::Tensor;
use edgecc_ir::types::TensorType;
use std::collections::{BTreeMap, BTreeSet};

/// A graph under construction and what names mean in it.
pub(super) struct Frame<'a> {
    pub(super) emit: Emit,
    /// Names that a needed node or the graph's result reads.
    pub(super) used: BTreeSet<&'a str>,
    /// What each name stands for; `None` when the node behind it has failed.
    pub(super) values: BTreeMap<&'a str, Option<Value>>,
    pub(super) grid: Grid,
    /// The values of the graph around this one that its last inputs stand for.
    pub(super) captured: Vec<OpId>,
}

/// What a parameter of a body is bound to.
pub(super) enum Bound {
    /// A value of this type.
    Any(TensorType),
    /// A value like this one of the graph around.
    Like(Value),
    /// Always this.
    Constant(Tensor),
}

/// An imported body: its parameters are those it was asked for, then the captured values.
pub(super) struct Inner<'a> {
    pub(super) frame: Frame<'a>,
    /// Values in `frame`.
    pub(super) results: Vec<Value>,
}

impl Frame<'_> {
    pub(super) fn new(emit: Emit) -> Self {
        Frame {
            emit,
            used: BTreeSet::new(),
            values: BTreeMap::new(),
            grid: Grid::default(),
            captured: Vec::new(),
        }
    }

    /// A value of the graph around this one: constants are copied, others become inputs.
    pub(super) fn capture(&mut self, name: &str, value: Value, outside: &Emit) -> Value {
        let op = match outside.const_tensor(value.op) {
            Some(tensor) => self.emit.constant(tensor.into_owned()),
            None => {
                self.captured.push(value.op);
                self.emit.input(name, outside.ty(value.op).clone())
            }
        };
        let value = Value { op, ..value };
        self.grid.note(value);
        value
    }

    /// The graph with these results.
    pub(super) fn into_graph(mut self, results: &[OpId]) -> Graph {
        for (n, &result) in results.iter().enumerate() {
            self.emit.output(&format!("r{n}"), result);
        }
        prune(self.emit.into_graph())
    }
}

impl<'a> Walk<'a> {
    /// What a name stands for here, `None` when the node behind it has failed.
    pub(super) fn value(&mut self, name: &'a str) -> Option<Value> {
        if let Some(known) = self.frame.values.get(name) {
            return *known;
        }
        let at = self.outer.iter().rposition(|frame| frame.values.contains_key(name))?;
        let mut value = self.outer[at].values[name]?;
        if self.outer[at].emit.count_of(value.op).is_some() {
            let problem =
                format!("the size of {name:?}, which a subgraph reads, depends on the data");
            self.problems.push(Code::DataDependentShape.error(problem));
            return None;
        }
        for depth in at + 1..=self.outer.len() {
            let (sources, targets) = self.outer.split_at_mut(depth);
            let target = targets.first_mut().unwrap_or(&mut self.frame);
            value = target.capture(name, value, &sources[depth - 1].emit);
            target.values.insert(name, Some(value));
        }
        Some(value)
    }

    /// Imports a body into a graph of its own; `None` when something in it failed, which is
    /// reported.
    pub(super) fn body(
        &mut self,
        graph: &'a GraphDef,
        name: &str,
        params: Vec<(&'a str, Bound)>,
    ) -> Option<Inner<'a>> {
        let inner = Frame::new(self.frame.emit.inside(name));
        let outer = std::mem::replace(&mut self.frame, inner);
        for (name, bound) in params {
            let (bound, format) = match bound {
                Bound::Constant(tensor) => (self.frame.emit.constant(tensor), None),
                Bound::Any(ty) => (self.frame.emit.input(name, ty), None),
                Bound::Like(value) => {
                    let ty = outer.emit.ty(value.op).clone();
                    (self.frame.emit.input(name, ty), value.format)
                }
            };
            self.define(name, Some(Value { op: bound, format }));
        }
        self.outer.push(outer);
        let results = self.results(graph);
        let outer = self.outer.pop().expect("pushed above");
        let frame = std::mem::replace(&mut self.frame, outer);
        Some(Inner { frame, results: results? })
    }

    /// Imports a body into the graph around it.
    pub(super) fn inline(
        &mut self,
        graph: &'a GraphDef,
        params: Vec<(&'a str, Value)>,
    ) -> Option<Vec<Value>> {
        let names = self.frame.values.clone();
        for (name, value) in params {
            self.define(name, Some(value));
        }
        let results = self.results(graph);
        self.frame.values = names;
        results
    }

    /// Imports what a body's results need.
    fn results(&mut self, graph: &'a GraphDef) -> Option<Vec<Value>> {
        let around = |name: &str| {
            let frames = self.outer.iter().chain([&self.frame]);
            frames.into_iter().any(|frame| frame.values.contains_key(name))
        };
        let order = match execution_order(graph, &around) {
            Ok(order) => order,
            Err(problems) => {
                self.problems.extend(problems);
                return None;
            }
        };
        let used = super::used_names(graph, &order);
        let used = std::mem::replace(&mut self.frame.used, used);
        self.inner_initializers(graph);
        for index in order {
            self.node(index, &graph.nodes[index]);
        }
        self.frame.used = used;
        graph.outputs.iter().map(|output| self.value(&output.name)).collect()
    }

    fn inner_initializers(&mut self, graph: &'a GraphDef) {
        for (index, data) in graph.initializers.iter().enumerate() {
            let (index, kind) = (index as u32, "initializer".to_owned());
            self.frame.emit.set_loc(Loc::Source { index, kind, name: data.name.clone() });
            let value = match tensor::decode(data.clone(), self.options.external) {
                Ok((tensor, ty)) => {
                    Some(Value { op: self.frame.emit.constant(tensor), format: ty.format })
                }
                Err(problem) => {
                    self.problems.push(problem.at(format!("initializer {:?}", data.name)));
                    None
                }
            };
            self.define(&data.name, value);
        }
    }
}
