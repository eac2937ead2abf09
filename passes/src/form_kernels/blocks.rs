//! A large value that is made and used in blocks that stay in a cache.
//!
//! Where a kernel makes a value and one other kernel reads it, and both treat a dimension of it as
//! parallel, one kernel may run both for a block of that dimension at a time: the value shrinks to
//! a local of one block. A convolution in front of a depthwise one or of a pool is joined along the
//! channels, a product of matrices in front of a softmax along the heads (attention, Vaswani et al.
//! 2017), and nothing is computed twice. What does not depend on the block is read once per
//! block, which must cost less than the value did.

use super::in_blocks::{Shared, in_blocks};
use super::narrow::narrow;
use super::piece::Piece;
use edgecc_ir::affine::Affine;
use edgecc_ir::kernel::{Access, Axis, AxisId, AxisKind, BufferId, Kernel, OperandId, Role, Stage};
use edgecc_ir::program::Place;
use edgecc_ir::types::TensorType;
use std::cmp::Reverse;

/// Values up to this size stay in the second-level cache anyway.
const SMALL: usize = 512 << 10;
/// Largest block, in bytes.
const LARGEST: usize = 1 << 20;
/// Blocks that exist at the same time when several threads run a kernel.
const RUNNING: usize = 2;
/// Elements of the shortest block along a contiguous dimension: a cache line of 32-bit elements.
const LINE: usize = 16;

/// Joins pieces in blocks where that pays, around the largest values first. `is_private` tells
/// whether a buffer is read by pieces alone.
pub(super) fn join_blocks(pieces: Vec<Piece>, is_private: impl Fn(BufferId) -> bool) -> Vec<Piece> {
    let mut order: Vec<usize> = (0..pieces.len()).collect();
    order.sort_by_key(|&n| Reverse(written_bytes(&pieces[n])));
    let mut pieces: Vec<Option<Piece>> = pieces.into_iter().map(Some).collect();
    for at in order {
        if let Some((reader, joined)) = with_reader(&pieces, at, &is_private) {
            pieces[reader] = Some(joined);
            pieces[at] = None;
        }
    }
    let mut pieces: Vec<Piece> = pieces.into_iter().flatten().collect();
    pieces.iter_mut().for_each(|piece| narrow(&mut piece.kernel));
    pieces
}

fn written_bytes(piece: &Piece) -> usize {
    let written = piece.kernel.operands.values().filter(|o| o.role == Role::Write);
    written.map(|o| o.ty.bytes()).sum()
}

fn read_bytes(piece: &Piece) -> usize {
    let read = piece.kernel.operands.values().filter(|o| o.role == Role::Read);
    read.map(|o| o.ty.bytes()).sum()
}

/// A piece as one with the only reader of its result, whose number comes first.
fn with_reader(
    pieces: &[Option<Piece>],
    at: usize,
    is_private: &impl Fn(BufferId) -> bool,
) -> Option<(usize, Piece)> {
    let producer = pieces[at].as_ref()?;
    let value = producer.args.last().filter(|place| is_private(place.buffer))?;
    let names = |p: &Piece| p.args.iter().any(|arg| arg.buffer == value.buffer);
    let mut users = (0..pieces.len()).filter(|&n| pieces[n].as_ref().is_some_and(names));
    let (reader, None) = (users.find(|&n| n != at)?, users.next()) else { return None };
    Some((reader, joined(producer, pieces[reader].as_ref()?, value)?))
}

/// Both pieces as one, if that pays.
fn joined(producer: &Piece, reader: &Piece, value: &Place) -> Option<Piece> {
    let pieces = [producer, reader];
    let operand = |piece: &Piece| {
        let mut bound = piece.bound_to(value);
        bound.next().filter(|_| bound.next().is_none())
    };
    let (written, read) = (operand(producer)?, operand(reader)?);
    let ty = &producer.kernel.operands[written].ty;
    let alike = *ty == reader.kernel.operands[read].ty && producer.args.last() == Some(value);
    let looked_up = reader.kernel.stages.iter().flat_map(Stage::lookups).any(|l| l.operand == read);
    let reduces = producer.kernel.stages.iter().any(|s| s.reduce.is_some());
    if !alike || looked_up || ty.bytes() <= SMALL || !reduces {
        return None;
    }
    let writes = producer.kernel.stages.iter().map(|s| &s.write);
    let writes: Vec<&Access> = writes.filter(|a| a.operand == written).collect();
    let reads = reader.kernel.stages.iter().flat_map(Stage::all_reads);
    let reads: Vec<&Access> = reads.filter(|a| a.operand == read).collect();
    // Blocks of channels need no windows; of other dimensions, outer ones leave rows whole, along which
    // the points of a window share loads.
    let last = ty.shape.rank().checked_sub(1)?;
    let shared = [last].into_iter().chain(0..last).find_map(|dim| {
        let made = along(&producer.kernel, &writes, dim, ty.shape[dim])?;
        let used = along(&reader.kernel, &reads, dim, ty.shape[dim])?;
        cheapest(pieces, value, ty, dim, [made, used])
    })?;
    Some(in_blocks(pieces, value, ty, &shared))
}

/// The parallel axis that runs through a dimension of this size in all accesses, and stands nowhere
/// else in them; of a kernel with rows, the first of these.
fn along(kernel: &Kernel, accesses: &[&Access], dim: usize, size: usize) -> Option<AxisId> {
    let axis = accesses.first()?.index[dim].affine()?.as_var()?;
    let alone = |access: &&Access| {
        let mut others = (0..access.index.len()).filter(|&d| d != dim);
        access.index[dim].affine().and_then(Affine::as_var) == Some(axis)
            && others.all(|d| !access.index[d].follows(axis))
    };
    let whole = kernel.axes[axis] == Axis { extent: size, kind: AxisKind::Parallel };
    let first = kernel.rows.first().is_none_or(|&row| row == axis);
    (whole && first && accesses.iter().all(alone)).then_some(axis)
}

/// The smallest blocks that save at least twice what they cost. The blocks and both ends of the
/// chain, which now live at the same time, take no more memory than the value and one end did.
fn cheapest(
    pieces: [&Piece; 2],
    value: &Place,
    ty: &TensorType,
    dim: usize,
    axes: [AxisId; 2],
) -> Option<Shared> {
    let ([producer, reader], extent) = (pieces, ty.shape[dim]);
    let least = if dim + 1 == ty.shape.rank() { LINE } else { 1 };
    let again = fixed_bytes(producer, value, axes[0]) + fixed_bytes(reader, value, axes[1]);
    let most = if pieces.iter().all(|p| p.kernel.rows.is_empty()) { extent - 1 } else { 1 };
    let sizes = (least..=most).step_by(least).filter(|size| extent.is_multiple_of(*size));
    let pays = |&size: &usize| (extent / size - 1) * again <= ty.bytes();
    let block = sizes.into_iter().find(pays)?;
    let local = ty.bytes() / extent * block;
    let ends = read_bytes(producer).min(written_bytes(reader));
    let fits = local <= LARGEST && RUNNING * local + ends <= ty.bytes();
    fits.then_some(Shared { dim, axes, block, blocks: extent / block })
}

/// Bytes of the operands, other than the value, that do not depend on an axis.
fn fixed_bytes(piece: &Piece, value: &Place, axis: AxisId) -> usize {
    let follows = |id: OperandId| {
        let mut accesses = piece.kernel.stages.iter().flat_map(Stage::all_reads);
        accesses.any(|a| a.operand == id && a.index.iter().any(|i| i.follows(axis)))
    };
    let reads = piece
        .kernel
        .operands
        .iter()
        .zip(&piece.args)
        .filter(|((_, o), place)| o.role != Role::Write && *place != value);
    reads.filter(|((id, _), _)| !follows(*id)).map(|((_, o), _)| o.ty.bytes()).sum()
}

#[cfg(test)]
mod tests {
    use crate::form_kernels::testing::{data, kernels};
    use edgecc_ir::graph::OpId;
    use edgecc_ir::graph::build::GraphBuilder;
    use edgecc_ir::graph::ops::{
        Broadcast, Conv, Layout, Map, MatMul, Pool, Reduce, Reshape, Window,
    };
    use edgecc_ir::kernel::{Kernels, Role};
    use edgecc_ir::scalar::ScalarExpr;
    use edgecc_ir::scalar::func::ScalarFn;
    use edgecc_ir::types::Shape;

    fn window(pad: u32) -> Window {
        Window { pads_begin: vec![pad; 2], pads_end: vec![pad; 2], ..Window::unit(2) }
    }

    fn conv(b: &mut GraphBuilder, x: OpId, weights: [usize; 4], groups: u32) -> OpId {
        let w = b.constant(data(&weights));
        let conv = Conv::plain(window(weights[2] as u32 / 2), groups, Layout::ChannelsLast);
        b.add(conv, &[x, w]).expect("a convolution")
    }

    /// The kernels of a function of an image of two channels, all levels of which agree.
    fn kernels_of_image(
        side: usize,
        build: impl FnOnce(&mut GraphBuilder, OpId) -> OpId,
    ) -> Kernels {
        kernels(&[1, side, side, 2], build)
    }

    fn local(kernels: &Kernels) -> Option<Vec<usize>> {
        let all = kernels.kernels.values().flat_map(|k| k.operands.values());
        all.filter(|o| o.role == Role::Local).map(|o| o.ty.shape.to_vec()).next()
    }

    #[test]
    fn large_images_are_made_and_used_by_channels() {
        let made = kernels_of_image(66, |b, x| {
            let y = conv(b, x, [48, 2, 1, 1], 1);
            conv(b, y, [48, 1, 3, 3], 48)
        });
        assert_eq!(made.program.steps.len(), 1);
        assert_eq!(local(&made), Some(vec![1, 66, 66, 16]));
    }

    #[test]
    fn small_images_are_not() {
        let made = kernels_of_image(9, |b, x| {
            let y = conv(b, x, [48, 2, 1, 1], 1);
            conv(b, y, [48, 1, 3, 3], 48)
        });
        assert_eq!((made.program.steps.len(), local(&made)), (2, None));
    }

    #[test]
    fn rows_of_an_image_stay_whole() {
        let made = kernels(&[1, 110, 70, 20], |b, x| {
            let y = conv(b, x, [20, 1, 3, 3], 20);
            conv(b, y, [4, 20, 1, 1], 1)
        });
        assert_eq!(local(&made), Some(vec![1400]));
    }

    #[test]
    fn pools_use_blocks() {
        let made = kernels_of_image(70, |b, x| {
            let y = conv(b, x, [48, 2, 3, 3], 1);
            let layout = Layout::ChannelsLast;
            let pool = Pool { func: ScalarFn::Max, kernel: vec![2, 2], window: window(0), layout };
            b.add(pool, &[y]).expect("a pool")
        });
        assert_eq!(made.program.steps.len(), 1);
    }

    #[test]
    fn rows_between_products_stay_with_their_matrix() {
        let made = kernels(&[4, 190, 4], |b, x| {
            let product = MatMul { transpose_b: true, ..MatMul::plain() };
            let scores = b.add(product, &[x, x]).expect("a product");
            let most = b.add(Reduce { func: ScalarFn::Max, dims: vec![2] }, &[scores]).unwrap();
            let most = b.add(Reshape { shape: Shape::new(&[4, 190]) }, &[most]).unwrap();
            let shape = Shape::new(&[4, 190, 190]);
            let most = b.add(Broadcast { dims: vec![0, 1], shape }, &[most]).unwrap();
            let below = Map { body: ScalarExpr::call(ScalarFn::Sub) };
            let below = b.add(below, &[scores, most]).unwrap();
            b.add(MatMul::plain(), &[below, x]).expect("a product")
        });
        assert_eq!(made.program.steps.len(), 1);
        let kernel = made.kernels.values().next().expect("one kernel");
        assert_eq!((kernel.rows.len(), kernel.stages.len()), (2, 4));
    }
}
