//! The order in which a register tile reads a packed operand, and constants in that order.

use cranelift_entity::SecondaryMap;
use edgecc_ir::affine::Affine;
use edgecc_ir::kernel::schedule::Pack;
use edgecc_ir::kernel::{Access, AxisId, AxisKind, Index, Kernel, OperandId, Role, Stage};
use edgecc_ir::loops::IndexId;
use edgecc_ir::tensor::Tensor;
use edgecc_ir::types::{Shape, TensorType};

/// The order of a packed operand: `[other parallel axes][blocks][reduce axes][block]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Layout {
    parallel: Vec<Dim>,
    blocked: Dim,
    block: usize,
    reduce: Vec<Dim>,
    /// Element that the access reads at the origin of all axes.
    base: usize,
}

/// An axis and how far the operand's access moves for one step of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Dim {
    axis: AxisId,
    extent: usize,
    stride: i64,
}

impl Dim {
    /// A row-major position with this dimension added.
    fn push(
        &self,
        position: &Affine<IndexId>,
        at: impl Fn(AxisId) -> Affine<IndexId>,
    ) -> Affine<IndexId> {
        position.times(self.extent as i64).add_scaled(&at(self.axis), 1)
    }
}

/// The layout of each packed constant.
pub(super) fn layouts(kernel: &Kernel) -> SecondaryMap<OperandId, Option<Layout>> {
    let mut all = SecondaryMap::new();
    let packs = kernel.schedule.iter().flat_map(|s| &s.pack);
    for pack in packs.filter(|pack| kernel.operands[pack.operand].role == Role::Const) {
        let reads = |s: &Stage| s.reads.iter().any(|r| r.operand == pack.operand);
        let stage = kernel.stages.iter().find(|s| reads(s)).expect("K5: a packed operand is read");
        let access = stage.reads.iter().find(|r| r.operand == pack.operand);
        all[pack.operand] = access.map(|a| layout(kernel, stage, a, pack));
    }
    all
}

/// The layout of a copy that is made at a point of the parallel axes, but for the blocked one.
pub(super) fn layout_of_copy(
    kernel: &Kernel,
    stage: &Stage,
    access: &Access,
    pack: &Pack,
) -> Layout {
    Layout { parallel: Vec::new(), base: 0, ..layout(kernel, stage, access, pack) }
}

fn layout(kernel: &Kernel, stage: &Stage, access: &Access, pack: &Pack) -> Layout {
    let strides = kernel.operands[access.operand].ty.shape.strides();
    let linear = |f: &dyn Fn(&Affine<AxisId>) -> i64| -> i64 {
        let places = access.index.iter().filter_map(Index::affine);
        places.zip(&strides).map(|(i, &s)| f(i) * s as i64).sum()
    };
    let dim = |axis: AxisId| Dim {
        axis,
        extent: kernel.extent(axis),
        stride: linear(&|i| i.coefficient(axis)),
    };
    let dims = |kind: AxisKind| {
        let used =
            |d: &Dim| d.stride != 0 && d.axis != pack.axis && kernel.axes[d.axis].kind == kind;
        stage.axes.iter().map(|&a| dim(a)).filter(used).collect()
    };
    Layout {
        parallel: dims(AxisKind::Parallel),
        blocked: dim(pack.axis),
        block: pack.block as usize,
        reduce: dims(AxisKind::Reduce),
        base: linear(&|i| i.constant) as usize,
    }
}

impl Layout {
    fn blocks(&self) -> usize {
        self.blocked.extent.div_ceil(self.block)
    }

    /// The flat shape of the packed operand.
    pub(super) fn shape(&self) -> Shape {
        let dims = self.parallel.iter().chain(&self.reduce).map(|d| d.extent);
        Shape::new(&[dims.product::<usize>() * self.blocks() * self.block])
    }

    /// The element that holds the point at which each axis is `at(axis)`. The blocked axis stands
    /// at the start of a block plus a constant below the block's size.
    pub(super) fn index(&self, at: impl Fn(AxisId) -> Affine<IndexId>) -> Affine<IndexId> {
        let (block, inside) = self.block_at(&at);
        let row = self.reduce.iter().fold(block, |sum, dim| dim.push(&sum, &at));
        row.times(self.block as i64).offset(inside)
    }

    /// The number of a place's block, and the place in it.
    fn block_at(&self, at: impl Fn(AxisId) -> Affine<IndexId>) -> (Affine<IndexId>, i64) {
        let outer = self.parallel.iter().fold(Affine::constant(0), |sum, dim| dim.push(&sum, &at));
        let place = at(self.blocked.axis);
        let inside = place.constant.rem_euclid(self.block as i64);
        let tile = divide(&place.offset(-inside), self.block as i64);
        (outer.times(self.blocks() as i64).add_scaled(&tile, 1), inside)
    }

    /// The axis that is in blocks.
    pub(super) fn blocked_axis(&self) -> AxisId {
        self.blocked.axis
    }

    /// Steps of the reduce axes.
    pub(super) fn steps(&self) -> usize {
        self.reduce.iter().map(|d| d.extent).product()
    }

    /// The number of steps before a place.
    pub(super) fn step(&self, at: impl Fn(AxisId) -> Affine<IndexId>) -> Affine<IndexId> {
        self.reduce.iter().fold(Affine::constant(0), |sum, dim| dim.push(&sum, &at))
    }

    /// Elements of a block, over all steps.
    pub(super) fn block_len(&self) -> usize {
        self.steps() * self.block
    }

    /// The first element behind the block of a place, which is the next block's if there is one.
    pub(super) fn next_block(&self, at: impl Fn(AxisId) -> Affine<IndexId>) -> Affine<IndexId> {
        self.block_at(at).0.offset(1).times(self.block_len() as i64)
    }

    /// The constant in this order.
    pub(super) fn pack(&self, from: &Tensor) -> Tensor {
        let size = from.ty.elem.bytes();
        let mut bytes = Vec::with_capacity(self.shape().numel() * size);
        for_each(&self.parallel, self.base as i64, &mut |outer| {
            for block in 0..self.blocks() {
                let first = block * self.block;
                for_each(&self.reduce, outer + first as i64 * self.blocked.stride, &mut |at| {
                    self.pack_block(from, first, at, size, &mut bytes);
                });
            }
        });
        Tensor::from_bytes(TensorType { elem: from.ty.elem, shape: self.shape() }, bytes)
    }

    fn pack_block(&self, from: &Tensor, first: usize, at: i64, size: usize, bytes: &mut Vec<u8>) {
        let filled = self.block.min(self.blocked.extent - first);
        for lane in 0..filled {
            let element = (at + lane as i64 * self.blocked.stride) as usize;
            bytes.extend_from_slice(&from.bytes()[element * size..(element + 1) * size]);
        }
        bytes.resize(bytes.len() + (self.block - filled) * size, 0);
    }
}

/// An expression all of whose parts are multiples of `by`, divided by it.
fn divide(expr: &Affine<IndexId>, by: i64) -> Affine<IndexId> {
    let start = Affine::constant(expr.constant / by);
    expr.terms().iter().fold(start, |sum, &(index, c)| {
        debug_assert_eq!(c % by, 0, "tiles of the blocked axis are whole blocks");
        sum.plus(index, c / by)
    })
}

/// Calls `f` with the element position of each point of `dims`, in row-major order.
fn for_each(dims: &[Dim], base: i64, f: &mut impl FnMut(i64)) {
    match dims.split_first() {
        None => f(base),
        Some((dim, rest)) => {
            (0..dim.extent as i64).for_each(|i| for_each(rest, base + i * dim.stride, f));
        }
    }
}
