//! Names for what kernels compute, by the structure of their stages and bodies.
//!
//! Nothing depends on these names: they are for symbols, reports and `edgecc explain`.

use edgecc_ir::kernel::{Home, Kernel, KernelId, Kernels, Role};
use edgecc_ir::program::Call;
use edgecc_ir::scalar::func::ScalarFn as F;
use edgecc_ir::scalar::{NodeId, ScalarExpr, ScalarNode};

/// A computation over rows.
pub struct RowKind {
    /// A word for symbols and reports.
    pub name: &'static str,
    /// The computation.
    pub doc: &'static str,
    is: fn(&Rows) -> bool,
}

/// An activation function.
pub struct Activation {
    /// A word for symbols and reports.
    pub name: &'static str,
    /// The function.
    pub doc: &'static str,
    /// Whether a node of a body computes it.
    is: fn(&ScalarExpr, NodeId) -> bool,
}

/// Computations over rows; the first one that fits is meant.
pub const ROW_KINDS: &[RowKind] = &[
    RowKind {
        name: "attention",
        doc: "a product of matrices, the softmax of its rows, and their product with a matrix",
        is: |r| r.reduces == [F::Add, F::Max, F::Add, F::Add] && r.has(F::Exp) && !r.ends_in_map,
    },
    RowKind {
        name: "softmax",
        doc: "exp(x - max) over the sum of exp(x - max)",
        is: |r| r.is_stable_exp() && r.ends_in_map && !r.has(F::Log),
    },
    RowKind {
        name: "log_softmax",
        doc: "x - max - log of the sum of exp(x - max)",
        is: |r| r.is_stable_exp() && r.ends_in_map && r.has(F::Log),
    },
    RowKind {
        name: "log_sum_exp",
        doc: "max + log of the sum of exp(x - max)",
        is: |r| r.is_stable_exp() && !r.ends_in_map && r.has(F::Log),
    },
    RowKind {
        name: "layer_norm",
        doc: "x - mean over the root of the mean of (x - mean)^2",
        is: |r| r.reduces == [F::Add, F::Add] && r.squares && r.has(F::Sqrt) && r.ends_in_map,
    },
    RowKind {
        name: "mean_variance",
        doc: "the mean of (x - mean)^2",
        is: |r| r.reduces == [F::Add, F::Add] && r.squares && !r.ends_in_map,
    },
    RowKind {
        name: "rms_norm",
        doc: "x over the root of the mean of x^2",
        is: |r| r.reduces == [F::Add] && r.squares && r.has(F::Sqrt) && r.ends_in_map,
    },
];

/// Activations; the first one that some part of a body computes is meant.
pub const ACTIVATIONS: &[Activation] = &[
    Activation { name: "gelu", doc: "x (1 + erf(x / sqrt 2)) / 2", is: is_gelu },
    Activation { name: "gelu_tanh", doc: "x (1 + tanh(a polynomial of x)) / 2", is: is_gelu_tanh },
    Activation { name: "silu", doc: "x / (1 + exp(-x))", is: is_silu },
    Activation { name: "hard_swish", doc: "x times a clamped line of x", is: is_hard_swish },
    Activation { name: "sigmoid", doc: "1 / (1 + exp(-x))", is: |e, n| sigmoid(e, n).is_some() },
    Activation { name: "hard_sigmoid", doc: "a line of x, clamped", is: is_clamped_line },
];

/// The word for a kernel, if its computation has a name of its own.
#[must_use]
pub fn name_of(kernel: &Kernel) -> Option<String> {
    if kernel.stages.len() > 1 && has_locals(kernel) {
        let rows = Rows::new(kernel);
        let kind = ROW_KINDS.iter().find(|kind| (kind.is)(&rows));
        let contracts = kernel.stages.iter().any(|stage| stage.factors().is_some());
        let unknown = if contracts { &kernel.name } else { "rows" };
        return Some(kind.map_or(unknown, |kind| kind.name).to_owned());
    }
    let [stage] = kernel.stages.as_slice() else { return None };
    let last = if stage.reduce.is_some() { &stage.epilogue } else { &stage.body };
    let activation = activation(last)?;
    Some(match stage.reduce {
        Some(_) => format!("{}_{activation}", kernel.name),
        None => activation.to_owned(),
    })
}

/// The calls of each attention: two contractions with a softmax of the first one's result between.
#[must_use]
pub fn attentions(kernels: &Kernels) -> Vec<[&Call<KernelId>; 3]> {
    let calls: Vec<&Call<KernelId>> =
        kernels.program.calls().into_iter().map(|(call, _)| call).collect();
    let written = |call: &Call<KernelId>| call.args.last().map(|place| place.buffer);
    let is =
        |call: &Call<KernelId>, word: &str| kernels.kernels[call.callee].name.starts_with(word);
    let feeds = |from: &Call<KernelId>, to: &Call<KernelId>| {
        let result = written(from).filter(|&b| kernels.buffers[b].home == Home::Arena);
        result.is_some_and(|b| to.args[..to.args.len() - 1].iter().any(|p| p.buffer == b))
    };
    let mut found = Vec::new();
    for &softmax in calls.iter().filter(|c| is(c, "softmax")) {
        let before = calls.iter().find(|c| is(c, "matmul") && feeds(c, softmax));
        let after = calls.iter().find(|c| is(c, "matmul") && feeds(softmax, c));
        if let (Some(&before), Some(&after)) = (before, after) {
            found.push([before, softmax, after]);
        }
    }
    found
}

fn has_locals(kernel: &Kernel) -> bool {
    kernel.operands.values().any(|o| o.role == Role::Local)
}

/// What the predicates on rows ask for.
struct Rows {
    /// The functions of the reductions, in order.
    reduces: Vec<F>,
    /// Whether the last stage is a map.
    ends_in_map: bool,
    /// Whether a reduction sums squares.
    squares: bool,
    /// Every function of a body or an epilogue.
    functions: Vec<F>,
}

impl Rows {
    fn new(kernel: &Kernel) -> Rows {
        let bodies = || kernel.stages.iter().flat_map(|s| [&s.body, &s.epilogue]);
        let sums = kernel.stages.iter().filter(|s| s.reduce.is_some());
        Rows {
            reduces: sums.clone().filter_map(|s| s.reduce.as_ref()).map(|r| r.func).collect(),
            ends_in_map: kernel.stages.last().is_some_and(|s| s.reduce.is_none()),
            squares: sums.clone().any(|s| is_square(&s.body, s.body.root())),
            functions: bodies().flat_map(functions).collect(),
        }
    }

    fn has(&self, func: F) -> bool {
        self.functions.contains(&func)
    }

    fn is_stable_exp(&self) -> bool {
        self.reduces == [F::Max, F::Add] && self.has(F::Exp)
    }
}

fn functions(expr: &ScalarExpr) -> impl Iterator<Item = F> + '_ {
    expr.nodes().iter().filter_map(|node| match node {
        ScalarNode::Call(func, _) => Some(*func),
        ScalarNode::Param(_)
        | ScalarNode::Const(_)
        | ScalarNode::Cast(..)
        | ScalarNode::Lookup(..) => None,
    })
}

fn activation(expr: &ScalarExpr) -> Option<&'static str> {
    let nodes = 0..expr.nodes().len() as NodeId;
    let computed = |a: &&Activation| nodes.clone().any(|n| (a.is)(expr, n));
    ACTIVATIONS.iter().find(computed).map(|a| a.name)
}

/// The operands of a call of `func`.
fn call(expr: &ScalarExpr, node: NodeId, func: F) -> Option<&[NodeId]> {
    match &expr.nodes()[node as usize] {
        ScalarNode::Call(f, args) if *f == func => Some(args),
        _ => None,
    }
}

fn literal(expr: &ScalarExpr, node: NodeId) -> Option<f64> {
    match &expr.nodes()[node as usize] {
        ScalarNode::Const(value) => Some(value.as_f64()),
        _ => None,
    }
}

/// The other operand of a call of `func` with a literal.
fn with_literal(expr: &ScalarExpr, node: NodeId, func: F) -> Option<(NodeId, f64)> {
    let args = call(expr, node, func)?;
    let (a, b) = (args[0], *args.get(1)?);
    let right = literal(expr, b).map(|c| (a, c));
    right.or_else(|| literal(expr, a).map(|c| (b, c)))
}

fn is_square(expr: &ScalarExpr, node: NodeId) -> bool {
    call(expr, node, F::Mul).is_some_and(|args| args[0] == args[1])
}

/// Whether a node depends on another one.
fn depends(expr: &ScalarExpr, node: NodeId, on: NodeId) -> bool {
    node == on
        || match &expr.nodes()[node as usize] {
            ScalarNode::Call(_, args) => args.iter().any(|&a| depends(expr, a, on)),
            ScalarNode::Cast(_, a) | ScalarNode::Lookup(_, a) => depends(expr, *a, on),
            ScalarNode::Param(_) | ScalarNode::Const(_) => false,
        }
}

/// `t` of `1 / (1 + exp(−t))`, or of `x / (1 + exp(−t))` with the dividend.
fn sigmoid(expr: &ScalarExpr, node: NodeId) -> Option<(NodeId, NodeId)> {
    let &[dividend, divisor] = call(expr, node, F::Div)? else { return None };
    let (power, one) = with_literal(expr, divisor, F::Add)?;
    let negated = call(expr, power, F::Exp)?[0];
    let minus = || with_literal(expr, negated, F::Mul).filter(|m| m.1 < 0.0).map(|m| m.0);
    let plain = call(expr, negated, F::Neg).map(|args| args[0]).or_else(minus)?;
    (one == 1.0).then_some((plain, dividend))
}

/// `x · sigmoid(x)` or `x / (1 + exp(−x))`.
fn is_silu(expr: &ScalarExpr, node: NodeId) -> bool {
    let whole = sigmoid(expr, node).is_some_and(|(t, dividend)| t == dividend);
    whole
        || call(expr, node, F::Mul).is_some_and(|args| {
            let gates = |gate, x| sigmoid(expr, gate).is_some_and(|(t, _)| depends(expr, t, x));
            gates(args[0], args[1]) || gates(args[1], args[0])
        })
}

/// A product, in any association, of `x`, `1 + gate(… x …)` and a literal.
fn is_gated(expr: &ScalarExpr, node: NodeId, gate: F) -> bool {
    let mut factors = Vec::new();
    collect_factors(expr, node, &mut factors);
    let gated = |&n: &NodeId| {
        let inner = with_literal(expr, n, F::Add).filter(|g| g.1 == 1.0);
        inner.is_some_and(|(g, _)| call(expr, g, gate).is_some())
    };
    let Some(&gate) = factors.iter().find(|n| gated(n)) else { return false };
    let is_x = |&&n: &&NodeId| n != gate && literal(expr, n).is_none();
    factors.iter().find(is_x).is_some_and(|&x| depends(expr, gate, x))
}

fn collect_factors(expr: &ScalarExpr, node: NodeId, into: &mut Vec<NodeId>) {
    match call(expr, node, F::Mul) {
        Some(args) => args.iter().for_each(|&a| collect_factors(expr, a, into)),
        None => into.push(node),
    }
}

fn is_gelu(expr: &ScalarExpr, node: NodeId) -> bool {
    is_gated(expr, node, F::Erf)
}

fn is_gelu_tanh(expr: &ScalarExpr, node: NodeId) -> bool {
    is_gated(expr, node, F::Tanh)
}

/// `max(0, min(c, x·a + b))` in any order, with or without the factor.
fn clamped_line(expr: &ScalarExpr, node: NodeId) -> Option<NodeId> {
    let (inner, low) = with_literal(expr, node, F::Max)?;
    let (line, _) = with_literal(expr, inner, F::Min)?;
    let (scaled, offset) = with_literal(expr, line, F::Add)?;
    let x = with_literal(expr, scaled, F::Mul).map_or(scaled, |(x, _)| x);
    (low == 0.0 && offset > 0.0).then_some(x)
}

fn is_clamped_line(expr: &ScalarExpr, node: NodeId) -> bool {
    clamped_line(expr, node).is_some()
}

fn is_hard_swish(expr: &ScalarExpr, node: NodeId) -> bool {
    let mut factors = Vec::new();
    collect_factors(expr, node, &mut factors);
    let lines = factors.iter().filter_map(|&f| clamped_line(expr, f));
    lines.into_iter().any(|x| factors.contains(&x))
}

#[cfg(test)]
mod tests {
    use super::{ACTIVATIONS, ROW_KINDS, activation};
    use edgecc_ir::scalar::func::ScalarFn as F;
    use edgecc_ir::scalar::{ExprBuilder, NodeId, ScalarExpr};

    fn check(name: Option<&str>, body: impl FnOnce(&mut ExprBuilder, NodeId) -> NodeId) {
        let expr = ScalarExpr::build(1, |b| {
            let x = b.param(0);
            body(b, x)
        });
        assert_eq!(activation(&expr), name);
    }

    fn with(b: &mut ExprBuilder, func: F, x: NodeId, literal: f32) -> NodeId {
        let literal = b.f32(literal);
        b.call(func, &[x, literal])
    }

    fn sigmoid(b: &mut ExprBuilder, x: NodeId) -> NodeId {
        let negated = b.call(F::Neg, &[x]);
        let power = b.call(F::Exp, &[negated]);
        let (sum, one) = (with(b, F::Add, power, 1.0), b.f32(1.0));
        b.call(F::Div, &[one, sum])
    }

    #[test]
    fn gelu_is_known_in_each_association() {
        for order in 0..2 {
            check(Some("gelu"), |b, x| {
                let scaled = with(b, F::Div, x, std::f32::consts::SQRT_2);
                let gate = b.call(F::Erf, &[scaled]);
                let gate = with(b, F::Add, gate, 1.0);
                if order == 0 {
                    let product = b.call(F::Mul, &[x, gate]);
                    return with(b, F::Mul, product, 0.5);
                }
                let half = with(b, F::Mul, x, 0.5);
                b.call(F::Mul, &[half, gate])
            });
        }
    }

    #[test]
    fn gates_of_the_argument_are_known() {
        check(Some("silu"), |b, x| {
            let gate = sigmoid(b, x);
            b.call(F::Mul, &[x, gate])
        });
        check(Some("sigmoid"), sigmoid);
        let line = |b: &mut ExprBuilder, x| {
            let scaled = with(b, F::Mul, x, 1.0 / 6.0);
            let line = with(b, F::Add, scaled, 0.5);
            let one = b.f32(1.0);
            let capped = b.call(F::Min, &[one, line]);
            let zero = b.f32(0.0);
            b.call(F::Max, &[zero, capped])
        };
        check(Some("hard_sigmoid"), line);
        check(Some("hard_swish"), |b, x| {
            let gate = line(b, x);
            b.call(F::Mul, &[x, gate])
        });
        check(None, |b, x| b.call(F::Exp, &[x]));
    }

    #[test]
    fn names_are_distinct() {
        let rows = ROW_KINDS.iter().map(|k| k.name);
        let mut names: Vec<&str> = rows.chain(ACTIVATIONS.iter().map(|a| a.name)).collect();
        names.sort_unstable();
        assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
    }
}
