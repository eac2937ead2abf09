//! The loops over the reduce axes of one tile, with accumulators carried in registers.
//!
//! A padded read whose pad value adds nothing (zero times anything, the identity of the reduction)
//! is skipped rather than loaded: as soon as all axes of a padded dimension have a place, the rest
//! of the nest runs under an `If`.

use super::nest::{Env, Point};
use super::read::{self, Cache, Test};
use super::{Cx, expr, prefetch};
use edgecc_ir::affine::Affine;
use edgecc_ir::kernel::{Access, AxisId, Outside, Reduce};
use edgecc_ir::loops::build::LoopBuilder;
use edgecc_ir::loops::{Guard, ValueId};
use edgecc_ir::scalar::eval::eval;
use edgecc_ir::scalar::func::ScalarFn;

/// Taps of a window at a border that get code of their own.
const STRAIGHT_TAPS: usize = 8;

/// The reduced value of each point, starting at `init`.
pub(super) fn reduce(
    b: &mut LoopBuilder,
    cache: &mut Cache,
    cx: &Cx<'_>,
    env: &Env,
    points: &[Point],
    init: Vec<ValueId>,
) -> Vec<ValueId> {
    let axes: Vec<AxisId> = cx.kernel.reduce_axes(cx.stage).collect();
    nest(b, cache, cx, env, points, &axes, init)
}

/// The stage's reduction.
pub(super) fn reduction<'a>(cx: &Cx<'a>) -> &'a Reduce {
    cx.stage.reduce.as_ref().expect("the stage reduces")
}

fn nest(
    b: &mut LoopBuilder,
    cache: &mut Cache,
    cx: &Cx<'_>,
    env: &Env,
    points: &[Point],
    axes: &[AxisId],
    sums: Vec<ValueId>,
) -> Vec<ValueId> {
    let mut env = env.clone();
    let mut guards: Vec<Guard> = Vec::new();
    for (nth, dim, test) in common_tests(b, cx, &env, points) {
        match test {
            Test::Outside => return sums,
            Test::Unknown(guard) => {
                env.tested.push((nth, dim));
                if !guards.contains(&guard) {
                    guards.push(guard);
                }
            }
            Test::Inside => {}
        }
    }
    if guards.is_empty() {
        return axis(b, cache, cx, &env, points, axes, sums);
    }
    let before = sums.clone();
    cache.enter();
    let sums = b.guarded(guards, &before, |b| axis(b, cache, cx, &env, points, axes, sums));
    cache.leave();
    sums
}

/// Tests of padded dimensions that are new here, the same for all points, and may be skipped.
fn common_tests(
    b: &LoopBuilder,
    cx: &Cx<'_>,
    env: &Env,
    points: &[Point],
) -> Vec<(usize, usize, Test)> {
    let mut found = Vec::new();
    for (nth, access) in cx.stage.reads.iter().enumerate().filter(|(n, r)| skips(cx, *n, r)) {
        for (dim, place) in access.index.iter().enumerate() {
            let Some(place) = place.affine() else { continue };
            let mut axes = place.terms().iter().map(|t| t.0);
            if !axes.all(|a| env.is_bound(a) && !varies(cx, env, a))
                || env.tested.contains(&(nth, dim))
            {
                continue;
            }
            let expr = place.substitute(|a| env.at(a, &points[0]));
            let test = read::test(b, &expr, cx.shape(access)[dim]);
            found.push((nth, dim, test));
        }
    }
    found
}

/// Whether the points of the current tile differ along an axis.
pub(super) fn varies(cx: &Cx<'_>, env: &Env, axis: AxisId) -> bool {
    env.size(axis) > 1 || cx.vector.is_some_and(|(v, _)| v == axis)
}

/// Whether a point outside the operand of the n-th read adds nothing to the sum.
fn skips(cx: &Cx<'_>, nth: usize, access: &Access) -> bool {
    let Outside::Pad(pad) = access.outside else { return false };
    let reduce = reduction(cx);
    let factor = cx.stage.factors().and_then(|factors| factors.into_iter().nth(nth));
    let annihilates = factor.is_some_and(|f| !eval(&f, &[pad]).is_true());
    annihilates || (cx.stage.body.is_identity() && reduce.func.identity(pad.elem()) == Some(pad))
}

fn axis(
    b: &mut LoopBuilder,
    cache: &mut Cache,
    cx: &Cx<'_>,
    env: &Env,
    points: &[Point],
    axes: &[AxisId],
    mut sums: Vec<ValueId>,
) -> Vec<ValueId> {
    let Some((&axis, rest)) = axes.split_first() else {
        return accumulate(b, cache, cx, std::slice::from_ref(env), points, sums);
    };
    let extent = cx.kernel.extent(axis);
    let unroll = match straddles_border(b, cx, env, points, axis) {
        true => extent,
        false => cx.schedule.unroll_of(axis) as usize,
    };
    let rounds = if unroll < extent { extent / unroll } else { 0 };
    let steps = |b: &mut LoopBuilder, cache: &mut Cache, first: Affine<_>, count, sums| {
        let at = |step: usize| env.bind(axis, first.clone().offset(step as i64), 1);
        let steps: Vec<Env> = (0..count).map(at).collect();
        straight(b, cache, cx, &steps, points, rest, sums)
    };
    if rounds > 1 {
        cache.enter();
        let inside: usize = rest.iter().map(|&a| cx.kernel.extent(a)).product();
        let is_hot = rest.iter().all(|&a| cx.schedule.unroll_of(a) as usize >= cx.kernel.extent(a));
        sums = b.for_carried(rounds, &sums, |b, index, inner| {
            if is_hot {
                let first = env.bind(axis, Affine::scaled(index, unroll as i64), 1);
                prefetch::next_block(b, cx, &first, unroll * inside);
            }
            steps(b, cache, Affine::scaled(index, unroll as i64), unroll, inner.to_vec())
        });
        cache.leave();
    }
    let done = if rounds > 1 { rounds * unroll } else { 0 };
    steps(b, cache, Affine::constant(done as i64), extent - done, sums)
}

/// Whether points of a tile at a known place leave their operand for some places of a reduce axis:
/// each place then gets code of its own, which skips those points.
fn straddles_border(
    b: &LoopBuilder,
    cx: &Cx<'_>,
    env: &Env,
    points: &[Point],
    axis: AxisId,
) -> bool {
    let extent = cx.kernel.extent(axis);
    if extent > STRAIGHT_TAPS {
        return false;
    }
    let ends = [0, extent - 1].map(|end| env.bind(axis, Affine::constant(end as i64), 1));
    let skipping = cx.stage.reads.iter().enumerate().filter(|(n, r)| skips(cx, *n, r));
    let dims = skipping.flat_map(|(_, read)| read.index.iter().zip(cx.shape(read).iter()));
    let moving = dims.filter_map(|(place, extent)| Some((place.affine()?, *extent)));
    let mut moving = moving.filter(|(place, _)| {
        place.coefficient(axis) != 0 && place.terms().iter().all(|t| ends[0].is_bound(t.0))
    });
    moving.any(|(place, extent)| {
        let places = ends.iter().flat_map(|env| points.iter().map(move |p| (env, p)));
        let mut places = places.map(|(env, point)| place.substitute(|a| env.at(a, point)));
        let leaves = |at: Affine<_>| {
            at.terms().is_empty() && !matches!(read::test(b, &at, extent), Test::Inside)
        };
        places.any(leaves)
    })
}

/// Some places of an axis as straight code, with the `rest` of the axes inside.
fn straight(
    b: &mut LoopBuilder,
    cache: &mut Cache,
    cx: &Cx<'_>,
    steps: &[Env],
    points: &[Point],
    rest: &[AxisId],
    mut sums: Vec<ValueId>,
) -> Vec<ValueId> {
    let by_lane = cx.target.fma_by_lane;
    let is_decided = |env: &Env| {
        let tests = common_tests(b, cx, env, points);
        tests.iter().all(|(_, _, test)| matches!(test, Test::Inside))
    };
    if by_lane && rest.is_empty() && steps.iter().all(is_decided) {
        return accumulate(b, cache, cx, steps, points, sums);
    }
    for env in steps {
        // Where a load is free beside its use, sharing it among steps takes a register only.
        if by_lane {
            sums = nest(b, cache, cx, env, points, rest, sums);
        } else {
            cache.enter();
            sums = nest(b, cache, cx, env, points, rest, sums);
            cache.leave();
        }
    }
    sums
}

/// Combines the body's values of some steps into each point's sum.
fn accumulate(
    b: &mut LoopBuilder,
    cache: &mut Cache,
    cx: &Cx<'_>,
    steps: &[Env],
    points: &[Point],
    sums: Vec<ValueId>,
) -> Vec<ValueId> {
    let mut next = sums;
    let vectors = vectors(cx, points);
    let order = order(cx, steps.len(), points, vectors);
    for pair in order.chunks(together(cx, vectors)) {
        let mut inside: Vec<(usize, usize)> = pair.to_vec();
        inside.retain(|&(step, nth)| !is_outside(b, cx, &steps[step], &points[nth]));
        let mut read = |&(step, nth): &(usize, usize)| {
            read::read_all(b, cache, cx, &steps[step], &points[nth], &cx.stage.reads)
        };
        let args: Vec<Vec<ValueId>> = inside.iter().map(&mut read).collect();
        for ((_, nth), args) in inside.into_iter().zip(args) {
            next[nth] = combine(b, cx, &args, next[nth]);
        }
    }
    next
}

/// Vectors of the factor without lanes that come at once: all of a step where a word of the other
/// one is copied to all lanes, so that the copy serves all of them.
fn together(cx: &Cx<'_>, vectors: usize) -> usize {
    let dot = cx.stage.body.product().and_then(|(func, _)| func.products());
    match dot {
        Some(_) if !cx.target.dots_add => vectors,
        _ if cx.target.loads_pairs() => 2,
        _ => 1,
    }
}

/// Vectors of points along the vector axis, where multiply-adds take lanes; 1 elsewhere.
fn vectors(cx: &Cx<'_>, points: &[Point]) -> usize {
    let Some((axis, lanes)) = cx.vector.filter(|_| cx.target.fma_by_lane) else { return 1 };
    let vector = |point: &Point| point.offset(axis) / lanes as usize;
    points.iter().map(vector).max().map_or(1, |last| last + 1)
}

/// The order in which the points of a tile are computed, each with its step. Where multiply-adds
/// take lanes, the rows' factors stay in registers for several steps. The other factor then comes in
/// pairs of consecutive vectors, of neighbouring steps where a step has an odd number of them, or one
/// by one where pairs do not pay, or all of a step; the points that use them are neighbours, so that
/// only those that come at once have to be there. Words that are made of several reads are used up by
/// the points of a vector before those of the next one are made.
fn order(cx: &Cx<'_>, steps: usize, points: &[Point], vectors: usize) -> Vec<(usize, usize)> {
    let product = (0..steps).flat_map(|step| (0..points.len()).map(move |nth| (step, nth)));
    let mut all: Vec<(usize, usize)> = product.collect();
    if let Some((axis, lanes)) = cx.vector.filter(|_| cx.target.fma_by_lane) {
        let vector = |nth: usize| points[nth].offset(axis) / lanes as usize;
        let makes_words = cx.stage.reads.len() > 2;
        all.sort_by_key(|&(step, nth)| match vectors {
            1 => (step, nth),
            _ if makes_words => (vector(nth), step),
            _ => ((step * vectors + vector(nth)) / together(cx, vectors), nth / vectors),
        });
    }
    all
}

/// Whether a point certainly reads a pad that adds nothing.
fn is_outside(b: &LoopBuilder, cx: &Cx<'_>, env: &Env, point: &Point) -> bool {
    let mut skipping = cx.stage.reads.iter().enumerate().filter(|(n, r)| skips(cx, *n, r));
    skipping.any(|(_, access)| {
        access.index.iter().zip(cx.shape(access).iter()).any(|(place, &extent)| {
            let same_for_all_lanes = cx.vector.is_none_or(|(v, _)| !place.follows(v));
            let at = place.affine().map(|i| i.substitute(|a| env.at(a, point)));
            let test = at.map(|at| read::test(b, &at, extent));
            matches!(test, Some(Test::Outside)) && same_for_all_lanes
        })
    })
}

/// The accumulator after the body's value of these reads.
pub(super) fn combine(b: &mut LoopBuilder, cx: &Cx<'_>, args: &[ValueId], sum: ValueId) -> ValueId {
    let func = reduction(cx).func;
    let product = cx.stage.body.product().filter(|_| func == ScalarFn::Add);
    let fuses = cx.target.fma && b.ty(sum).elem.is_float();
    let fused = product.and_then(|(of, factors)| match of {
        ScalarFn::Mul => fuses.then_some((ScalarFn::Fma, factors)),
        dot => Some((dot, factors)),
    });
    if let Some((fused, factors)) = fused {
        let before = cx.stage.body.nodes().split_last().expect("a body has nodes").1;
        let values = expr::values(b, before, args, cx.lanes());
        let [x, y] = factors.map(|n| values[n as usize]);
        return b.apply(fused, &[x, y, sum]);
    }
    let value = expr::emit(b, &cx.stage.body, args, cx.lanes());
    b.apply(func, &[sum, value])
}
