//! Reductions along a contiguous axis, and kernels of several stages over rows: whole vectors along
//! the row in every stage.
//!
//! A reduction has several vectors of accumulators, which hide the latency of the addition. A sum
//! of products of two rows has one vector for each point of a small tile instead, whose points
//! share the loads. Either order of summation differs from the kernel's.

use super::contraction;
use super::cost;
use super::facts;
use edgecc_ir::kernel::schedule::Schedule;
use edgecc_ir::kernel::{Access, AxisId, Kernel, Outside, Role, Stage};
use edgecc_ir::target::Target;

/// Vectors of accumulators, and vectors per iteration of a map.
const VECTORS: u32 = 4;
/// Points of the last two parallel axes that a sum of products computes together.
const TILE: [u32; 2] = [2, 4];

pub(super) fn plan(kernel: &Kernel, target: &Target) -> Option<Schedule> {
    let reduced: Vec<Option<(AxisId, u32)>> =
        kernel.stages.iter().map(|s| reduced_axis(kernel, s, target)).collect();
    reduced.iter().any(Option::is_some).then(|| {
        let mut schedule = plan_in_order(kernel, target).unwrap_or_default();
        for (stage, (axis, lanes)) in kernel.stages.iter().zip(&reduced).filter_map(zipped) {
            let vectors = (kernel.extent(axis) as u32 / lanes).clamp(1, VECTORS);
            schedule.vector.push((axis, lanes));
            match shares_loads(kernel, stage) {
                true => {
                    schedule.tile.push((axis, lanes));
                    schedule.tile.extend(point_tile(kernel, stage));
                }
                false => schedule.tile.push((axis, lanes * vectors)),
            }
        }
        schedule
    })
}

/// The maps of a kernel whose stages share locals; reductions keep their order.
pub(super) fn plan_in_order(kernel: &Kernel, target: &Target) -> Option<Schedule> {
    if !kernel.operands.values().any(|o| o.role == Role::Local) {
        return None;
    }
    let maps = kernel.stages.iter().filter(|s| s.reduce.is_none());
    let axis = |s: &Stage| {
        let found = facts::vector_axis(kernel, s, target);
        found.filter(|(axis, _)| !kernel.rows.contains(axis))
    };
    let vector = facts::distinct(maps.filter_map(axis));
    let tile = vector.iter().map(|&(axis, lanes)| {
        (axis, lanes * (kernel.extent(axis) as u32 / lanes).clamp(1, VECTORS))
    });
    let tile = tile.collect();
    Some(Schedule { tile, vector, ..Schedule::default() })
}

fn zipped<'s>(
    (stage, axis): (&'s Stage, &Option<(AxisId, u32)>),
) -> Option<(&'s Stage, (AxisId, u32))> {
    axis.map(|axis| (stage, axis))
}

/// The reduce axis along which every read of the body is contiguous or constant, with lanes.
fn reduced_axis(kernel: &Kernel, stage: &Stage, target: &Target) -> Option<(AxisId, u32)> {
    let axis = facts::innermost_reduce(kernel, stage)?;
    let lanes = cost::best_lanes(kernel.extent(axis), target)?;
    let inside = stage.reads.iter().all(|r| r.outside == Outside::Never);
    let constant_weights = facts::product_sum(stage)
        .is_some_and(|sides| sides.iter().flatten().any(|read| facts::is_const(kernel, read)));
    let better = facts::vector_axis(kernel, stage, target)
        .is_some_and(|(along, _)| runs_along(kernel, stage, along))
        || contraction::plan(kernel, target).is_some_and(|plan| !plan.pack.is_empty());
    let whole_lanes = stage.reduce.as_ref().is_some_and(|r| r.init.elem().bytes() == 4);
    let fits = runs_along(kernel, stage, axis)
        && whole_lanes
        && inside
        && !constant_weights
        && !better
        && facts::fits_lanes(kernel, stage);
    fits.then_some((axis, lanes))
}

/// Whether each read moves by nothing or by what it reads for one step of an axis, and some by that.
fn runs_along(kernel: &Kernel, stage: &Stage, axis: AxisId) -> bool {
    let moves = |read: &Access, by: usize| kernel.stride(read, axis) == Some(by as i64);
    let is_next = |read: &Access| moves(read, kernel.width(read));
    let stays_or_is_next = |read: &Access| moves(read, 0) || is_next(read);
    stage.reads.iter().any(is_next) && stage.reads.iter().all(stays_or_is_next)
}

/// Whether neighbouring points read the same rows.
fn shares_loads(kernel: &Kernel, stage: &Stage) -> bool {
    let ignored = |a| stage.reads.iter().any(|r| !facts::follows(kernel, r, a));
    facts::product_sum(stage).is_some() && kernel.parallel_axes(stage).any(ignored)
}

fn point_tile(kernel: &Kernel, stage: &Stage) -> Vec<(AxisId, u32)> {
    let inner = |a: &AxisId| !kernel.rows.contains(a);
    let parallel: Vec<AxisId> = kernel.parallel_axes(stage).filter(inner).collect();
    let tiled = parallel.into_iter().rev().zip(TILE.into_iter().rev());
    tiled.map(|(a, points)| (a, points.min(kernel.extent(a) as u32))).collect()
}
