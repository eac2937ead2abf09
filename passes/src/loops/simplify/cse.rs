//! Makes equal values of one block one value. Read parameters are never stored to (L1), so their
//! loads count as pure.

use cranelift_entity::SecondaryMap;
use edgecc_ir::loops::walk::{inner_block_mut, map_uses};
use edgecc_ir::loops::{Block, Expr, LoopFn, Stmt, VType, ValueId};
use edgecc_ir::target::Target;
use indexmap::IndexMap;

pub(super) fn share_equal_values(func: &mut LoopFn, target: &Target) {
    let mut body = std::mem::take(&mut func.body);
    let mut sharing = Sharing {
        func,
        private_broadcasts: !target.fma_by_lane,
        same: SecondaryMap::new(),
        broadcast: SecondaryMap::new(),
    };
    sharing.block(&mut body);
    func.body = body;
}

struct Sharing<'f> {
    func: &'f LoopFn,
    /// Without by-lane arithmetic loading a scalar again costs next to nothing, while a broadcast
    /// that is shared over a long distance occupies a register.
    private_broadcasts: bool,
    same: SecondaryMap<ValueId, Option<ValueId>>,
    /// Scalar loads, whose splats stay private with them.
    broadcast: SecondaryMap<ValueId, bool>,
}

impl Sharing<'_> {
    fn block(&mut self, block: &mut Block) {
        let mut known: IndexMap<(VType, Expr), ValueId> = IndexMap::new();
        block.retain_mut(|stmt| {
            if let Some(inner) = inner_block_mut(stmt) {
                self.block(inner);
            }
            map_uses(stmt, |v| self.same[v].unwrap_or(v));
            let Stmt::Let { value, expr } = stmt else { return true };
            if !self.func.is_pure(expr) || self.stays_private(*value, expr) {
                return true;
            }
            let key = (self.func.values[*value], canonical(expr));
            let first = *known.entry(key).or_insert(*value);
            self.same[*value] = (first != *value).then_some(first);
            first == *value
        });
    }

    fn stays_private(&mut self, value: ValueId, expr: &Expr) -> bool {
        match expr {
            Expr::Load { .. } if self.private_broadcasts && self.func.values[value].lanes == 1 => {
                self.broadcast[value] = true;
                true
            }
            Expr::Splat(scalar) => self.broadcast[*scalar],
            Expr::Const(_)
            | Expr::Load { .. }
            | Expr::IndexValue(_)
            | Expr::SplatLane(..)
            | Expr::Extract(..)
            | Expr::Pack(_)
            | Expr::Apply(..)
            | Expr::Cast(_)
            | Expr::Lookup(..)
            | Expr::ReduceLanes(..) => false,
        }
    }
}

/// The expression with the operands of a commutative function sorted.
fn canonical(expr: &Expr) -> Expr {
    let mut expr = expr.clone();
    if let Expr::Apply(func, args) = &mut expr
        && func.info().commutative
    {
        args.sort_unstable();
    }
    expr
}
