//! Large epilogues of tiles that exist in several forms, because borders or what is left of an axis
//! are apart: the sums go to memory of the function's own, and a loop over the rows of the tile
//! finishes them. The code of the epilogue is then there once for a row instead of once for each
//! result.

use super::nest::{self, Env, Point, points};
use super::read::Cache;
use super::{Cx, rows};
use crate::schedule::instructions;
use edgecc_ir::affine::Affine;
use edgecc_ir::kernel::schedule::Schedule;
use edgecc_ir::kernel::{AxisId, Kernel, Stage};
use edgecc_ir::loops::build::LoopBuilder;
use edgecc_ir::loops::{Param, ParamAccess, ParamId, VType, ValueId};
use edgecc_ir::scalar::ScalarExpr;
use edgecc_ir::types::{ElemType, TensorType};

/// Vector instructions of the epilogue in one tile from which on a loop is shorter.
const LARGE: u64 = 256;

/// Gives the function memory for the sums of the largest tile that a loop finishes.
pub(super) fn declare(b: &mut LoopBuilder, kernel: &Kernel) -> Option<ParamId> {
    let schedule = kernel.schedule.as_ref()?;
    let large = kernel.stages.iter().filter(|stage| is_large(kernel, stage, schedule));
    let sums = |stage| vectors(kernel, stage, schedule) * lanes(kernel, stage, schedule);
    let largest = large.map(sums).max()?;
    let ty = TensorType::new(ElemType::F32, &[largest as usize]);
    Some(b.param(Param { ty, access: ParamAccess::ReadWrite }))
}

/// The memory for the sums of a tile and the axis of its rows, if a loop finishes them.
pub(super) fn in_rows(cx: &Cx<'_>, env: &Env) -> Option<(ParamId, AxisId)> {
    let memory = cx.sums.filter(|_| is_large(cx.kernel, cx.stage, &cx.schedule))?;
    let has_rows = |&axis: &AxisId| env.size(axis) > 1;
    let mut rows = row_axes(cx.kernel, cx.stage, &cx.schedule).filter(has_rows);
    let row = rows.next()?;
    rows.next().is_none().then_some((memory, row))
}

/// Sums of a tile in memory, row after row.
pub(super) struct Made {
    pub(super) memory: ParamId,
    pub(super) elem: ElemType,
    /// The first sum.
    pub(super) first: usize,
    /// From a row to the next one.
    pub(super) width: usize,
}

/// Stores the sums of a tile whose rows lie along an axis.
pub(super) fn store_rows(
    b: &mut LoopBuilder,
    cx: &Cx<'_>,
    env: &Env,
    (memory, axis): (ParamId, AxisId),
    sums: &[ValueId],
) -> Made {
    let lanes = cx.lanes();
    for (nth, &sum) in sums.iter().enumerate() {
        let place = Affine::constant((nth * usize::from(lanes)) as i64);
        b.store(memory, vec![place], sum, lanes);
    }
    let width = sums.len() / env.size(axis) * usize::from(lanes);
    Made { memory, elem: ElemType::F32, first: 0, width }
}

/// Finishes the sums of a tile row by row; `then` gets each value with its place.
pub(super) fn finish_rows(
    b: &mut LoopBuilder,
    cx: &Cx<'_>,
    env: &Env,
    axis: AxisId,
    made: &Made,
    epilogue: &ScalarExpr,
    mut then: impl FnMut(&mut LoopBuilder, &Env, &Point, ValueId),
) {
    let lanes = cx.lanes();
    let ty = VType { elem: made.elem, lanes };
    let first = env.at(axis, &Point::default());
    b.for_each(env.size(axis), |b, row| {
        let env = env.bind(axis, first.add_scaled(&Affine::var(row), 1), 1);
        let mut cache = Cache::default();
        for (nth, point) in points(cx, &env).iter().enumerate() {
            let column = made.first + nth * usize::from(lanes);
            let from = Affine::scaled(row, made.width as i64).offset(column as i64);
            let sum = b.load(ty, made.memory, vec![from], lanes);
            let value = nest::finish(b, &mut cache, cx, &env, point, (sum, epilogue));
            then(b, &env, point, value);
        }
    });
}

/// Whether a loop is shorter than what all forms of the tile would need.
fn is_large(kernel: &Kernel, stage: &Stage, schedule: &Schedule) -> bool {
    let sums_floats = stage.reduce.as_ref().is_some_and(|r| r.init.elem() == ElemType::F32);
    let has_forms = |axis| {
        let tile = schedule.tile_of(axis);
        let whole = kernel.extent(axis).is_multiple_of(tile as usize);
        tile > 1 && (schedule.peel.contains(&axis) || !whole)
    };
    let vectors = u64::from(vectors(kernel, stage, schedule));
    sums_floats
        && !rows::is_value(&kernel.operands[stage.write.operand])
        && row_axes(kernel, stage, schedule).any(has_forms)
        && vectors * instructions(&stage.epilogue) >= LARGE
}

/// Lanes of the stage's vectors of sums; 1 where the lanes of a vector are summed.
fn lanes(kernel: &Kernel, stage: &Stage, schedule: &Schedule) -> u32 {
    let mut parallel = kernel.parallel_axes(stage).map(|axis| schedule.lanes_of(axis));
    parallel.find(|&lanes| lanes > 1).unwrap_or(1)
}

/// The parallel axes of a stage that are no vectors.
fn row_axes<'k>(
    kernel: &'k Kernel,
    stage: &'k Stage,
    schedule: &'k Schedule,
) -> impl Iterator<Item = AxisId> + 'k {
    kernel.parallel_axes(stage).filter(|&axis| schedule.lanes_of(axis) == 1)
}

/// Vectors of sums in a tile.
fn vectors(kernel: &Kernel, stage: &Stage, schedule: &Schedule) -> u32 {
    let along = |axis: AxisId| schedule.tile_of(axis).div_ceil(schedule.lanes_of(axis));
    kernel.parallel_axes(stage).filter(|axis| !kernel.rows.contains(axis)).map(along).product()
}
