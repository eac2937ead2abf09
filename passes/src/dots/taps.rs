//! Sums of products of codes that both move with the results, each channel apart: the codes of
//! several taps become the parts of a word, so that one dot product takes all of them.
//!
//! The taps are those of an outer axis of the window, whose words serve all taps along the inner one,
//! if they fit one word: the work of making a second one is larger than what it saves.

use super::site::{Steps, Words, codes_and_weights, instruction};
use edgecc_ir::kernel::{Access, AxisId, Index, Kernel, OperandId};
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::scalar::{ExprBuilder, NodeId, ScalarExpr};
use edgecc_ir::target::Target;
use edgecc_ir::tensor::Scalar;
use edgecc_ir::types::ElemType;

/// Codes of a word.
const CODES: usize = 4;

/// Makes a stage that sums products of single codes take words of taps; gives its weights and
/// how they are stored for that.
pub(super) fn rewrite(
    kernel: &mut Kernel,
    number: usize,
    target: &Target,
) -> Option<(OperandId, Words)> {
    let stage = &kernel.stages[number];
    let (weights, codes) = codes_and_weights(kernel, stage)?;
    let [a, b] = [codes, &stage.reads[weights]].map(|r| kernel.operands[r.operand].ty.elem);
    let dot = instruction(a, b).filter(|dot| dot.products() == Some(CODES))?;
    // Where single codes are multiplied by instructions that take as long, or by several.
    let alike = target.dots.contains(&ScalarFn::DotI16) || target.narrows && target.dots_add;
    let suits = target.dots.contains(&dot) && alike;
    let steps = steps(kernel, number, codes).filter(|_| suits)?;
    let taps = steps.extent;
    let parts: Vec<Access> = (0..taps).map(|tap| moved(codes, steps.axis, tap)).collect();
    let words = Words::of_stage(kernel, stage, weights, steps)?;
    let mut read = stage.reads[weights].clone();
    read.index = words.index();
    kernel.operands[read.operand].ty = words.ty();
    kernel.axes[steps.axis].extent = steps.words;
    let operand = read.operand;
    let stage = &mut kernel.stages[number];
    stage.reads = parts.into_iter().chain([read]).collect();
    stage.body = product(dot, taps as u32, a);
    Some((operand, words))
}

/// The word along the outer axis of the window with the most taps.
fn steps(kernel: &Kernel, number: usize, codes: &Access) -> Option<Steps> {
    let stage = &kernel.stages[number];
    let place = |dim: &Index| dim.affine().is_some();
    let inner = kernel.reduce_axes(stage).filter(|&a| kernel.extent(a) > 1).last()?;
    let outer = kernel.reduce_axes(stage).filter(|&a| a != inner && kernel.is_of_one_stage(a));
    let fits = |&a: &AxisId| (2..=CODES).contains(&kernel.extent(a));
    let axis = outer.filter(fits).max_by_key(|&a| kernel.extent(a))?;
    let extent = kernel.extent(axis);
    let known = codes.index.iter().all(place);
    known.then_some(Steps { axis, extent, words: 1, codes: CODES })
}

/// The read of one tap of a word.
fn moved(codes: &Access, axis: AxisId, tap: usize) -> Access {
    let mut codes = codes.clone();
    for place in codes.index.iter_mut().flat_map(Index::affines_mut) {
        *place = place.clone().offset(place.coefficient(axis) * tap as i64);
    }
    codes
}

/// `(x0, x1, …, w) -> dot(x0 | x1 << 8 | …, w, 0)`.
fn product(dot: ScalarFn, taps: u32, codes: ElemType) -> ScalarExpr {
    ScalarExpr::build(taps + 1, |b| {
        let first = part(b, 0, codes);
        let word = (1..taps).fold(first, |word, tap| {
            let part = part(b, tap, codes);
            b.call(ScalarFn::Or, &[word, part])
        });
        let zero = b.constant(Scalar::from_i64(ElemType::I32, 0));
        let weights = b.param(taps);
        b.call(dot, &[word, weights, zero])
    })
}

/// A code in its place in a word, with zeros in the others.
fn part(b: &mut ExprBuilder, tap: u32, codes: ElemType) -> NodeId {
    let code = b.param(tap);
    let code = if codes == ElemType::U8 { code } else { b.cast(ElemType::U8, code) };
    let wide = b.cast(ElemType::I32, code);
    let by = b.constant(Scalar::from_i64(ElemType::I32, i64::from(8 * tap)));
    if tap == 0 { wide } else { b.call(ScalarFn::Shl, &[wide, by]) }
}
