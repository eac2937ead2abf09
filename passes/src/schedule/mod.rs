//! Kernels → Kernels with schedules: the first strategy that applies plans the loops.
//!
//! Strategies ask about the shape of the access (`facts`), never about ops. Needs: canonical
//! kernels. The last strategy always applies.

mod contraction;
mod cost;
mod elementwise;
mod facts;
mod window;

use edgecc_ir::kernel::schedule::Schedule;
use edgecc_ir::kernel::{Kernel, Kernels};
use edgecc_ir::target::Target;

/// A way to run a kind of kernel.
#[derive(Debug)]
pub struct Strategy {
    /// Name in remarks and reports.
    pub name: &'static str,
    /// What it is for, in one line.
    pub doc: &'static str,
    /// The schedule, or `None` where the strategy does not apply.
    pub plan: fn(&Kernel, &Target) -> Option<Schedule>,
}

/// All strategies in the order in which they are tried.
pub const STRATEGIES: &[Strategy] = &[
    Strategy {
        name: "contraction",
        doc: "sum of products where one factor depends on the vector axis and the other does not",
        plan: contraction::plan,
    },
    Strategy {
        name: "window",
        doc: "reduction in which the vector axis is parallel and all reads follow it",
        plan: window::plan,
    },
    Strategy {
        name: "elementwise",
        doc: "no reduction, results consecutive in memory",
        plan: elementwise::plan,
    },
    Strategy { name: "scalar", doc: "one point at a time", plan: |_, _| Some(Schedule::default()) },
];

/// The strategy that applies to a kernel.
#[must_use]
pub fn strategy_for(kernel: &Kernel, target: &Target) -> &'static Strategy {
    let applies = |s: &&Strategy| (s.plan)(kernel, target).is_some();
    STRATEGIES.iter().find(applies).expect("the scalar strategy always applies")
}

/// Gives each kernel without a schedule the first applicable strategy's plan.
pub fn schedule(kernels: &mut Kernels, target: &Target) {
    for kernel in kernels.kernels.values_mut().filter(|k| k.schedule.is_none()) {
        kernel.schedule = STRATEGIES.iter().find_map(|s| (s.plan)(kernel, target));
    }
}
