//! Moves invariant values and indices in front of loops.
//!
//! Values that move occupy registers during the whole loop, so the caller limits their number: the
//! others stay beside their uses, where a load costs less than a spill. Loops run at least once (L1)
//! and read parameters are never stored to, so their loads may move as well.

use edgecc_ir::loops::walk::{each_index_used, inner_block, inner_block_mut, operands};
use edgecc_ir::loops::{Block, Carried, IndexId, LoopFn, Stmt, ValueId};
use std::collections::BTreeSet;

/// Moves values in front of loops, of each as many as `limit` says of the statement.
pub(super) fn hoist(func: &mut LoopFn, limit: impl Fn(&LoopFn, &Stmt) -> usize) {
    let body = std::mem::take(&mut func.body);
    func.body = block(func, body, &limit);
}

/// Loops that are nested in a statement, itself included.
pub(super) fn height(stmt: &Stmt) -> usize {
    let inner = inner_block(stmt).map_or(0, |block| block.iter().map(height).max().unwrap_or(0));
    inner + usize::from(matches!(stmt, Stmt::For { .. }))
}

/// The values that could move in front of a loop; of other statements none.
pub(super) fn invariants(func: &LoopFn, stmt: &Stmt) -> BTreeSet<ValueId> {
    let Stmt::For { index, carried, body } = stmt else { return BTreeSet::new() };
    let mut inside = Inside::of(*index, carried, body);
    let before = inside.values.clone();
    for stmt in body {
        if inside.is_invariant(func, stmt) {
            inside.leave(stmt);
        }
    }
    before.difference(&inside.values).copied().collect()
}

fn block(func: &LoopFn, stmts: Block, limit: &impl Fn(&LoopFn, &Stmt) -> usize) -> Block {
    let mut out = Block::with_capacity(stmts.len());
    for mut stmt in stmts {
        if let Some(inner) = inner_block_mut(&mut stmt) {
            *inner = block(func, std::mem::take(inner), limit);
        }
        let limit = limit(func, &stmt);
        if let Stmt::For { index, carried, body } = &mut stmt
            && limit > 0
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
            Stmt::Let { .. }
            | Stmt::Store { .. }
            | Stmt::Prefetch { .. }
            | Stmt::Matrix(_)
            | Stmt::For { .. }
            | Stmt::If { .. } => None,
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
            Stmt::Store { .. }
            | Stmt::Prefetch { .. }
            | Stmt::Matrix(_)
            | Stmt::For { .. }
            | Stmt::If { .. } => false,
        }
    }

    fn leave(&mut self, stmt: &Stmt) {
        self.moved += 1;
        match stmt {
            Stmt::Let { value, .. } => _ = self.values.remove(value),
            Stmt::Index { index, .. } => _ = self.indices.remove(index),
            Stmt::Store { .. }
            | Stmt::Prefetch { .. }
            | Stmt::Matrix(_)
            | Stmt::For { .. }
            | Stmt::If { .. } => {}
        }
    }
}

fn defined(stmt: &Stmt) -> Vec<ValueId> {
    match stmt {
        Stmt::Let { value, .. } => vec![*value],
        Stmt::Store { .. } | Stmt::Prefetch { .. } | Stmt::Matrix(_) | Stmt::Index { .. } => {
            Vec::new()
        }
        Stmt::For { carried, .. } => carried.iter().map(|c| c.result).collect(),
        Stmt::If { results, .. } => results.iter().map(|r| r.result).collect(),
    }
}
