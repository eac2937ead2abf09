//! Which stages are convolutions by windows of 3 × 3, stride 1, with constant weights.

use super::points::TAPS;
use crate::form_kernels::position;
use edgecc_ir::affine::Affine;
use edgecc_ir::kernel::{Access, AxisId, Kernel, Role, Stage};
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::types::ElemType;
use std::cmp::Reverse;

/// The roles of a convolution's axes and reads.
#[derive(Clone, Debug)]
pub(super) struct Site {
    /// The number of the read of the image, and of the weights.
    pub(super) image: usize,
    pub(super) weights: usize,
    /// Axes of the result that only the image follows, apart from the window's.
    pub(super) batch: Vec<AxisId>,
    /// How the window moves, along the inner dimension last.
    pub(super) slides: [Slide; 2],
    /// Channels of the image and of the result.
    pub(super) from: AxisId,
    pub(super) to: AxisId,
}

/// Axes along which places in the image move alike.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slide {
    pub(super) out: AxisId,
    pub(super) tap: AxisId,
}

impl Site {
    /// Of a kernel that is one such convolution. Its epilogue may be anything but a rounding to whole
    /// numbers, which shows the error of a transform as steps.
    pub(super) fn of(kernel: &Kernel) -> Option<Site> {
        let [stage] = kernel.stages.as_slice() else { return None };
        let sums = stage.reduce.as_ref().is_some_and(|r| r.func == ScalarFn::Add);
        let factors = stage.factors()?.iter().all(|f| f.is_identity());
        let looks_up = stage.lookups().next().is_some();
        let is_const = |read: &Access| kernel.operands[read.operand].role == Role::Const;
        let weights = (0..2).find(|&n| is_const(&stage.reads[n]))?;
        let image = 1 - weights;
        let f32s = stage.reads.iter().all(|r| kernel.operands[r.operand].ty.elem == ElemType::F32);
        let alone = kernel.rows.is_empty() && !is_const(&stage.reads[image]);
        if !sums || !factors || looks_up || !f32s || !alone || stage.epilogue.rounds() {
            return None;
        }
        let slides = slides(kernel, stage, &stage.reads[image])?;
        roles(kernel, stage, [image, weights], slides)
    }
}

/// The two pairs of axes, that of the outer dimension first, by whose sums alone the image is read:
/// a window of three taps moves by single steps.
fn slides(kernel: &Kernel, stage: &Stage, image: &Access) -> Option<[Slide; 2]> {
    let alike = |a: AxisId, b: AxisId| image.index.iter().all(|i| i.step(a) == i.step(b));
    let slide = |tap: AxisId| {
        let mut outs = kernel.parallel_axes(stage).filter(|&out| alike(out, tap));
        let out = outs.next().filter(|_| kernel.extent(tap) == TAPS && outs.next().is_none())?;
        Some(Slide { out, tap })
    };
    let place = position(kernel, image)?;
    let moves = |s: &Slide| place.coefficient(s.out);
    let mut slides: Vec<Slide> = kernel.reduce_axes(stage).filter_map(slide).collect();
    slides.sort_by_key(|s| Reverse(moves(s)));
    let slides: [Slide; 2] = slides.try_into().ok()?;
    let three = kernel.reduce_axes(stage).count() == 3;
    (three && slides.iter().all(|s| moves(s) > 0) && slides[0].out != slides[1].out)
        .then_some(slides)
}

fn roles(
    kernel: &Kernel,
    stage: &Stage,
    [image, weights]: [usize; 2],
    slides: [Slide; 2],
) -> Option<Site> {
    let position = |read: usize| position(kernel, &stage.reads[read]);
    let (of_image, of_weights) = (position(image)?, position(weights)?);
    let follows = |of: &Affine<AxisId>, axis: AxisId| of.coefficient(axis) != 0;
    let from = kernel.reduce_axes(stage).find(|a| slides.iter().all(|s| s.tap != *a))?;
    let rest = kernel.parallel_axes(stage).filter(|a| slides.iter().all(|s| s.out != *a));
    let (to, batch): (Vec<AxisId>, Vec<AxisId>) = rest.partition(|&a| follows(&of_weights, a));
    let &[to] = to.as_slice() else { return None };
    let windows =
        slides.iter().all(|s| !follows(&of_weights, s.out) && follows(&of_weights, s.tap));
    let channels = follows(&of_image, from) && follows(&of_weights, from);
    let fits = windows && channels && !follows(&of_image, to);
    fits.then_some(Site { image, weights, batch, slides, from, to })
}
