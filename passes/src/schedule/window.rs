//! Reductions whose reads all follow the vector axis, or ignore it: depthwise convolution, pooling,
//! sums over outer dimensions.
//!
//! Each accumulator is a vector of neighbouring channels. Where the window slides along a row, a
//! tile of neighbouring outputs shares the loads of overlapping taps, which needs the taps along
//! the row unrolled. Otherwise several vectors of channels hide the latency of the addition.

use super::facts;
use edgecc_ir::kernel::schedule::{Pack, Schedule};
use edgecc_ir::kernel::{AxisId, Index, Kernel, Stage};
use edgecc_ir::target::Target;

/// Taps up to this extent are unrolled.
const SHORT: usize = 7;
/// Vectors of channels in a tile that shares no loads.
const VECTORS: u32 = 4;

pub(super) fn plan(kernel: &Kernel, target: &Target) -> Option<Schedule> {
    let [stage] = kernel.stages.as_slice() else { return None };
    stage.reduce.as_ref()?;
    let (vector, lanes) = facts::vector_axis(kernel, stage, target)?;
    let tap = facts::innermost_reduce(kernel, stage);
    let row = tap.and_then(|tap| sliding_row(kernel, stage, vector, tap));
    let (rows, vectors) = match row {
        Some(row) => tile(kernel.extent(row), kernel.extent(tap?), target),
        None => (1, VECTORS),
    };
    let vectors = vectors.min(kernel.extent(vector).div_ceil(lanes as usize) as u32);
    let block = vectors * lanes;
    let short = |&a: &AxisId| row.is_some() && Some(a) == tap && kernel.extent(a) <= SHORT;
    let packed = stage
        .reads
        .iter()
        .filter(|r| facts::is_const(kernel, r) && facts::follows(kernel, r, vector));
    let mut schedule = Schedule { vector: vec![(vector, lanes)], ..Schedule::default() };
    schedule.tile = row.map(|r| (r, rows)).into_iter().chain([(vector, block)]).collect();
    schedule.order =
        [vector].into_iter().chain(facts::other_parallel(kernel, stage, vector)).collect();
    schedule.unroll = tap.filter(short).map(|a| (a, kernel.extent(a) as u32)).into_iter().collect();
    schedule.peel =
        row.filter(|&a| rows > 1 && facts::is_padded_along(stage, a)).into_iter().collect();
    schedule.pack = packed.map(|r| Pack { operand: r.operand, axis: vector, block }).collect();
    Some(schedule)
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
