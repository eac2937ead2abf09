//! Copies that are not made, because what they copy is computed where it would be copied to.
//!
//! A stage that only moves elements, each once, may be left out when nothing else reads its source:
//! the kernel that computes the source writes through the stage's map. Of a kernel with several
//! such stages (a concatenation) the parts become stages of one kernel.
//!
//! A source whose elements lie next to each other along some axis must do so at their destination,
//! as kernels compute whole vectors.

use super::merge::{only, side_by_side};
use super::piece::{Piece, position};
use cranelift_entity::{EntityRef, SecondaryMap};
use edgecc_ir::affine::{Affine, Interval};
use edgecc_ir::kernel::{Access, AxisId, BufferId, Index, Kernel, Outside, Role, Stage};
use edgecc_ir::program::Place;

/// Leaves out all copies that can be. `is_private` tells whether a buffer is read by pieces alone.
pub(super) fn write_through(
    pieces: Vec<Piece>,
    is_private: impl Fn(BufferId) -> bool,
) -> Vec<Piece> {
    let mut pieces: Vec<Option<Piece>> = pieces.into_iter().map(Some).collect();
    for at in (0..pieces.len()).rev() {
        while let Some((from, stage)) = redirectable(&pieces, at, &is_private) {
            let (producer, copy) = (pieces[from].take(), pieces[at].take());
            let (producer, copy) = (producer.expect("just found"), copy.expect("just found"));
            let moved = redirected(&producer, &copy, stage).expect("just tried");
            match copy.kernel.stages.len() {
                1 => pieces[from] = Some(moved),
                _ => pieces[at] = Some(with_part(copy, stage, &moved)),
            }
        }
    }
    pieces.into_iter().flatten().collect()
}

/// A piece and the number of the stage of `pieces[at]` that only copies its result.
fn redirectable(
    pieces: &[Option<Piece>],
    at: usize,
    is_private: &impl Fn(BufferId) -> bool,
) -> Option<(usize, usize)> {
    let copy = pieces[at].as_ref()?;
    (0..copy.kernel.stages.len()).find_map(|stage| {
        let source = copied(copy, stage).filter(|place| is_private(place.buffer))?;
        let names = |piece: &Piece| piece.args.iter().any(|arg| arg.buffer == source.buffer);
        let mut named = (0..pieces.len()).filter(|&n| pieces[n].as_ref().is_some_and(names));
        let (from, last) = (named.next()?, named.next()?);
        let producer = pieces[from].as_ref().filter(|p| p.args.last() == Some(source))?;
        let only = last == at && named.next().is_none();
        (only && redirected(producer, copy, stage).is_some()).then_some((from, stage))
    })
}

/// What a stage copies each element of, when it does and nothing else in the piece reads it.
fn copied(piece: &Piece, stage: usize) -> Option<&Place> {
    let stage = &piece.kernel.stages[stage];
    let [read] = stage.reads.as_slice() else { return None };
    let moves = stage.is_copy() && read.lookups().next().is_none();
    let source = piece.args.get(read.operand.index()).filter(|_| moves)?;
    let reads_source = |a: &&Access| piece.args.get(a.operand.index()) == Some(source);
    let reads = piece.kernel.stages.iter().flat_map(Stage::all_reads).filter(reads_source).count();
    let looked_up = piece.kernel.stages.iter().flat_map(Stage::lookups).next().is_some();
    (reads == 1 && !looked_up).then_some(source)
}

/// The producer of what a stage copies, writing to where the stage copies it.
fn redirected(producer: &Piece, copy: &Piece, stage: usize) -> Option<Piece> {
    let stage = &copy.kernel.stages[stage];
    let alone = copy.kernel.stages.len() == 1;
    let plain = |k: &Kernel| k.rows.is_empty() && k.operands.values().all(is_bound);
    let joins = alone || plain(&producer.kernel) && plain(&copy.kernel);
    let digits = digits(&copy.kernel, stage).filter(|_| joins)?;
    let (result, operand) = producer.kernel.bound().last()?;
    let there = &copy.kernel.operands[stage.write.operand].ty;
    let mut piece = producer.clone();
    for (new, old) in piece.kernel.stages.iter_mut().zip(&producer.kernel.stages) {
        if old.write.operand == result {
            let written = position(&producer.kernel, &old.write)?;
            let place = through(&producer.kernel, &digits, &written)?;
            let index = stage.write.index.iter().map(|index| match index {
                Index::Affine(affine) => Some(affine.substitute(|a| place[a].clone()).into()),
                Index::Lookup(_) => None,
            });
            new.write.index = index.collect::<Option<_>>()?;
        }
    }
    let size = (operand.role == Role::Write).then_some(there)?;
    piece.kernel.operands[result].ty = size.clone();
    let stages = producer.kernel.stages.iter().zip(&piece.kernel.stages);
    let contiguous = stages
        .filter(|(old, _)| old.write.operand == result)
        .all(|(old, new)| neighbours(&producer.kernel, old) == neighbours(&piece.kernel, new));
    piece.args.pop();
    piece.args.extend(copy.args.last().cloned());
    if alone {
        piece.locs.extend(&copy.locs);
    }
    (contiguous && !piece.kernel.stages.is_empty()).then_some(piece)
}

fn is_bound(operand: &edgecc_ir::kernel::Operand) -> bool {
    operand.role != Role::Local
}

/// The axes along which a stage's results lie next to each other.
fn neighbours(kernel: &Kernel, stage: &Stage) -> Vec<AxisId> {
    let written = position(kernel, &stage.write);
    let is_one = |&a: &AxisId| {
        kernel.extent(a) > 1 && written.as_ref().is_some_and(|w| w.coefficient(a) == 1)
    };
    kernel.parallel_axes(stage).filter(is_one).collect()
}

/// An axis of a stage as a digit of the positions that it reads: these are `step` apart.
struct Digit {
    axis: AxisId,
    step: i64,
    extent: i64,
}

/// The digits of what a stage reads, if it reads each element of its operand once.
fn digits(kernel: &Kernel, stage: &Stage) -> Option<Vec<Digit>> {
    let read = &stage.reads[0];
    let from = position(kernel, read).filter(|from| from.constant == 0)?;
    let axes = kernel.parallel_axes(stage).filter(|&a| kernel.extent(a) > 1);
    let digit =
        |axis| Digit { axis, step: from.coefficient(axis), extent: kernel.extent(axis) as i64 };
    let mut digits: Vec<Digit> = axes.map(digit).collect();
    digits.sort_by_key(|d| d.step);
    let reach = digits.iter().try_fold(1, |reach, d| (d.step == reach).then_some(reach * d.extent));
    let all = kernel.operands[read.operand].ty.shape.numel() as i64;
    (reach == Some(all) && read.outside == Outside::Never).then_some(digits)
}

/// Where a copy's axes stand when it reads at `written`, a position over the axes of `kernel`.
/// `None` where an axis of `kernel` runs through several of them.
fn through(
    kernel: &Kernel,
    digits: &[Digit],
    written: &Affine<AxisId>,
) -> Option<SecondaryMap<AxisId, Affine<AxisId>>> {
    let mut place = SecondaryMap::with_default(Affine::constant(0));
    let mut found = 0;
    for digit in digits {
        let above = digit.step * digit.extent;
        let within = |&&(_, step): &&(AxisId, i64)| (digit.step..above).contains(&step);
        let constant = Affine::constant(written.constant % above / digit.step);
        let value = written.terms().iter().filter(within).fold(constant, |sum, &(axis, step)| {
            found += usize::from(step % digit.step == 0);
            sum.plus(axis, step / digit.step)
        });
        let range = value.interval(|a| Interval::below(kernel.extent(a)));
        if !range.within(digit.extent as usize) {
            return None;
        }
        place[digit.axis] = value;
    }
    (found == written.terms().len()).then_some(place)
}

/// A copy with one of its stages replaced by the stages of `part`.
fn with_part(copy: Piece, stage: usize, part: &Piece) -> Piece {
    let stages = copy.kernel.stages.iter().enumerate();
    let alone = |(n, s): (usize, &Stage)| match n == stage {
        true => part.clone(),
        false => only(&copy, s),
    };
    let members: Vec<Piece> = stages.map(alone).collect();
    let mut all = side_by_side(&members);
    all.locs.extend(copy.locs);
    all
}

#[cfg(test)]
mod tests {
    use crate::form_kernels::testing::{data, kernels};
    use edgecc_ir::graph::OpId;
    use edgecc_ir::graph::build::GraphBuilder;
    use edgecc_ir::graph::ops::{
        Broadcast, Concat, Conv, Layout, MatMul, Reshape, Transpose, Window,
    };
    use edgecc_ir::types::Shape;

    fn conv(b: &mut GraphBuilder, x: OpId, channels: usize, taps: usize) -> OpId {
        let w = b.constant(data(&[channels, 4, taps, taps]));
        let pads = vec![taps as u32 / 2; 2];
        let window = Window { pads_begin: pads.clone(), pads_end: pads, ..Window::unit(2) };
        b.add(Conv::plain(window, 1, Layout::ChannelsLast), &[x, w]).expect("a convolution")
    }

    #[test]
    fn convolutions_write_their_parts_of_a_concatenation() {
        let made = kernels(&[1, 5, 6, 4], |b, x| {
            let parts = [conv(b, x, 8, 1), x, conv(b, x, 5, 3)];
            b.add(Concat { dim: 3 }, &parts).expect("equal images")
        });
        assert_eq!(made.program.steps.len(), 1);
        assert_eq!(made.kernels.values().next().map(|k| k.stages.len()), Some(3));
    }

    #[test]
    fn heads_are_written_side_by_side() {
        let made = kernels(&[3, 5, 8], |b, x| {
            let y = b.add(MatMul { transpose_b: true, ..MatMul::plain() }, &[x, x]).unwrap();
            let y = b.add(MatMul::plain(), &[y, x]).unwrap();
            let y = b.add(Transpose { perm: vec![1, 0, 2] }, &[y]).unwrap();
            b.add(Reshape { shape: Shape::new(&[5, 24]) }, &[y]).unwrap()
        });
        assert_eq!(made.program.steps.len(), 2);
    }

    #[test]
    fn enlarged_images_are_written_into_a_concatenation() {
        let made = kernels(&[3, 2, 4], |b, x| {
            let y = b.add(
                Broadcast { dims: vec![0, 2, 4], shape: [3, 2, 2, 2, 4].into_iter().collect() },
                &[x],
            );
            let y = b.add(Reshape { shape: Shape::new(&[6, 4, 4]) }, &[y.unwrap()]).unwrap();
            b.add(Concat { dim: 2 }, &[y, y]).unwrap()
        });
        assert_eq!(made.program.steps.len(), 2, "what two parts copy is computed once");
    }

    #[test]
    fn results_stay_contiguous() {
        let made = kernels(&[1, 5, 6, 4], |b, x| {
            let y = conv(b, x, 8, 1);
            b.add(Transpose { perm: vec![0, 3, 1, 2] }, &[y]).unwrap()
        });
        assert_eq!(made.program.steps.len(), 2);
    }
}
