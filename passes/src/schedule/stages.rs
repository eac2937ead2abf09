//! Stages that share nothing but a result, each a part of it: each one runs as it would alone.

use super::strategy_for;
use crate::eqsat::rule::Class;
use edgecc_ir::kernel::schedule::{Pack, Schedule};
use edgecc_ir::kernel::{Kernel, OperandId, Role, Stage};
use edgecc_ir::target::Target;

pub(super) fn plan(kernel: &Kernel, target: &Target) -> Option<Schedule> {
    let is_local = |role| role == Role::Local;
    let shares = !kernel.rows.is_empty() || kernel.operands.values().any(|o| is_local(o.role));
    let reduces = kernel.stages.iter().any(|s| s.reduce.is_some());
    if kernel.stages.len() < 2 || shares || !reduces {
        return None;
    }
    let alone = |stage: &Stage| Kernel { stages: vec![stage.clone()], ..kernel.clone() };
    let plan = |stage| {
        let kernel = alone(stage);
        (strategy_for(&kernel, target, Class::Exact).plan)(&kernel, target)
    };
    let mut whole = Schedule::default();
    for part in kernel.stages.iter().filter_map(plan) {
        whole.order.extend(part.order);
        whole.tile.extend(part.tile);
        whole.vector.extend(part.vector);
        whole.unroll.extend(part.unroll);
        whole.peel.extend(part.peel);
        whole.pack.extend(part.pack);
    }
    whole.pack.retain(|pack: &Pack| readers(kernel, pack.operand) == 1);
    Some(whole)
}

/// Stages that read an operand; one that several read has one order for all.
fn readers(kernel: &Kernel, operand: OperandId) -> usize {
    let reads = |s: &&Stage| s.all_reads().any(|r| r.operand == operand);
    kernel.stages.iter().filter(reads).count()
}
