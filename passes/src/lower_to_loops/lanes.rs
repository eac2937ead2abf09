//! Reductions whose vector axis is reduced: each lane of a tile along the axis has an accumulator of
//! its own, so that one step adds a whole vector; the lanes are combined at the end. The order of
//! the points differs from the kernel's.

use super::nest::{Env, Point};
use super::read::{self, Cache};
use super::reduce::{combine, reduction};
use super::{Cx, expr};
use edgecc_ir::affine::Affine;
use edgecc_ir::kernel::AxisId;
use edgecc_ir::loops::build::LoopBuilder;
use edgecc_ir::loops::{Expr, IndexId, VType, ValueId};
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::tensor::Scalar;
use edgecc_ir::types::ElemType;
use smallvec::SmallVec;

/// The reduced value of each point, a scalar.
pub(super) fn reduce(
    b: &mut LoopBuilder,
    cache: &mut Cache,
    cx: &Cx<'_>,
    env: &Env,
    points: &[Point],
    (axis, lanes): (AxisId, u32),
) -> Vec<ValueId> {
    let width = (cx.schedule.tile_of(axis) / lanes) as usize;
    let along = Along { cx, axis, lanes: lanes as usize, width, points };
    let neutral = b.constant(neutral(cx), cx.lanes());
    let outer: Vec<AxisId> = cx.kernel.reduce_axes(cx.stage).filter(|&a| a != axis).collect();
    let sums = vec![neutral; points.len() * width];
    let sums = along.outer(b, cache, env, &outer, sums);
    sums.chunks(width).map(|sums| total(b, cx, sums)).collect()
}

/// The value that changes no accumulator.
fn neutral(cx: &Cx<'_>) -> Scalar {
    let reduce = reduction(cx);
    reduce.func.identity(reduce.init.elem()).expect("K4: the function reduces")
}

/// All accumulators of one point combined.
fn total(b: &mut LoopBuilder, cx: &Cx<'_>, sums: &[ValueId]) -> ValueId {
    let reduce = reduction(cx);
    let sum = sums[1..].iter().fold(sums[0], |sum, &next| b.apply(reduce.func, &[sum, next]));
    let scalar = VType::scalar(b.ty(sum).elem);
    let total = b.define(scalar, Expr::ReduceLanes(reduce.func, sum));
    if reduce.init == neutral(cx) {
        return total;
    }
    let first = b.constant(reduce.init, 1);
    b.apply(reduce.func, &[first, total])
}

/// The vector axis and the points that are reduced along it.
struct Along<'p, 'k> {
    cx: &'p Cx<'k>,
    axis: AxisId,
    lanes: usize,
    /// Accumulators of each point.
    width: usize,
    points: &'p [Point],
}

impl Along<'_, '_> {
    /// The loops over the other reduce axes.
    fn outer(
        &self,
        b: &mut LoopBuilder,
        cache: &mut Cache,
        env: &Env,
        axes: &[AxisId],
        sums: Vec<ValueId>,
    ) -> Vec<ValueId> {
        let Some((&axis, rest)) = axes.split_first() else {
            return self.inner(b, cache, env, sums);
        };
        cache.enter();
        let sums = b.for_carried(self.cx.kernel.extent(axis), &sums, |b, index, sums| {
            let env = env.bind(axis, Affine::var(index), 1);
            self.outer(b, cache, &env, rest, sums.to_vec())
        });
        cache.leave();
        sums
    }

    /// Whole tiles, then whole vectors, then the last lanes.
    fn inner(
        &self,
        b: &mut LoopBuilder,
        cache: &mut Cache,
        env: &Env,
        mut sums: Vec<ValueId>,
    ) -> Vec<ValueId> {
        let (extent, tile) = (self.cx.kernel.extent(self.axis), self.lanes * self.width);
        let rounds = extent / tile;
        if rounds > 1 {
            cache.enter();
            sums = b.for_carried(rounds, &sums, |b, index, sums| {
                let first = Affine::scaled(index, tile as i64);
                self.vectors(b, cache, env, &first, self.width, sums.to_vec())
            });
            cache.leave();
        }
        let done = if rounds > 1 { rounds * tile } else { 0 };
        let (first, rest) = (Affine::constant(done as i64), extent - done);
        sums = self.vectors(b, cache, env, &first, rest / self.lanes, sums);
        match rest % self.lanes {
            0 => sums,
            tail => {
                let first = Affine::constant((extent - tail) as i64);
                self.tail(b, cache, &env.bind(self.axis, first, 1), tail as u8, sums)
            }
        }
    }

    /// `count` whole vectors from `first`, dealt to the accumulators in turn.
    fn vectors(
        &self,
        b: &mut LoopBuilder,
        cache: &mut Cache,
        env: &Env,
        first: &Affine<IndexId>,
        count: usize,
        mut sums: Vec<ValueId>,
    ) -> Vec<ValueId> {
        for n in 0..count {
            let at = first.clone().offset((n * self.lanes) as i64);
            let env = env.bind(self.axis, at, 1);
            for (nth, point) in self.points.iter().enumerate() {
                let point = point.with_lanes(self.lanes as u8);
                let args = read::read_all(b, cache, self.cx, &env, &point, &self.cx.stage.reads);
                let sum = &mut sums[nth * self.width + n % self.width];
                *sum = combine(b, self.cx, &args, *sum);
            }
        }
        sums
    }

    /// The lanes behind the last whole vector; the others change nothing.
    fn tail(
        &self,
        b: &mut LoopBuilder,
        cache: &mut Cache,
        env: &Env,
        active: u8,
        mut sums: Vec<ValueId>,
    ) -> Vec<ValueId> {
        let neutral = b.constant(neutral(self.cx), self.cx.lanes());
        let mask = first_lanes(b, b.ty(neutral).elem, self.cx.lanes(), active);
        for (nth, point) in self.points.iter().enumerate() {
            let point = point.with_lanes(active);
            let args = read::read_all(b, cache, self.cx, env, &point, &self.cx.stage.reads);
            let value = expr::emit(b, &self.cx.stage.body, &args, self.cx.lanes());
            let value = b.apply(ScalarFn::Select, &[mask, value, neutral]);
            let sum = &mut sums[nth * self.width];
            *sum = b.apply(reduction(self.cx).func, &[*sum, value]);
        }
        sums
    }
}

/// A mask of the first `active` of `lanes` lanes.
fn first_lanes(b: &mut LoopBuilder, elem: ElemType, lanes: u8, active: u8) -> ValueId {
    let number = |b: &mut LoopBuilder, n: u8| b.constant(Scalar::from_i64(elem, n.into()), 1);
    let numbers: SmallVec<[ValueId; 4]> = (0..lanes).map(|n| number(b, n)).collect();
    let numbers = b.define(VType { elem, lanes }, Expr::Pack(numbers));
    let bound = b.constant(Scalar::from_i64(elem, active.into()), lanes);
    b.apply(ScalarFn::Lt, &[numbers, bound])
}
