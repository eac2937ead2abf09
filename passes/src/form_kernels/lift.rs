//! Work that is the same for a whole row leaves the stages that run along it: an expensive part of
//! a map's body that depends on values of the row alone becomes a stage of its own, once per row.

use super::settle::{inner, is_costly};
use edgecc_ir::affine::Affine;
use edgecc_ir::kernel::build::access;
use edgecc_ir::kernel::{Access, Kernel, Operand, Role, Stage};
use edgecc_ir::scalar::{ExprBuilder, NodeId, ScalarExpr, ScalarNode};
use edgecc_ir::types::{ElemType, TensorType};

/// Lifts one part of one body.
pub(super) fn lift_one(kernel: &mut Kernel) -> bool {
    let found = (0..kernel.stages.len()).find_map(|n| Some((n, constant_part(kernel, n)?)));
    found.map(|(n, part)| lift(kernel, n, part)).is_some()
}

/// The largest expensive part of a map's body that does not change along the row.
fn constant_part(kernel: &Kernel, number: usize) -> Option<NodeId> {
    let stage = &kernel.stages[number];
    let along = inner(kernel, stage);
    if kernel.stages.len() < 2 || stage.reduce.is_some() || along.is_empty() {
        return None;
    }
    let fixed = |read: &Access| !read.axes().any(|axis| along.contains(&axis));
    let mut parts: Vec<Part> = Vec::new();
    for node in stage.body.nodes() {
        let part = match node {
            ScalarNode::Param(p) => Part { fixed: fixed(&stage.reads[*p as usize]), costly: false },
            ScalarNode::Const(_) => Part { fixed: true, costly: false },
            ScalarNode::Cast(_, a) | ScalarNode::Lookup(_, a) => parts[*a as usize],
            ScalarNode::Call(func, args) => Part {
                fixed: args.iter().all(|&a| parts[a as usize].fixed),
                costly: is_costly(*func) || args.iter().any(|&a| parts[a as usize].costly),
            },
        };
        parts.push(part);
    }
    parts.iter().rposition(|part| part.fixed && part.costly).map(|n| n as NodeId)
}

/// What is known of a node.
#[derive(Clone, Copy)]
struct Part {
    /// It does not change along the row.
    fixed: bool,
    /// It is worth computing once.
    costly: bool,
}

/// Makes a node of a body a stage in front of its stage.
fn lift(kernel: &mut Kernel, number: usize, node: NodeId) {
    let stage = &kernel.stages[number];
    let elem = |a: &Access| kernel.elem(a);
    let types: Vec<ElemType> = stage.reads.iter().map(elem).collect();
    let all = stage.body.infer_all(&types).expect("K4: bodies type-check");
    let params = stage.reads.len() as u32;
    let part = ScalarExpr::build(params, |b| copy(b, &stage.body, node, None));
    let rest = ScalarExpr::build(params + 1, |b| {
        let lifted = b.param(params);
        copy(b, &stage.body, stage.body.root(), Some((node, lifted)))
    });
    let ty = TensorType::new(all[node as usize], &[1]);
    let (mut before, mut after) = (stage.clone(), stage.clone());
    let local = kernel.operands.push(Operand { ty, role: Role::Local });
    let here = access(local, vec![Affine::constant(0)]);
    before = Stage { axes: kernel.rows.clone(), body: part, write: here.clone(), ..before };
    after.reads.push(here);
    after.body = rest;
    kernel.stages[number] = super::settle::tidy(kernel, after);
    let before = super::settle::tidy(kernel, before);
    kernel.stages.insert(number, before);
}

/// Copies a node, with one node replaced.
fn copy(
    b: &mut ExprBuilder,
    expr: &ScalarExpr,
    node: NodeId,
    replaced: Option<(NodeId, NodeId)>,
) -> NodeId {
    match (&expr.nodes()[node as usize], replaced) {
        (_, Some((old, new))) if old == node => new,
        (ScalarNode::Param(p), _) => b.param(*p),
        (ScalarNode::Const(value), _) => b.constant(*value),
        (ScalarNode::Cast(to, a), _) => {
            let a = copy(b, expr, *a, replaced);
            b.cast(*to, a)
        }
        (ScalarNode::Lookup(table, a), _) => {
            let a = copy(b, expr, *a, replaced);
            b.lookup(table.clone(), a)
        }
        (ScalarNode::Call(func, args), _) => {
            let args: Vec<NodeId> = args.iter().map(|&a| copy(b, expr, a, replaced)).collect();
            b.call(*func, &args)
        }
    }
}
