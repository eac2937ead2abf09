//! Independent arithmetic between an operation and what uses its result, for cores that run
//! instructions in order and so wait where a value is used before it is computed.
//!
//! The statements of a straight piece of code are taken in their order, but one whose operands are
//! not there yet lets those of the next few pass whose operands are. What is stored, and read from
//! memory that is stored to, keeps its order.

use cranelift_entity::SecondaryMap;
use edgecc_ir::loops::walk::{inner_block_mut, operands};
use edgecc_ir::loops::{Block, Expr, LoopFn, Stmt, ValueId};
use edgecc_ir::target::Target;
use std::collections::VecDeque;

/// Statements that one which waits lets pass, at most: the more, the more registers are taken.
const WINDOW: usize = 12;
/// Operations that start in a cycle, and cycles until a result can be used.
const ISSUE: usize = 2;
const LATENCY: usize = 4;

/// The same function with waiting filled.
#[must_use]
pub fn interleave(mut func: LoopFn, target: &Target) -> LoopFn {
    if target.runs_in_order() {
        let mut body = std::mem::take(&mut func.body);
        block(&func, &mut body);
        func.body = body;
    }
    func
}

fn block(func: &LoopFn, stmts: &mut Block) {
    let mut done = Block::with_capacity(stmts.len());
    let mut piece = VecDeque::new();
    for mut stmt in std::mem::take(stmts) {
        if matches!(stmt, Stmt::Let { .. } | Stmt::Store { .. }) {
            piece.push_back(stmt);
            continue;
        }
        if let Some(inner) = inner_block_mut(&mut stmt) {
            block(func, inner);
        }
        done.extend(ordered(func, std::mem::take(&mut piece)));
        done.push(stmt);
    }
    done.extend(ordered(func, piece));
    *stmts = done;
}

/// A straight piece of code in an order with less waiting.
fn ordered(func: &LoopFn, mut piece: VecDeque<Stmt>) -> Block {
    let mut done = Block::with_capacity(piece.len());
    let mut clock = Clock::default();
    for stmt in &piece {
        if let Stmt::Let { value, .. } = stmt {
            clock.ready[*value] = usize::MAX;
        }
    }
    while !piece.is_empty() {
        // The first one waits for what has started only.
        let next = next(func, &piece, &clock).unwrap_or(0);
        let stmt = piece.remove(next).expect("inside the piece");
        clock.start(&stmt);
        done.push(stmt);
    }
    done
}

/// The first statement of the next few that need not wait.
fn next(func: &LoopFn, piece: &VecDeque<Stmt>, clock: &Clock) -> Option<usize> {
    let mut is_first = true;
    for (at, stmt) in piece.iter().take(WINDOW).enumerate() {
        let is_ordered = is_ordered(func, stmt);
        let may_pass = at == 0 || !takes_a_register(stmt);
        if clock.waits(stmt) == 0 && may_pass && (is_first || !is_ordered) {
            return Some(at);
        }
        is_first &= !is_ordered;
    }
    None
}

/// Whether a statement gives a value a register without freeing an operand's, as arithmetic often
/// does.
fn takes_a_register(stmt: &Stmt) -> bool {
    matches!(stmt, Stmt::Let { expr: Expr::Load { .. } | Expr::Const(_) | Expr::Splat(_), .. })
}

/// Whether a statement keeps its place among others of this kind.
fn is_ordered(func: &LoopFn, stmt: &Stmt) -> bool {
    match stmt {
        Stmt::Let { expr, .. } => !func.is_pure(expr),
        Stmt::Store { .. }
        | Stmt::Prefetch { .. }
        | Stmt::Matrix(_)
        | Stmt::Index { .. }
        | Stmt::For { .. }
        | Stmt::If { .. } => true,
    }
}

/// When values can be used.
#[derive(Default)]
struct Clock {
    now: usize,
    /// Operations that started now.
    started: usize,
    ready: SecondaryMap<ValueId, usize>,
}

impl Clock {
    /// Cycles until a statement of straight code can start.
    fn waits(&self, stmt: &Stmt) -> usize {
        let at = |v: ValueId| self.ready[v].saturating_sub(self.now);
        match stmt {
            Stmt::Let { expr, .. } => operands(expr).into_iter().map(at).max().unwrap_or(0),
            Stmt::Store { value, .. } => at(*value),
            Stmt::Prefetch { .. }
            | Stmt::Matrix(_)
            | Stmt::Index { .. }
            | Stmt::For { .. }
            | Stmt::If { .. } => 0,
        }
    }

    fn start(&mut self, stmt: &Stmt) {
        if let Stmt::Let { value, expr: Expr::SplatLane(of, _) } = stmt {
            // Arithmetic reads the lane where it is.
            self.ready[*value] = self.ready[*of];
            return;
        }
        let waits = self.waits(stmt);
        if waits > 0 {
            (self.now, self.started) = (self.now + waits, 0);
        }
        if let Stmt::Let { value, .. } = stmt {
            self.ready[*value] = self.now + LATENCY;
        }
        self.started += 1;
        if self.started == ISSUE {
            (self.now, self.started) = (self.now + 1, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::interleave;
    use crate::loops::testing::{check_pass, random_function};
    use edgecc_ir::affine::Affine;
    use edgecc_ir::loops::build::LoopBuilder;
    use edgecc_ir::loops::{Expr, LoopFn, Param, ParamAccess, Stmt, VType};
    use edgecc_ir::scalar::func::ScalarFn;
    use edgecc_ir::target::{Cpu, Target};
    use edgecc_ir::types::{ElemType, TensorType};

    fn target(name: &str) -> Target {
        Cpu::named(name).expect("a row").target()
    }

    /// Four vectors, each of which is raised, lowered and stored before the next one.
    fn clamped() -> LoopFn {
        let mut b = LoopBuilder::new("f");
        let ty = TensorType::new(ElemType::F32, &[32]);
        let x = b.param(Param { ty: ty.clone(), access: ParamAccess::Read });
        let y = b.param(Param { ty, access: ParamAccess::Write });
        let vector = VType { elem: ElemType::F32, lanes: 4 };
        let at = |n: usize| vec![Affine::constant(4 * n as i64)];
        let all = [0, 1, 2, 3, 4, 5].map(|n| b.load(vector, x, at(n), 4));
        for (n, value) in all[2..].iter().enumerate() {
            let raised = b.apply(ScalarFn::Max, &[*value, all[0]]);
            let lowered = b.apply(ScalarFn::Min, &[raised, all[1]]);
            b.store(y, at(n), lowered, 4);
        }
        b.finish()
    }

    /// The kinds of statements behind the loads.
    fn kinds(func: &LoopFn) -> String {
        let kind = |stmt: &Stmt| match stmt {
            Stmt::Let { expr: Expr::Apply(ScalarFn::Max, _), .. } => Some('a'),
            Stmt::Let { expr: Expr::Apply(..), .. } => Some('i'),
            Stmt::Store { .. } => Some('s'),
            _ => None,
        };
        func.body.iter().filter_map(kind).collect()
    }

    #[test]
    fn independent_operations_fill_the_wait_where_the_core_runs_in_order() {
        for (cpu, order) in [("cortex-a53", "aaaaiiiissss"), ("cortex-a72", "aisaisaisais")] {
            assert_eq!(kinds(&check_pass(clamped(), &target(cpu), interleave)), order, "{cpu}");
        }
    }

    #[test]
    fn random_functions_keep_their_meaning() {
        for seed in 0..300 {
            check_pass(random_function(seed), &target("cortex-a53"), interleave);
        }
    }
}
