//! Reductions whose reads all follow the vector axis, or ignore it: depthwise convolution, pooling,
//! sums over outer dimensions.
//!
//! Each accumulator is a vector of neighbouring channels. Where the window slides along a row, a
//! tile of neighbouring outputs shares the loads of overlapping taps, which needs the taps along
//! the row unrolled. If the weights of all taps fit the registers, all taps are unrolled and all
//! borders peeled, so that the weights stay in registers along the row. Two rows of outputs at once
//! share the lines of inputs between them, where loads are instructions of their own and the tiles
//! of a row do not share them already: in a row of one tile, and in a loop of tiles. Otherwise
//! several vectors of channels hide the latency of the addition.

use super::facts;
use edgecc_ir::kernel::schedule::{Pack, Schedule};
use edgecc_ir::kernel::{Access, AxisId, AxisKind, Index, Kernel, Stage};
use edgecc_ir::target::Target;

/// Taps up to this extent are unrolled.
const SHORT: usize = 7;
/// Taps of the whole window up to this number are unrolled.
const FEW: usize = 16;
/// Vectors of channels in a tile that shares no loads.
const VECTORS: u32 = 4;
/// Registers for what the epilogue needs.
const EPILOGUE: usize = 3;
/// Registers for inputs that a core which runs in order loads ahead.
const ARRIVING: usize = 3;
/// The most outputs of a tile whose weights stay in registers.
const LONGEST: usize = 9;
/// Tiles of two rows from which on those of a row are a loop; fewer are straight code.
const LOOPED: usize = 4;
/// Instructions of a tile beside its loads and multiply-adds.
const ENTRY: usize = 5;
/// Bytes that a cache moves at once.
const LINE: usize = 64;

pub(super) fn plan(kernel: &Kernel, target: &Target) -> Option<Schedule> {
    let [stage] = kernel.stages.as_slice() else { return None };
    stage.reduce.as_ref()?;
    let (vector, lanes) = facts::vector_axis(kernel, stage, target)?;
    let mut schedule = resident(kernel, stage, (vector, lanes), target)
        .or_else(|| streaming(kernel, stage, (vector, lanes), target))?;
    let packed = stage
        .reads
        .iter()
        .filter(|r| facts::is_const(kernel, r) && facts::follows(kernel, r, vector));
    let block = schedule.tile_of(vector);
    schedule.pack = packed.map(|r| Pack { operand: r.operand, axis: vector, block }).collect();
    schedule.vector = vec![(vector, lanes)];
    Some(schedule)
}

/// The weights of all taps stay in registers while the tile moves along the row.
fn resident(
    kernel: &Kernel,
    stage: &Stage,
    (vector, lanes): (AxisId, u32),
    target: &Target,
) -> Option<Schedule> {
    let tap = facts::innermost_reduce(kernel, stage)?;
    let row = sliding_row(kernel, stage, vector, tap)?;
    let taps = facts::reduce_points(kernel, stage);
    let is_weight = |r: &&Access| facts::is_const(kernel, r) && facts::follows(kernel, r, vector);
    let weights = taps * stage.reads.iter().filter(is_weight).count();
    let slide = Slide::of(kernel, stage, row, tap)?;
    let arriving = if target.runs_in_order() { ARRIVING } else { 0 };
    let vectors = joined_vectors(kernel, stage, (vector, lanes), target);
    let held = vectors * weights + slide.overlap() + EPILOGUE + arriving;
    let longest = (target.vector_regs as usize).checked_sub(held)? / (vectors + 1);
    if taps > FEW || longest < 2 {
        return None;
    }
    let others = facts::other_parallel(kernel, stage, vector);
    let free = target.vector_regs as usize - held;
    let pair =
        paired_rows(kernel, stage, row, &slide).filter(|_| target.fma_by_lane && vectors == 1);
    let pair = pair.zip(slide.tile_of_pair(kernel.extent(row), free));
    let points = pair.map_or_else(|| slide.best_tile(kernel.extent(row), longest, 1), |p| p.1);
    let rows_at_once = pair.map(|(axis, _)| (axis, 2));
    let outside: Vec<AxisId> = others.iter().copied().filter(|&a| a != row).collect();
    let row_bytes = kernel.extent(row) * slide.step as usize * LINE;
    let rows: usize = outside.iter().map(|&a| kernel.extent(a)).product();
    // The vectors of a line are computed after each other while the line stays in the cache.
    let stay = if 4 * lanes as usize >= LINE { slide.taps / slide.along } else { rows };
    let order = match stay * row_bytes <= target.l1_bytes / 2 {
        true => [vector].into_iter().chain(outside).chain([row]).collect(),
        false => outside.into_iter().chain([vector, row]).collect(),
    };
    Some(Schedule {
        tile: rows_at_once
            .into_iter()
            .chain([(row, points as u32), (vector, vectors as u32 * lanes)])
            .collect(),
        order,
        unroll: kernel.reduce_axes(stage).map(|a| (a, kernel.extent(a) as u32)).collect(),
        peel: facts::peeled_axes(kernel, stage, vector, points as u32),
        ..Schedule::default()
    })
}

/// Vectors of channels in a tile: two where their codes are narrowed and stored together, of sums that
/// read words of taps. Others have too many numbers in registers already.
fn joined_vectors(
    kernel: &Kernel,
    stage: &Stage,
    (vector, lanes): (AxisId, u32),
    target: &Target,
) -> usize {
    let stores_codes = kernel.elem(&stage.write).bytes() == 1 && target.narrows;
    let reads_words = stage.reads.len() > 2;
    let joins =
        stores_codes && reads_words && kernel.extent(vector).is_multiple_of(2 * lanes as usize);
    if joins { 2 } else { 1 }
}

/// The parallel axis along which the windows of neighbouring rows overlap as those in a row do: all
/// but one line of a window is part of the next one's.
fn paired_rows(kernel: &Kernel, stage: &Stage, row: AxisId, slide: &Slide) -> Option<AxisId> {
    let taps: Vec<AxisId> = kernel.reduce_axes(stage).collect();
    let places = || stage.reads.iter().flat_map(|r| &r.index).filter_map(Index::affine);
    let follows = |a: AxisId, tap: &AxisId| {
        kernel.extent(*tap) > 1
            && places().any(|i| i.coefficient(a) == 1 && i.coefficient(*tap) == 1)
    };
    let is_dense = slide.step == 1 && slide.dilation == 1;
    let parallel = |a: &AxisId| kernel.axes[*a].kind == AxisKind::Parallel && *a != row;
    let mut axes = stage.axes.iter().copied().filter(parallel);
    axes.find(|&a| is_dense && kernel.extent(a) > 1 && taps.iter().any(|tap| follows(a, tap)))
}

/// Weights are loaded for each tile.
fn streaming(
    kernel: &Kernel,
    stage: &Stage,
    (vector, lanes): (AxisId, u32),
    target: &Target,
) -> Option<Schedule> {
    let tap = facts::innermost_reduce(kernel, stage);
    let row = tap.and_then(|tap| sliding_row(kernel, stage, vector, tap));
    let (rows, vectors) = match row {
        Some(row) => tile(kernel.extent(row), kernel.extent(tap?), target),
        None => (1, VECTORS),
    };
    let vectors = vectors.min(kernel.extent(vector).div_ceil(lanes as usize) as u32);
    let short = |&a: &AxisId| row.is_some() && Some(a) == tap && kernel.extent(a) <= SHORT;
    Some(Schedule {
        tile: row.map(|r| (r, rows)).into_iter().chain([(vector, vectors * lanes)]).collect(),
        order: [vector].into_iter().chain(facts::other_parallel(kernel, stage, vector)).collect(),
        unroll: tap.filter(short).map(|a| (a, kernel.extent(a) as u32)).into_iter().collect(),
        peel: facts::peeled_axes(kernel, stage, vector, rows * vectors),
        ..Schedule::default()
    })
}

/// How a window slides along a row.
struct Slide {
    /// Taps of the whole window, and those along the row.
    taps: usize,
    along: usize,
    /// Instructions that read an input: several where words are made of codes.
    input: usize,
    /// Distance of neighbouring outputs and of neighbouring taps, in elements of the row.
    step: i64,
    dilation: i64,
}

impl Slide {
    fn of(kernel: &Kernel, stage: &Stage, row: AxisId, tap: AxisId) -> Option<Slide> {
        let mut dims = stage.reads.iter().flat_map(|r| &r.index).filter_map(Index::affine);
        let dim = dims.find(|i| i.coefficient(row) > 0 && i.coefficient(tap) > 0)?;
        Some(Slide {
            taps: facts::reduce_points(kernel, stage),
            along: kernel.extent(tap),
            input: (2 * stage.reads.len()).saturating_sub(3).max(1),
            step: dim.coefficient(row),
            dilation: dim.coefficient(tap),
        })
    }

    /// Outputs by which a window reaches into that of others.
    fn overlap(&self) -> usize {
        ((self.along as i64 - 1) * self.dilation / self.step) as usize
    }

    /// The tile of up to `longest` outputs in each of some rows with the fewest instructions for
    /// `extent` of them.
    fn best_tile(&self, extent: usize, longest: usize, rows: usize) -> usize {
        let cost = |&points: &usize| {
            let (full, rest) = (extent / points, extent % points);
            let rest = if rest > 0 { self.instructions(rest, rows) } else { 0 };
            full * self.instructions(points, rows) + rest
        };
        (1..=longest.min(LONGEST).min(extent)).min_by_key(cost).unwrap_or(1)
    }

    /// The outputs in each of two rows that share a line of inputs, in the `free` registers, where
    /// the tiles of a row do not share inputs.
    fn tile_of_pair(&self, extent: usize, free: usize) -> Option<usize> {
        let longest = free / 3;
        let fits = longest >= 2 && (extent <= longest || extent >= LOOPED * longest);
        fits.then(|| self.best_tile(extent, longest, 2))
    }

    fn instructions(&self, points: usize, rows: usize) -> usize {
        let (step, dilation) = (self.step as usize, self.dilation as usize);
        let span = step * (points - 1) + dilation * (self.along - 1) + 1;
        let lines = self.taps / self.along + (rows - 1);
        self.input * lines * span.min(points * self.along) + self.taps * points * rows + ENTRY
    }
}

/// The parallel axis along which neighbouring outputs read overlapping inputs: some dimension of a
/// read moves with both the axis and the innermost tap.
fn sliding_row(kernel: &Kernel, stage: &Stage, vector: AxisId, tap: AxisId) -> Option<AxisId> {
    let slides = |&a: &AxisId| {
        let mut dims = stage.reads.iter().flat_map(|r| &r.index).filter_map(Index::affine);
        dims.any(|i| i.coefficient(a) != 0 && i.coefficient(tap) != 0)
    };
    facts::other_parallel(kernel, stage, vector).into_iter().rev().find(slides)
}

/// Rows and vectors such that accumulators, the inputs that they share and one weight per vector
/// fit the registers.
fn tile(extent: usize, taps: usize, target: &Target) -> (u32, u32) {
    let vectors = if target.vector_regs >= 32 { 2 } else { 1 };
    let taps = if taps <= SHORT { taps as u32 } else { 1 };
    let rows = (target.vector_regs / vectors).saturating_sub(taps + 2) / 2;
    (rows.clamp(1, 6).min(extent as u32), vectors)
}
