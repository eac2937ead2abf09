//! The loops over the reduce axes of one tile, with accumulators carried in registers.
//!
//! A padded read whose pad value adds nothing (zero times anything, the identity of the reduction)
//! is skipped rather than loaded: as soon as all axes of a padded dimension have a place, the rest
//! of the nest runs under an `If`.

use super::nest::{Env, Point};
use super::read::{self, Cache, Test};
use super::{Cx, expr, prefetch};
use edgecc_ir::affine::{Affine, Interval};
use edgecc_ir::kernel::{Access, AxisId, Index, Outside, Reduce, Stage};
use edgecc_ir::loops::build::LoopBuilder;
use edgecc_ir::loops::{Guard, ValueId};
use edgecc_ir::scalar::eval::eval;
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::scalar::{NodeId, ScalarExpr};
use edgecc_ir::tensor::Scalar;

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
    annihilates(cx, nth, pad)
        || (cx.stage.body.is_identity() && reduce.func.identity(pad.elem()) == Some(pad))
}

/// Whether every product of the stage's sum is zero where the n-th read gives its pad, as all reads
/// do that leave the operand at the same points.
fn annihilates(cx: &Cx<'_>, nth: usize, pad: Scalar) -> bool {
    let Stage { body, reads, .. } = cx.stage;
    let Some(sides) = cx.stage.sides() else { return false };
    let Some(side) = sides.iter().position(|side| side.contains(&nth)) else { return false };
    let is_alike = |&n: &u32| leaves_alike(cx, &reads[nth], &reads[n as usize]);
    let alike: Vec<u32> = (0..reads.len() as u32).filter(is_alike).collect();
    let is_zero = |factor: NodeId| {
        let known = (0..body.params()).all(|p| alike.contains(&p) || !body.reads(factor, p));
        known && !eval(&body.subexpression(factor), &vec![pad; reads.len()]).is_true()
    };
    body.products().is_some_and(|all| all.iter().all(|(_, factors)| is_zero(factors[side])))
}

/// Whether two reads leave an operand at the same points: their places differ in dimensions only
/// that they never leave.
fn leaves_alike(cx: &Cx<'_>, a: &Access, b: &Access) -> bool {
    let inside = |place: &Index, extent: usize| {
        place.interval(extent, |axis| Interval::below(cx.kernel.extent(axis))).within(extent)
    };
    let mut dims = a.index.iter().zip(&b.index).zip(cx.shape(a).iter());
    a.operand == b.operand
        && a.outside == b.outside
        && dims.all(|((p, q), &extent)| p == q || inside(p, extent) && inside(q, extent))
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

/// Combines the terms of the body at some steps into each point's sum.
fn accumulate(
    b: &mut LoopBuilder,
    cache: &mut Cache,
    cx: &Cx<'_>,
    steps: &[Env],
    points: &[Point],
    sums: Vec<ValueId>,
) -> Vec<ValueId> {
    let mut next = sums;
    let terms = terms(cx);
    let vectors = vectors(cx, points);
    let order = order(cx, [steps.len(), terms.len(), vectors], points);
    for pair in order.chunks(together(cx, vectors)) {
        let mut inside: Vec<Place> = pair.to_vec();
        inside.retain(|place| !is_outside(b, cx, &steps[place.step], &points[place.nth]));
        let mut read = |place: &Place| {
            let (env, point) = (&steps[place.step], &points[place.nth]);
            read::read_all(b, cache, cx, env, point, &cx.stage.reads)
        };
        let args: Vec<Vec<ValueId>> = inside.iter().map(&mut read).collect();
        for (Place { term, nth, .. }, args) in inside.into_iter().zip(args) {
            next[nth] = add(b, cx, &terms[term], &args, next[nth]);
        }
    }
    next
}

/// What a step adds to a sum, one after the other: the products of the body where they may be
/// rounded apart from each other, otherwise all of it.
fn terms(cx: &Cx<'_>) -> Vec<ScalarExpr> {
    let body = &cx.stage.body;
    let products = body.products().filter(|all| all.len() > 1 && fuses(cx));
    products.map_or_else(|| vec![body.clone()], |_| body.terms())
}

/// Whether products of floats are added to sums at once.
fn fuses(cx: &Cx<'_>) -> bool {
    cx.target.fma && reduction(cx).func == ScalarFn::Add && reduction(cx).init.elem().is_float()
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

/// A term of the body at a step and a point of the tile.
#[derive(Clone, Copy)]
struct Place {
    step: usize,
    term: usize,
    nth: usize,
}

/// The order in which the points of a tile are computed, each with its step and term. Where
/// multiply-adds take lanes, the rows' factors stay in registers for several steps. The other factor
/// then comes in pairs of consecutive vectors, of neighbouring steps where a step has an odd number of
/// them, or one by one where pairs do not pay, or all of a step; the points that use them are
/// neighbours, so that only those that come at once have to be there. What is made of several reads is
/// used up by the points of a vector before that of the next one is made.
fn order(cx: &Cx<'_>, [steps, terms, vectors]: [usize; 3], points: &[Point]) -> Vec<Place> {
    let of_step = |step| {
        let places = move |term| (0..points.len()).map(move |nth| Place { step, term, nth });
        (0..terms).flat_map(places)
    };
    let mut all: Vec<Place> = (0..steps).flat_map(of_step).collect();
    if let Some((axis, lanes)) = cx.vector.filter(|_| cx.target.fma_by_lane) {
        let vector = |nth: usize| points[nth].offset(axis) / lanes as usize;
        let is_made = cx.stage.reads.len() > 2;
        all.sort_by_key(|&Place { step, nth, .. }| match vectors {
            1 => (step, 0),
            _ if is_made => (vector(nth), step),
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
    terms(cx).iter().fold(sum, |sum, term| add(b, cx, term, args, sum))
}

/// The accumulator after a term's value of these reads.
fn add(
    b: &mut LoopBuilder,
    cx: &Cx<'_>,
    term: &ScalarExpr,
    args: &[ValueId],
    sum: ValueId,
) -> ValueId {
    let func = reduction(cx).func;
    let product = term.product().filter(|_| func == ScalarFn::Add);
    let fused = product.and_then(|(of, factors)| match of {
        ScalarFn::Mul => fuses(cx).then_some((ScalarFn::Fma, factors)),
        dot => Some((dot, factors)),
    });
    if let Some((fused, factors)) = fused {
        let before = term.nodes().split_last().expect("a body has nodes").1;
        let values = expr::values(b, before, args, cx.lanes());
        let [x, y] = factors.map(|n| values[n as usize]);
        return b.apply(fused, &[x, y, sum]);
    }
    let value = expr::emit(b, term, args, cx.lanes());
    b.apply(func, &[sum, value])
}
