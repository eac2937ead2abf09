//! `planner`: the plan of a random program passes its checker, is near its bound, and reordering
//! never raises the bound.

use crate::graphs::random_graph;
use crate::rng_of;
use edgecc_ir::loops::Loops;
use edgecc_ir::target::{Arch, Target};
use edgecc_passes::eqsat::rule::Class;
use edgecc_passes::plan::{ALIGN, check, order, plan};
use edgecc_passes::schedule::parts::{Division, divide};
use edgecc_passes::{form_kernels, lower_to_loops, schedule};

/// Plans the program of a random graph, in the given and in the improved order.
///
/// # Panics
/// When a plan is wrong.
pub fn run(data: &[u8]) {
    let mut rng = rng_of(data);
    let ops = rng.between(2, 24);
    let case = random_graph(&mut rng, ops);
    let target = Target::default_for(Arch::Aarch64);
    let mut kernels = form_kernels::form_kernels(&case.graph);
    schedule::schedule(&mut kernels, &target, Class::Reassoc);
    let division = Division { parts: 1 + rng.below(4) as u32, grain: 1 };
    divide(&mut kernels, &target, division);
    let mut loops = lower_to_loops::lower(&kernels, &target);
    let before = planned(&mut loops);
    order::reorder(&mut loops);
    let after = planned(&mut loops);
    assert!(after <= before, "reordering raised the bound from {before} to {after}");
}

/// Plans, checks, and gives the bound.
fn planned(loops: &mut Loops) -> usize {
    let made = plan(loops, ALIGN);
    let bound = made.lower_bound;
    loops.plan = Some(made);
    assert_eq!(check::check(loops), Ok(()));
    bound
}
