//! Conversions of codes as element-wise arithmetic, so that they become part of what they meet.
//!
//! Arithmetic on codes must have been found before: afterwards it competes with float arithmetic
//! inside one op, which costs as little but rounds differently.

use crate::eqsat::body::{Source, compose};
use crate::eqsat::node::Node;
use crate::eqsat::rule::{Class, Rewriter, Rule};
use edgecc_ir::graph::ops::{Dequantize, Map, Op, OpTag};
use edgecc_ir::scalar::ScalarExpr;
use edgecc_ir::types::ElemType;
use egg::Id;

pub(crate) const RULES: &[Rule] = &[
    Rule {
        name: "quantize-is-a-map",
        class: Class::Exact,
        doc: "quantize (x, s) = map (x, s), and so part of what makes x",
        root: OpTag::Quantize,
        apply: as_map,
        example: |s| {
            let (x, scale) = (s.input(&[3, 4]), s.scale(&[3, 4]));
            s.quantize(x, scale, 1)
        },
    },
    Rule {
        name: "dequantize-is-a-map",
        class: Class::Exact,
        doc: "dequantize (q, s) = map (q, s), and so part of what uses it",
        root: OpTag::Dequantize,
        apply: as_map,
        example: |s| {
            let (x, scale) = (s.typed_input(ElemType::I8, &[3, 4]), s.scale(&[3, 4]));
            s.add(Dequantize { zero_point: -3 }, &[x, scale])
        },
    },
];

/// A constant stays what it is, so that rules see its codes.
fn as_map(rw: &mut Rewriter<'_>, root: &Node) -> Option<Id> {
    let body = match &root.op {
        Op::Quantize(op) => op.body(),
        Op::Dequantize(op) if !rw.is_constant(root.args[0]) => op.body(),
        _ => return None,
    };
    let scale = rw.uniform(root.args[1])?;
    let scale = ScalarExpr::build(0, |b| b.constant(scale));
    let sources = vec![Source::Value(root.args[0]), Source::Body(&scale, vec![])];
    let (body, args) = compose(rw, &Source::Body(&body, sources));
    (!args.is_empty()).then(|| rw.add(Map { body }, &args))
}
