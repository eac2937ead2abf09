//! 64-bit integers: literals, sums, products, as addresses and indices need them.

use super::{Arg, Selector};
use crate::wide::code::Draft;
use crate::wide::inst::{Base, Len, Mem, Rm};
use crate::wide::row::Op;
use edgecc_ir::loops::{Expr, VType};
use edgecc_ir::types::ElemType;
use regalloc2::{RegClass, VReg};

impl Selector<'_> {
    /// A literal.
    pub(super) fn number(&mut self, value: i64) -> VReg {
        let op = match (u32::try_from(value), i32::try_from(value)) {
            (Ok(_), _) => Op::MovImm,
            (_, Ok(_)) => Op::MovImmSigned,
            _ => Op::MovImmWide,
        };
        let to = self.code.vreg(RegClass::Int);
        self.code.add(&Draft::new(op, Len::X).def_rm(to).imm(value));
        to
    }

    /// An instruction that overwrites a copy of its first operand.
    pub(super) fn tied(&mut self, op: Op, a: VReg, b: VReg) -> VReg {
        let to = self.code.vreg(RegClass::Int);
        self.code.add(&Draft::new(op, Len::X).tied(to, a).rm(Rm::Reg(b)));
        to
    }

    /// An instruction that overwrites a copy of its operand, with an immediate where it has one.
    pub(super) fn tied_imm(&mut self, op: Op, value: VReg, imm: i64) -> VReg {
        let to = self.code.vreg(RegClass::Int);
        self.code.add(&Draft::new(op, Len::X).tied_rm(to, value).imm(imm));
        to
    }

    /// A number times a literal.
    pub(super) fn scaled(&mut self, value: VReg, factor: i64) -> VReg {
        if factor == 1 {
            return value;
        }
        if i32::try_from(factor).is_err() {
            let factor = self.number(factor);
            return self.tied(Op::Imul, factor, value);
        }
        let to = self.code.vreg(RegClass::Int);
        self.code.add(&Draft::new(Op::ImulImm, Len::X).def(to).rm(Rm::Reg(value)).imm(factor));
        to
    }

    /// A number plus a distance; both stay.
    pub(super) fn offset(&mut self, value: VReg, distance: i64) -> VReg {
        match i32::try_from(distance) {
            Ok(0) => value,
            Ok(displacement) => {
                let mem = Mem::at(Base::Reg(value), displacement);
                self.unary_int(Op::Lea, Rm::Mem(mem))
            }
            Err(_) => {
                let distance = self.number(distance);
                self.tied(Op::Add, distance, value)
            }
        }
    }

    /// A number plus a distance, in the number's register.
    pub(super) fn advanced(&mut self, value: VReg, distance: i64) -> VReg {
        match (i8::try_from(distance), i32::try_from(distance)) {
            (Ok(_), _) => self.tied_imm(Op::AddImm8, value, distance),
            (_, Ok(_)) => self.tied_imm(Op::AddImm, value, distance),
            _ => self.offset(value, distance),
        }
    }

    /// Compares a number with a literal; the flags say how.
    pub(super) fn compare_with(&mut self, value: VReg, literal: i64) {
        let draft = match i32::try_from(literal) {
            Ok(_) => Draft::new(Op::CmpImm, Len::X).rm(Rm::Reg(value)).imm(literal),
            Err(_) => {
                let literal = self.number(literal);
                Draft::new(Op::Cmp, Len::X).reg(value).rm(Rm::Reg(literal))
            }
        };
        self.code.add(&draft);
    }

    /// Sets the flags by a number: whether it is zero, its sign.
    pub(super) fn test(&mut self, value: VReg) {
        self.code.add(&Draft::new(Op::Test, Len::X).reg(value).rm(Rm::Reg(value)));
    }

    /// `value` restricted to a range.
    pub(super) fn clamped(&mut self, value: VReg, lo: i64, hi: i64) -> VReg {
        let bound = self.number(lo);
        self.compare_with(value, lo);
        let raised = self.tied(Op::CmovL, value, bound);
        let bound = self.number(hi);
        self.compare_with(raised, hi);
        self.tied(Op::CmovG, raised, bound)
    }

    /// 0 or 1 from the flags.
    pub(super) fn flag(&mut self, set: Op) -> VReg {
        let byte = self.code.vreg(RegClass::Int);
        self.code.add(&Draft::new(set, Len::X).def_rm(byte));
        self.unary_int(Op::Movzx8, Rm::Reg(byte))
    }

    /// The number extended to 64 bits as its type says, as every integer scalar is kept.
    pub(super) fn normal(&mut self, value: VReg, elem: ElemType) -> VReg {
        match extension(elem) {
            Op::Mov => value,
            op => self.unary_int(op, Rm::Reg(value)),
        }
    }

    /// The literal that an operand is.
    pub(super) fn literal_bits(&self, arg: Arg) -> Option<u64> {
        let Arg::Value(value) = arg else { return None };
        match self.exprs[value]? {
            Expr::Const(scalar) => Some(scalar.bits()),
            Expr::Splat(scalar) => match self.exprs[*scalar]? {
                Expr::Const(scalar) => Some(scalar.bits()),
                _ => None,
            },
            _ => None,
        }
    }
}

/// The move that extends an integer scalar to 64 bits; it loads it as well.
pub(super) fn extension(elem: ElemType) -> Op {
    match elem {
        ElemType::I8 => Op::Movsx8,
        ElemType::U8 | ElemType::Bool => Op::Movzx8,
        ElemType::I16 => Op::Movsx16,
        ElemType::U16 | ElemType::F16 => Op::Movzx16,
        ElemType::I32 => Op::Movsx32,
        ElemType::U32 | ElemType::F32 => Op::Mov32,
        ElemType::I64 | ElemType::U64 | ElemType::F64 => Op::Mov,
    }
}

/// The type of a vector of unsigned integers with lanes as wide as these.
pub(super) fn as_bits(ty: VType) -> VType {
    let elem = match ty.elem.bytes() {
        1 => ElemType::U8,
        2 => ElemType::U16,
        4 => ElemType::U32,
        _ => ElemType::U64,
    };
    VType { elem, lanes: ty.lanes }
}
