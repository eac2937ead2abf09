//! The schedules that a kernel may have besides the planned one, for a search that measures them.
//!
//! What may be vectors and what may be packed is what some strategy would choose; sizes, lanes and
//! orders are free as far as the verifier and a bound of the code's size go.

use super::{STRATEGIES, contraction};
use crate::eqsat::rule::Class;
use edgecc_ir::kernel::schedule::{Pack, Schedule};
use edgecc_ir::kernel::verify::verify_kernel;
use edgecc_ir::kernel::{AxisId, Kernel, OperandId};
use edgecc_ir::target::Target;
use std::collections::BTreeSet;

/// Tiles of a contraction that are worth measuring.
const TILES: usize = 12;
/// Bytes of the smallest elements that fill lanes.
const LANE: usize = 4;
/// The most vectors of a tile, over all steps that are unrolled.
const MOST_VECTORS: u64 = 1024;

/// Other plans for a structured kernel: of every strategy up to a class that applies, and for the
/// next best register tiles; the most promising first.
#[must_use]
pub fn plans(kernel: &Kernel, target: &Target, allowed: Class) -> Vec<Schedule> {
    let tiles = contraction::plans(kernel, target).into_iter().take(TILES);
    let others = strategies(kernel, target, allowed);
    distinct(kernel, target, allowed, tiles.chain(others).collect())
}

/// Schedules that differ from one in a single choice.
#[must_use]
pub fn neighbours(
    kernel: &Kernel,
    of: &Schedule,
    target: &Target,
    allowed: Class,
) -> Vec<Schedule> {
    let all = [tiles(of), lanes(of), unrolled(kernel, of), orders(of), whole(of)].concat();
    distinct(kernel, target, allowed, all)
}

/// Whether a kernel may have a schedule, which does not divide it yet.
#[must_use]
pub fn suits(kernel: &Kernel, schedule: &Schedule, target: &Target, allowed: Class) -> bool {
    let plans: Vec<Schedule> = strategies(kernel, target, allowed).collect();
    suits_plans(kernel, schedule, target, &plans)
}

fn suits_plans(kernel: &Kernel, schedule: &Schedule, target: &Target, plans: &[Schedule]) -> bool {
    let vectors: BTreeSet<AxisId> = plans.iter().flat_map(|p| &p.vector).map(|v| v.0).collect();
    let packs: BTreeSet<(OperandId, AxisId)> =
        plans.iter().flat_map(|p| &p.pack).map(|pack| (pack.operand, pack.axis)).collect();
    let is_vector = |&(axis, lanes): &(AxisId, u32)| {
        let most = target.lanes(LANE);
        vectors.contains(&axis) && lanes.is_power_of_two() && (2..=most).contains(&lanes)
    };
    let is_packed = |pack: &Pack| {
        packs.contains(&(pack.operand, pack.axis)) && pack.block == schedule.tile_of(pack.axis)
    };
    let is_sound = || {
        let schedule = Some(schedule.clone());
        verify_kernel(&Kernel { schedule, ..kernel.clone() }).is_ok()
    };
    schedule.parts.is_empty()
        && (schedule.matrix.is_empty() || target.matrix_tiles)
        && schedule.vector.iter().all(is_vector)
        && schedule.pack.iter().all(is_packed)
        && vectors_at_once(schedule) <= MOST_VECTORS
        && is_sound()
}

/// Vectors of one iteration of all loops.
fn vectors_at_once(schedule: &Schedule) -> u64 {
    let tiles = schedule.tile.iter().map(|&(a, t)| u64::from(t / schedule.lanes_of(a).max(1)));
    let steps = schedule.unroll.iter().map(|u| u64::from(u.1));
    tiles.chain(steps).fold(1, |product, n| product.saturating_mul(n.max(1)))
}

fn strategies(kernel: &Kernel, target: &Target, allowed: Class) -> impl Iterator<Item = Schedule> {
    let usable = STRATEGIES.iter().filter(move |s| s.class <= allowed);
    usable.filter_map(|s| (s.plan)(kernel, target))
}

/// Those that suit the kernel, each once, blocks of packed operands as large as the tiles.
fn distinct(
    kernel: &Kernel,
    target: &Target,
    allowed: Class,
    schedules: Vec<Schedule>,
) -> Vec<Schedule> {
    let plans: Vec<Schedule> = strategies(kernel, target, allowed).collect();
    let mut found: Vec<Schedule> = Vec::new();
    for mut schedule in schedules {
        let blocks: Vec<u32> = schedule.pack.iter().map(|p| schedule.tile_of(p.axis)).collect();
        schedule.pack.iter_mut().zip(blocks).for_each(|(pack, block)| pack.block = block);
        if !found.contains(&schedule) && suits_plans(kernel, &schedule, target, &plans) {
            found.push(schedule);
        }
    }
    found
}

/// One tile larger or smaller, by a vector or by half.
fn tiles(of: &Schedule) -> Vec<Schedule> {
    let changed = |at: usize, size: u32| {
        let mut schedule = of.clone();
        schedule.tile[at].1 = size;
        schedule
    };
    let sizes = |at: usize| {
        let (axis, size) = of.tile[at];
        let lanes = of.lanes_of(axis).max(1);
        let all = [size + lanes, size.saturating_sub(lanes), size + 2 * lanes, 2 * size, size / 2];
        all.into_iter().filter(move |size| *size > 0).map(move |size| (at, size))
    };
    (0..of.tile.len()).flat_map(sizes).map(|(at, size)| changed(at, size)).collect()
}

/// Vectors of half or twice the lanes, as many as before.
fn lanes(of: &Schedule) -> Vec<Schedule> {
    let changed = |at: usize, (times, by): (u32, u32)| {
        let mut schedule = of.clone();
        let (axis, lanes) = &mut schedule.vector[at];
        let axis = *axis;
        *lanes = *lanes * times / by;
        let tile = schedule.tile.iter_mut().find(|t| t.0 == axis);
        tile.into_iter().for_each(|t| t.1 = t.1 * times / by);
        schedule
    };
    let places = 0..of.vector.len();
    places.flat_map(|at| [(1, 2), (2, 1)].map(|factor| changed(at, factor))).collect()
}

/// A reduction in longer or shorter steps.
fn unrolled(kernel: &Kernel, of: &Schedule) -> Vec<Schedule> {
    let changed = |at: usize, steps: u32| {
        let mut schedule = of.clone();
        schedule.unroll[at].1 = steps;
        schedule
    };
    let steps = |at: usize| {
        let (axis, steps) = of.unroll[at];
        let whole = kernel.axes.get(axis).map_or(1, |a| a.extent as u32);
        [1, steps / 2, steps + 1, 2 * steps, whole].map(|steps| (at, steps.max(1)))
    };
    (0..of.unroll.len()).flat_map(steps).map(|(at, steps)| changed(at, steps)).collect()
}

/// Two neighbouring loops exchanged.
fn orders(of: &Schedule) -> Vec<Schedule> {
    let exchanged = |at: usize| {
        let mut schedule = of.clone();
        schedule.order.swap(at, at + 1);
        schedule
    };
    (0..of.order.len().saturating_sub(1)).map(exchanged).collect()
}

/// Borders and interior in the same loops.
fn whole(of: &Schedule) -> Vec<Schedule> {
    let schedule = Schedule { peel: Vec::new(), ..of.clone() };
    if of.peel.is_empty() { Vec::new() } else { vec![schedule] }
}

#[cfg(test)]
mod tests {
    use super::{neighbours, plans, suits};
    use crate::eqsat::rule::Class;
    use crate::schedule::planned;
    use edgecc_ir::graph::ops::{MatMul, TensorOp};
    use edgecc_ir::kernel::{Kernel, Role};
    use edgecc_ir::target::{Arch, Target};
    use edgecc_ir::types::{ElemType, TensorType};

    fn product() -> Kernel {
        let ty = |dims| TensorType::new(ElemType::F32, dims);
        let mut kernel = MatMul::plain().kernel(&[&ty(&[24, 32]), &ty(&[32, 40])]);
        let weights = kernel.operands.keys().nth(1).expect("two factors");
        kernel.operands[weights].role = Role::Const;
        kernel
    }

    #[test]
    fn the_plan_is_the_first_choice_and_has_neighbours() {
        let (kernel, target) = (product(), Target::default_for(Arch::X86_64));
        let plan = planned(&kernel, &target, Class::Exact);
        let all = plans(&kernel, &target, Class::Exact);
        assert_eq!(all.first(), Some(&plan));
        assert!(all.len() > 5, "{all:?}");
        let near = neighbours(&kernel, &plan, &target, Class::Exact);
        assert!(near.len() > 8 && !near.contains(&plan), "{near:?}");
        let blocks = near.iter().flat_map(|s| s.pack.iter().map(|p| p.block == s.tile_of(p.axis)));
        assert!(blocks.into_iter().all(|is_equal| is_equal));
    }

    #[test]
    fn vectors_are_where_a_strategy_has_them() {
        let (kernel, target) = (product(), Target::default_for(Arch::X86_64));
        let plan = planned(&kernel, &target, Class::Exact);
        assert!(suits(&kernel, &plan, &target, Class::Exact));
        let reduce = kernel.axes.keys().nth(2).expect("the third axis reduces");
        let mut other = plan.clone();
        other.vector[0].0 = reduce;
        assert!(!suits(&kernel, &other, &target, Class::Exact));
        other = plan;
        other.vector[0].1 = 64;
        assert!(!suits(&kernel, &other, &target, Class::Exact));
    }
}
