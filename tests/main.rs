//! The integration tests: one binary, one module per subject.

mod cli;
mod codegen;
mod codes;
mod determinism;
mod examples;
mod fuzz;
mod link;
mod models;
mod passes;
mod pipeline;
mod sizes;
mod strategies;
mod stream;
mod support;
mod text;
mod tidy;
mod verify;
