//! # Room: edgecc-backend
//!
//! Purpose   turns scheduled, planned `Loops` into an object file, headers and metadata.
//! In → Out  (&Loops, &Target) → Artifact. Pure: no files, no clock.
//! Owns      the CLIF translation, the emitter of wide vectors, section layout, symbol names, the generated headers.
//! Never     decides: no tiling, fusing, reordering, allocation. A missing instruction is the
//!           business of `legalize`.
//! To add    a scalar function: one arm in `clif/scalar.rs`, one in `clif/legal.rs`; for wide vectors
//!           see `wide/mod.rs`. A CPU feature: one row in `isa.rs`.
//! Tests     `mod tests` in each file run compiled code on the host; `tests/codegen` at the top
//!           level.

mod aarch64;
mod address;
mod bounds;
mod clif;
pub mod dump;
mod entry;
mod error;
pub mod header;
pub mod interface;
mod isa;
pub mod link;
mod lookup;
pub mod metadata;
mod module;
#[cfg(test)]
mod testing;
mod weights;
mod wide;

pub use error::Code;

use edgecc_ir::diag::Diagnostic;
use edgecc_ir::loops::{LoopFn, Loops};
use edgecc_ir::state::State;
use edgecc_ir::target::Target;
use interface::Interface;
use std::sync::Arc;

/// What a compilation produces besides code.
#[derive(Clone, Debug)]
pub struct EmitOptions {
    /// The compiler's name and version, for the descriptor.
    pub producer: String,
    /// What the caller keeps between runs, in the order of the inputs.
    pub states: Vec<State>,
}

/// A compiled model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// A relocatable ELF object without undefined symbols, exporting `edgecc_<name>_info` and
    /// `edgecc_<name>_run`; programs that were compiled together share it.
    pub object: Arc<Vec<u8>>,
    /// Bytes of machine code, constants of the code included.
    pub text_bytes: u64,
    /// Bytes of read-only data: weights and descriptor.
    pub rodata_bytes: u64,
    /// Bound of the stack below the caller.
    pub stack_bytes: u32,
    /// Bytes of workspace.
    pub arena_bytes: u64,
    /// Alignment of the workspace.
    pub arena_align: u32,
    /// Bytes of constant tensors, padding between them included.
    pub weights_bytes: u64,
    /// What a caller passes.
    pub interface: Interface,
    /// The functions in the order of the code; the entry comes last.
    pub functions: Vec<FunctionInfo>,
}

/// One function of the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionInfo {
    /// Its symbol.
    pub name: String,
    /// Bytes of code.
    pub code_bytes: u32,
    /// Bound of the stack that it takes, its return address included.
    pub frame_bytes: u32,
    /// Moves between registers and the stack in loops without inner loops, where known.
    pub spills: u32,
}

/// Compiles a planned program. Fails on what `legalize` should have removed (L3, L4) and on what
/// the C ABI cannot describe.
pub fn emit(
    loops: &Loops,
    target: &Target,
    options: &EmitOptions,
) -> Result<Artifact, Vec<Diagnostic>> {
    let mut artifacts = emit_all(&[loops], target, options)?;
    Ok(artifacts.swap_remove(0))
}

/// Compiles programs with different names into one object, in which equal constants and equal
/// functions are stored once. Gives an artifact per program; the sizes of text, data and weights are
/// those of the object.
pub fn emit_all(
    programs: &[&Loops],
    target: &Target,
    options: &EmitOptions,
) -> Result<Vec<Artifact>, Vec<Diagnostic>> {
    let funcs = programs.iter().flat_map(|loops| loops.funcs.values());
    let illegal: Vec<Diagnostic> = funcs.flat_map(|func| check(func, target)).collect();
    match illegal.is_empty() {
        true => module::build(programs, target, options),
        false => Err(illegal),
    }
}

/// What the emitter that compiles a function cannot express.
fn check(func: &LoopFn, target: &Target) -> Vec<Diagnostic> {
    match wide::is_wide(func, target) {
        true => wide::check(func, target),
        false => clif::check(func, target),
    }
}
