//! Copies of codes with room for whole words.
//!
//! Where consecutive steps of a sum make no whole words, or some are in pads that are not zero, a
//! kernel of its own first copies the codes and their pads: each once, while many sums read them.

use super::site::{Site, span};
use cranelift_entity::{EntityRef, SecondaryMap};
use edgecc_ir::affine::{Affine, Interval};
use edgecc_ir::kernel::build::{KernelBuilder, access, access_axes};
use edgecc_ir::kernel::{
    AxisKind, Buffer, Home, Index, Kernel, KernelId, Kernels, Operand, Outside, Role,
};
use edgecc_ir::program::{Call, expand_calls};
use edgecc_ir::scalar::ScalarExpr;
use edgecc_ir::target::Target;
use edgecc_ir::tensor::Scalar;
use edgecc_ir::types::TensorType;
use indexmap::IndexMap;
use std::mem::take;

/// Steps of sums that pay for the copy of a code.
const STEPS: usize = 8;
/// What a step with a test takes, in steps without: pads that count are tested word by word.
const TESTED: usize = 2;

/// A kernel that copies what another one reads as one of its arguments.
#[derive(Clone)]
struct Copying {
    argument: usize,
    kernel: Kernel,
}

/// Lets each sum that is faster so read its codes from a copy.
pub(super) fn make_room(kernels: &mut Kernels, target: &Target) {
    let mut copies: SecondaryMap<KernelId, Vec<Copying>> = SecondaryMap::new();
    for (id, kernel) in kernels.kernels.iter_mut().filter(|(_, k)| k.schedule.is_none()) {
        let sites = 0..kernel.stages.len();
        copies[id] = sites.filter_map(|number| copied(kernel, number, target)).collect();
    }
    let steps = take(&mut kernels.program.steps);
    let mut known = IndexMap::new();
    let steps = expand_calls(steps, &mut |call| {
        with_copies(kernels, &mut known, &copies[call.callee], call)
    });
    kernels.program.steps = steps;
}

/// Makes a stage read its codes from a copy, if that pays.
fn copied(kernel: &mut Kernel, number: usize, target: &Target) -> Option<Copying> {
    let in_place = Site::of(kernel, number, target).map_or(usize::MAX, |site| cost(&site, kernel));
    let site = Site::of_copy(kernel, number, target)?;
    let codes = site.read(kernel).clone();
    let of_words = (site.axis, site.codes);
    let spans: Vec<Interval> =
        (0..codes.index.len()).map(|dim| span(kernel, &codes, dim, of_words)).collect();
    let points: usize = kernel.stages[number].axes.iter().map(|&a| kernel.extent(a)).product();
    let dims: Vec<usize> = spans.iter().map(|s| (s.hi - s.lo + 1) as usize).collect();
    let gain = points.min(in_place).saturating_sub(site.steps(kernel));
    if gain < STEPS * dims.iter().product::<usize>() {
        return None;
    }
    let ty = &kernel.operands[codes.operand].ty;
    let ty = TensorType::new(ty.elem, &dims);
    let copy = copy(&kernel.operands[codes.operand], &ty, &spans, codes.outside);
    kernel.operands[codes.operand].ty = ty;
    let reads = &mut kernel.stages[number].reads;
    let read = reads.iter_mut().find(|r| r.operand == codes.operand)?;
    read.outside = Outside::Never;
    for (place, span) in read.index.iter_mut().flat_map(Index::affines_mut).zip(&spans) {
        place.constant -= span.lo;
    }
    Some(Copying { argument: codes.operand.index(), kernel: copy })
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

/// The copies for a call's arguments, then the call of what they made.
fn with_copies(
    kernels: &mut Kernels,
    known: &mut IndexMap<Kernel, KernelId>,
    copies: &[Copying],
    mut call: Call<KernelId>,
) -> Vec<Call<KernelId>> {
    let mut calls = Vec::new();
    for Copying { argument, kernel } in copies {
        let pool = &mut kernels.kernels;
        let callee = *known.entry(kernel.clone()).or_insert_with_key(|k| pool.push(k.clone()));
        let written = kernel.operands.values().find(|o| o.role == Role::Write);
        let ty = written.expect("a copy writes").ty.clone();
        let buffer = kernels.buffers.push(Buffer { ty, home: Home::Arena }).into();
        let from = std::mem::replace(&mut call.args[*argument], buffer);
        let to = call.args[*argument].clone();
        calls.push(Call { callee, args: vec![from, to], loc: call.loc });
    }
    calls.push(call);
    calls
}
