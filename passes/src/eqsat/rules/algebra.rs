//! Element-wise ops among themselves.

use crate::eqsat::body::{Source, compose, values};
use crate::eqsat::node::Node;
use crate::eqsat::rule::{Class, Rewriter, Rule};
use crate::eqsat::sample::Sample;
use edgecc_ir::graph::OpId;
use edgecc_ir::graph::ops::{Map, Op, OpTag};
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::scalar::{ExprBuilder, NodeId, ScalarExpr, ScalarNode};
use edgecc_ir::tensor::Scalar;
use edgecc_ir::types::ElemType;
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
    Rule {
        name: "division-by-literal",
        class: Class::Reassoc,
        doc: "x / c = x (1 / c), x not constant, x / c not rounded to a whole number",
        root: OpTag::Map,
        apply: division_by_literal,
        example: |s| {
            let x = s.input(&[3, 4]);
            let body = ScalarExpr::build(1, |b| {
                let (x, c) = (b.param(0), b.f32(3.0));
                b.call(ScalarFn::Div, &[x, c])
            });
            s.add(Map { body }, &[x])
        },
    },
    Rule {
        name: "product-with-reciprocal",
        class: Class::Reassoc,
        doc: "x (1 / y) = x / y, 1 / y not used elsewhere, x / y not rounded to a whole number",
        root: OpTag::Map,
        apply: product_with_reciprocal,
        example: |s| {
            let args = [s.input(&[3, 4]), s.input(&[3, 4])];
            let body = ScalarExpr::build(2, |b| {
                let (x, y, one) = (b.param(0), b.param(1), b.f32(1.0));
                let square = b.call(ScalarFn::Mul, &[y, y]);
                let y = b.call(ScalarFn::Add, &[square, one]);
                let inverse = b.call(ScalarFn::Div, &[one, y]);
                b.call(ScalarFn::Mul, &[x, inverse])
            });
            s.add(Map { body }, &args)
        },
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

/// Divisions of constants cost nothing and make the ratios of scales, which have to be exact.
fn division_by_literal(rw: &mut Rewriter<'_>, root: &Node) -> Option<Id> {
    let Op::Map(op) = &root.op else { return None };
    if root.args.iter().all(|&arg| rw.is_constant(arg)) {
        return None;
    }
    let nodes = op.body.nodes();
    let factors: Vec<Option<Scalar>> = (0..nodes.len()).map(|id| factor(nodes, id)).collect();
    factors.iter().find_map(|&factor| factor)?;
    let body = replace_calls(&op.body, |b, map, id, args| {
        let factor = b.constant(factors[id]?);
        Some(b.call(ScalarFn::Mul, &[map[args[0] as usize], factor]))
    });
    Some(rw.add(Map { body }, &root.args))
}

/// A quotient is one rounding less, and a multiplication.
fn product_with_reciprocal(rw: &mut Rewriter<'_>, root: &Node) -> Option<Id> {
    let Op::Map(op) = &root.op else { return None };
    let nodes = op.body.nodes();
    let quotients: Vec<Option<[NodeId; 2]>> =
        (0..nodes.len()).map(|id| quotient(&op.body, id)).collect();
    quotients.iter().find_map(|&quotient| quotient)?;
    let body = replace_calls(&op.body, |b, map, id, _| {
        let operands = quotients[id]?.map(|operand| map[operand as usize]);
        Some(b.call(ScalarFn::Div, &operands))
    });
    Some(rw.add(Map { body }, &root.args))
}

/// A body in which `with` gives some calls, from the nodes so far, another form.
fn replace_calls(
    body: &ScalarExpr,
    with: impl Fn(&mut ExprBuilder, &[NodeId], usize, &[NodeId]) -> Option<NodeId>,
) -> ScalarExpr {
    ScalarExpr::build(body.params(), |b| {
        let mut map: Vec<NodeId> = Vec::with_capacity(body.nodes().len());
        for (id, node) in body.nodes().iter().enumerate() {
            let id = match node {
                ScalarNode::Call(func, args) => with(b, &map, id, args).unwrap_or_else(|| {
                    let args: Vec<NodeId> = args.iter().map(|&a| map[a as usize]).collect();
                    b.call(*func, &args)
                }),
                node => b.copy(node, &map),
            };
            map.push(id);
        }
        map[body.root() as usize]
    })
}

/// What a node multiplies by instead, when it divides by a literal and need not be exact.
fn factor(nodes: &[ScalarNode], id: usize) -> Option<Scalar> {
    let ScalarNode::Call(ScalarFn::Div, args) = &nodes[id] else { return None };
    let ScalarNode::Const(divisor) = nodes[args[1] as usize] else { return None };
    reciprocal(divisor).filter(|_| !nodes.iter().any(|user| rounds(user, id)))
}

/// The operands of the quotient that a product with a reciprocal is, when it need not be exact.
fn quotient(body: &ScalarExpr, id: usize) -> Option<[NodeId; 2]> {
    let nodes = body.nodes();
    let ScalarNode::Call(ScalarFn::Mul, factors) = &nodes[id] else { return None };
    let &[a, b] = factors.as_slice() else { return None };
    let found = [(a, b), (b, a)].into_iter().find_map(|(x, inverse)| {
        let ScalarNode::Call(ScalarFn::Div, args) = &nodes[inverse as usize] else { return None };
        let ScalarNode::Const(one) = nodes[args[0] as usize] else { return None };
        let private = body.uses(inverse) == 1 && inverse != body.root();
        (private && one.elem().is_float() && one.as_f64() == 1.0).then_some([x, args[1]])
    });
    found.filter(|_| !nodes.iter().any(|user| rounds(user, id)))
}

/// Whether a node makes another one whole, so that the last bit decides between neighbours.
fn rounds(user: &ScalarNode, id: usize) -> bool {
    match user {
        ScalarNode::Call(func, args) => {
            let whole = [ScalarFn::Floor, ScalarFn::Ceil, ScalarFn::Trunc, ScalarFn::Round];
            whole.contains(func) && args[0] as usize == id
        }
        ScalarNode::Cast(to, operand) => !to.is_float() && *operand as usize == id,
        ScalarNode::Param(_) | ScalarNode::Const(_) | ScalarNode::Lookup(..) => false,
    }
}

/// `1/c` of an `f32`, when both are normal.
fn reciprocal(c: Scalar) -> Option<Scalar> {
    let (value, inverse) = (c.as_f64() as f32, (1.0 / c.as_f64()) as f32);
    let normal = c.elem() == ElemType::F32 && value.is_normal() && inverse.is_normal();
    normal.then(|| Scalar::f32(inverse))
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
