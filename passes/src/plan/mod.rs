//! Memory planning: places all arena buffers in one arena of nearly the least possible size.
//!
//! Reading order: `line` (order of uses), `live` (lifetimes), `alias` (in-place execution), `place`
//! (offsets); `order` changes the step sequence before planning, `state` makes room for what a
//! caller keeps between runs; `check` proves a plan without sharing code.

mod alias;
pub mod check;
mod early;
mod line;
mod live;
pub mod order;
mod place;
pub mod state;

use cranelift_entity::SecondaryMap;
use edgecc_ir::loops::Loops;
use edgecc_ir::plan::{MemoryPlan, Slot};
use live::{Storage, peak, storages};

/// A cache line: slots start at one, so that vectors never straddle two by misalignment.
pub const ALIGN: usize = 64;

/// Plans the arena for the program in its order; `align` is a power of two, usually `ALIGN`.
#[must_use]
pub fn plan(loops: &Loops, align: usize) -> MemoryPlan {
    let storages = storages(loops, &line::line(loops));
    let offsets = place::place(&storages, align);
    let mut slots = SecondaryMap::new();
    for (storage, &offset) in storages.iter().zip(&offsets) {
        for &buffer in &storage.buffers {
            slots[buffer] = Some(Slot { offset, bytes: storage.bytes });
        }
    }
    let ends = storages.iter().zip(&offsets).map(|(s, offset)| offset + s.bytes);
    MemoryPlan {
        arena_bytes: ends.max().unwrap_or(0).next_multiple_of(align),
        align,
        lower_bound: peak(&storages),
        slots,
        shared: storages.iter().flat_map(replacements).collect(),
    }
}

fn replacements(
    storage: &Storage,
) -> impl Iterator<Item = (edgecc_ir::kernel::BufferId, edgecc_ir::kernel::BufferId)> + '_ {
    storage.buffers.windows(2).map(|pair| (pair[0], pair[1]))
}

#[cfg(test)]
mod testing;

#[cfg(test)]
mod tests {
    use super::check::check;
    use super::testing::{Random, chain, random_program};
    use super::{ALIGN, plan};
    use edgecc_ir::loops::Loops;
    use edgecc_ir::loops::interp::run;
    use edgecc_ir::loops::verify::verify;
    use edgecc_ir::tensor::Tensor;

    fn planned(mut loops: Loops, align: usize) -> Loops {
        loops.plan = Some(plan(&loops, align));
        loops
    }

    #[test]
    fn random_programs_are_planned_without_overlap_near_the_bound() {
        let (mut total, mut bound) = (0, 0);
        for seed in 0..2000 {
            let count = 2 + seed as usize % 40;
            let loops = planned(random_program(&mut Random(seed), count), 4);
            assert_eq!((check(&loops), verify(&loops, None)), (Ok(()), Ok(())), "seed {seed}");
            let plan = loops.plan.expect("planned");
            assert!(plan.arena_bytes >= plan.lower_bound, "seed {seed}");
            total += plan.arena_bytes;
            bound += plan.lower_bound;
        }
        assert!(total * 100 <= bound * 102, "{total} bytes for a bound of {bound}");
    }

    #[test]
    fn a_planned_program_computes_the_same() {
        let input = [Tensor::from_f32s(&[8], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])];
        for seed in 0..200 {
            let loops = random_program(&mut Random(seed), 12);
            let want = run(&loops, &input);
            assert_eq!(run(&planned(loops, ALIGN), &input), want, "seed {seed}");
        }
    }

    #[test]
    fn an_element_wise_chain_needs_one_slot() {
        let loops = chain(&[8, 8, 8, 8, 8], &[&[0, 1], &[1, 2], &[2, 3], &[3, 4]]);
        let plan = plan(&loops, ALIGN);
        assert_eq!((plan.arena_bytes, plan.lower_bound), (64, 32));
        assert_eq!(plan.shared.len(), 2);
    }

    #[test]
    fn an_operand_that_is_read_later_is_not_overwritten() {
        let loops = chain(&[8, 8, 8, 8], &[&[0, 1], &[1, 2], &[1, 2, 3]]);
        assert_eq!(plan(&loops, ALIGN).shared, []);
    }
}
