//! Moves invariant values and indices in front of innermost loops.
//!
//! A loop around other loops keeps its values: in front of it they would occupy registers during
//! the inner loops. For the same reason only the first few values of a loop move: the others stay
//! beside their uses, where a load costs less than a spill. Loops run at least once (L1) and read
//! parameters are never stored to, so their loads may move as well.

use edgecc_ir::loops::walk::{each_index_used, inner_block, inner_block_mut, operands};
use edgecc_ir::loops::{Block, Carried, IndexId, LoopFn, Stmt, ValueId};
use std::collections::BTreeSet;

/// Moves up to `limit` values in front of each innermost loop.
pub(super) fn hoist(func: &mut LoopFn, limit: usize) {
    let body = std::mem::take(&mut func.body);
    func.body = block(func, body, limit);
}

fn block(func: &LoopFn, stmts: Block, limit: usize) -> Block {
    let mut out = Block::with_capacity(stmts.len());
    for mut stmt in stmts {
        if let Some(inner) = inner_block_mut(&mut stmt) {
            *inner = block(func, std::mem::take(inner), limit);
        }
        if let Stmt::For { index, carried, body } = &mut stmt
            && !contains_loop(body)
        {
            let mut inside = Inside::of(*index, carried, body);
            let (invariant, rest) = std::mem::take(body).into_iter().partition(|stmt| {
                let moves = inside.moved < limit && inside.is_invariant(func, stmt);
                if moves {
                    inside.leave(stmt);
                }
                moves
            });
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

/// What a loop's body defines.
struct Inside {
    values: BTreeSet<ValueId>,
    indices: BTreeSet<IndexId>,
    /// How many of them have left the body.
    moved: usize,
}

impl Inside {
    fn of(index: IndexId, carried: &[Carried], body: &Block) -> Inside {
        let computed = body.iter().filter_map(|stmt| match stmt {
            Stmt::Index { index, .. } => Some(*index),
            Stmt::Let { .. } | Stmt::Store { .. } | Stmt::For { .. } | Stmt::If { .. } => None,
        });
        let carried = carried.iter().map(|c| c.inner);
        Inside {
            indices: computed.chain([index]).collect(),
            values: body.iter().flat_map(defined).chain(carried).collect(),
            moved: 0,
        }
    }

    fn is_invariant(&self, func: &LoopFn, stmt: &Stmt) -> bool {
        let free = |v: &ValueId| !self.values.contains(v);
        match stmt {
            Stmt::Let { expr, .. } => {
                let mut fixed = func.is_pure(expr) && operands(expr).iter().all(free);
                each_index_used(stmt, |index| fixed &= !self.indices.contains(&index));
                fixed
            }
            Stmt::Index { value, .. } => free(value),
            Stmt::Store { .. } | Stmt::For { .. } | Stmt::If { .. } => false,
        }
    }

    fn leave(&mut self, stmt: &Stmt) {
        self.moved += 1;
        match stmt {
            Stmt::Let { value, .. } => _ = self.values.remove(value),
            Stmt::Index { index, .. } => _ = self.indices.remove(index),
            Stmt::Store { .. } | Stmt::For { .. } | Stmt::If { .. } => {}
        }
    }
}

fn defined(stmt: &Stmt) -> Vec<ValueId> {
    match stmt {
        Stmt::Let { value, .. } => vec![*value],
        Stmt::Store { .. } | Stmt::Index { .. } => Vec::new(),
        Stmt::For { carried, .. } => carried.iter().map(|c| c.result).collect(),
        Stmt::If { results, .. } => results.iter().map(|r| r.result).collect(),
    }
}
