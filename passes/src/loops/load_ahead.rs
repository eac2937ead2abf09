//! Loads some arithmetic ahead of their uses, for cores that run instructions in order and so wait
//! where a value is used before it has arrived.
//!
//! A load moves up in its block, past arithmetic and stores, until enough arithmetic is between its
//! new place and its old one, until the load before it, or until one more register would be needed
//! than there are. Read parameters are never stored to (L1), so that their loads may pass stores.

use super::pressure::{self, occupies_vector};
use cranelift_entity::SecondaryMap;
use edgecc_ir::loops::walk::{each_index_used, each_stmt, inner_block_mut};
use edgecc_ir::loops::{Block, Expr, LoopFn, Stmt, ValueId};
use edgecc_ir::target::Target;
use std::collections::BTreeSet;

/// Vector registers for what has none in loops yet.
const SPARE: usize = 2;

/// The same function with its loads ahead.
#[must_use]
pub fn load_ahead(mut func: LoopFn, target: &Target) -> LoopFn {
    if target.runs_in_order() {
        let mut body = std::mem::take(&mut func.body);
        let registers = target.registers(func.vector_bits()) as usize - SPARE;
        let mover = Mover {
            lanes_of: lanes_of(&body),
            func: &func,
            registers,
            distance: target.load_ahead as usize,
        };
        mover.block(&mut body, &mut BTreeSet::new());
        func.body = body;
    }
    func
}

/// Of each copy of a lane the vector that it is a lane of: arithmetic reads the lane there.
fn lanes_of(body: &Block) -> SecondaryMap<ValueId, Option<ValueId>> {
    let mut found = SecondaryMap::new();
    each_stmt(body, &mut |stmt| {
        if let Stmt::Let { value, expr: Expr::SplatLane(of, _) } = stmt {
            found[*value] = Some(*of);
        }
    });
    found
}

/// How far loads may move.
struct Mover<'f> {
    func: &'f LoopFn,
    lanes_of: SecondaryMap<ValueId, Option<ValueId>>,
    registers: usize,
    /// Vector arithmetic between a load and its use.
    distance: usize,
}

impl Mover<'_> {
    /// Moves the loads of a block and of those inside. `live` are the values that are used behind
    /// the block.
    fn block(&self, stmts: &mut Block, live: &mut BTreeSet<ValueId>) {
        let holder = |v| {
            let held = self.lanes_of[v].unwrap_or(v);
            occupies_vector(self.func, held).then_some(held)
        };
        let mut taken = vec![0; stmts.len()];
        for (at, stmt) in stmts.iter_mut().enumerate().rev() {
            let mut inside = pressure::step(stmt, live, &holder);
            taken[at] = live.len();
            if let Some(inner) = inner_block_mut(stmt) {
                self.block(inner, &mut inside);
            }
        }
        for at in 1..stmts.len() {
            if self.is_movable(&stmts[at]) {
                let to = self.place(stmts, &taken, at);
                stmts[to..=at].rotate_right(1);
                (to..at).rev().for_each(|n| taken[n + 1] = taken[n] + 1);
            }
        }
    }

    /// Whether a statement loads a vector that may be loaded anywhere.
    fn is_movable(&self, stmt: &Stmt) -> bool {
        let Stmt::Let { value, expr: expr @ Expr::Load { .. } } = stmt else { return false };
        self.func.is_pure(expr) && occupies_vector(self.func, *value)
    }

    /// The place for the load at `at`; `taken` registers are live before each statement.
    fn place(&self, stmts: &[Stmt], taken: &[usize], at: usize) -> usize {
        let (mut to, mut passed) = (at, 0);
        while to > 0 && passed < self.distance {
            let above = &stmts[to - 1];
            let is_free = taken[to - 1] < self.registers;
            if !is_free || self.is_movable(above) || !may_pass(&stmts[at], above) {
                break;
            }
            to -= 1;
            passed += usize::from(self.is_arithmetic(&stmts[to]));
        }
        to
    }

    fn is_arithmetic(&self, stmt: &Stmt) -> bool {
        matches!(stmt, Stmt::Let { value, expr: Expr::Apply(..) } if self.func.values[*value].lanes > 1)
    }
}

/// Whether a load may stand before a statement: loops, tests and sums stay where they are, and what
/// defines an index of the load comes first.
fn may_pass(load: &Stmt, other: &Stmt) -> bool {
    match other {
        Stmt::Let { .. } | Stmt::Store { .. } | Stmt::Prefetch { .. } => true,
        Stmt::Index { index, .. } => {
            let mut uses = false;
            each_index_used(load, |used| uses |= used == *index);
            !uses
        }
        Stmt::Matrix(_) | Stmt::For { .. } | Stmt::If { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::load_ahead;
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

    /// Sums of `sums` vectors each, added to in turn: a load stands before each addition.
    fn additions(sums: usize, rounds: usize) -> LoopFn {
        let mut b = LoopBuilder::new("f");
        let ty = TensorType::new(ElemType::F32, &[4 * sums * rounds]);
        let x = b.param(Param { ty: ty.clone(), access: ParamAccess::Read });
        let y = b.param(Param { ty, access: ParamAccess::Write });
        let vector = VType { elem: ElemType::F32, lanes: 4 };
        let at = |n: usize| vec![Affine::constant(4 * n as i64)];
        let mut all: Vec<_> = (0..sums).map(|n| b.load(vector, x, at(n), 4)).collect();
        for n in sums..sums * rounds {
            let next = b.load(vector, x, at(n), 4);
            all[n % sums] = b.apply(ScalarFn::Add, &[all[n % sums], next]);
        }
        all.into_iter().enumerate().for_each(|(n, sum)| b.store(y, at(n), sum, 4));
        b.finish()
    }

    /// How many loads follow an addition or a store.
    fn late_loads(func: &LoopFn) -> usize {
        let is_load = |s: &&Stmt| matches!(s, Stmt::Let { expr: Expr::Load { .. }, .. });
        func.body.iter().skip_while(is_load).filter(is_load).count()
    }

    #[test]
    fn loads_move_where_the_core_runs_in_order() {
        for (cpu, late) in [("cortex-a55", 7), ("cortex-a72", 15)] {
            let func = check_pass(additions(4, 5), &target(cpu), load_ahead);
            assert_eq!(late_loads(&func), late, "{cpu}");
        }
    }

    #[test]
    fn loads_stay_where_registers_end() {
        let before = additions(30, 2);
        assert_eq!(check_pass(before.clone(), &target("cortex-a55"), load_ahead), before);
    }

    #[test]
    fn random_functions_keep_their_meaning() {
        for seed in 0..300 {
            check_pass(random_function(seed), &target("cortex-a53"), load_ahead);
        }
    }
}
