//! Sums of products in which one factor (the weights) follows the vector axis and the other (the
//! activations) does not: matrix products and convolutions with channels innermost.
//!
//! A register tile of `rows × vectors` accumulators stays in registers over the whole reduction;
//! each step loads `vectors` vectors of weights and broadcasts `rows` activations. Constant weights
//! are packed so that these loads are consecutive. Of the loops over rows and over the vector axis
//! that one goes outside which moves fewer bytes through the first-level cache; axes that both
//! factors follow (batch, groups) go outermost. Rows whose window leaves the
//! input are peeled, so that the interior needs no tests.

use super::cost::{self, Tile};
use super::facts;
use edgecc_ir::kernel::schedule::{Pack, Schedule};
use edgecc_ir::kernel::{Access, AxisId, Kernel, Stage};
use edgecc_ir::target::Target;

/// Reduction loops up to this extent are unrolled completely, longer ones by `UNROLL`, or by
/// `UNROLL_BY_LANE` where one load serves several steps.
const SHORT: usize = 8;
const UNROLL: u32 = 4;
const UNROLL_BY_LANE: u32 = 8;
/// Bytes of an element; vector stages compute in 32 bits.
const ELEMENT: usize = 4;

struct Roles<'k> {
    weights: &'k Access,
    activations: &'k Access,
    shared: Vec<AxisId>,
    rows: Vec<AxisId>,
}

pub(super) fn plan(kernel: &Kernel, target: &Target) -> Option<Schedule> {
    let [stage] = kernel.stages.as_slice() else { return None };
    let factors = facts::product_sum(stage)?;
    let (vector, lanes) = facts::vector_axis(kernel, stage, target)?;
    let roles = roles(kernel, stage, factors, vector)?;
    let row_axis = roles.rows.last().copied();
    let rows = row_axis.map_or(1, |a| kernel.extent(a));
    let steps = facts::reduce_points(kernel, stage);
    let tile = cost::best_tile(rows, kernel.extent(vector), steps, lanes, target);
    let block = tile.vectors * lanes;
    let mut schedule = Schedule { vector: vec![(vector, lanes)], ..Schedule::default() };
    schedule.tile = row_axis.map(|a| (a, tile.rows)).into_iter().chain([(vector, block)]).collect();
    schedule.order = order(kernel, &roles, vector, tile, target);
    schedule.unroll = facts::innermost_reduce(kernel, stage)
        .map(|k| (k, unroll(kernel.extent(k), target)))
        .into_iter()
        .collect();
    schedule.peel = row_axis
        .filter(|&a| tile.rows > 1 && facts::is_padded_along(stage, a))
        .into_iter()
        .collect();
    if facts::is_const(kernel, roles.weights) {
        schedule.pack = vec![Pack { operand: roles.weights.operand, axis: vector, block }];
    }
    Some(schedule)
}

/// The order in which fewer bytes pass through the first-level cache: the loops outside read all of
/// the other factor once per tile, unless that stays in the cache.
fn order(
    kernel: &Kernel,
    roles: &Roles<'_>,
    vector: AxisId,
    tile: Tile,
    target: &Target,
) -> Vec<AxisId> {
    let bytes = |access: &Access| kernel.operands[access.operand].ty.bytes();
    let traffic =
        |bytes: usize, passes: usize| if bytes <= target.l1_bytes / 2 { 0 } else { bytes * passes };
    let rows: usize = roles.rows.iter().map(|&a| kernel.extent(a)).product();
    let blocks = kernel.extent(vector).div_ceil((tile.vectors * target.lanes(ELEMENT)) as usize);
    let rows_first = traffic(bytes(roles.weights), rows.div_ceil(tile.rows as usize));
    let vector_first = traffic(bytes(roles.activations), blocks);
    let (shared, rows) = (roles.shared.iter().copied(), roles.rows.iter().copied());
    match rows_first < vector_first {
        true => shared.chain(rows).chain([vector]).collect(),
        false => shared.chain([vector]).chain(rows).collect(),
    }
}

/// Which factor is which, and which axes only the activations follow.
fn roles<'k>(
    kernel: &Kernel,
    stage: &Stage,
    [a, b]: [&'k Access; 2],
    vector: AxisId,
) -> Option<Roles<'k>> {
    let follows = |access: &Access, axis| facts::follows(kernel, access, axis);
    let (weights, activations) = match (follows(a, vector), follows(b, vector)) {
        (true, false) => (a, b),
        (false, true) => (b, a),
        (true, true) | (false, false) => return None,
    };
    let others = facts::other_parallel(kernel, stage, vector);
    let is_row = |&axis: &AxisId| !follows(weights, axis) && follows(activations, axis);
    let (rows, shared) = others.into_iter().partition(is_row);
    Some(Roles { weights, activations, shared, rows })
}

fn unroll(extent: usize, target: &Target) -> u32 {
    match extent {
        0..=SHORT => extent as u32,
        _ if target.fma_by_lane => UNROLL_BY_LANE,
        _ => UNROLL,
    }
}
