//! Scalar expressions: `(x0, x1) -> max(add(x0, x1), 0)`.
//!
//! A node that is used twice, or that would nest too deeply, gets a name first:
//! `(x0) -> { t0 = exp(x0); div(t0, add(t0, 1)) }`. A conversion is written like a call of its type:
//! `i32(x0)`, a table of codes in front of its operand: `table u8 "0001..."(x0)`. So the text is linear in the number of nodes, and so is the time to read it.

use super::codes::{TABLE, parse_table, write_table};
use super::cursor::{Cursor, Parse};
use super::lex::Kind;
use super::number::{parse_scalar, write_scalar};
use super::write::write_list;
use crate::scalar::func::ScalarFn;
use crate::scalar::{ExprBuilder, NodeId, ScalarExpr, ScalarNode};
use crate::types::ElemType;
use std::collections::BTreeMap;
use std::fmt::{self, Write};

/// The deepest nesting that is printed without a name.
const MAX_HEIGHT: u32 = 12;
/// The most nodes of one expression; hash-consing takes time quadratic in them.
const MAX_NODES: usize = 1024;

/// The expression as a function of `x0, x1, …`.
pub(crate) fn write_lambda(out: &mut String, expr: &ScalarExpr) -> fmt::Result {
    let names: Vec<String> = (0..expr.params()).map(|p| format!("x{p}")).collect();
    write!(out, "({}) -> ", names.join(", "))?;
    write_body(out, expr, &names)
}

/// The counterpart of `write_lambda`; parameters may have any name.
pub(crate) fn parse_lambda(c: &mut Cursor<'_>) -> Parse<ScalarExpr> {
    let names = c.list("(", ")", |c| c.word("a parameter"))?;
    c.expect("->")?;
    parse_body(c, &names)
}

/// The expression over parameters of these names.
pub(crate) fn write_body(out: &mut String, expr: &ScalarExpr, params: &[String]) -> fmt::Result {
    let named = named_nodes(expr);
    let mut body = BodyWriter { expr, params, names: vec![None; named.len()] };
    let lets: Vec<NodeId> = (0..expr.root()).filter(|&n| named[n as usize]).collect();
    if lets.is_empty() {
        return body.write_node(out, expr.root());
    }
    out.push_str("{ ");
    for (count, &node) in lets.iter().enumerate() {
        write!(out, "t{count} = ")?;
        body.write_node(out, node)?;
        out.push_str("; ");
        body.names[node as usize] = Some(count);
    }
    body.write_node(out, expr.root())?;
    out.write_str(" }")
}

/// The counterpart of `write_body`.
pub(crate) fn parse_body<'a>(c: &mut Cursor<'a>, params: &[&'a str]) -> Parse<ScalarExpr> {
    let mut result = Err(c.error("no expression"));
    let expr = ScalarExpr::build(params.len() as u32, |b| {
        result = BodyParser::new(b, params, c).and_then(|mut body| body.block(c));
        result.as_ref().map_or_else(|_| b.f32(0.0), |&root| root)
    });
    result.map(|_| expr)
}

/// Which nodes get a name.
fn named_nodes(expr: &ScalarExpr) -> Vec<bool> {
    let nodes = expr.nodes();
    let mut uses = vec![0u32; nodes.len()];
    nodes.iter().flat_map(ScalarNode::operands).for_each(|&n| uses[n as usize] += 1);
    let mut heights = vec![0u32; nodes.len()];
    let mut named = vec![false; nodes.len()];
    for (id, node) in nodes.iter().enumerate().filter(|(_, n)| !n.operands().is_empty()) {
        let inner = node.operands().iter().map(|&n| heights[n as usize]).max();
        let height = 1 + inner.unwrap_or(0);
        named[id] = uses[id] > 1 || height >= MAX_HEIGHT;
        heights[id] = if named[id] { 0 } else { height };
    }
    named
}

struct BodyWriter<'a> {
    expr: &'a ScalarExpr,
    params: &'a [String],
    names: Vec<Option<usize>>,
}

impl BodyWriter<'_> {
    fn write_node(&self, out: &mut String, id: NodeId) -> fmt::Result {
        if let Some(name) = self.names[id as usize] {
            return write!(out, "t{name}");
        }
        match &self.expr.nodes()[id as usize] {
            ScalarNode::Param(p) => match self.params.get(*p as usize) {
                Some(name) => out.write_str(name),
                None => write!(out, "missing{p}"),
            },
            ScalarNode::Const(value) => write_scalar(out, *value),
            ScalarNode::Cast(to, arg) => self.write_call(out, to.name(), &[*arg]),
            ScalarNode::Call(func, args) => self.write_call(out, func.info().mnemonic, args),
            ScalarNode::Lookup(table, arg) => {
                write_table(out, table)?;
                out.write_char('(')?;
                self.write_node(out, *arg)?;
                out.write_char(')')
            }
        }
    }

    fn write_call(&self, out: &mut String, name: &str, args: &[NodeId]) -> fmt::Result {
        write!(out, "{name}(")?;
        write_list(out, args, |out, &arg| self.write_node(out, arg))?;
        out.write_char(')')
    }
}

struct BodyParser<'b, 'a> {
    builder: &'b mut ExprBuilder,
    names: BTreeMap<&'a str, NodeId>,
    nodes: usize,
}

impl<'b, 'a> BodyParser<'b, 'a> {
    fn new(
        builder: &'b mut ExprBuilder,
        params: &[&'a str],
        c: &Cursor<'_>,
    ) -> Parse<BodyParser<'b, 'a>> {
        let mut body = BodyParser { builder, names: BTreeMap::new(), nodes: 0 };
        for (index, name) in params.iter().enumerate() {
            let node = body.count(c).map(|()| body.builder.param(index as u32))?;
            if body.names.insert(name, node).is_some() {
                return Err(c.error(format!("two parameters are called `{name}`")));
            }
        }
        Ok(body)
    }

    fn count(&mut self, c: &Cursor<'_>) -> Parse<()> {
        self.nodes += 1;
        match self.nodes > MAX_NODES {
            true => Err(c.error(format!("an expression of more than {MAX_NODES} nodes"))),
            false => Ok(()),
        }
    }

    fn block(&mut self, c: &mut Cursor<'a>) -> Parse<NodeId> {
        if !c.eat("{") {
            return self.node(c);
        }
        loop {
            let ahead = c.clone();
            let name = c.peek();
            let is_let = name.kind == Kind::Word && {
                c.advance();
                c.eat("=")
            };
            if !is_let {
                *c = ahead;
                let root = self.node(c)?;
                c.expect("}")?;
                return Ok(root);
            }
            let node = self.node(c)?;
            c.expect(";")?;
            if self.names.insert(name.text, node).is_some() {
                return Err(name.error(format!("`{}` already has a meaning", name.text)));
            }
        }
    }

    fn node(&mut self, c: &mut Cursor<'a>) -> Parse<NodeId> {
        self.count(c)?;
        if !c.at_kind(Kind::Word) || c.at("true") || c.at("false") {
            return Ok(self.builder.constant(parse_scalar(c)?));
        }
        let token = c.advance();
        if token.text == TABLE {
            let table = parse_table(c)?;
            c.expect("(")?;
            let arg = c.nested(|c| self.node(c))?;
            c.expect(")")?;
            return Ok(self.builder.lookup(table, arg));
        }
        if !c.at("(") {
            let known = self.names.get(token.text).copied();
            return known.ok_or_else(|| token.error(format!("`{}` has no meaning", token.text)));
        }
        let args = c.nested(|c| c.list("(", ")", |c| self.node(c)))?;
        if let (Some(to), &[arg]) = (ElemType::from_name(token.text), args.as_slice()) {
            return Ok(self.builder.cast(to, arg));
        }
        let func = ScalarFn::from_mnemonic(token.text)
            .ok_or_else(|| token.error(format!("no scalar function is called `{}`", token.text)))?;
        let arity = func.info().arity;
        match args.len() == arity {
            true => Ok(self.builder.call(func, &args)),
            false => Err(token.error(format!(
                "`{}` takes {arity} operands, found {}",
                token.text,
                args.len()
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::cursor::Cursor;
    use super::super::write::text_of;
    use super::{parse_lambda, write_lambda};
    use crate::scalar::ScalarExpr;
    use crate::scalar::func::ScalarFn;
    use crate::scalar::table::Table;
    use crate::tensor::Scalar;
    use crate::types::ElemType;

    fn text(expr: &ScalarExpr) -> String {
        text_of(|out| write_lambda(out, expr))
    }

    fn check(expr: &ScalarExpr) -> String {
        let text = text(expr);
        assert_eq!(parse_lambda(&mut Cursor::new(&text)).as_ref(), Ok(expr), "{text}");
        text
    }

    #[test]
    fn every_function_and_type_round_trips() {
        for func in ScalarFn::ALL {
            check(&ScalarExpr::call(*func));
        }
        for elem in ElemType::ALL {
            check(&ScalarExpr::build(2, |b| {
                let x = b.param(1);
                b.cast(*elem, x)
            }));
            check(&ScalarExpr::build(0, |b| b.constant(Scalar::from_i64(*elem, 1))));
        }
        check(&ScalarExpr::build(1, |b| {
            let code = b.param(0);
            b.lookup(Table::new(ElemType::I8, |bits| bits ^ 7), code)
        }));
    }

    #[test]
    fn shared_nodes_are_named_once() {
        let expr = ScalarExpr::build(1, |b| {
            let x = b.param(0);
            let e = b.call(ScalarFn::Exp, &[x]);
            let one = b.f32(1.0);
            let sum = b.call(ScalarFn::Add, &[e, one]);
            b.call(ScalarFn::Div, &[e, sum])
        });
        assert_eq!(check(&expr), "(x0) -> { t0 = exp(x0); div(t0, add(t0, 1)) }");
    }

    #[test]
    fn doubling_and_deep_expressions_stay_linear() {
        let double = ScalarExpr::build(1, |b| {
            let x = b.param(0);
            (0..300).fold(x, |y, _| b.call(ScalarFn::Add, &[y, y]))
        });
        assert!(check(&double).len() < 10_000);
        let deep = ScalarExpr::build(1, |b| {
            let x = b.param(0);
            (0..300).fold(x, |y, _| b.call(ScalarFn::Exp, &[y]))
        });
        check(&deep);
    }

    #[test]
    fn ill_formed_expressions_are_errors() {
        for bad in [
            "(x) -> y",
            "(x, x) -> x",
            "(x) -> add(x)",
            "(x) -> frob(x)",
            "(x) -> { t = exp(x); t = x; t }",
            "(x) -> { t = exp(x) }",
            "(x) -> f32(x, x)",
            "(x) -> table u8 \"00\"(x)",
        ] {
            assert!(parse_lambda(&mut Cursor::new(bad)).is_err(), "{bad}");
        }
        let deep = format!("(x) -> {}x{}", "exp(".repeat(100_000), ")".repeat(100_000));
        assert!(parse_lambda(&mut Cursor::new(&deep)).is_err());
        let wide = "neg(x); t".repeat(2000);
        assert!(parse_lambda(&mut Cursor::new(&format!("(x) -> {{ t = {wide}"))).is_err());
    }
}
