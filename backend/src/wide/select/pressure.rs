//! How many registers constants may take in a loop without spilling its other values.

use super::constant::Literal;
use super::{Selector, is_vector};
use cranelift_entity::SecondaryMap;
use edgecc_ir::loops::walk::map_uses;
use edgecc_ir::loops::{Block, Carried, Expr, Stmt, ValueId};
use edgecc_ir::types::ElemType;
use regalloc2::RegClass;
use std::cmp::Reverse;

/// Opmasks that may hold constants; the others serve comparisons.
const CONSTANT_OPMASKS: usize = 5;

/// Where a value is in a register, in statements; a value from outside starts at 0.
#[derive(Clone, Copy, Debug, Default)]
struct Life {
    start: Option<usize>,
    end: usize,
}

impl Life {
    /// A use; what waits for its first use starts just before it.
    fn used(&mut self, at: usize) {
        self.end = at;
        if self.start == Some(usize::MAX) {
            self.start = Some(at - 1);
        }
    }
}

impl Selector<'_> {
    /// The literals that stay in registers: those with the most uses, as many as there is room for.
    /// Each is given once per use.
    pub(super) fn affordable(
        &self,
        uses: &[Literal],
        carried: &[Carried],
        body: &Block,
    ) -> Vec<Literal> {
        let mut counted: Vec<(Literal, usize)> = Vec::new();
        for &literal in uses {
            match counted.iter_mut().find(|(known, _)| *known == literal) {
                Some((_, count)) => *count += 1,
                None => counted.push((literal, 1)),
            }
        }
        counted.sort_by_key(|&(_, count)| Reverse(count));
        let registers = if self.evex { 32usize } else { 16 };
        // One more for the result of an instruction whose operands all stay.
        let room = registers.saturating_sub(self.pressure(carried, body) + 1);
        let of_class = |class: RegClass, most: usize| {
            let all = counted.iter().map(|&(literal, _)| literal);
            all.filter(move |literal| literal.class() == class).take(most)
        };
        let opmasks = of_class(RegClass::Vector, CONSTANT_OPMASKS);
        of_class(RegClass::Float, room).chain(opmasks).collect()
    }

    /// The most vector registers that values take at once in the body of a loop.
    fn pressure(&self, carried: &[Carried], body: &Block) -> usize {
        let mut lives = SecondaryMap::new();
        let end = self.live(body, 0, &mut lives);
        for c in carried {
            let inner: &mut Life = &mut lives[c.inner];
            (inner.start, inner.end) = (Some(0), inner.end.max(1));
            lives[c.next].used(end + 1);
        }
        let mut changes = vec![0i32; end + 3];
        for (value, life) in lives.iter() {
            let life: &Life = life;
            if life.end > 0 && self.takes_vector_register(value) {
                changes[life.start.unwrap_or(0)] += 1;
                changes[life.end] -= 1;
            }
        }
        let running = changes.iter().scan(0, |sum, change| {
            *sum += change;
            Some(*sum)
        });
        running.max().unwrap_or(0) as usize
    }

    /// Numbers statements from `at` on; returns the last number.
    fn live(&self, block: &Block, mut at: usize, lives: &mut SecondaryMap<ValueId, Life>) -> usize {
        for stmt in block {
            at += 1;
            map_uses(&mut super::shallow(stmt), |value| {
                lives[value].used(at);
                value
            });
            match stmt {
                Stmt::Let { value, expr: Expr::Load { .. } | Expr::Splat(_) } => {
                    lives[*value].start = Some(usize::MAX);
                }
                Stmt::Let { value, .. } => lives[*value].start = Some(at),
                Stmt::If { then, results, .. } => {
                    at = self.live(then, at, lives);
                    for r in results {
                        lives[r.then].used(at);
                        lives[r.result].start = Some(at);
                    }
                }
                Stmt::For { body, .. } => at = self.live(body, at, lives),
                Stmt::Store { .. }
                | Stmt::Prefetch { .. }
                | Stmt::Matrix(_)
                | Stmt::Index { .. } => {}
            }
        }
        at
    }

    fn takes_vector_register(&self, value: ValueId) -> bool {
        let ty = self.ty(value);
        let is_opmask = self.evex && ty.elem == ElemType::Bool;
        is_vector(ty) && !is_opmask && self.literal(value).is_none()
    }
}
