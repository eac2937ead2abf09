//! Proves a memory plan by running the program's memory; shares no code with the planner.
//!
//! **P1** what a call reads from a buffer was not overwritten by another buffer since it was
//! written, and a call writes over what it reads only where `shared` has the pair. **P2** slots are
//! aligned, large enough and inside the arena.
//!
//! The parts of a call are one call: what they read and write is the same. A repetition runs twice, with its first and its last count: the second time meets all that one
//! iteration leaves to the next. The blocks of a choice run one after the other, which no plan can
//! do better than running one of them.

use edgecc_ir::diag::Violation;
use edgecc_ir::kernel::{BufferId, Home};
use edgecc_ir::loops::{FuncId, Loops, ParamAccess};
use edgecc_ir::plan::{MemoryPlan, Slot};
use edgecc_ir::program::{Call, CounterId, Parallel, Place, Repeat, Step};
use std::collections::{BTreeMap, BTreeSet};

/// Checks P1 and P2 of `loops.plan`; a program without a plan has nothing to check.
///
/// # Errors
/// Every violation found.
pub fn check(loops: &Loops) -> Result<(), Vec<Violation>> {
    let Some(plan) = &loops.plan else { return Ok(()) };
    let mut found = BTreeSet::new();
    let slots = slots(loops, plan, &mut found);
    let (owners, again) = (BTreeMap::new(), BTreeSet::new());
    let mut memory = Memory { loops, plan, slots, owners, again, calls: 0, found };
    memory.block(&loops.program.steps);
    let violations = memory.found.into_iter().map(|(id, at, why)| Violation::new(id, at, why));
    let violations: Vec<Violation> = violations.collect();
    if violations.is_empty() { Ok(()) } else { Err(violations) }
}

/// Invariant, place and message; each once, however often its place runs.
type Found = BTreeSet<(&'static str, String, String)>;

/// The arena of a run.
struct Memory<'a> {
    loops: &'a Loops,
    plan: &'a MemoryPlan,
    slots: BTreeMap<BufferId, Slot>,
    /// For each buffer that was written, the one that overwrote it, if any.
    owners: BTreeMap<BufferId, Option<BufferId>>,
    /// Counters of the enclosing repetitions that are past their first iteration.
    again: BTreeSet<CounterId>,
    /// The number of the next call.
    calls: usize,
    found: Found,
}

impl Memory<'_> {
    fn block(&mut self, steps: &[Step<FuncId>]) {
        for step in steps {
            step.test().into_iter().for_each(|test| self.read(test));
            match step {
                Step::Call(call) | Step::Parallel(Parallel { call, .. }) => self.call(call),
                Step::Repeat(repeat) => self.repeat(repeat),
                Step::If(branch) => {
                    self.block(&branch.then);
                    self.block(&branch.otherwise);
                }
            }
        }
    }

    fn repeat(&mut self, repeat: &Repeat<FuncId>) {
        let first = self.calls;
        self.block(&repeat.body);
        if self.loops.program.counters[repeat.counter] > 1 {
            self.calls = first;
            self.again.insert(repeat.counter);
            repeat.test.iter().for_each(|test| self.read(test));
            self.block(&repeat.body);
            self.again.remove(&repeat.counter);
        }
        repeat.test.iter().for_each(|test| self.read(test));
    }

    fn call(&mut self, call: &Call<FuncId>) {
        let params = self.loops.funcs[call.callee].params.values();
        let bound: Vec<(ParamAccess, &Place)> =
            params.map(|param| param.access).zip(&call.args).collect();
        let places = |writes| bound.iter().filter(move |b| b.0.writes() == writes).map(|b| b.1);
        places(false).for_each(|place| self.read(place));
        for place in places(true) {
            places(false).for_each(|old| self.in_place(old.buffer, place.buffer));
            self.write(place);
        }
        places(true).for_each(|place| self.read(place));
        self.calls += 1;
    }

    fn report(&mut self, message: String) {
        self.found.insert(("P1", format!("call {}", self.calls), message));
    }

    fn read(&mut self, place: &Place) {
        let buffer = place.buffer;
        if let Some(Some(owner)) = self.owners.get(&buffer) {
            self.report(format!("{buffer} was overwritten by {owner} and is still in use"));
        }
    }

    /// Takes the memory of all other buffers in it. A part that is not the first one of a buffer
    /// relies on the parts before it.
    fn write(&mut self, place: &Place) {
        let buffer = place.buffer;
        let Some(&slot) = self.slots.get(&buffer) else { return };
        if place.offset.terms().iter().any(|(counter, _)| self.again.contains(counter)) {
            self.read(place);
        }
        for (other, owner) in &mut self.owners {
            if *other != buffer && overlap(self.slots[other], slot) {
                *owner = Some(buffer);
            }
        }
        self.owners.insert(buffer, None);
    }

    /// Reports a call that reads `old` and writes `new` over it without the plan's consent.
    fn in_place(&mut self, old: BufferId, new: BufferId) {
        let (Some(&a), Some(&b)) = (self.slots.get(&old), self.slots.get(&new)) else { return };
        let agreed = a == b && self.plan.shared.contains(&(old, new));
        if old != new && overlap(a, b) && !agreed {
            self.report(format!("{new} overlaps {old}, which the call reads"));
        }
    }
}

/// The slots of used arena buffers; reports P2.
fn slots(loops: &Loops, plan: &MemoryPlan, found: &mut Found) -> BTreeMap<BufferId, Slot> {
    let mut slots = BTreeMap::new();
    let calls = loops.program.calls();
    let used: BTreeSet<BufferId> =
        calls.iter().flat_map(|(call, _)| call.args.iter().map(|place| place.buffer)).collect();
    for buffer in used {
        let info = &loops.buffers[buffer];
        if info.home != Home::Arena {
            continue;
        }
        let Some(slot) = plan.slots[buffer] else {
            found.insert(("P2", buffer.to_string(), "the buffer has no slot".to_owned()));
            continue;
        };
        let inside = slot.offset + slot.bytes <= plan.arena_bytes;
        if !inside || slot.offset % plan.align != 0 || slot.bytes < info.ty.bytes() {
            let message = format!("{slot:?} does not hold {} in the arena", info.ty);
            found.insert(("P2", buffer.to_string(), message));
        }
        slots.insert(buffer, slot);
    }
    slots
}

fn overlap(a: Slot, b: Slot) -> bool {
    a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::plan::testing::chain;
    use crate::plan::{ALIGN, plan};
    use edgecc_ir::kernel::BufferId;
    use edgecc_ir::loops::Loops;
    use edgecc_ir::plan::MemoryPlan;
    use edgecc_ir::program::{Repeat, Step};

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
        assert_eq!(
            found,
            [
                "P1 at call 1: b2 overlaps b1, which the call reads",
                "P1 at call 2: b1 was overwritten by b2 and is still in use",
            ]
        );
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

    /// `0 -> 1`, then five times `1 -> 2 -> 3`, then `3 -> 4`.
    fn repeated() -> Loops {
        let mut loops = chain(&[8; 5], &[&[0, 1], &[1, 2], &[2, 3], &[3, 4]]);
        let counter = loops.program.counters.push(5);
        let body = loops.program.steps.splice(1..3, []).collect();
        let all = Step::Repeat(Repeat { counter, test: None, body });
        loops.program.steps.insert(1, all);
        loops
    }

    #[test]
    fn p1_what_an_iteration_reads_lives_through_the_others() {
        let mut loops = repeated();
        let mut made = plan(&loops, ALIGN);
        loops.plan = Some(made.clone());
        assert_eq!(check(&loops), Ok(()));
        let first = *slot(&mut made, 1);
        *slot(&mut made, 3) = first;
        loops.plan = Some(made);
        let found = check(&loops).expect_err("the second iteration reads what the first overwrote");
        let messages: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(messages, ["P1 at call 1: b1 was overwritten by b3 and is still in use"]);
    }
}
