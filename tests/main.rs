//! The integration tests: one binary, one module per subject.

mod cli;
mod passes;
mod text;
mod tidy;
mod verify;
