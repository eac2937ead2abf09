//! Stages that are large enough each to run as they would alone: the parts of one result, or the
//! maker and the user of a block of a value. Stages that share axes run in one nest and have small
//! tiles, as each of them has values at each point.

use super::{contraction, plan_for, window};
use crate::eqsat::rule::Class;
use edgecc_ir::affine::Affine;
use edgecc_ir::kernel::matrix;
use edgecc_ir::kernel::schedule::{Pack, Schedule};
use edgecc_ir::kernel::{AxisId, Index, Kernel, OperandId, Role, Stage};
use edgecc_ir::target::Target;

pub(super) fn plan(kernel: &Kernel, target: &Target) -> Option<Schedule> {
    plan_up_to(kernel, target, Class::Reassoc)
}

/// With the strategies that keep the order of each reduction.
pub(super) fn plan_in_order(kernel: &Kernel, target: &Target) -> Option<Schedule> {
    plan_up_to(kernel, target, Class::Exact)
}

/// In matrix tiles if they suit all stages together.
fn plan_up_to(kernel: &Kernel, target: &Target, class: Class) -> Option<Schedule> {
    let planned = merged(kernel, target, class)?;
    if matrix::suits(kernel, &planned) {
        return Some(planned);
    }
    merged(kernel, &Target { matrix_tiles: false, ..target.clone() }, class)
}

fn merged(kernel: &Kernel, target: &Target, class: Class) -> Option<Schedule> {
    let parts: Vec<Kernel> = kernel.stages.iter().map(|s| alone(kernel, s)).collect();
    let is_tiled = |k: &Kernel| contraction::plan(k, target).or(window::plan(k, target)).is_some();
    let reduces = |k: &Kernel| k.stages.iter().any(|s| s.reduce.is_some());
    let has_locals = kernel.operands.values().any(|o| o.role == Role::Local);
    let suits = if has_locals { parts.iter().any(is_tiled) } else { parts.iter().any(reduces) };
    if parts.len() < 2 || !suits {
        return None;
    }
    let mut whole = Schedule::default();
    for part in parts.iter().map(|part| plan_for(part, target, class).1) {
        let axis = |&(axis, _): &(AxisId, u32)| axis;
        add(&mut whole.order, part.order, |&axis| axis);
        add(&mut whole.tile, part.tile, axis);
        add(&mut whole.vector, part.vector, axis);
        add(&mut whole.unroll, part.unroll, axis);
        add(&mut whole.peel, part.peel, |&axis| axis);
        add(&mut whole.matrix, part.matrix, axis);
        whole.pack.extend(part.pack);
    }
    for (axis, tile) in &mut whole.tile {
        if kernel.stages.iter().filter(|s| s.axes.contains(axis)).count() > 1 {
            *tile = whole.vector.iter().find(|v| v.0 == *axis).map_or(*tile, |v| v.1);
        }
    }
    let is_const = |pack: &Pack| kernel.operands[pack.operand].role == Role::Const;
    whole.pack.retain(|pack| !is_const(pack) || readers(kernel, pack.operand) == 1);
    Some(whole)
}

/// Adds clauses about axes that have none yet: stages that share axes are alike.
fn add<T>(all: &mut Vec<T>, new: Vec<T>, axis: impl Fn(&T) -> AxisId) {
    for clause in new {
        if all.iter().all(|known| axis(known) != axis(&clause)) {
            all.push(clause);
        }
    }
}

/// One stage at a point of the row axes, with locals in memory like everything else.
fn alone(kernel: &Kernel, stage: &Stage) -> Kernel {
    let mut stage = stage.clone();
    let is_row = |a: &AxisId| kernel.rows.contains(a);
    stage.axes.retain(|a| !is_row(a));
    let Stage { reads, epilogue_reads, write, .. } = &mut stage;
    let accesses = reads.iter_mut().chain(epilogue_reads).chain([&mut *write]);
    for affine in accesses.flat_map(|a| &mut a.index).flat_map(Index::affines_mut) {
        *affine = affine.substitute(|a| match is_row(&a) {
            true => Affine::constant(0),
            false => Affine::var(a),
        });
    }
    let mut operands = kernel.operands.clone();
    for (id, operand) in operands.iter_mut().filter(|(_, o)| o.role == Role::Local) {
        operand.role = if id == write.operand { Role::Write } else { Role::Read };
    }
    Kernel { operands, rows: Vec::new(), stages: vec![stage], ..kernel.clone() }
}

/// Stages that read an operand; a constant that several read has one order for all.
fn readers(kernel: &Kernel, operand: OperandId) -> usize {
    let reads = |s: &&Stage| s.all_reads().any(|r| r.operand == operand);
    kernel.stages.iter().filter(reads).count()
}
