//! The integration tests: one binary, one module per subject.

mod cli;
mod codegen;
mod determinism;
mod fuzz;
mod link;
mod models;
mod passes;
mod pipeline;
mod stream;
mod support;
mod text;
mod tidy;
mod verify;
