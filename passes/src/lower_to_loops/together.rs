//! Maps over the same axes run in one nest, so that what several of them read is loaded once.

use super::nest::{Env, Point, points, store};
use super::read::{self, Cache, Test};
use super::reduce::varies;
use super::{Cx, expr, rows};
use edgecc_ir::kernel::{Access, Kernel, Outside, Stage};
use edgecc_ir::loops::build::LoopBuilder;
use edgecc_ir::loops::{Guard, ValueId};
use edgecc_ir::scalar::eval::eval;
use edgecc_ir::tensor::Scalar;

/// How many stages, from the first one on, run in one nest.
pub(super) fn run(kernel: &Kernel, stages: &[Stage]) -> usize {
    let is_map = |stage: &Stage| {
        stage.reduce.is_none() && !rows::is_value(&kernel.operands[stage.write.operand])
    };
    let is_written = |read: &Access, before: &[Stage]| {
        before.iter().any(|stage| stage.write.operand == read.operand)
    };
    let joins = |&n: &usize| {
        let stage = &stages[n];
        let apart = stage.all_reads().all(|read| !is_written(read, &stages[..n]));
        is_map(&stages[0]) && is_map(stage) && stage.axes == stages[0].axes && apart
    };
    1 + (1..stages.len()).take_while(joins).count()
}

/// The points of one tile, at each of them all stages.
pub(super) fn tile(b: &mut LoopBuilder, all: &[Cx<'_>], env: &Env) {
    let points = points(&all[0], env);
    let common = common_guards(b, all, env, &points[0]);
    if common.is_empty() {
        let mut cache = Cache::default();
        return each(&points, all, |cx, point| {
            let value = value(b, &mut cache, cx, env, point);
            store(b, cx, env, point, value);
        });
    }
    let mut outside = Vec::new();
    each(&points, all, |cx, _| outside.push(of_pads(b, cx)));
    let guards = common.iter().map(|(_, guard)| guard.clone()).collect();
    let values = b.guarded(guards, &outside, |b| {
        let (mut cache, mut values) = (Cache::default(), Vec::new());
        each(&points, all, |cx, point| {
            let mut env = env.clone();
            let reads = 0..cx.stage.reads.len();
            env.tested.extend(reads.flat_map(|n| common.iter().map(move |&(dim, _)| (n, dim))));
            values.push(value(b, &mut cache, cx, &env, point));
        });
        values
    });
    let mut values = values.into_iter();
    each(&points, all, |cx, point| {
        store(b, cx, env, point, values.next().expect("one value per stage and point"));
    });
}

fn each(points: &[Point], all: &[Cx<'_>], mut f: impl FnMut(&Cx<'_>, &Point)) {
    for point in points {
        all.iter().for_each(|cx| f(cx, point));
    }
}

fn value(b: &mut LoopBuilder, cache: &mut Cache, cx: &Cx<'_>, env: &Env, point: &Point) -> ValueId {
    let args = read::read_all(b, cache, cx, env, point, &cx.stage.reads);
    expr::emit_contracted(b, cx.target, &cx.stage.body, &args, cx.lanes())
}

/// What a stage computes where all of its reads are outside.
fn of_pads(b: &mut LoopBuilder, cx: &Cx<'_>) -> ValueId {
    let pads: Vec<Scalar> = cx.stage.reads.iter().map(read::pad).collect();
    b.constant(eval(&cx.stage.body, &pads), cx.lanes())
}

/// Tests of a dimension that decide about every read of every stage, for the whole tile.
fn common_guards(b: &LoopBuilder, all: &[Cx<'_>], env: &Env, point: &Point) -> Vec<(usize, Guard)> {
    let reads = all.iter().flat_map(|cx| cx.stage.reads.iter().map(move |read| (cx, read)));
    let mut tests = reads.map(|(cx, read)| unknown(b, cx, env, point, read));
    let first = tests.next().unwrap_or_default();
    tests.fold(first, |common, tests| common.into_iter().filter(|t| tests.contains(t)).collect())
}

/// The tests of a padded read that are the same for the whole tile.
fn unknown(
    b: &LoopBuilder,
    cx: &Cx<'_>,
    env: &Env,
    point: &Point,
    access: &Access,
) -> Vec<(usize, Guard)> {
    let padded = access.outside != Outside::Never;
    let dims = access.index.iter().zip(cx.shape(access).iter()).enumerate().filter(|_| padded);
    let test = |(dim, (place, &extent)): (usize, (&edgecc_ir::kernel::Index, &usize))| {
        let place = place.affine().filter(|p| p.terms().iter().all(|t| !varies(cx, env, t.0)))?;
        match read::test(b, &place.substitute(|a| env.at(a, point)), extent) {
            Test::Unknown(guard) => Some((dim, guard)),
            Test::Inside | Test::Outside => None,
        }
    };
    dims.filter_map(test).collect()
}
