//! States: values that a model keeps from one run to the next.
//!
//! To the program a state is an input and an output, in memory of their own; between runs the
//! output becomes the input. Only the plan and the backend know that the caller keeps one memory
//! for both.

use crate::tensor::Tensor;

/// An input and the output of equal type that replaces it after a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Position among the program's inputs.
    pub input: u32,
    /// Position among the program's outputs.
    pub output: u32,
    /// The value before the first run; zeros if absent.
    pub initial: Option<Tensor>,
}
