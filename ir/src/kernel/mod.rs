//! Kernels: structured computation. An iteration space, affine accesses, a scalar body.
//!
//! Invariants, checked by `verify`:
//! **K1** each access is in bounds over its stage's whole domain by interval arithmetic, or has
//! `Outside::Pad` and is of elements or padded in dimensions but the last; writes are always in bounds and look nothing up; lookups are clamped to their
//! dimension, and what they read is a scalar i32 or i64 in bounds.
//! **K2** the stages together write each element of each output exactly once.
//! **K3** reduce axes do not appear in the write map.
//! **K4** bodies and epilogues type-check; a stage with an epilogue other than identity reduces.
//! **K5** a schedule names each axis of its kernel at most once per clause, its tile is at most the
//! extent rounded up to whole vectors, vector lanes divide the vector axis' tile; a tile of a reduce
//! axis has vector lanes; rows of matrix tiles belong to a stage that sums dot products of such
//! words, in whole tiles of 16 lanes; all axes that are divided into parts are so into the same number, at least
//! two, and where stages share rows or locals they are row axes.
//! **K6** a call binds one place per operand that is not local, of the operand's element type and
//! inside its buffer whatever the counters (a reshape is a call binding, never a kernel); each
//! element is written on every path before it is read, and by one call of a block; a `Const` operand
//! is bound to a whole constant; no call is in parts yet.
//! **K7** each stage iterates the kernel's row axes first; a local is accessed without them, and
//! written before the stages that read it.
//! **K8** a kernel has either stages or a routine, whose operands and results are its operands.

pub mod build;
pub mod eval;
pub mod matrix;
pub mod routine;
pub mod schedule;
pub mod verify;

use crate::affine::{Affine, Interval};
use crate::loc::LocTable;
use crate::program::Program;
use crate::scalar::ScalarExpr;
use crate::scalar::func::ScalarFn;
use crate::tensor::{Scalar, Tensor};
use crate::types::{ElemType, TensorType};
use cranelift_entity::{PrimaryMap, entity_impl};
use routine::Routine;
use schedule::Schedule;

/// A kernel.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KernelId(u32);
entity_impl!(KernelId, "k");

/// An operand of a kernel.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OperandId(u32);
entity_impl!(OperandId, "p");

/// An iteration axis of a kernel.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AxisId(u32);
entity_impl!(AxisId, "a");

/// A buffer: a tensor's storage during one run.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BufferId(u32);
entity_impl!(BufferId, "b");

/// A constant tensor, interned by content.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConstId(u32);
entity_impl!(ConstId, "c");

/// A model's input or output.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Port {
    /// Name in the model.
    pub name: String,
    /// Type and shape.
    pub ty: TensorType,
}

/// Where a buffer lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Home {
    /// The caller's n-th input; read only.
    Input(u32),
    /// The caller's n-th output; may be read back by later calls.
    Output(u32),
    /// A constant of the pool.
    Const(ConstId),
    /// The arena.
    Arena,
}

/// A buffer's type and home.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Buffer {
    /// Element type and shape; dense row-major.
    pub ty: TensorType,
    /// Where it lives.
    pub home: Home,
}

/// A whole model as a program of kernel calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernels {
    /// The model's name, a C identifier.
    pub name: String,
    /// Kernels, interned by structure.
    pub kernels: PrimaryMap<KernelId, Kernel>,
    /// Buffers.
    pub buffers: PrimaryMap<BufferId, Buffer>,
    /// The constant pool.
    pub consts: PrimaryMap<ConstId, Tensor>,
    /// Inputs in the caller's order.
    pub inputs: Vec<Port>,
    /// Outputs in the caller's order.
    pub outputs: Vec<Port>,
    /// The calls.
    pub program: Program<KernelId>,
    /// Locations of the calls.
    pub locs: LocTable,
}

/// How a kernel uses an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Only read.
    Read,
    /// Only read, and bound to a constant in every call, so that it may be stored in another order.
    Const,
    /// Only written.
    Write,
    /// Written, then read, at one point of the row axes; belongs to the kernel, no call binds it.
    Local,
}

/// A kernel's operand: a dense row-major tensor.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Operand {
    /// Element type and the shape under which accesses index it.
    pub ty: TensorType,
    /// Read, written or local.
    pub role: Role,
}

/// Whether an axis' points are independent or combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AxisKind {
    /// Each point writes its own elements.
    Parallel,
    /// The points are combined by the stage's `Reduce`, in ascending order.
    Reduce,
}

/// An iteration axis `0..extent`; `extent` is at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Axis {
    /// Number of points.
    pub extent: usize,
    /// Parallel or reduce.
    pub kind: AxisKind,
}

/// What is computed, and optionally how.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Kernel {
    /// A word for symbols and reports, e.g. `conv`; no meaning.
    pub name: String,
    /// Operands; reads first, then writes, then locals.
    pub operands: PrimaryMap<OperandId, Operand>,
    /// Axes of all stages.
    pub axes: PrimaryMap<AxisId, Axis>,
    /// Parallel axes that every stage iterates first, outermost first: at each of their points all
    /// stages run in order.
    pub rows: Vec<AxisId>,
    /// Stages in execution order.
    pub stages: Vec<Stage>,
    /// What is computed when there are no stages.
    pub routine: Option<Routine>,
    /// How to run it; `None` until scheduled.
    pub schedule: Option<Schedule>,
}

/// One perfectly nested computation: for each point of the parallel axes,
/// `write = epilogue(reduce over the reduce axes of body(reads), epilogue_reads…)`.
///
/// Without `reduce` the result is `epilogue(body(reads))` and the epilogue is the identity.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Stage {
    /// The axes that this stage iterates: parallel ones first, each kind outermost first.
    pub axes: Vec<AxisId>,
    /// Operands of the body, in parameter order.
    pub reads: Vec<Access>,
    /// Value of one point.
    pub body: ScalarExpr,
    /// How points along reduce axes combine.
    pub reduce: Option<Reduce>,
    /// Operands of the epilogue after the accumulator, in parameter order.
    pub epilogue_reads: Vec<Access>,
    /// From the accumulator to the stored value.
    pub epilogue: ScalarExpr,
    /// Where the result goes.
    pub write: Access,
}

/// A reduction: `acc = init; for each point: acc = func(acc, value)`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reduce {
    /// An associative, commutative function of two operands.
    pub func: ScalarFn,
    /// The first accumulator value; has the accumulator's type.
    pub init: Scalar,
}

/// An access to one element of an operand.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Access {
    /// The operand.
    pub operand: OperandId,
    /// One index per dimension of the operand's type.
    pub index: Vec<Index>,
    /// What a read outside the operand gives.
    pub outside: Outside,
    /// How much is read.
    pub unit: Unit,
}

/// How much an access reads; what is written is always an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    /// The element at the place.
    Element,
    /// An `i32` of the integers of 8 or 16 bits from the place on, the lowest first, that lie in the
    /// last dimension.
    Word,
}

/// The place of an access along one dimension.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Index {
    /// Known from the point.
    Affine(Affine<AxisId>),
    /// An element of another operand, clamped to the dimension.
    Lookup(Lookup),
}

/// An in-bounds read of an integer that is used as an index.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lookup {
    /// The operand, of type i32 or i64.
    pub operand: OperandId,
    /// One index per dimension of the operand's type.
    pub index: Vec<Affine<AxisId>>,
}

/// What an access outside the operand's shape means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outside {
    /// It does not happen (K1).
    Never,
    /// The read gives this value.
    Pad(Scalar),
}

impl Kernel {
    /// A kernel without operands, axes and stages.
    #[must_use]
    pub fn empty(name: &str) -> Kernel {
        Kernel {
            name: name.to_owned(),
            operands: PrimaryMap::new(),
            axes: PrimaryMap::new(),
            rows: Vec::new(),
            stages: Vec::new(),
            routine: None,
            schedule: None,
        }
    }

    /// The type of the value that an access reads.
    #[must_use]
    pub fn elem(&self, access: &Access) -> ElemType {
        match access.unit {
            Unit::Element => self.operands[access.operand].ty.elem,
            Unit::Word => ElemType::I32,
        }
    }

    /// Elements of the last dimension that an access reads.
    #[must_use]
    pub fn width(&self, access: &Access) -> usize {
        self.elem(access).bytes() / self.operands[access.operand].ty.elem.bytes()
    }

    /// How far an access moves in memory, in elements, for one step of an axis; `None` when only the
    /// looked up values know.
    #[must_use]
    pub fn stride(&self, access: &Access, axis: AxisId) -> Option<i64> {
        let strides = self.operands[access.operand].ty.shape.strides();
        access.index.iter().zip(&strides).map(|(i, &s)| Some(i.step(axis)? * s as i64)).sum()
    }

    /// Extent of an axis.
    #[must_use]
    pub fn extent(&self, axis: AxisId) -> usize {
        self.axes[axis].extent
    }

    /// The operands that a call binds, in the order of its arguments.
    pub fn bound(&self) -> impl Iterator<Item = (OperandId, &Operand)> {
        self.operands.iter().filter(|(_, o)| o.role != Role::Local)
    }

    /// The parallel axes of a stage, outermost first.
    pub fn parallel_axes<'a>(&'a self, stage: &'a Stage) -> impl Iterator<Item = AxisId> + 'a {
        stage.axes.iter().copied().filter(|&a| self.axes[a].kind == AxisKind::Parallel)
    }

    /// The reduce axes of a stage, outermost first.
    pub fn reduce_axes<'a>(&'a self, stage: &'a Stage) -> impl Iterator<Item = AxisId> + 'a {
        stage.axes.iter().copied().filter(|&a| self.axes[a].kind == AxisKind::Reduce)
    }

    /// Whether one access reads an operand, and no lookup does.
    #[must_use]
    pub fn is_read_once(&self, operand: OperandId) -> bool {
        let reads = self.stages.iter().flat_map(Stage::all_reads);
        let mut lookups = self.stages.iter().flat_map(Stage::lookups);
        reads.filter(|read| read.operand == operand).count() == 1
            && lookups.all(|lookup| lookup.operand != operand)
    }

    /// Whether a single stage has an axis.
    #[must_use]
    pub fn is_of_one_stage(&self, axis: AxisId) -> bool {
        self.stages.iter().filter(|stage| stage.axes.contains(&axis)).count() == 1
    }
}

impl Stage {
    /// Every lookup of the stage's reads.
    pub fn lookups(&self) -> impl Iterator<Item = &Lookup> {
        self.all_reads().flat_map(Access::lookups)
    }

    /// Every read of the stage: body operands, then epilogue operands.
    pub fn all_reads(&self) -> impl Iterator<Item = &Access> {
        self.reads.iter().chain(&self.epilogue_reads)
    }

    /// The functions of the two reads whose products the stage sums, when it does that.
    #[must_use]
    pub fn factors(&self) -> Option<[ScalarExpr; 2]> {
        let sums = self.reduce.as_ref().is_some_and(|r| r.func == ScalarFn::Add);
        self.body.factors().filter(|_| sums && self.reads.len() == 2)
    }

    /// The numbers of the reads of both factors, when the stage sums products of functions of them:
    /// each read belongs to one side, in all products. Words that several reads make are not divided
    /// so.
    #[must_use]
    pub fn sides(&self) -> Option<[Vec<usize>; 2]> {
        self.reduce.as_ref().filter(|r| r.func == ScalarFn::Add)?;
        let products = self.body.products()?;
        let divides = self.reads.len() == 2 || products.iter().all(|p| p.0 == ScalarFn::Mul);
        let reads = |side: usize, n: usize| {
            products.iter().any(|(_, factors)| self.body.reads(factors[side], n as u32))
        };
        let sides = [0, 1].map(|side| (0..self.reads.len()).filter(|&n| reads(side, n)).collect());
        let [a, b]: &[Vec<usize>; 2] = &sides;
        let apart = a.iter().all(|n| !b.contains(n)) && a.len() + b.len() == self.reads.len();
        (divides && apart && !a.is_empty() && !b.is_empty()).then_some(sides)
    }

    /// Whether the stage only moves elements.
    #[must_use]
    pub fn is_copy(&self) -> bool {
        self.reduce.is_none() && self.body.is_identity() && self.epilogue.is_identity()
    }
}

impl Access {
    /// The lookups among the indices.
    pub fn lookups(&self) -> impl Iterator<Item = &Lookup> {
        self.index.iter().filter_map(|index| match index {
            Index::Lookup(lookup) => Some(lookup),
            Index::Affine(_) => None,
        })
    }

    /// Every axis on which the place depends, also through lookups.
    pub fn axes(&self) -> impl Iterator<Item = AxisId> {
        let affines = self.index.iter().flat_map(Index::affines);
        affines.flat_map(|affine| affine.terms().iter().map(|term| term.0))
    }
}

impl Index {
    /// The place, unless it is looked up.
    #[must_use]
    pub fn affine(&self) -> Option<&Affine<AxisId>> {
        match self {
            Index::Affine(affine) => Some(affine),
            Index::Lookup(_) => None,
        }
    }

    /// The affine parts: the place, or where it is looked up.
    #[must_use]
    pub fn affines(&self) -> &[Affine<AxisId>] {
        match self {
            Index::Affine(affine) => std::slice::from_ref(affine),
            Index::Lookup(lookup) => &lookup.index,
        }
    }

    /// The affine parts, for editing.
    pub fn affines_mut(&mut self) -> &mut [Affine<AxisId>] {
        match self {
            Index::Affine(affine) => std::slice::from_mut(affine),
            Index::Lookup(lookup) => &mut lookup.index,
        }
    }

    /// How far the place moves for one step of an axis; `None` when only the looked up values know.
    #[must_use]
    pub fn step(&self, axis: AxisId) -> Option<i64> {
        match self {
            Index::Affine(affine) => Some(affine.coefficient(axis)),
            Index::Lookup(lookup) => {
                lookup.index.iter().all(|i| i.coefficient(axis) == 0).then_some(0)
            }
        }
    }

    /// Whether the place may change with an axis.
    #[must_use]
    pub fn follows(&self, axis: AxisId) -> bool {
        self.step(axis) != Some(0)
    }

    /// All places in a dimension of this extent, when each axis ranges over its interval.
    #[must_use]
    pub fn interval(&self, extent: usize, range: impl FnMut(AxisId) -> Interval) -> Interval {
        match self {
            Index::Affine(affine) => affine.interval(range),
            Index::Lookup(_) => Interval::below(extent),
        }
    }
}

impl From<Affine<AxisId>> for Index {
    fn from(affine: Affine<AxisId>) -> Index {
        Index::Affine(affine)
    }
}
