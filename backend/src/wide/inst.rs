//! An instruction: a row, a vector length and what its fields name.
//!
//! The fields name operands of the register allocator before allocation and registers after it.

use super::row::Op;
use regalloc2::{PReg, RegClass};

/// Length of the vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Len {
    /// 128 bits, and everything shorter.
    X,
    /// 256 bits.
    Y,
    /// 512 bits.
    Z,
}

impl Len {
    /// The shortest that holds this many bytes.
    pub(super) fn of(bytes: usize) -> Len {
        match bytes {
            0..=16 => Len::X,
            17..=32 => Len::Y,
            _ => Len::Z,
        }
    }

    /// Bytes of a register.
    pub(super) fn bytes(self) -> usize {
        16 << self as usize
    }
}

/// The number of the first matrix tile among the registers of its class, which nobody allocates;
/// its low bits are zero, so that fields have the tile's own number.
pub(super) const FIRST_TILE: usize = 32;

/// A matrix tile.
pub(super) fn tile(number: u8) -> PReg {
    PReg::new(FIRST_TILE + usize::from(number), RegClass::Vector)
}

/// An instruction whose fields name `R`s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Inst<R> {
    /// Its row.
    pub(super) op: Op,
    /// Its vector length.
    pub(super) len: Len,
    /// The `reg` field.
    pub(super) reg: Option<R>,
    /// The `vvvv` field.
    pub(super) vvvv: Option<R>,
    /// The `rm` field.
    pub(super) rm: Rm<R>,
    /// An opmask of EVEX, or the fourth register of VEX.
    pub(super) mask: Option<R>,
    /// Whether lanes outside the opmask become zero.
    pub(super) zeroing: bool,
    /// The immediate.
    pub(super) imm: i64,
}

/// A register or a place in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rm<R> {
    /// Nothing.
    No,
    /// A register.
    Reg(R),
    /// Memory.
    Mem(Mem<R>),
}

/// A place in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mem<R> {
    /// Where it starts.
    pub(super) base: Base<R>,
    /// A distance in bytes that is added, if any; of matrix tiles it is that between rows.
    pub(super) index: Option<R>,
    /// Distance from there in bytes.
    pub(super) displacement: i32,
    /// Whether one element serves every lane.
    pub(super) broadcast: bool,
}

/// What displacements count from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Base<R> {
    /// A pointer.
    Reg(R),
    /// The function's constants.
    Pool,
    /// The function's frame, from its lowest byte.
    Frame,
    /// The arguments that the caller passed in memory.
    Arguments,
}

impl<R: Copy> Inst<R> {
    /// An instruction without fields.
    pub(super) fn new(op: Op, len: Len) -> Inst<R> {
        let (reg, vvvv, rm, mask) = (None, None, Rm::No, None);
        Inst { op, len, reg, vvvv, rm, mask, zeroing: false, imm: 0 }
    }

    /// The same instruction with other names in its fields.
    pub(super) fn map<S>(&self, mut with: impl FnMut(R) -> S) -> Inst<S> {
        Inst {
            op: self.op,
            len: self.len,
            reg: self.reg.map(&mut with),
            vvvv: self.vvvv.map(&mut with),
            rm: self.rm.map(&mut with),
            mask: self.mask.map(&mut with),
            zeroing: self.zeroing,
            imm: self.imm,
        }
    }
}

impl<R> Mem<R> {
    /// The place at a distance from a base.
    pub(super) fn at(base: Base<R>, displacement: i32) -> Mem<R> {
        Mem { base, index: None, displacement, broadcast: false }
    }
}

impl<R: Copy> Rm<R> {
    /// The same operand with other names.
    pub(super) fn map<S>(self, mut with: impl FnMut(R) -> S) -> Rm<S> {
        match self {
            Rm::No => Rm::No,
            Rm::Reg(reg) => Rm::Reg(with(reg)),
            Rm::Mem(mem) => Rm::Mem(Mem {
                base: match mem.base {
                    Base::Reg(reg) => Base::Reg(with(reg)),
                    Base::Pool => Base::Pool,
                    Base::Frame => Base::Frame,
                    Base::Arguments => Base::Arguments,
                },
                index: mem.index.map(&mut with),
                displacement: mem.displacement,
                broadcast: mem.broadcast,
            }),
        }
    }
}
