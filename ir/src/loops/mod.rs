//! Loops: explicit, typed, structured loop nests, and the Program that calls them.
//!
//! A function is a block of statements over SSA values; vectors have at most 16 lanes.
//! Invariants, checked by `verify`:
//! **L1** every index has a constant extent of at least 1; each value and index is defined once,
//! before its uses, in an enclosing block, and each value has the type that its expression infers.
//! **L2** each load and store is inside its buffer by interval arithmetic, where an enclosing `If`
//! narrows the range of its guarded expressions; those of a matrix sum by their elements in the
//! whole buffer.
//! **L3** lanes times element width fit the target's vector.
//! **L4** only operations of the target's legal set occur (after `legalize`).
//! **L5** a call binds one place per parameter, of its element type and inside the buffer whatever
//! the counters; what is written is bound to no other parameter, and what is loaded too to another
//! place in each part of a call; buffers alias only as the plan says.
//! **L6** a matrix sum is of whole tiles, at most four of up to 16 rows and of 16 columns; its last
//! index moves along consecutive words of codes; the tiles of all sums of a function have the same
//! shape.

pub mod build;
pub mod interp;
pub mod matrix;
pub mod verify;
pub mod walk;

use crate::affine::Affine;
use crate::kernel::{Buffer, BufferId, ConstId, Port};
use crate::loc::LocTable;
use crate::plan::MemoryPlan;
use crate::program::Program;
use crate::scalar::func::ScalarFn;
use crate::scalar::table::Table;
use crate::tensor::{Scalar, Tensor};
use crate::types::{ElemType, TensorType};
use cranelift_entity::{PrimaryMap, entity_impl};
use matrix::{MatrixSum, Tiles};
use smallvec::SmallVec;
use std::fmt;

/// A loop function.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FuncId(u32);
entity_impl!(FuncId, "f");

/// A parameter of a function: a buffer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ParamId(u32);
entity_impl!(ParamId, "p");

/// An SSA value.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(u32);
entity_impl!(ValueId, "v");

/// An index, of a loop or computed; addresses, guards and `Expr::IndexValue` use it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IndexId(u32);
entity_impl!(IndexId, "i");

/// A scalar (one lane) or vector type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VType {
    /// Type of each lane; `bool` lanes are comparison masks.
    pub elem: ElemType,
    /// 1 for a scalar, otherwise a power of two.
    pub lanes: u8,
}

impl VType {
    /// A scalar type.
    #[must_use]
    pub fn scalar(elem: ElemType) -> VType {
        VType { elem, lanes: 1 }
    }
}

impl fmt::Display for VType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.lanes {
            1 => write!(f, "{}", self.elem),
            lanes => write!(f, "{}x{lanes}", self.elem),
        }
    }
}

/// A whole model: functions and the program that calls them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loops {
    /// The model's name, a C identifier.
    pub name: String,
    /// Functions.
    pub funcs: PrimaryMap<FuncId, LoopFn>,
    /// Buffers.
    pub buffers: PrimaryMap<BufferId, Buffer>,
    /// Constants, in their final order and padding.
    pub consts: PrimaryMap<ConstId, Tensor>,
    /// Inputs in the caller's order.
    pub inputs: Vec<Port>,
    /// Outputs in the caller's order.
    pub outputs: Vec<Port>,
    /// The calls.
    pub program: Program<FuncId>,
    /// Places of the arena buffers, once planned.
    pub plan: Option<MemoryPlan>,
    /// Multiply-adds of one run, for reports.
    pub macs: u64,
    /// Locations of the steps.
    pub locs: LocTable,
}

/// A loop nest over buffers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LoopFn {
    /// A word for symbols, e.g. `k07_conv`.
    pub name: String,
    /// Parameters.
    pub params: PrimaryMap<ParamId, Param>,
    /// Types of all values.
    pub values: PrimaryMap<ValueId, VType>,
    /// Extents of all indices, of loops and computed ones.
    pub indices: PrimaryMap<IndexId, usize>,
    /// Statements.
    pub body: Block,
}

/// How a function uses a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ParamAccess {
    /// Only loads.
    Read,
    /// Only stores.
    Write,
    /// Loads what it has stored itself: scratch memory, or a result that is made in place. The
    /// content before the call means nothing.
    ReadWrite,
}

impl ParamAccess {
    /// Whether the function may store, so that loads are not pure.
    #[must_use]
    pub fn writes(self) -> bool {
        self != ParamAccess::Read
    }

    /// Whether an access, which is `Read` or `Write`, is allowed.
    #[must_use]
    pub fn permits(self, access: ParamAccess) -> bool {
        self == ParamAccess::ReadWrite || self == access
    }
}

impl LoopFn {
    /// Bits of the widest vector, truth values apart; 0 without vectors.
    #[must_use]
    pub fn vector_bits(&self) -> u32 {
        let vectors = self.values.values().filter(|ty| ty.lanes > 1 && ty.elem != ElemType::Bool);
        vectors.map(|ty| 8 * ty.elem.bytes() as u32 * u32::from(ty.lanes)).max().unwrap_or(0)
    }

    /// The tiles of the function's matrix sums, if it has some.
    #[must_use]
    pub fn matrix_tiles(&self) -> Option<Tiles> {
        let mut found = None;
        walk::each_stmt(&self.body, &mut |stmt| {
            if let Stmt::Matrix(sum) = stmt {
                found = found.or(Some(sum.tiles(self)));
            }
        });
        found
    }

    /// Elements of a parameter that are in one lane of a value loaded from it.
    #[must_use]
    pub fn width(&self, value: ValueId, param: ParamId) -> u8 {
        (self.values[value].elem.bytes() / self.params[param].ty.elem.bytes()) as u8
    }

    /// Whether an expression gives the same wherever its operands and indices are the same: loads
    /// of a parameter that is also stored to depend on their place.
    #[must_use]
    pub fn is_pure(&self, expr: &Expr) -> bool {
        !matches!(expr, Expr::Load { param, .. } if self.params[*param].access.writes())
    }
}

/// A parameter: a dense row-major buffer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Param {
    /// Element type and the shape under which addresses index it.
    pub ty: TensorType,
    /// Loads or stores.
    pub access: ParamAccess,
}

impl Param {
    /// The element at a place, counted from the first one.
    #[must_use]
    pub fn element(&self, index: &[Affine<IndexId>]) -> Affine<IndexId> {
        let strides = self.ty.shape.strides();
        let first = Affine::constant(0);
        index.iter().zip(strides).fold(first, |sum, (i, s)| sum.add_scaled(i, s as i64))
    }
}

/// Statements in order.
pub type Block = Vec<Stmt>;

/// A statement.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Stmt {
    /// Defines a value.
    Let {
        /// The value.
        value: ValueId,
        /// What it is.
        expr: Expr,
    },
    /// Stores the first `lanes` lanes of a value at consecutive elements of the last dimension.
    Store {
        /// The buffer.
        param: ParamId,
        /// One index per dimension.
        index: Vec<Affine<IndexId>>,
        /// What is stored; its element type is the buffer's.
        value: ValueId,
        /// Number of lanes stored, 1 to the value's lanes.
        lanes: u8,
    },
    /// Asks for the memory at a place, which will be read soon: a hint without a result. It reads
    /// nothing, so that the place may be beyond the buffer.
    Prefetch {
        /// The buffer.
        param: ParamId,
        /// One index per dimension.
        index: Vec<Affine<IndexId>>,
    },
    /// Stores the sums of a block of rows and columns.
    Matrix(Box<MatrixSum>),
    /// Defines an index as `clamp(value, 0, extent - 1)`; its extent is in `LoopFn::indices`.
    Index {
        /// The index.
        index: IndexId,
        /// A scalar `i32` or `i64`.
        value: ValueId,
    },
    /// Runs the body for each index `0..extent`.
    For {
        /// The loop's index; its extent is in `LoopFn::indices`.
        index: IndexId,
        /// Values carried from one iteration to the next.
        carried: Vec<Carried>,
        /// The body.
        body: Block,
    },
    /// Runs `then` when every guard holds.
    If {
        /// All must hold.
        guards: Vec<Guard>,
        /// The guarded block.
        then: Block,
        /// Values that leave the block.
        results: Vec<IfResult>,
    },
}

/// A loop-carried value: `inner` is `init` in the first iteration, then the last iteration's
/// `next`; after the loop `result` is the last `next`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Carried {
    /// Before the loop.
    pub init: ValueId,
    /// Inside the body.
    pub inner: ValueId,
    /// At the end of the body.
    pub next: ValueId,
    /// After the loop.
    pub result: ValueId,
}

/// `result` is `then` when the guards hold, else `otherwise`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IfResult {
    /// Defined in the guarded block.
    pub then: ValueId,
    /// Defined before the `If`.
    pub otherwise: ValueId,
    /// Defined by the `If`.
    pub result: ValueId,
}

/// `0 <= expr < extent`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Guard {
    /// The tested index.
    pub expr: Affine<IndexId>,
    /// Exclusive upper bound.
    pub extent: usize,
}

/// The definition of a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Expr {
    /// A literal in every lane.
    Const(Scalar),
    /// `lanes` consecutive elements of the last dimension; further lanes of the value are zero. Lanes
    /// of `i32` hold words of the buffer's integers of 8 or 16 bits, the lowest first.
    Load {
        /// The buffer.
        param: ParamId,
        /// One index per dimension.
        index: Vec<Affine<IndexId>>,
        /// Number of lanes loaded, 1 to the value's lanes.
        lanes: u8,
    },
    /// An affine function of indices as a scalar `i64`.
    IndexValue(Affine<IndexId>),
    /// A scalar in every lane.
    Splat(ValueId),
    /// One lane of a vector in every lane.
    SplatLane(ValueId, u8),
    /// One lane of a vector as a scalar.
    Extract(ValueId, u8),
    /// A vector from scalars, one per lane.
    Pack(SmallVec<[ValueId; 4]>),
    /// A scalar function lane by lane.
    Apply(ScalarFn, SmallVec<[ValueId; 3]>),
    /// A conversion lane by lane, to the value's element type.
    Cast(ValueId),
    /// What codes of 8 bits become, lane by lane.
    Lookup(Table, ValueId),
    /// All lanes combined: the upper half with the lower one, lane by lane, until one is left:
    /// `f(f(l0, l2), f(l1, l3))`. The number of lanes is a power of two.
    ReduceLanes(ScalarFn, ValueId),
}
