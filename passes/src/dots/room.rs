//! Copies of codes with room for whole words.
//!
//! Where consecutive steps of a sum make no whole words, or some are in pads that are not zero, a
//! kernel of its own first copies the codes and their pads: each once, while many sums read them.
//! Matrix tiles read rows without tests, so that for them any pads are worth a copy.

use super::before::{Making, To};
use super::site::{Site, span};
use crate::schedule::cycles_saved_in_tiles;
use edgecc_ir::affine::{Affine, Interval};
use edgecc_ir::kernel::build::{KernelBuilder, access, access_axes};
use edgecc_ir::kernel::{AxisKind, Index, Kernel, Operand, OperandId, Outside};
use edgecc_ir::scalar::ScalarExpr;
use edgecc_ir::target::Target;
use edgecc_ir::tensor::Scalar;
use edgecc_ir::types::TensorType;

/// Steps of sums that pay for the copy of a code.
const STEPS: usize = 8;
/// What a step with a test takes, in steps without: pads that count are tested word by word.
const TESTED: usize = 2;
/// Bytes that are copied in a cycle.
const COPIED: f64 = 8.0;

/// Makes a stage read its codes from a copy, if that pays; gives what makes the copy.
pub(super) fn copied(kernel: &mut Kernel, number: usize, target: &Target) -> Option<Making> {
    let in_place = Site::of(kernel, number, target).map_or(usize::MAX, |site| cost(&site, kernel));
    let site = Site::of_copy(kernel, number, target)?;
    let codes = site.read(kernel).clone();
    let of_words = (site.axis, site.codes);
    let spans: Vec<Interval> =
        (0..codes.index.len()).map(|dim| span(kernel, &codes, dim, of_words)).collect();
    let points: usize = kernel.stages[number].axes.iter().map(|&a| kernel.extent(a)).product();
    let dims: Vec<usize> = spans.iter().map(|s| (s.hi - s.lo + 1) as usize).collect();
    let gain = points.min(in_place).saturating_sub(site.steps(kernel));
    let ty = &kernel.operands[codes.operand].ty;
    let ty = TensorType::new(ty.elem, &dims);
    let mut moved = kernel.clone();
    read_copy(&mut moved, number, codes.operand, &ty, &spans);
    let is_padded = codes.outside != Outside::Never;
    if gain < STEPS * ty.shape.numel()
        && !(is_padded && pays_in_tiles(&moved, number, ty.bytes(), target))
    {
        return None;
    }
    let copy = copy(&kernel.operands[codes.operand], &ty, &spans, codes.outside);
    *kernel = moved;
    Some(Making { from: codes.operand, to: To::Same, kernel: copy })
}

/// Makes a stage read an operand's copy, which has just these places of it.
fn read_copy(
    kernel: &mut Kernel,
    number: usize,
    operand: OperandId,
    ty: &TensorType,
    spans: &[Interval],
) {
    kernel.operands[operand].ty = ty.clone();
    for read in kernel.stages[number].reads.iter_mut().filter(|r| r.operand == operand) {
        read.outside = Outside::Never;
        for (place, span) in read.index.iter_mut().flat_map(Index::affines_mut).zip(spans) {
            place.constant -= span.lo;
        }
    }
}

/// Whether matrix tiles save more with a stage that reads a copy than so many bytes of it take.
fn pays_in_tiles(kernel: &Kernel, number: usize, bytes: usize, target: &Target) -> bool {
    let Some(site) = Site::of(kernel, number, target) else { return false };
    let mut in_words = kernel.clone();
    site.rewrite(&mut in_words, site.dot);
    let saved = cycles_saved_in_tiles(&in_words, target);
    saved.is_some_and(|cycles| cycles > bytes as f64 / COPIED)
}

/// Steps of a sum that reads its codes where they are.
fn cost(site: &Site, kernel: &Kernel) -> usize {
    let counts = matches!(site.read(kernel).outside, Outside::Pad(pad) if pad.is_true());
    site.steps(kernel) * if counts { TESTED } else { 1 }
}

/// Copies these places of an operand; what is added for whole words is multiplied by zeros.
fn copy(from: &Operand, to: &TensorType, spans: &[Interval], outside: Outside) -> Kernel {
    let mut b = KernelBuilder::new("pad");
    let (source, result) = (b.read(&from.ty), b.write(to));
    let axes: Vec<_> = to.shape.iter().map(|&e| b.axis(e, AxisKind::Parallel)).collect();
    let places = axes.iter().zip(spans).map(|(&a, span)| Affine::var(a).offset(span.lo));
    let mut read = access(source, places.collect());
    let inside = spans.iter().zip(from.ty.shape.iter()).all(|(span, &extent)| span.within(extent));
    read.outside = match outside {
        Outside::Never if !inside => Outside::Pad(Scalar::from_i64(from.ty.elem, 0)),
        outside => outside,
    };
    let write = access_axes(result, &axes);
    b.map_stage(axes, vec![read], ScalarExpr::identity(), write);
    b.finish()
}
