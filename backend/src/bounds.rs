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

/// Bound of the stack below the caller of `entry`, which calls the kernels one at a time, those in
/// parts by way of two of the `helpers`; kernels call nothing. What the caller's services take comes
/// on top, among it the stacks of its threads, on each of which a part runs.
pub(crate) fn stack_bytes(
    kernels: &[FunctionInfo],
    helpers: &[FunctionInfo],
    entry: &FunctionInfo,
) -> u32 {
    let largest = |of: &[FunctionInfo]| of.iter().map(|k| k.frame_bytes).max().unwrap_or(0);
    entry.frame_bytes + 2 * largest(helpers) + largest(kernels)
}
