//! The integration tests: one binary, one module per subject.

mod cli;
mod fuzz;
mod passes;
mod text;
mod tidy;
mod verify;
