//! Kernels → Kernels with schedules: the first strategy that applies plans the loops.
//!
//! Strategies ask about the shape of the access (`facts`), never about ops. Needs: canonical
//! kernels. The last strategy always applies.

pub mod choices;
pub(crate) mod contraction;
pub(crate) mod cost;
mod elementwise;
mod facts;
mod matrix;
pub mod parts;
pub mod records;
mod row;
mod stages;
mod window;

use crate::eqsat::rule::Class;
pub(crate) use contraction::cycles_saved_in_tiles;
use edgecc_ir::kernel::schedule::Schedule;
use edgecc_ir::kernel::{Kernel, Kernels};
use edgecc_ir::target::Target;
pub(crate) use facts::instructions;

/// A way to run a kind of kernel.
#[derive(Debug)]
pub struct Strategy {
    /// Name in remarks and reports.
    pub name: &'static str,
    /// What it is for, in one line.
    pub doc: &'static str,
    /// What it may change of the result.
    pub class: Class,
    /// The schedule, or `None` where the strategy does not apply.
    pub plan: fn(&Kernel, &Target) -> Option<Schedule>,
}

/// All strategies in the order in which they are tried.
pub const STRATEGIES: &[Strategy] = &[
    Strategy {
        name: "stages",
        doc: "several stages, contractions or windows among them, each as it would run alone",
        class: Class::Reassoc,
        plan: stages::plan,
    },
    Strategy {
        name: "stages-in-order",
        doc: "the same, each reduction in its order",
        class: Class::Exact,
        plan: stages::plan_in_order,
    },
    Strategy {
        name: "row",
        doc: "reductions and maps of contiguous rows, or products of such rows",
        class: Class::Reassoc,
        plan: row::plan,
    },
    Strategy {
        name: "row-in-order",
        doc: "reductions and maps over rows, each reduction in its order",
        class: Class::Exact,
        plan: row::plan_in_order,
    },
    Strategy {
        name: "contraction",
        doc: "sum of products where one factor depends on the vector axis and the other does not",
        class: Class::Exact,
        plan: contraction::plan,
    },
    Strategy {
        name: "window",
        doc: "reduction in which the vector axis is parallel and all reads follow it",
        class: Class::Exact,
        plan: window::plan,
    },
    Strategy {
        name: "elementwise",
        doc: "no reduction, results consecutive in memory",
        class: Class::Exact,
        plan: elementwise::plan,
    },
    Strategy {
        name: "scalar",
        doc: "one point at a time",
        class: Class::Exact,
        plan: |_, _| Some(Schedule::default()),
    },
];

/// The first strategy up to a class that applies to a kernel, and its plan.
fn plan_for(kernel: &Kernel, target: &Target, allowed: Class) -> (&'static Strategy, Schedule) {
    let mut strategies = STRATEGIES.iter().filter(|s| s.class <= allowed);
    let plan = |s: &'static Strategy| Some((s, (s.plan)(kernel, target)?));
    strategies.find_map(plan).expect("the scalar strategy always applies")
}

/// The schedule that a kernel has unless another one is asked for, whole.
#[must_use]
pub fn planned(kernel: &Kernel, target: &Target, allowed: Class) -> Schedule {
    plan_for(kernel, target, allowed).1
}

/// The first strategy up to a class that applies to a kernel.
#[must_use]
pub fn strategy_for(kernel: &Kernel, target: &Target, allowed: Class) -> &'static Strategy {
    plan_for(kernel, target, allowed).0
}

/// Gives each structured kernel without a schedule the plan of the first applicable strategy up to a
/// class. Returns the strategies in the order of the kernels, none for a kernel left alone.
pub fn schedule(
    kernels: &mut Kernels,
    target: &Target,
    allowed: Class,
) -> Vec<Option<&'static Strategy>> {
    let mut plan = |kernel: &mut Kernel| {
        let is_open = !kernel.stages.is_empty() && kernel.schedule.is_none();
        let (strategy, schedule) = is_open.then(|| plan_for(kernel, target, allowed))?;
        kernel.schedule = Some(schedule);
        Some(strategy)
    };
    kernels.kernels.values_mut().map(&mut plan).collect()
}
