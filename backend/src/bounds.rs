//! The stack that a run takes, from the frames of its functions.

use crate::FunctionInfo;
use cranelift_codegen::CompiledCode;

/// The return address and the caller's frame pointer: a call pushes the one and a prologue the
/// other on x86-64; an AArch64 prologue stores both.
pub(crate) const SETUP_BYTES: u32 = 16;

/// Bound of the stack that a function takes by itself.
pub(crate) fn frame_bytes(code: &CompiledCode) -> u32 {
    let frame = code.buffer.frame_layout().map_or(0, |layout| layout.frame_to_fp_offset);
    SETUP_BYTES + frame
}

/// Bound of the stack below the caller of `entry`, which calls the kernels one at a time; kernels
/// call nothing. The stack of a profile service, which the entry calls too, comes on top: it is the
/// caller's function.
pub(crate) fn stack_bytes(kernels: &[FunctionInfo], entry: &FunctionInfo) -> u32 {
    entry.frame_bytes + kernels.iter().map(|k| k.frame_bytes).max().unwrap_or(0)
}
