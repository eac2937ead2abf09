//! The loops over the tiles of the parallel axes, and the points inside one tile.

use super::read::Cache;
use super::seed::{Seed, seed};
use super::segment::{Segment, segments};
use super::{Cx, copies, expr, finish, lanes, matrix, read, reduce, rows, together};
use cranelift_entity::SecondaryMap;
use edgecc_ir::affine::Affine;
use edgecc_ir::kernel::{AxisId, AxisKind, Index};
use edgecc_ir::loops::build::LoopBuilder;
use edgecc_ir::loops::{IndexId, ValueId};
use edgecc_ir::scalar::ScalarExpr;
use smallvec::SmallVec;

/// Where the lowering is: the first point of the current tile along each bound axis.
#[derive(Clone)]
pub(super) struct Env {
    origin: SecondaryMap<AxisId, Option<Affine<IndexId>>>,
    size: SecondaryMap<AxisId, usize>,
    /// Guarded dimensions (read, dimension) that an enclosing `If` has tested.
    pub(super) tested: SmallVec<[(usize, usize); 4]>,
}

/// One point of a tile (a vector of points along the vector axis): offsets from the origin.
#[derive(Clone, Debug, Default)]
pub(super) struct Point {
    offsets: SmallVec<[(AxisId, usize); 4]>,
    /// Lanes that lie in the domain.
    pub(super) active: u8,
}

impl Point {
    /// The single point in a lane of this vector of points along `axis`.
    pub(super) fn lane(&self, axis: AxisId, lane: u8) -> Point {
        let mut point = self.clone();
        match point.offsets.iter_mut().find(|o| o.0 == axis) {
            Some(offset) => offset.1 += usize::from(lane),
            None => point.offsets.push((axis, usize::from(lane))),
        }
        point
    }

    /// The distance from the tile's origin along an axis.
    pub(super) fn offset(&self, axis: AxisId) -> usize {
        self.offsets.iter().find(|o| o.0 == axis).map_or(0, |o| o.1)
    }

    /// The same point with this many lanes in the domain.
    pub(super) fn with_lanes(&self, active: u8) -> Point {
        Point { active, ..self.clone() }
    }
}

impl Env {
    /// No axis is bound.
    pub(super) fn new() -> Env {
        Env { origin: SecondaryMap::new(), size: SecondaryMap::new(), tested: SmallVec::new() }
    }

    /// The same place with `axis` at `origin`.
    pub(super) fn bind(&self, axis: AxisId, origin: Affine<IndexId>, size: usize) -> Env {
        let mut env = self.clone();
        env.origin[axis] = Some(origin);
        env.size[axis] = size;
        env
    }

    /// Whether the axis has a place.
    pub(super) fn is_bound(&self, axis: AxisId) -> bool {
        self.origin[axis].is_some()
    }

    /// Points of the current tile along an axis.
    pub(super) fn size(&self, axis: AxisId) -> usize {
        self.size[axis]
    }

    /// The place of `point` along an axis.
    pub(super) fn at(&self, axis: AxisId, point: &Point) -> Affine<IndexId> {
        let origin = self.origin[axis].clone().expect("axes are bound before they are used");
        origin.offset(point.offset(axis) as i64)
    }
}

/// Emits the nest of stages over the same axes, inside the axes that `env` binds. Returns the value
/// of a stage that computes one.
pub(super) fn lower_stages(b: &mut LoopBuilder, all: &[Cx<'_>], env: &Env) -> Option<ValueId> {
    let cx = &all[0];
    let listed = cx.schedule.order.iter().copied().filter(|a| cx.stage.axes.contains(a));
    let parallel: Vec<AxisId> =
        cx.kernel.parallel_axes(cx.stage).filter(|&a| !env.is_bound(a)).collect();
    let missing = parallel.iter().copied().filter(|a| !cx.schedule.order.contains(a));
    let order: Vec<AxisId> = missing.chain(listed.filter(|a| parallel.contains(a))).collect();
    if rows::is_value(&cx.kernel.operands[cx.stage.write.operand]) {
        return Some(value(b, cx, env, &order));
    }
    copies::make_at_stage(b, cx.packed.copies, env, cx.stage);
    match cx.part.filter(|_| !cx.stage.axes.iter().any(|&a| cx.schedule.divides(a))) {
        Some(part) => part.only(b, 0, |b| loops(b, all, env, &order)),
        None => loops(b, all, env, &order),
    }
    None
}

/// The single value of a stage whose own parallel axes have one point.
fn value(b: &mut LoopBuilder, cx: &Cx<'_>, env: &Env, axes: &[AxisId]) -> ValueId {
    let env = axes.iter().fold(env.clone(), |env, &a| env.bind(a, Affine::constant(0), 1));
    let mut value = None;
    each_value(b, cx, &env, |_, _, _, v| value = Some(v));
    value.expect("a tile has points")
}

fn loops(b: &mut LoopBuilder, all: &[Cx<'_>], env: &Env, axes: &[AxisId]) {
    let Some((&axis, rest)) = axes.split_first() else { return tile(b, all, env) };
    for (n, Segment { start, count, size }) in segments(all, axis).into_iter().enumerate() {
        let tile = |b: &mut LoopBuilder, tile: Affine<IndexId>| {
            let origin = tile.times(size as i64).offset(start as i64);
            let (env, cx) = (env.bind(axis, origin, size), &all[0]);
            copies::make_at_axis(b, cx.packed.copies, &env, (cx.stage, axis));
            loops(b, all, &env, rest);
        };
        match (all[0].part_of(axis), count) {
            (None, 1) => tile(b, Affine::constant(0)),
            (None, _) => b.for_each(count, |b, index| tile(b, Affine::var(index))),
            (Some(part), 1) => part.only(b, n, |b| tile(b, Affine::constant(0))),
            (Some(part), _) => part.each(b, count, tile),
        }
    }
}

/// The body of one tile: compute each point, store.
fn tile(b: &mut LoopBuilder, all: &[Cx<'_>], env: &Env) {
    match all {
        [cx] => each_value(b, cx, env, |b, env, point, value| store(b, cx, env, point, value)),
        maps => together::tile(b, maps, env),
    }
}

/// Reduces or computes each point of the current tile and applies the epilogue.
fn each_value(
    b: &mut LoopBuilder,
    cx: &Cx<'_>,
    env: &Env,
    mut then: impl FnMut(&mut LoopBuilder, &Env, &Point, ValueId),
) {
    let mut cache = Cache::default();
    if matrix::lower(b, cx, env, &mut then) {
        return;
    }
    if cx.stage.reduce.is_some() {
        let first = if cx.reduced_lanes().is_none() { seed(cx) } else { None };
        let (points, sums, cx) = match cx.reduced_lanes() {
            Some(along) => {
                let points = points(&cx.one_lane(), env);
                let sums = lanes::reduce(b, &mut cache, cx, env, &points, along);
                (points, sums, &cx.one_lane())
            }
            None => {
                let points = points(cx, env);
                let init = initial(b, &mut cache, cx, env, &points, first.as_ref());
                let sums = reduce::reduce(b, &mut cache, cx, env, &points, init);
                (points, sums, cx)
            }
        };
        let epilogue = first.as_ref().map_or(&cx.stage.epilogue, |seed| &seed.epilogue);
        if let Some(rows) = finish::in_rows(cx, env) {
            let made = finish::store_rows(b, cx, env, rows, &sums);
            return finish::finish_rows(b, cx, env, rows.1, &made, epilogue, then);
        }
        for (point, sum) in points.iter().zip(sums) {
            let value = finish(b, &mut cache, cx, env, point, (sum, epilogue));
            then(b, env, point, value);
        }
    } else {
        for point in &points(cx, env) {
            let args = read::read_all(b, &mut cache, cx, env, point, &cx.stage.reads);
            let value = expr::emit_contracted(b, cx.target, &cx.stage.body, &args, cx.lanes());
            then(b, env, point, value);
        }
    }
}

/// What the reduction of each point starts at.
fn initial(
    b: &mut LoopBuilder,
    cache: &mut Cache,
    cx: &Cx<'_>,
    env: &Env,
    points: &[Point],
    seed: Option<&Seed<'_>>,
) -> Vec<ValueId> {
    let Some(Seed { read, .. }) = seed else {
        let init = b.constant(reduce::reduction(cx).init, cx.lanes());
        return vec![init; points.len()];
    };
    let read = std::slice::from_ref(*read);
    points.iter().map(|point| read::read_all(b, cache, cx, env, point, read)[0]).collect()
}

/// The epilogue of a reduced value.
pub(super) fn finish(
    b: &mut LoopBuilder,
    cache: &mut Cache,
    cx: &Cx<'_>,
    env: &Env,
    point: &Point,
    (sum, epilogue): (ValueId, &ScalarExpr),
) -> ValueId {
    let mut args = vec![sum];
    args.extend(read::read_all(b, cache, cx, env, point, &cx.stage.epilogue_reads));
    expr::emit_contracted(b, cx.target, epilogue, &args, cx.lanes())
}

/// Stores the value of a point.
pub(super) fn store(b: &mut LoopBuilder, cx: &Cx<'_>, env: &Env, point: &Point, value: ValueId) {
    let write = &cx.stage.write;
    let places = write.index.iter().filter_map(Index::affine);
    let index = places.map(|i| i.substitute(|a| env.at(a, point))).collect();
    b.store(cx.param(write), index, value, point.active);
}

/// All points of the current tile, rows outermost, vectors innermost.
pub(super) fn points(cx: &Cx<'_>, env: &Env) -> Vec<Point> {
    let mut all = vec![Point { active: 1, ..Point::default() }];
    for &axis in cx.stage.axes.iter().filter(|&&a| cx.kernel.axes[a].kind == AxisKind::Parallel) {
        if cx.vector.is_none_or(|(v, _)| v != axis) && env.size(axis) > 1 {
            let steps: Vec<(usize, u8)> = (0..env.size(axis)).map(|o| (o, 1)).collect();
            all = product(&all, axis, &steps);
        }
    }
    match cx.vector {
        Some((axis, lanes)) => {
            let (size, lanes) = (env.size(axis), lanes as usize);
            let chunk = |o: usize| (o, lanes.min(size - o) as u8);
            let steps: Vec<(usize, u8)> = (0..size).step_by(lanes).map(chunk).collect();
            product(&all, axis, &steps)
        }
        None => all,
    }
}

fn product(points: &[Point], axis: AxisId, steps: &[(usize, u8)]) -> Vec<Point> {
    let extend = |point: &Point, (offset, active): (usize, u8)| {
        let mut point = point.clone();
        point.offsets.push((axis, offset));
        point.active = active;
        point
    };
    points.iter().flat_map(|p| steps.iter().map(move |&s| extend(p, s))).collect()
}
