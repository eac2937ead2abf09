//! Element-wise ops among themselves.

use crate::eqsat::body::{Source, compose, values};
use crate::eqsat::node::Node;
use crate::eqsat::rule::{Class, Rewriter, Rule};
use crate::eqsat::sample::Sample;
use edgecc_ir::graph::OpId;
use edgecc_ir::graph::ops::{Map, Op, OpTag};
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::scalar::{ScalarExpr, ScalarNode};
use egg::Id;

pub(crate) const RULES: &[Rule] = &[
    Rule {
        name: "map-of-map",
        class: Class::Exact,
        doc: "map f (…, map g (xs), …) = map (f ∘ g) (…, xs, …)",
        root: OpTag::Map,
        apply: map_of_map,
        example: |s| {
            let x = s.input(&[3, 4]);
            let y = s.call(ScalarFn::Abs, &[x]);
            s.call(ScalarFn::Sqrt, &[y])
        },
    },
    Rule {
        name: "map-of-nothing",
        class: Class::Exact,
        doc: "map (x) -> x = x",
        root: OpTag::Map,
        apply: map_of_nothing,
        example: map_of_nothing_example,
    },
];

/// All operands that are maps at once. A producer whose value is needed in memory stays apart.
fn map_of_map(rw: &mut Rewriter<'_>, root: &Node) -> Option<Id> {
    let Op::Map(outer) = &root.op else { return None };
    let mut producer = |&arg: &Id| rw.is_inline(arg).then(|| rw.node(arg, OpTag::Map)).flatten();
    let producers: Vec<Option<Node>> = root.args.iter().map(&mut producer).collect();
    if producers.iter().all(Option::is_none) {
        return None;
    }
    let inner = root.args.iter().zip(&producers).map(|(&arg, producer)| match producer {
        Some(Node { op: Op::Map(inner), args, .. }) => Source::Body(&inner.body, values(args)),
        _ => Source::Value(arg),
    });
    let inner = inner.collect();
    let (body, args) = compose(rw, &Source::Body(&outer.body, inner));
    (!args.is_empty()).then(|| rw.add(Map { body }, &args))
}

fn map_of_nothing(_rw: &mut Rewriter<'_>, root: &Node) -> Option<Id> {
    let Op::Map(op) = &root.op else { return None };
    match op.body.nodes() {
        [ScalarNode::Param(p)] => Some(root.args[*p as usize]),
        _ => None,
    }
}

fn map_of_nothing_example(s: &mut Sample) -> OpId {
    let x = s.input(&[2, 3]);
    let y = s.call(ScalarFn::Exp, &[x]);
    s.add(Map { body: ScalarExpr::identity() }, &[y])
}
