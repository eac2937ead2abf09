//! Sums of products of two values: both are read in words where they are.

use super::site::{dot_product, has_room, instruction, is_consecutive, is_widened, read_words};
use edgecc_ir::kernel::{AxisId, Kernel};
use edgecc_ir::target::Target;

/// Makes a stage step over words of both factors, where their codes lie next to each other.
pub(super) fn rewrite(kernel: &mut Kernel, number: usize, target: &Target) -> Option<()> {
    let stage = &kernel.stages[number];
    let widened = stage.factors()?.iter().all(is_widened);
    let [a, b] = [0, 1].map(|n| kernel.operands[stage.reads[n].operand].ty.elem);
    let alike = a.bytes() == b.bytes();
    let dot = instruction(a, b).filter(|dot| widened && alike && target.dots.contains(dot))?;
    let count = dot.products()?;
    let suits = |&axis: &AxisId| {
        let whole = kernel.extent(axis).is_multiple_of(count);
        let mut reads = stage.reads.iter();
        let joins = |r| is_consecutive(r, axis) && has_room(kernel, r, axis, count);
        kernel.is_of_one_stage(axis) && whole && reads.all(joins)
    };
    let axis = kernel.reduce_axes(stage).filter(suits).last()?;
    kernel.axes[axis].extent /= count;
    let stage = &mut kernel.stages[number];
    stage.body = dot_product(dot, [0, 1]);
    stage.reads.iter_mut().for_each(|read| read_words(read, axis, count));
    Some(())
}
