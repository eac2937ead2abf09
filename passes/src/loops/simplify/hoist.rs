//! Moves invariant values in front of innermost loops.
//!
//! A loop around other loops keeps its values: in front of it they would occupy registers during
//! the inner loops. For the same reason only the first few values of a loop move: the others stay
//! beside their uses, where a load costs less than a spill. Loops run at least once (L1) and read
//! parameters are never stored to, so a load may move as well.

use edgecc_ir::loops::walk::{inner_block, inner_block_mut, operands};
use edgecc_ir::loops::{Block, Carried, Expr, IndexId, LoopFn, Stmt, ValueId};
use std::collections::BTreeSet;

/// Moves up to `limit` values in front of each innermost loop.
pub(super) fn hoist(func: &mut LoopFn, limit: usize) {
    let body = std::mem::take(&mut func.body);
    func.body = block(body, limit);
}

fn block(stmts: Block, limit: usize) -> Block {
    let mut out = Block::with_capacity(stmts.len());
    for mut stmt in stmts {
        if let Some(inner) = inner_block_mut(&mut stmt) {
            *inner = block(std::mem::take(inner), limit);
        }
        if let Stmt::For { index, carried, body } = &mut stmt
            && !contains_loop(body)
        {
            let (invariant, rest) = split(*index, carried, std::mem::take(body), limit);
            out.extend(invariant);
            *body = rest;
        }
        out.push(stmt);
    }
    out
}

fn contains_loop(block: &Block) -> bool {
    block.iter().any(|stmt| {
        matches!(stmt, Stmt::For { .. }) || inner_block(stmt).is_some_and(contains_loop)
    })
}

/// The first invariant definitions of a loop's body and everything else.
fn split(index: IndexId, carried: &[Carried], body: Block, limit: usize) -> (Block, Block) {
    let mut moved: BTreeSet<ValueId> = BTreeSet::new();
    let carried = carried.iter().map(|c| c.inner);
    let inside: BTreeSet<ValueId> = body.iter().flat_map(defined).chain(carried).collect();
    body.into_iter().partition(|stmt| match stmt {
        Stmt::Let { value, expr } => {
            let free = |v: &ValueId| moved.contains(v) || !inside.contains(v);
            let room = moved.len() < limit;
            let invariant = room && !reads_index(expr, index) && operands(expr).iter().all(free);
            if invariant {
                moved.insert(*value);
            }
            invariant
        }
        Stmt::Store { .. } | Stmt::For { .. } | Stmt::If { .. } => false,
    })
}

fn defined(stmt: &Stmt) -> Vec<ValueId> {
    match stmt {
        Stmt::Let { value, .. } => vec![*value],
        Stmt::Store { .. } => Vec::new(),
        Stmt::For { carried, .. } => carried.iter().map(|c| c.result).collect(),
        Stmt::If { results, .. } => results.iter().map(|r| r.result).collect(),
    }
}

fn reads_index(expr: &Expr, loop_index: IndexId) -> bool {
    match expr {
        Expr::Load { index, .. } => index.iter().any(|dim| dim.coefficient(loop_index) != 0),
        Expr::Const(_)
        | Expr::Splat(_)
        | Expr::SplatLane(..)
        | Expr::Extract(..)
        | Expr::Pack(_)
        | Expr::Apply(..)
        | Expr::Cast(_)
        | Expr::ReduceLanes(..) => false,
    }
}
