//! # Room: edgecc-ir
//!
//! Purpose   the three levels of the compiler's IR and what they mean.
//! In → Out  nothing to nothing: data, verifiers, text form, reference evaluators.
//! Owns      types, scalar arithmetic, tensor ops, kernels, loops, targets, the text grammar.
//! Never     chooses: no rewriting, scheduling, planning. No I/O, no ONNX, no egg, no Cranelift.
//! To add    a tensor op: one file and one row in `graph/ops`. A scalar function: one row in
//!           `scalar/func.rs`. A target: one row in `target.rs`.
//! Tests     `mod tests` in each file; `tests/text`, `tests/verify` at the top level.

pub mod affine;
pub mod diag;
pub mod graph;
pub mod index;
pub mod kernel;
pub mod loc;
pub mod loops;
pub mod plan;
pub mod program;
pub mod rng;
pub mod scalar;
pub mod state;
pub mod suggest;
pub mod target;
pub mod tensor;
pub mod text;
pub mod types;
