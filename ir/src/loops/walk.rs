//! What statements and expressions read and define; walks over nested blocks.

use super::{Block, Expr, IndexId, Stmt, ValueId};
use crate::affine::Affine;
use smallvec::SmallVec;

/// The values that an expression reads.
#[must_use]
pub fn operands(expr: &Expr) -> SmallVec<[ValueId; 4]> {
    let mut found = SmallVec::new();
    map_operands(&mut expr.clone(), |v| {
        found.push(v);
        v
    });
    found
}

/// Replaces each value that an expression reads.
pub fn map_operands(expr: &mut Expr, mut with: impl FnMut(ValueId) -> ValueId) {
    match expr {
        Expr::Const(_) | Expr::Load { .. } | Expr::IndexValue(_) => {}
        Expr::Splat(v)
        | Expr::SplatLane(v, _)
        | Expr::Extract(v, _)
        | Expr::Cast(v)
        | Expr::Lookup(_, v)
        | Expr::ReduceLanes(_, v) => *v = with(*v),
        Expr::Pack(values) => values.iter_mut().for_each(|v| *v = with(*v)),
        Expr::Apply(_, values) => values.iter_mut().for_each(|v| *v = with(*v)),
    }
}

/// Replaces each value that a statement itself reads, not those of its blocks' statements.
pub fn map_uses(stmt: &mut Stmt, mut with: impl FnMut(ValueId) -> ValueId) {
    match stmt {
        Stmt::Let { expr, .. } => map_operands(expr, with),
        Stmt::Store { value, .. } | Stmt::Index { value, .. } => *value = with(*value),
        Stmt::For { carried, .. } => {
            for c in carried {
                c.init = with(c.init);
                c.next = with(c.next);
            }
        }
        Stmt::Prefetch { .. } | Stmt::Matrix(_) => {}
        Stmt::If { results, .. } => {
            for r in results {
                r.then = with(r.then);
                r.otherwise = with(r.otherwise);
            }
        }
    }
}

/// Replaces each value that a statement itself defines.
pub fn map_definitions(stmt: &mut Stmt, mut with: impl FnMut(ValueId) -> ValueId) {
    match stmt {
        Stmt::Let { value, .. } => *value = with(*value),
        Stmt::Store { .. } | Stmt::Prefetch { .. } | Stmt::Index { .. } | Stmt::Matrix(_) => {}
        Stmt::For { carried, .. } => {
            for c in carried {
                c.inner = with(c.inner);
                c.result = with(c.result);
            }
        }
        Stmt::If { results, .. } => results.iter_mut().for_each(|r| r.result = with(r.result)),
    }
}

/// Calls `visit` with each index that an expression reads.
pub fn each_index(expr: &Expr, mut visit: impl FnMut(IndexId)) {
    match expr {
        Expr::Load { index, .. } => indices(index, visit),
        Expr::IndexValue(of) => of.terms().iter().for_each(|t| visit(t.0)),
        Expr::Const(_)
        | Expr::Splat(_)
        | Expr::SplatLane(..)
        | Expr::Extract(..)
        | Expr::Pack(_)
        | Expr::Apply(..)
        | Expr::Cast(_)
        | Expr::Lookup(..)
        | Expr::ReduceLanes(..) => {}
    }
}

/// Calls `visit` with each index that a statement itself reads, not those of its blocks'
/// statements or its own.
pub fn each_index_used(stmt: &Stmt, mut visit: impl FnMut(IndexId)) {
    match stmt {
        Stmt::Let { expr, .. } => each_index(expr, visit),
        Stmt::Store { index, .. } | Stmt::Prefetch { index, .. } => indices(index, visit),
        Stmt::Matrix(sum) => {
            let own: SmallVec<[IndexId; 4]> = sum.indices().collect();
            let mut from_outside = |index| {
                if !own.contains(&index) {
                    visit(index);
                }
            };
            sum.places().iter().for_each(|(place, _)| indices(&place.index, &mut from_outside));
        }
        Stmt::Index { .. } | Stmt::For { .. } => {}
        Stmt::If { guards, .. } => {
            guards.iter().flat_map(|g| g.expr.terms()).for_each(|t| visit(t.0));
        }
    }
}

fn indices(dims: &[Affine<IndexId>], mut visit: impl FnMut(IndexId)) {
    dims.iter().flat_map(Affine::terms).for_each(|t| visit(t.0));
}

/// The block inside a statement.
#[must_use]
pub fn inner_block(stmt: &Stmt) -> Option<&Block> {
    match stmt {
        Stmt::For { body: block, .. } | Stmt::If { then: block, .. } => Some(block),
        Stmt::Let { .. }
        | Stmt::Store { .. }
        | Stmt::Prefetch { .. }
        | Stmt::Matrix(_)
        | Stmt::Index { .. } => None,
    }
}

/// The block inside a statement.
pub fn inner_block_mut(stmt: &mut Stmt) -> Option<&mut Block> {
    match stmt {
        Stmt::For { body: block, .. } | Stmt::If { then: block, .. } => Some(block),
        Stmt::Let { .. }
        | Stmt::Store { .. }
        | Stmt::Prefetch { .. }
        | Stmt::Matrix(_)
        | Stmt::Index { .. } => None,
    }
}

/// Calls `visit` for each statement, outer ones first.
pub fn each_stmt<'f>(block: &'f Block, visit: &mut impl FnMut(&'f Stmt)) {
    for stmt in block {
        visit(stmt);
        if let Some(inner) = inner_block(stmt) {
            each_stmt(inner, visit);
        }
    }
}
