//! Packed copies of operands that are not constant, in memory of the function's own.
//!
//! A copy is made as soon as the parallel axes that its read follows, but for the blocked one, have
//! a place: once for all tiles that read it. What another stage makes is copied when the stage that
//! reads it starts, at the earliest.

use super::nest::{Env, Point};
use super::pack::{self, Layout};
use super::parts::each;
use cranelift_entity::SecondaryMap;
use edgecc_ir::affine::Affine;
use edgecc_ir::kernel::schedule::Pack;
use edgecc_ir::kernel::{Access, AxisId, Index, Kernel, OperandId, Role, Stage};
use edgecc_ir::loops::build::LoopBuilder;
use edgecc_ir::loops::{IndexId, Param, ParamAccess, ParamId, VType, ValueId};
use edgecc_ir::tensor::Scalar;
use edgecc_ir::types::TensorType;
use std::ptr;

/// Elements along the innermost reduce axis that are copied in straight code.
const STRAIGHT: usize = 8;

/// A packed copy.
pub(super) struct PackedCopy<'k> {
    kernel: &'k Kernel,
    pack: &'k Pack,
    stage: &'k Stage,
    access: &'k Access,
    /// Parallel axes that the read follows, but for the blocked one.
    follows: Vec<AxisId>,
    /// Reduce axes that the read follows.
    reduce: Vec<AxisId>,
    from: ParamId,
    pub(super) layout: Layout,
    pub(super) param: ParamId,
}

/// Gives the function memory for the copies that a kernel's schedule asks for; the operands are
/// parameters already.
pub(super) fn declare<'k>(
    b: &mut LoopBuilder,
    kernel: &'k Kernel,
    params: &SecondaryMap<OperandId, Option<ParamId>>,
) -> Vec<PackedCopy<'k>> {
    let packs = kernel.schedule.iter().flat_map(|s| &s.pack);
    let copied = packs.filter(|pack| kernel.operands[pack.operand].role != Role::Const);
    let from = |pack: &Pack| params[pack.operand].expect("what has a vector axis is in memory");
    copied.map(|pack| declare_one(b, kernel, pack, from(pack))).collect()
}

fn declare_one<'k>(
    b: &mut LoopBuilder,
    kernel: &'k Kernel,
    pack: &'k Pack,
    from: ParamId,
) -> PackedCopy<'k> {
    let mut reads = kernel.stages.iter().flat_map(|s| s.reads.iter().map(move |read| (s, read)));
    let (stage, access) = reads.find(|(_, read)| pack.reads(read)).expect("K5: one read finds it");
    let layout = pack::layout_of_copy(kernel, stage, access, pack);
    let ty = TensorType { elem: kernel.elem(access), shape: layout.shape() };
    let param = b.param(Param { ty, access: ParamAccess::ReadWrite });
    let is_followed = |axis: &AxisId| access.index.iter().any(|i| i.follows(*axis));
    let others = kernel.parallel_axes(stage).filter(|&a| a != pack.axis);
    let follows = others.filter(is_followed).collect();
    let reduce = kernel.reduce_axes(stage).filter(is_followed).collect();
    PackedCopy { kernel, pack, stage, access, follows, reduce, from, layout, param }
}

/// The copy that a read finds.
pub(super) fn of_read<'c, 'k>(
    copies: &'c [PackedCopy<'k>],
    access: &Access,
) -> Option<&'c PackedCopy<'k>> {
    copies.iter().find(|copy| copy.pack.reads(access))
}

/// Makes the copies that waited for the row axis that was bound last, or for none.
pub(super) fn make_at_row(
    b: &mut LoopBuilder,
    copies: &[PackedCopy<'_>],
    env: &Env,
    last: Option<AxisId>,
) {
    for copy in copies.iter().filter(|copy| !copy.is_of_local() && copy.is_due(env)) {
        if last.map_or(copy.follows.is_empty(), |axis| copy.follows.contains(&axis)) {
            copy.make(b, env);
        }
    }
}

/// Makes the copies of locals that a stage reads, those that only wait for the stage.
pub(super) fn make_at_stage(
    b: &mut LoopBuilder,
    copies: &[PackedCopy<'_>],
    env: &Env,
    stage: &Stage,
) {
    let mine = copies.iter().filter(|copy| ptr::eq(copy.stage, stage));
    for copy in mine.filter(|copy| copy.is_of_local() && copy.is_due(env)) {
        copy.make(b, env);
    }
}

/// Makes the copies for a stage that waited for its axis that was bound last.
pub(super) fn make_at_axis(
    b: &mut LoopBuilder,
    copies: &[PackedCopy<'_>],
    env: &Env,
    (stage, last): (&Stage, AxisId),
) {
    let mine = copies.iter().filter(|copy| ptr::eq(copy.stage, stage));
    for copy in mine.filter(|copy| copy.follows.contains(&last) && copy.is_due(env)) {
        copy.make(b, env);
    }
}

impl PackedCopy<'_> {
    fn is_of_local(&self) -> bool {
        self.kernel.operands[self.pack.operand].role == Role::Local
    }

    fn is_due(&self, env: &Env) -> bool {
        self.follows.iter().all(|&axis| env.is_bound(axis))
    }

    fn make(&self, b: &mut LoopBuilder, env: &Env) {
        let (extent, size) = (self.kernel.extent(self.pack.axis), self.pack.block as usize);
        let (full, rest) = (extent / size, extent % size);
        if full > 0 {
            each(b, full, |b, n| self.block(b, env, &n.times(size as i64), size));
        }
        if rest > 0 {
            self.block(b, env, &Affine::constant((full * size) as i64), rest);
        }
    }

    /// The block from `first` on, of which so many points exist.
    fn block(&self, b: &mut LoopBuilder, env: &Env, first: &Affine<IndexId>, filled: usize) {
        each(b, filled, |b, lane| {
            let env = env.bind(self.pack.axis, first.add_scaled(&lane, 1), 1);
            self.lane(b, &env, (first, &lane), &self.reduce, &|b, env| self.load(b, env));
        });
        let rest = self.pack.block as usize - filled;
        if rest > 0 {
            let zero = Scalar::from_i64(self.kernel.elem(self.access), 0);
            each(b, rest, |b, lane| {
                let lane = lane.offset(filled as i64);
                self.lane(b, env, (first, &lane), &self.reduce, &|b, _| b.constant(zero, 1));
            });
        }
    }

    /// Stores `value` at each point of the reduce axes in a lane of the block that starts at `first`.
    fn lane(
        &self,
        b: &mut LoopBuilder,
        env: &Env,
        (first, lane): (&Affine<IndexId>, &Affine<IndexId>),
        axes: &[AxisId],
        value: &dyn Fn(&mut LoopBuilder, &Env) -> ValueId,
    ) {
        let Some((&axis, rest)) = axes.split_first() else {
            let point = Point::default();
            let at = |a| if a == self.pack.axis { first.clone() } else { env.at(a, &point) };
            let place = self.layout.index(at).add_scaled(lane, 1);
            let value = value(b, env);
            return b.store(self.param, vec![place], value, 1);
        };
        let straight = if rest.is_empty() { STRAIGHT } else { 1 };
        let (extent, block) = (self.kernel.extent(axis), (first, lane));
        let steps = |b: &mut LoopBuilder, start: Affine<IndexId>, count: usize| {
            for step in 0..count {
                let env = env.bind(axis, start.clone().offset(step as i64), 1);
                self.lane(b, &env, block, rest, value);
            }
        };
        let rounds = extent / straight;
        if rounds > 0 {
            each(b, rounds, |b, n| steps(b, n.times(straight as i64), straight));
        }
        steps(b, Affine::constant((rounds * straight) as i64), extent - rounds * straight);
    }

    /// What the read finds at a point.
    fn load(&self, b: &mut LoopBuilder, env: &Env) -> ValueId {
        let places = self.access.index.iter().filter_map(Index::affine);
        let index = places.map(|i| i.substitute(|a| env.at(a, &Point::default()))).collect();
        b.load(VType::scalar(self.kernel.elem(self.access)), self.from, index, 1)
    }
}
