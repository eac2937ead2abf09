//! Operators with graphs inside: If, and what Loop and Scan share.

use super::Walk;
use super::frame::Inner;
use crate::code::Code;
use crate::context::ImportCx;
use crate::emit::Emit;
use crate::grid::Value;
use crate::model::Node;
use crate::ops::Region;
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::graph::OpId;
use edgecc_ir::graph::body::Body;
use edgecc_ir::graph::ops::{If, Op};
use edgecc_ir::kernel::Port;
use std::collections::BTreeSet;

/// The results of a node; `None` when something inside failed, which is reported.
pub(super) type Results = Result<Option<Vec<Value>>, Diagnostic>;

impl<'a> Walk<'a> {
    pub(super) fn region(
        &mut self,
        region: Region,
        node: &'a Node,
        opset: i64,
        inputs: &[Option<Value>],
    ) -> Results {
        match region {
            Region::If => self.choice(node, opset, inputs),
            Region::Loop => self.counted_loop(node, opset, inputs),
            Region::Scan => self.scan(node, opset, inputs),
            Region::BatchedScan => self.batched_scan(node, opset, inputs),
        }
    }

    /// The attributes of a node with a graph inside.
    pub(super) fn attributes<'e>(
        &'e mut self,
        node: &'a Node,
        opset: i64,
        inputs: &[Option<Value>],
    ) -> ImportCx<'e>
    where
        'a: 'e,
    {
        let external = self.options.external;
        ImportCx::new(&mut self.frame.emit, node, opset, inputs.to_vec(), external)
    }

    /// A constant condition leaves one branch, and the other is not even looked at.
    fn choice(&mut self, node: &'a Node, opset: i64, inputs: &[Option<Value>]) -> Results {
        let mut cx = self.attributes(node, opset, inputs);
        let test = cx.input(0)?;
        cx.ignore(&["then_branch", "else_branch"]);
        cx.check_all_read()?;
        let [then, otherwise] = [node.graph("then_branch")?, node.graph("else_branch")?];
        if let Some(test) = self.frame.emit.const_scalar(test) {
            return Ok(self.inline(if test.is_true() { then } else { otherwise }, Vec::new()));
        }
        let test = self.frame.emit.reshape(test, &[])?;
        let bodies = [(then, "then"), (otherwise, "else")];
        let [then, otherwise] = bodies.map(|(graph, name)| self.body(graph, name, Vec::new()));
        let (Some(then), Some(otherwise)) = (then, otherwise) else { return Ok(None) };
        check_branches(&then, &otherwise)?;
        let formats: Vec<_> = then.results.iter().map(|value| value.format).collect();
        let both = then.frame.captured.iter().chain(&otherwise.frame.captured);
        let captured: BTreeSet<OpId> = both.copied().collect();
        let captured: Vec<OpId> = captured.into_iter().collect();
        let [then, otherwise] =
            [then, otherwise].map(|inner| over(inner, &captured, &self.frame.emit));
        let args: Vec<OpId> = [test].into_iter().chain(captured).collect();
        let results = formats.into_iter().enumerate().map(|(n, format)| {
            let (then, otherwise) = (then.clone(), otherwise.clone());
            let op = If { then, otherwise, result: n as u32 };
            self.result(op, &args, format)
        });
        results.collect::<Result<Vec<Value>, Diagnostic>>().map(Some)
    }

    /// A result of an op with bodies; in them it has been rounded to its type.
    pub(super) fn result(
        &mut self,
        op: impl Into<Op>,
        args: &[OpId],
        format: Option<&'static crate::format::Format>,
    ) -> Result<Value, Diagnostic> {
        let value = Value { op: self.frame.emit.op(op, args)?, format };
        self.frame.grid.note(value);
        Ok(value)
    }
}

fn check_branches(then: &Inner<'_>, otherwise: &Inner<'_>) -> Result<(), Diagnostic> {
    if then.results.len() != otherwise.results.len() {
        return Err(Code::InvalidModel.error("the branches have different numbers of results"));
    }
    for (n, (a, b)) in then.results.iter().zip(&otherwise.results).enumerate() {
        let (a, b) = (then.frame.emit.ty(a.op), otherwise.frame.emit.ty(b.op));
        if a != b {
            let message = format!("result {n} is {a} in one branch and {b} in the other");
            return Err(Code::ShapeMismatch.error(message).help(
                "make the condition constant, for example with --const on the input it depends on",
            ));
        }
    }
    Ok(())
}

/// A body whose parameters are these values of the graph around it.
fn over(inner: Inner<'_>, captured: &[OpId], outside: &Emit) -> Body {
    let place = |op: &OpId| {
        let place = captured.binary_search(op);
        place.expect("the captured values of both bodies are here, sorted") as u32
    };
    let places: Vec<u32> = inner.frame.captured.iter().map(place).collect();
    let results: Vec<OpId> = inner.results.iter().map(|value| value.op).collect();
    let mut graph = inner.frame.into_graph(&results);
    let port =
        |(n, &op): (usize, &OpId)| Port { name: format!("p{n}"), ty: outside.ty(op).clone() };
    graph.inputs = captured.iter().enumerate().map(port).collect();
    for data in graph.ops.values_mut() {
        if let Op::Input(input) = &mut data.op {
            input.index = places[input.index as usize];
        }
    }
    graph.into()
}
