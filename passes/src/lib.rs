//! # Room: edgecc-passes
//!
//! Purpose   rewriting, scheduling, lowering and memory planning.
//! In → Out  Graph → Graph → Kernels → Kernels → Kernels with schedules → Loops → Loops with a plan. Pure.
//! Owns      rewrite rules, cost, schedules' heuristics, the order of calls, the arena's layout.
//! Never     emits code, sees a protobuf, reads the clock.
//! To add    a rewrite rule: one row in `eqsat/rules/<topic>.rs`. A pass: one file and one row in its
//!           level's table. A scheduling strategy: one file and one row in `schedule`.
//! Tests     `mod tests` in each file; `tests/passes/<pass>` at the top level.

mod code;
pub mod coded_weights;
pub mod codes;
pub mod dots;
pub mod eqsat;
pub mod form_kernels;
pub mod graph;
pub mod half_weights;
mod library;
pub mod loops;
pub mod lower_to_loops;
pub mod manager;
mod new_operand;
pub mod plan;
pub mod quantize;
mod rebind;
pub mod recognise;
pub mod schedule;
pub mod winograd;

pub use code::Code;
