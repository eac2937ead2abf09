//! The walk over the nodes: looks up rows, runs them, collects every problem.

mod frame;
mod region;
mod repeat;

use crate::ImportOptions;
use crate::code::Code;
use crate::context::ImportCx;
use crate::emit::Emit;
use crate::format::{self, Format};
use crate::grid::Value;
use crate::model::{GraphDef, Model, Node, TensorData, ValueInfo, ValueType};
use crate::ops::{self, Import, OnnxOp};
use crate::order::execution_order;
use crate::prune::prune;
use crate::shapes::{self, Bindings};
use crate::tensor;
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::graph::{Graph, OpId};
use edgecc_ir::loc::Loc;
use edgecc_ir::tensor::Tensor;
use edgecc_ir::types::TensorType;
use frame::Frame;
use region::Results;
use std::collections::{BTreeMap, BTreeSet};

/// The domain of ONNX Runtime's own operators.
const MICROSOFT: &str = "com.microsoft";

/// Names of states and their first values.
type Defaults = Vec<(String, Tensor)>;

/// The state of the walk.
struct Walk<'a> {
    /// The graph that nodes go into.
    frame: Frame<'a>,
    /// The graphs around it, the model's first.
    outer: Vec<Frame<'a>>,
    options: &'a ImportOptions<'a>,
    functions: &'a [(String, String)],
    opsets: &'a [(String, i64)],
    /// Initializers of inputs that are states.
    defaults: Defaults,
    problems: Vec<Diagnostic>,
    /// Nodes by operator without a row.
    unsupported: BTreeMap<(&'a str, &'a str), Vec<(usize, &'a Node)>>,
}

/// The graph of a model, and the values that initializers give to states; all problems are
/// collected.
pub(crate) fn import_model(
    mut model: Model,
    options: &ImportOptions<'_>,
) -> Result<(Graph, Defaults), Vec<Diagnostic>> {
    let order = execution_order(&model.graph, &|_| false)?;
    let initializers = std::mem::take(&mut model.graph.initializers);
    let names: Vec<String> = initializers.iter().map(|t| t.name.clone()).collect();
    let mut walk = Walk {
        frame: Frame::new(Emit::new(&options.name)),
        outer: Vec::new(),
        options,
        functions: &model.functions,
        opsets: &model.opsets,
        defaults: Vec::new(),
        problems: Vec::new(),
        unsupported: BTreeMap::new(),
    };
    walk.frame.used = used_names(&model.graph, &order);
    for name in &model.graph.sparse {
        walk.problems.push(
            Code::UnsupportedType.error(format!("the initializer {name:?} is a sparse tensor")),
        );
        walk.frame.values.insert(name, None);
    }
    walk.initializers(initializers, &names, &model.graph.inputs);
    walk.inputs(&model.graph.inputs);
    for index in order {
        walk.node(index, &model.graph.nodes[index]);
    }
    walk.report_unsupported();
    walk.outputs(&model.graph.outputs);
    if !walk.problems.is_empty() {
        return Err(walk.problems);
    }
    Ok((prune(walk.frame.emit.into_graph()), walk.defaults))
}

impl<'a> Walk<'a> {
    /// An initializer is the default of an input with its name: a value from the user replaces it,
    /// and a state begins with it.
    fn initializers(
        &mut self,
        tensors: Vec<TensorData>,
        names: &'a [String],
        inputs: &[ValueInfo],
    ) {
        let options = self.options;
        let is_input = |name: &String| inputs.iter().any(|input| input.name == *name);
        for (index, (data, name)) in tensors.into_iter().zip(names).enumerate() {
            if is_input(name) && options.consts.iter().any(|(given, _)| given == name) {
                continue;
            }
            let decoded = tensor::decode(data, options.external);
            let tensor = decoded.map_err(|problem| {
                self.problems.push(problem.at(format!("initializer {name:?}")));
            });
            if is_input(name) && options.states.contains(name) {
                self.defaults.extend(tensor.ok().map(|(tensor, _)| (name.clone(), tensor)));
                continue;
            }
            self.set_loc(index, "initializer", name);
            let value = tensor.ok().map(|(tensor, ty)| Value {
                op: self.frame.emit.constant(tensor),
                format: ty.format,
            });
            self.define(name, value);
        }
    }

    /// Inputs with an initializer are constants (IR version 3 lists every weight as an input).
    fn inputs(&mut self, inputs: &'a [ValueInfo]) {
        let free: Vec<&ValueInfo> =
            inputs.iter().filter(|i| !self.frame.values.contains_key(i.name.as_str())).collect();
        let bindings = Bindings {
            dims: &self.options.dims,
            shapes: &self.options.shapes,
            consts: &self.options.consts,
        };
        let types = shapes::resolve(&free, bindings, &mut self.problems);
        for (index, (input, ty)) in free.into_iter().zip(types).enumerate() {
            self.set_loc(index, "input", &input.name);
            let value = ty.and_then(|ty| self.input(input, ty));
            self.define(&input.name, value);
        }
    }

    /// The numbers of an input.
    fn input(&mut self, input: &ValueInfo, ty: TensorType) -> Option<Value> {
        let codes = self.codes(&input.name, ty)?;
        let format = narrow(&input.ty);
        match format.map_or(Ok(codes), |f| f.decode(&mut self.frame.emit, codes)) {
            Ok(op) => Some(Value { op, format }),
            Err(problem) => {
                self.problems.push(problem.at(format!("graph input {:?}", input.name)));
                None
            }
        }
    }

    /// An input as the caller gives it, or the constant that the user gives for it.
    fn codes(&mut self, name: &str, ty: TensorType) -> Option<OpId> {
        let given = self.options.consts.iter().find(|(given, _)| given == name);
        let Some((_, constant)) = given else { return Some(self.frame.emit.input(name, ty)) };
        match constant.tensor(&ty) {
            Ok(tensor) => Some(self.frame.emit.constant(tensor)),
            Err(problem) => {
                self.problems.push(problem.at(format!("graph input {name:?}")));
                None
            }
        }
    }

    fn define(&mut self, name: &'a str, value: Option<Value>) {
        value.into_iter().for_each(|value| self.frame.grid.note(value));
        self.frame.values.insert(name, value);
    }

    fn outputs(&mut self, outputs: &[ValueInfo]) {
        let mut seen = BTreeSet::new();
        for output in outputs {
            if !seen.insert(&output.name) {
                self.problems.push(
                    Code::DuplicateName
                        .error(format!("two graph outputs have the name {:?}", output.name)),
                );
            }
            if let Some(&Some(value)) = self.frame.values.get(output.name.as_str()) {
                let emit = &mut self.frame.emit;
                match value.format.map_or(Ok(value.op), |f| f.encode(emit, value.op)) {
                    Ok(codes) => {
                        emit.output(&output.name, codes);
                        if let Some(count) = emit.count_of(value.op) {
                            emit.output(&format!("{}.count", output.name), count);
                        }
                    }
                    Err(problem) => self.problems.push(problem),
                }
            }
        }
        if outputs.is_empty() {
            self.problems.push(Code::InvalidModel.error("the graph has no outputs"));
        }
    }

    fn set_loc(&mut self, index: usize, kind: &str, name: &str) {
        let index = index as u32;
        self.frame.emit.set_loc(Loc::Source {
            index,
            kind: kind.to_owned(),
            name: name.to_owned(),
        });
    }

    fn opset(&self, domain: &str) -> Option<i64> {
        self.opsets.iter().find(|(d, _)| d == domain).map(|(_, version)| *version)
    }

    /// Imports a node; its results are `None` when it, or a node before it, has failed.
    fn node(&mut self, index: usize, node: &'a Node) {
        let results = self.try_node(index, node).unwrap_or_default();
        for (n, name) in node.outputs.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            self.frame.values.insert(name, results.get(n).copied());
        }
    }

    fn try_node(&mut self, index: usize, node: &'a Node) -> Option<Vec<Value>> {
        let opset = self.opset(&node.domain).unwrap_or(1);
        let Some(op) = ops::find(&node.domain, &node.op_type, opset) else {
            let places = self.unsupported.entry((&node.domain, &node.op_type)).or_default();
            if !places.iter().any(|(_, known)| std::ptr::eq(*known, node)) {
                places.push((index, node));
            }
            return None;
        };
        let inputs = self.operands(node)?;
        self.set_loc(index, &node.op_type, &node.name);
        match self.run(op, node, opset, &inputs) {
            Ok(results) => results,
            Err(problem) => {
                let notes = operand_note(&self.frame.emit, node, &inputs);
                let place = place(index, node, opset);
                self.problems.push(notes.into_iter().fold(problem.at(place), Diagnostic::note));
                None
            }
        }
    }

    /// The operands, or nothing when one of them is the result of a failed node.
    fn operands(&mut self, node: &'a Node) -> Option<Vec<Option<Value>>> {
        node.inputs
            .iter()
            .map(|name| match name.as_str() {
                "" => Some(None),
                name => self.value(name).map(Some),
            })
            .collect()
    }

    /// The results, or nothing when a node inside has failed.
    fn run(
        &mut self,
        op: &OnnxOp,
        node: &'a Node,
        opset: i64,
        inputs: &[Option<Value>],
    ) -> Results {
        if !op.arity.contains(&inputs.len()) {
            return Err(Code::MissingInput.error(format!(
                "{} takes {}, found {}",
                node.op_type,
                count(op),
                inputs.len()
            )));
        }
        let count = self.operand_count(op, inputs)?;
        if let Import::Region(region) = op.import {
            let results = self.region(region, node, opset, inputs)?;
            let count = results.as_ref().map_or(usize::MAX, Vec::len);
            return self.check_surplus(op, node, count).map(|()| results);
        }
        let external = self.options.external;
        let mut cx = ImportCx::new(&mut self.frame.emit, node, opset, inputs.to_vec(), external);
        let results = ops::import(op, &mut cx)?;
        count.iter().for_each(|&count| cx.emit.state_count(results[0], count));
        let stated = cx.stated_format();
        self.check_surplus(op, node, results.len())?;
        let Frame { emit, grid, .. } = &mut self.frame;
        grid.settle(emit, results, inputs, stated).map(Some)
    }

    /// Refuses a node of which more results are used than the importer knows.
    fn check_surplus(&self, op: &OnnxOp, node: &Node, count: usize) -> Result<(), Diagnostic> {
        let mut surplus = node.outputs.iter().skip(count).map(String::as_str);
        match surplus.position(|name| self.frame.used.contains(name)) {
            None => Ok(()),
            Some(n) => Err(Code::UnsupportedOutput.error(format!(
                "result {} of {} is not supported",
                count + n,
                op.name
            ))),
        }
    }

    /// How much of the first operand is used, when that depends on the data.
    fn operand_count(
        &self,
        op: &OnnxOp,
        inputs: &[Option<Value>],
    ) -> Result<Option<OpId>, Diagnostic> {
        let counts = inputs.iter().map(|value| self.frame.emit.count_of((*value)?.op));
        let counts: Vec<Option<OpId>> = counts.collect();
        match counts.iter().position(Option::is_some) {
            Some(0) if op.keeps_count => Ok(counts[0]),
            None => Ok(None),
            Some(n) => Err(Code::DataDependentShape
                .error(format!("the size of operand {n} depends on the data"))
                .help("make that value an output of the model and cut the model there")),
        }
    }

    fn report_unsupported(&mut self) {
        for ((domain, op_type), places) in std::mem::take(&mut self.unsupported) {
            let opset = self.opset(domain).unwrap_or(1);
            let (index, first) = places[0];
            let mut problem = Code::UnsupportedOp
                .error(format!("{} is not supported", operator(domain, op_type)))
                .at(place(index, first, opset));
            if places.len() > 1 {
                let more: Vec<String> =
                    places[1..].iter().take(4).map(|(n, _)| format!("#{n}")).collect();
                let rest = if places.len() > 5 { ", …" } else { "" };
                problem = problem.note(format!(
                    "{} nodes use it, also {}{rest}",
                    places.len(),
                    more.join(", ")
                ));
            }
            self.problems.push(problem.help(self.advice(domain, op_type, opset)));
        }
    }

    fn advice(&self, domain: &str, op_type: &str, opset: i64) -> String {
        let is_local = |(d, name): &(String, String)| d == domain && name == op_type;
        if self.functions.iter().any(is_local) {
            return "it is a model-local function: inline it with onnx.inliner".to_owned();
        }
        match ops::first_opset(domain, op_type) {
            Some(first) => {
                format!("it is supported from opset {first}, the model imports {opset}")
            }
            None if domain == MICROSOFT => {
                "export without ONNX Runtime's own operators (optimization level basic)".to_owned()
            }
            None => "see `edgecc ops` for the supported operators".to_owned(),
        }
    }
}

/// The narrow type of an input.
fn narrow(ty: &ValueType) -> Option<&'static Format> {
    match ty {
        ValueType::Tensor(code, _) => format::from_code(*code),
        ValueType::Other(_) => None,
    }
}

fn used_names<'a>(graph: &'a GraphDef, order: &[usize]) -> BTreeSet<&'a str> {
    let operands = order.iter().flat_map(|&n| graph.nodes[n].reads());
    let outputs = graph.outputs.iter().map(|o| o.name.as_str());
    operands.chain(outputs).filter(|name| !name.is_empty()).collect()
}

fn operator(domain: &str, op_type: &str) -> String {
    if domain.is_empty() { op_type.to_owned() } else { format!("{domain}::{op_type}") }
}

fn place(index: usize, node: &Node, opset: i64) -> String {
    let operator = operator(&node.domain, &node.op_type);
    format!("node #{index} {:?} ({operator}, opset {opset})", node.name)
}

fn count(op: &OnnxOp) -> String {
    match (*op.arity.start(), *op.arity.end()) {
        (1, 1) => "1 operand".to_owned(),
        (lo, hi) if lo == hi => format!("{lo} operands"),
        (lo, usize::MAX) => format!("at least {lo} operands"),
        (lo, hi) => format!("{lo} to {hi} operands"),
    }
}

fn operand_note(emit: &Emit, node: &Node, inputs: &[Option<Value>]) -> Option<String> {
    let named = node.inputs.iter().zip(inputs).take(6);
    let operands: Vec<String> = named
        .filter_map(|(name, value)| value.map(|v| format!("{name:?} {}", emit.ty(v.op))))
        .collect();
    (!operands.is_empty()).then(|| format!("operands: {}", operands.join(", ")))
}
