//! Proves a memory plan by walking the steps; shares no code with the planner.
//!
//! **P1** buffers that hold data in the same step do not overlap, but for a pair of `shared` in the
//! step that reads one for the last time and writes the other over it. **P2** slots are aligned,
//! large enough and inside the arena.

use edgecc_ir::diag::Violation;
use edgecc_ir::kernel::{BufferId, Home};
use edgecc_ir::loops::{Loops, Step};
use edgecc_ir::plan::{MemoryPlan, Slot};
use std::collections::{BTreeMap, BTreeSet};

/// Checks P1 and P2 of `loops.plan`; a program without a plan has nothing to check.
///
/// # Errors
/// Every violation found.
pub fn check(loops: &Loops) -> Result<(), Vec<Violation>> {
    let Some(plan) = &loops.plan else { return Ok(()) };
    let mut found = Vec::new();
    let slots = slots(loops, plan, &mut found);
    let mut remaining = use_counts(loops);
    let mut live: BTreeSet<BufferId> = BTreeSet::new();
    for (n, step) in loops.steps.iter().enumerate() {
        let Step::Call { args, .. } = step;
        for &buffer in args.iter().filter(|b| slots.contains_key(b)) {
            if live.insert(buffer) {
                let others = live.iter().filter(|&&other| other != buffer);
                let clashes = others.filter(|&&other| overlap(slots[&other], slots[&buffer]));
                let unsafe_ones =
                    clashes.filter(|&&other| !replaces(plan, &remaining, args, other, buffer));
                found.extend(unsafe_ones.map(|other| {
                    let message = format!("{buffer} overlaps {other}, which is still in use");
                    Violation::new("P1", format!("step {n}"), message)
                }));
            }
        }
        for buffer in args {
            let left = remaining.get_mut(buffer).expect("counted before");
            *left -= 1;
            if *left == 0 {
                live.remove(buffer);
            }
        }
    }
    if found.is_empty() { Ok(()) } else { Err(found) }
}

/// The slots of used arena buffers; reports P2.
fn slots(loops: &Loops, plan: &MemoryPlan, found: &mut Vec<Violation>) -> BTreeMap<BufferId, Slot> {
    let mut slots = BTreeMap::new();
    for buffer in use_counts(loops).into_keys() {
        let info = &loops.buffers[buffer];
        if info.home != Home::Arena {
            continue;
        }
        let Some(slot) = plan.slots[buffer] else {
            found.push(Violation::new("P2", buffer.to_string(), "the buffer has no slot"));
            continue;
        };
        let inside = slot.offset + slot.bytes <= plan.arena_bytes;
        if !inside || slot.offset % plan.align != 0 || slot.bytes < info.ty.bytes() {
            let message = format!("{slot:?} does not hold {} in the arena", info.ty);
            found.push(Violation::new("P2", buffer.to_string(), message));
        }
        slots.insert(buffer, slot);
    }
    slots
}

fn use_counts(loops: &Loops) -> BTreeMap<BufferId, usize> {
    let mut counts = BTreeMap::new();
    for Step::Call { args, .. } in &loops.steps {
        args.iter().for_each(|&buffer| *counts.entry(buffer).or_insert(0) += 1);
    }
    counts
}

fn overlap(a: Slot, b: Slot) -> bool {
    a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes
}

/// Whether the plan says that `new`, born in a step with these arguments, replaces `old` in exactly
/// its place, and the step holds all remaining uses of `old`.
fn replaces(
    plan: &MemoryPlan,
    remaining: &BTreeMap<BufferId, usize>,
    args: &[BufferId],
    old: BufferId,
    new: BufferId,
) -> bool {
    let here = args.iter().filter(|&&a| a == old).count();
    plan.shared.contains(&(old, new))
        && plan.slots[old] == plan.slots[new]
        && here == remaining[&old]
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::plan::testing::chain;
    use crate::plan::{ALIGN, plan};
    use edgecc_ir::kernel::BufferId;
    use edgecc_ir::loops::Loops;
    use edgecc_ir::plan::MemoryPlan;

    /// `0 -> 1 -> 2` and `1, 2 -> 3`, planned and then changed.
    fn messages(change: impl FnOnce(&mut MemoryPlan)) -> Vec<String> {
        let mut loops: Loops = chain(&[8, 8, 8, 8], &[&[0, 1], &[1, 2], &[1, 2, 3]]);
        let mut plan = plan(&loops, ALIGN);
        change(&mut plan);
        loops.plan = Some(plan);
        let found = check(&loops).err().unwrap_or_default();
        found.iter().map(ToString::to_string).collect()
    }

    fn slot(plan: &mut MemoryPlan, buffer: u32) -> &mut edgecc_ir::plan::Slot {
        plan.slots[BufferId::from_u32(buffer)].as_mut().expect("an arena buffer")
    }

    #[test]
    fn a_plan_passes() {
        assert!(messages(|_| {}).is_empty());
    }

    #[test]
    fn p1_live_buffers_do_not_overlap() {
        let found = messages(|plan| {
            let first = *slot(plan, 1);
            *slot(plan, 2) = first;
        });
        assert_eq!(found, ["P1 at step 1: b2 overlaps b1, which is still in use"]);
    }

    #[test]
    fn p1_a_shared_buffer_is_dead_afterwards() {
        let found = messages(|plan| {
            let first = *slot(plan, 1);
            *slot(plan, 2) = first;
            plan.shared.push((BufferId::from_u32(1), BufferId::from_u32(2)));
        });
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn p2_slots_are_aligned_and_inside() {
        assert!(messages(|plan| slot(plan, 1).offset += 4).iter().any(|m| m.starts_with("P2")));
        assert!(messages(|plan| plan.arena_bytes = 16).iter().any(|m| m.starts_with("P2")));
        assert!(messages(|plan| slot(plan, 2).bytes = 4).iter().any(|m| m.starts_with("P2")));
        let missing = messages(|plan| plan.slots[BufferId::from_u32(1)] = None);
        assert_eq!(missing, ["P2 at b1: the buffer has no slot"]);
    }
}
