//! The text form of graphs.
//!
//! ```text
//! graph @net (%0 "x": f32[1,4]) -> (%2 "y") {
//!   %1 = const dense<[1, 2, 3, 4]> : f32[1,4]
//!   %2 = map %0, %1 {body = (x0, x1) -> mul(x0, x1)} : f32[1,4]
//! }
//! ```
//!
//! The graph inside an op is an attribute: `{body = { graph @b … }}`, with tables of its own.
//!
//! Values are numbered inputs first, then in execution order, and constants in order of first use;
//! so a dump shows live ops only, and equal programs have equal dumps.

use super::attrs::AttrCx;
use super::cursor::{Cursor, Parse};
use super::data::{is_short, write_data};
use super::lex::{Kind, Token};
use super::tables::{
    AFTER_TABLES, LocRef, Tables, parse_loc_ref, write_const, write_loc_ref, write_locs,
};
use super::write::{text_of, write_list, write_string, write_symbol};
use super::{Parsed, PrintOptions};
use crate::graph::ops::{Const, Input, Op, OpTag};
use crate::graph::{Graph, OpData, OpId, Output};
use crate::kernel::{ConstId, Port};
use crate::loc::LocId;
use crate::types::TensorType;
use cranelift_entity::{EntityRef, PrimaryMap, SecondaryMap};
use indexmap::IndexSet;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};

/// Prints a graph; an op that is not live prints only as a use of `%dead`.
#[must_use]
pub fn print_graph(graph: &Graph, options: &PrintOptions) -> String {
    text_of(|out| GraphWriter::new(graph, options).write(out))
}

/// Parses a graph; op types and operands are as written, for `verify` to check.
pub fn parse_graph(text: &str) -> Result<Parsed<Graph>, super::ParseError> {
    let c = &mut Cursor::new(text);
    let parsed = GraphParser::default().parse(c)?;
    match c.at_kind(Kind::End) {
        true => Ok(parsed),
        false => Err(c.expected(AFTER_TABLES)),
    }
}

/// Writes the graph inside an op, in braces and indented.
pub(crate) fn write_body_graph(
    out: &mut String,
    graph: &Graph,
    options: &PrintOptions,
) -> fmt::Result {
    let text = print_graph(graph, options);
    write!(out, "{{\n    {}\n  }}", text.trim_end().replace('\n', "\n    "))
}

/// The counterpart of `write_body_graph`.
pub(crate) fn parse_body_graph(c: &mut Cursor<'_>) -> Parse<Graph> {
    c.expect("{")?;
    let parsed = c.nested(|c| GraphParser::default().parse(c))?;
    c.expect("}")?;
    Ok(parsed.ir)
}

struct GraphWriter<'a> {
    graph: &'a Graph,
    options: &'a PrintOptions,
    /// The numbers of the values.
    numbers: SecondaryMap<OpId, Option<usize>>,
    /// The op of each input, if it has one.
    inputs: Vec<Option<OpId>>,
    /// The other ops.
    body: Vec<OpId>,
    /// The constants in order of first use.
    consts: IndexSet<ConstId>,
    /// Those that are written in the table.
    table: BTreeSet<ConstId>,
}

impl<'a> GraphWriter<'a> {
    fn new(graph: &'a Graph, options: &'a PrintOptions) -> GraphWriter<'a> {
        let mut writer = GraphWriter {
            graph,
            options,
            numbers: SecondaryMap::new(),
            inputs: vec![None; graph.inputs.len()],
            body: Vec::new(),
            consts: IndexSet::new(),
            table: BTreeSet::new(),
        };
        graph.order.iter().for_each(|&op| writer.number(op));
        writer
    }

    fn number(&mut self, op: OpId) {
        let number = match &self.graph.ops[op].op {
            Op::Input(input) if self.is_port(op, input) => {
                self.inputs[input.index as usize].get_or_insert(op);
                input.index as usize
            }
            other => {
                if let Op::Const(constant) = other {
                    self.consts.insert(constant.id);
                    if !self.is_inline(constant) {
                        self.table.insert(constant.id);
                    }
                }
                self.body.push(op);
                self.inputs.len() + self.body.len() - 1
            }
        };
        self.numbers[op] = Some(number);
    }

    fn is_port(&self, op: OpId, input: &Input) -> bool {
        let port = self.graph.inputs.get(input.index as usize);
        port.is_some_and(|p| p.ty == input.ty && p.ty == *self.graph.ty(op))
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        out.push_str("graph ");
        write_symbol(out, &self.graph.name)?;
        out.push_str(" (");
        write_list(out, self.graph.inputs.iter().enumerate(), |out, (index, port)| {
            self.write_input(out, index, port)
        })?;
        out.push_str(") -> (");
        write_list(out, &self.graph.outputs, |out, output| {
            self.write_value(out, output.value)?;
            out.push(' ');
            write_string(out, &output.name)
        })?;
        out.push_str(") {\n");
        self.body.iter().try_for_each(|&op| self.write_op(out, op))?;
        out.push_str("}\n");
        for (number, &id) in self.consts.iter().enumerate() {
            if self.table.contains(&id) {
                write_const(out, number, &self.graph.consts[id], self.options)?;
            }
        }
        write_locs(out, &self.graph.locs, self.options)
    }

    fn is_inline(&self, constant: &Const) -> bool {
        let tensor = &self.graph.consts[constant.id];
        is_short(tensor) && tensor.ty == constant.ty
    }

    fn write_input(&self, out: &mut String, index: usize, port: &Port) -> fmt::Result {
        write!(out, "%{index} ")?;
        write_string(out, &port.name)?;
        write!(out, ": {}", port.ty)?;
        let loc = self.inputs[index].map_or(LocId::new(0), |op| self.graph.ops[op].loc);
        write_loc_ref(out, loc, self.options)
    }

    fn write_value(&self, out: &mut String, op: OpId) -> fmt::Result {
        match self.numbers[op] {
            Some(number) => write!(out, "%{number}"),
            None => write!(out, "%dead{}", op.index()),
        }
    }

    fn write_op(&self, out: &mut String, op: OpId) -> fmt::Result {
        let data = &self.graph.ops[op];
        out.push_str("  ");
        self.write_value(out, op)?;
        write!(out, " = {}", data.op.tag().mnemonic())?;
        match &data.op {
            Op::Const(constant) => self.write_const_op(out, constant)?,
            other => {
                let separator = if data.args.is_empty() { "" } else { " " };
                out.push_str(separator);
                write_list(out, &data.args, |out, &arg| self.write_value(out, arg))?;
                let cx = AttrCx { result: &data.ty, options: self.options };
                let attrs = text_of(|out| other.write(out, cx));
                if attrs != "{}" {
                    write!(out, " {attrs}")?;
                }
            }
        }
        write!(out, " : {}", data.ty)?;
        write_loc_ref(out, data.loc, self.options)?;
        out.write_char('\n')
    }

    fn write_const_op(&self, out: &mut String, constant: &Const) -> fmt::Result {
        out.push(' ');
        if self.is_inline(constant) {
            return write_data(out, &self.graph.consts[constant.id]);
        }
        let number = self.consts.get_index_of(&constant.id).expect("numbered before");
        write!(out, "@c{number}")
    }
}

/// An op before its operands and its location are looked up.
struct Line<'a> {
    op: Op,
    args: Vec<Token<'a>>,
    ty: TensorType,
    loc: LocRef<'a>,
}

#[derive(Default)]
struct GraphParser<'a> {
    tables: Tables,
    lines: Vec<Line<'a>>,
    values: BTreeMap<&'a str, OpId>,
    inputs: Vec<Port>,
}

impl<'a> GraphParser<'a> {
    fn parse(mut self, c: &mut Cursor<'a>) -> Parse<Parsed<Graph>> {
        c.expect("graph")?;
        let name = c.symbol()?;
        c.list("(", ")", |c| self.input(c))?;
        c.expect("->")?;
        let outputs = c.list("(", ")", |c| Ok((c.value()?, c.string()?)))?;
        c.expect("{")?;
        while !c.eat("}") {
            self.op(c)?;
        }
        self.tables.parse_lines(c)?;
        let output = |(value, name)| Ok(Output { name, value: self.value(value)? });
        let outputs = outputs.into_iter().map(output).collect::<Parse<_>>()?;
        let ops = self.resolve()?;
        let (consts, locs, elided) = self.tables.finish(c)?;
        let order = ops.keys().collect();
        let ir = Graph { name, ops, consts, inputs: self.inputs, outputs, order, locs };
        Ok(Parsed { ir, elided })
    }

    fn input(&mut self, c: &mut Cursor<'a>) -> Parse<()> {
        let start = c.peek();
        let token = c.value()?;
        let name = c.string()?;
        c.expect(":")?;
        let ty = c.tensor_type()?;
        let loc = parse_loc_ref(c, start)?;
        let op = Input { index: self.inputs.len() as u32, ty: ty.clone() }.into();
        self.inputs.push(Port { name, ty: ty.clone() });
        self.define(token, Line { op, args: Vec::new(), ty, loc })
    }

    fn define(&mut self, token: Token<'a>, line: Line<'a>) -> Parse<()> {
        let id = OpId::new(self.lines.len());
        self.lines.push(line);
        match self.values.insert(token.text, id) {
            Some(_) => Err(token.error(format!("`{}` is defined twice", token.text))),
            None => Ok(()),
        }
    }

    fn op(&mut self, c: &mut Cursor<'a>) -> Parse<()> {
        let token = c.value()?;
        c.expect("=")?;
        let tag = c.word_as("an op", OpTag::from_mnemonic)?;
        let ty = c.type_ahead()?;
        let (args, op) = match tag {
            OpTag::Const => (Vec::new(), self.constant(c, &ty)?),
            other => (arguments(c)?, other.parse(c, &ty)?),
        };
        c.expect(":")?;
        c.tensor_type()?;
        let loc = parse_loc_ref(c, token)?;
        self.define(token, Line { op, args, ty, loc })
    }

    fn constant(&mut self, c: &mut Cursor<'a>, ty: &TensorType) -> Parse<Op> {
        let id = match c.at_kind(Kind::Symbol) {
            true => self.tables.named(c.symbol()?),
            false => self.tables.inline(c, ty)?,
        };
        Ok(Const { id, ty: ty.clone() }.into())
    }

    fn value(&self, token: Token<'a>) -> Parse<OpId> {
        let known = self.values.get(token.text).copied();
        known.ok_or_else(|| token.error(format!("`{}` is not defined", token.text)))
    }

    fn resolve(&mut self) -> Parse<PrimaryMap<OpId, OpData>> {
        let mut ops = PrimaryMap::with_capacity(self.lines.len());
        for line in std::mem::take(&mut self.lines) {
            let args = line.args.into_iter().map(|a| self.value(a)).collect::<Parse<_>>()?;
            let loc = self.tables.loc(line.loc)?;
            ops.push(OpData { op: line.op, args, ty: line.ty, loc });
        }
        Ok(ops)
    }
}

fn arguments<'a>(c: &mut Cursor<'a>) -> Parse<Vec<Token<'a>>> {
    let mut args = Vec::new();
    while args.is_empty() && c.at_kind(Kind::Value) || c.eat(",") {
        args.push(c.value()?);
    }
    Ok(args)
}

#[cfg(test)]
mod tests {
    use super::super::PrintOptions;
    use super::{parse_graph, print_graph};
    use crate::graph::Graph;
    use crate::graph::OpId;
    use crate::graph::build::GraphBuilder;
    use crate::graph::ops::{
        Broadcast, Concat, Conv, Dequantize, Layout, Map, MatMul, Op, Pad, Pool, Quantize, Reduce,
        Requantize, Reshape, Slice, Transpose, Window,
    };
    use crate::loc::Loc;
    use crate::scalar::ScalarExpr;
    use crate::scalar::func::ScalarFn;
    use crate::tensor::{Scalar, Tensor};
    use crate::types::{ElemType, Shape, TensorType};
    use std::slice::from_ref;

    fn f32s(dims: &[usize]) -> TensorType {
        TensorType::new(ElemType::F32, dims)
    }

    fn ramp(dims: &[usize]) -> Tensor {
        Tensor::from_fn(f32s(dims), |i| Scalar::f32(i as f32))
    }

    fn check(graph: &Graph) -> String {
        let exact = print_graph(graph, &PrintOptions::exact());
        let parsed = parse_graph(&exact).unwrap_or_else(|e| panic!("{e}\n{exact}"));
        assert_eq!((&parsed.ir, parsed.elided.len()), (graph, 0), "{exact}");
        let short = print_graph(graph, &PrintOptions::default());
        let parsed = parse_graph(&short).unwrap_or_else(|e| panic!("{e}\n{short}"));
        assert_eq!(print_graph(&parsed.ir, &PrintOptions::default()), short);
        short
    }

    /// A graph that applies one op to inputs of these types.
    fn apply(op: impl Into<Op>, args: &[TensorType]) -> Graph {
        let mut b = GraphBuilder::new("net");
        let inputs: Vec<OpId> = args.iter().map(|ty| b.input("x", ty.clone())).collect();
        let y = b.add(op, &inputs).expect("a legal op");
        b.output("y", y);
        b.finish()
    }

    fn line(op: impl Into<Op>, args: &[TensorType]) -> String {
        let text = check(&apply(op, args));
        text.lines().nth(1).expect("the op's line").trim().to_owned()
    }

    #[test]
    fn attributes_with_default_values_are_not_shown() {
        let image = f32s(&[1, 2, 5, 5]);
        let conv = Conv::plain(Window::unit(2), 1, Layout::ChannelsFirst);
        let args = [image.clone(), f32s(&[3, 2, 1, 1])];
        assert_eq!(line(conv, &args), "%2 = conv %0, %1 : f32[1,3,5,5]");
        let args = [f32s(&[2, 3]), f32s(&[3, 4])];
        assert_eq!(line(MatMul::plain(), &args), "%2 = matmul %0, %1 : f32[2,4]");
        let reshape = Reshape { shape: Shape::new(&[50]) };
        assert_eq!(line(reshape, &[image]), "%1 = reshape %0 : f32[50]");
        let args = [f32s(&[4]), f32s(&[4])];
        let quantize = Quantize::full(ElemType::I8, 0);
        assert_eq!(line(quantize, &args), "%2 = quantize %0, %1 {zero_point = 0} : i8[4]");
    }

    #[test]
    fn attributes_with_other_values_are_shown() {
        let relu = ScalarExpr::build(2, |b| {
            let (acc, bias, zero) = (b.param(0), b.param(1), b.f32(0.0));
            let sum = b.call(ScalarFn::Add, &[acc, bias]);
            b.call(ScalarFn::Max, &[sum, zero])
        });
        let window = Window { pads_begin: vec![1, 0], strides: vec![2, 2], ..Window::unit(2) };
        let plain = Conv::plain(window.clone(), 2, Layout::ChannelsLast);
        let conv = Conv { epilogue: relu, ..plain };
        let args = [f32s(&[1, 5, 5, 4]), f32s(&[2, 2, 2, 3]), f32s(&[1, 3, 2, 2])];
        assert_eq!(
            line(conv, &args),
            "%3 = conv %0, %1, %2 {window = {strides = [2,2], pads_begin = [1,0]}, groups = 2, \
             layout = channels_last, epilogue = (x0, x1) -> max(add(x0, x1), 0)} : f32[1,3,2,2]"
        );
        let pool =
            Pool { func: ScalarFn::Max, kernel: vec![2, 2], window, layout: Layout::ChannelsLast };
        line(pool, &[f32s(&[1, 5, 5, 4])]);
        let matmul = MatMul { transpose_a: true, transpose_b: true, ..MatMul::plain() };
        line(matmul, &[f32s(&[3, 2]), f32s(&[4, 3])]);
    }

    #[test]
    fn every_other_op_round_trips() {
        let x = f32s(&[2, 3]);
        line(Broadcast { dims: vec![1, 2], shape: Shape::new(&[4, 2, 3]) }, from_ref(&x));
        line(Concat { dim: 1 }, &[x.clone(), x.clone()]);
        line(Map { body: ScalarExpr::call(ScalarFn::Mul) }, &[x.clone(), x.clone()]);
        line(Pad { low: vec![1, 0], high: vec![0, 2], value: Scalar::f32(-1.5) }, from_ref(&x));
        line(Reduce { func: ScalarFn::Add, dims: vec![1] }, from_ref(&x));
        line(Transpose { perm: vec![1, 0] }, from_ref(&x));
        let slice = Slice { starts: vec![1, 2], steps: vec![-1, -2], shape: Shape::new(&[2, 2]) };
        line(slice, from_ref(&x));
        let codes = x.with_elem(ElemType::U8);
        line(Dequantize { zero_point: -3 }, &[codes.clone(), x.clone()]);
        let to = Quantize { to: ElemType::I8, zero_point: 4, lo: -7, hi: 127 };
        line(Requantize { from_zero_point: 2, to }, &[codes, x]);
    }

    #[test]
    fn constants_are_inline_when_short_and_in_the_table_when_long() {
        let mut b = GraphBuilder::new("a model");
        b.set_loc(Loc::Source { index: 7, kind: "Conv".into(), name: "up \"1\"".into() });
        let source = b.loc();
        for tensor in [ramp(&[2]), ramp(&[5, 5]), Tensor::splat(&[9, 9], Scalar::f32(2.0))] {
            b.constant(tensor);
        }
        b.set_loc(Loc::Derived("fold".into(), source));
        b.set_loc(Loc::Fused(vec![source, b.loc()]));
        let again = b.constant(ramp(&[2]));
        b.output("y", again);
        let text = check(&b.finish());
        assert!(text.starts_with("graph @\"a model\" () -> (%3 \"y\") {\n  %0 = const dense<[0, 1]> : f32[2]\n  %1 = const @c1 : f32[5,5]\n  %2 = const splat<2> : f32[9,9]\n"));
        assert!(text.contains("const @c1 = hash 0x"), "{text}");
    }

    #[test]
    fn elided_constants_are_reported_and_stay_distinct() {
        let mut b = GraphBuilder::new("net");
        let weights = ramp(&[17]);
        b.constant(weights.clone());
        b.constant(Tensor::from_fn(f32s(&[17]), |i| Scalar::f32(i as f32 + 1.0)));
        let text = check(&b.finish());
        let parsed = parse_graph(&text).expect("just printed");
        let consts: Vec<&Tensor> = parsed.ir.consts.values().collect();
        assert_eq!(parsed.elided.len(), 2);
        assert!(consts[0] != consts[1] && *consts[0] != weights);
    }

    #[test]
    fn dead_ops_vanish_and_values_are_renumbered() {
        let mut graph = apply(Transpose { perm: vec![1, 0] }, &[f32s(&[2, 3])]);
        graph.outputs[0].value = graph.order[0];
        graph.order.pop();
        let text = print_graph(&graph, &PrintOptions::default());
        assert_eq!(text, "graph @net (%0 \"x\": f32[2,3]) -> (%0 \"y\") {\n}\n");
    }

    #[test]
    fn ill_formed_graphs_are_errors() {
        for (bad, message) in [
            ("graph @g () -> (%0 \"y\") {}", "1:17: `%0` is not defined"),
            ("graph @g () -> () { %0 = frob : f32[] }", "1:26: expected an op, found `frob`"),
            ("graph @g () -> () { %0 = concat : f32[] }", "1:33: attribute `dim` is missing"),
            (
                "graph @g () -> () { %0 = concat {dim = 0, dim = 1} : f32[] }",
                "1:49: the attribute is given twice",
            ),
            (
                "graph @g () -> () { %0 = concat {axis = 0} : f32[] }",
                "1:34: no attribute `axis` here",
            ),
            (
                "graph @g () -> () { %0 = const @w : f32[] }",
                "1:44: constant `@w` has no line in the table",
            ),
            (
                "graph @g () -> () { %0 = const splat<1> : f32[] loc1 }",
                "1:49: the location has no line in the table",
            ),
            ("graph @g (%0 \"x\": f32[], %0 \"z\": f32[]) -> () {}", "1:26: `%0` is defined twice"),
            (
                "graph @g () -> () {",
                "1:20: expected a value such as `%0`, found the end of the text",
            ),
        ] {
            let error = parse_graph(bad).expect_err(bad);
            assert_eq!(error.to_string(), message, "{bad}");
        }
    }
}
