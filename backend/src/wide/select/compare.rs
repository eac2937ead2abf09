//! Comparisons, and choices by their results.

use super::number::as_bits;
use super::{Arg, Selector, is_float, length, width};
use crate::wide::code::Draft;
use crate::wide::inst::{Len, Rm};
use crate::wide::row::Op;
use edgecc_ir::loops::VType;
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::types::ElemType;
use regalloc2::{RegClass, VReg};

/// Predicates of `vcmpps` that are false for NaN, without exceptions.
const EQUAL: i64 = 0;
const LESS: i64 = 17;
const LESS_OR_EQUAL: i64 = 18;

const EQUALS: [Op; 4] = [Op::Pcmpeqb, Op::Pcmpeqw, Op::Pcmpeqd, Op::Pcmpeqq];
const GREATER: [Op; 4] = [Op::Pcmpgtb, Op::Pcmpgtw, Op::Pcmpgtd, Op::Pcmpgtq];
const SIGNED: [Op; 4] = [Op::Pcmpb, Op::Pcmpw, Op::Pcmpd, Op::Pcmpq];
const UNSIGNED: [Op; 4] = [Op::Pcmpub, Op::Pcmpuw, Op::Pcmpud, Op::Pcmpuq];
/// By opmasks.
const BLENDS: [Op; 4] = [Op::Pblendmb, Op::Pblendmw, Op::Pblendmd, Op::Pblendmq];
/// By the sign of each lane.
const SIGN_BLENDS: [Op; 4] = [Op::Pblendvb, Op::Pblendvb, Op::Blendvps, Op::Blendvpd];

impl Selector<'_> {
    /// `eq`, `lt` or `le` on operands of the type `ty`.
    pub(super) fn compare(&mut self, func: ScalarFn, ty: VType, args: [Arg; 2]) -> VReg {
        match (ty.elem, ty.lanes) {
            (elem, 1) if is_float(elem) => self.compare_float(func, elem, args),
            (elem, 1) => self.compare_int(func, elem, args),
            (ElemType::Bool, lanes) => self.compare_masks(func, lanes, args),
            (elem, _) if is_float(elem) => {
                let predicate = match func {
                    ScalarFn::Eq => EQUAL,
                    ScalarFn::Lt => LESS,
                    _ => LESS_OR_EQUAL,
                };
                self.compare_floats(predicate, ty, args)
            }
            _ if self.evex => self.compare_ints_into_opmask(func, ty, args),
            _ => self.compare_ints(func, ty, args),
        }
    }

    fn compare_float(&mut self, func: ScalarFn, elem: ElemType, [a, b]: [Arg; 2]) -> VReg {
        let (a, b) = (self.take_arg(a), self.take_arg(b));
        match func {
            ScalarFn::Eq => {
                self.order(elem, a, b);
                let equal = self.flag(Op::SetE);
                self.order(elem, a, b);
                let ordered = self.flag(Op::SetNp);
                self.tied(Op::And, equal, ordered)
            }
            ScalarFn::Lt => {
                self.order(elem, b, a);
                self.flag(Op::SetA)
            }
            _ => {
                self.order(elem, b, a);
                self.flag(Op::SetAe)
            }
        }
    }

    /// Compares floats as if unsigned numbers; unordered ones are equal, below and have parity.
    pub(super) fn order(&mut self, elem: ElemType, a: VReg, b: VReg) {
        let op = if elem == ElemType::F64 { Op::Ucomisd } else { Op::Ucomiss };
        self.code.add(&Draft::new(op, Len::X).reg(a).rm(Rm::Reg(b)));
    }

    fn compare_int(&mut self, func: ScalarFn, elem: ElemType, [a, b]: [Arg; 2]) -> VReg {
        let (a, b) = (self.take_arg(a), self.take_arg(b));
        self.code.add(&Draft::new(Op::Cmp, Len::X).reg(a).rm(Rm::Reg(b)));
        self.flag(match (func, elem.is_signed_int()) {
            (ScalarFn::Eq, _) => Op::SetE,
            (ScalarFn::Lt, true) => Op::SetL,
            (ScalarFn::Lt, false) => Op::SetB,
            (_, true) => Op::SetLe,
            (_, false) => Op::SetBe,
        })
    }

    /// A comparison of float vectors by a predicate of `vcmpps`.
    pub(super) fn compare_floats(&mut self, predicate: i64, ty: VType, [a, b]: [Arg; 2]) -> VReg {
        let op = if ty.elem == ElemType::F64 { Op::Cmppd } else { Op::Cmpps };
        let a = self.take_arg(a);
        let b = self.take_rm(b, op, length(ty));
        self.compared(op, ty, a, b, predicate)
    }

    fn compared(&mut self, op: Op, ty: VType, a: VReg, b: Rm<VReg>, predicate: i64) -> VReg {
        let to = self.mask(ty.elem.bytes());
        self.code.add(&Draft::new(op, length(ty)).def(to).vvvv(a).rm(b).imm(predicate));
        to
    }

    fn compare_ints_into_opmask(&mut self, func: ScalarFn, ty: VType, [a, b]: [Arg; 2]) -> VReg {
        let ops = if ty.elem.is_signed_int() { SIGNED } else { UNSIGNED };
        let op = ops[width(ty.elem)];
        let a = self.take_arg(a);
        let b = self.take_rm(b, op, length(ty));
        let predicate = match func {
            ScalarFn::Eq => 0,
            ScalarFn::Lt => 1,
            _ => 2,
        };
        self.compared(op, ty, a, b, predicate)
    }

    /// Unsigned numbers compare as signed ones with their highest bits flipped.
    fn compare_ints(&mut self, func: ScalarFn, ty: VType, [a, b]: [Arg; 2]) -> VReg {
        let at = width(ty.elem);
        let (mut a, mut b) = (self.take_arg(a), self.take_arg(b));
        if func == ScalarFn::Eq {
            return self.compared(EQUALS[at], ty, a, Rm::Reg(b), 0);
        }
        if !ty.elem.is_signed_int() {
            let high = self.all_lanes(1 << (8 * ty.elem.bytes() - 1), ty);
            a = self.binary(Op::Pxor, length(ty), a, Rm::Reg(high));
            b = self.binary(Op::Pxor, length(ty), b, Rm::Reg(high));
        }
        match func {
            ScalarFn::Lt => self.compared(GREATER[at], ty, b, Rm::Reg(a), 0),
            _ => {
                let greater = self.compared(GREATER[at], ty, a, Rm::Reg(b), 0);
                self.mask_bits(ScalarFn::Not, ty.lanes, &[Arg::Reg(greater)])
            }
        }
    }

    /// `if condition then a else b`.
    pub(super) fn choose(&mut self, ty: VType, [condition, a, b]: [Arg; 3]) -> VReg {
        match (ty.elem, ty.lanes) {
            (ElemType::Bool, 2..) => self.choose_masks(ty.lanes, [condition, a, b]),
            (elem, 1) if is_float(elem) => {
                let condition = self.take_arg(condition);
                let mask = self.scalar_mask(condition);
                self.blend(VType { elem, lanes: 1 }, mask, a, b)
            }
            (_, 1) => {
                let [condition, a, b] = [condition, a, b].map(|arg| self.take_arg(arg));
                self.test(condition);
                self.tied(Op::CmovNe, b, a)
            }
            _ => {
                let condition = self.take_arg(condition);
                let mask = self.mask_as(condition, ty.lanes, ty.elem.bytes());
                self.blend(ty, mask, a, b)
            }
        }
    }

    /// `a` where the mask is set, else `b`.
    pub(super) fn blend(&mut self, ty: VType, mask: VReg, a: Arg, b: Arg) -> VReg {
        let ops = if self.evex { BLENDS } else { SIGN_BLENDS };
        let op = ops[width(as_bits(ty).elem)];
        let b = self.take_arg(b);
        let a =
            if ty.lanes == 1 { Rm::Reg(self.take_arg(a)) } else { self.take_rm(a, op, length(ty)) };
        let to = self.code.vreg(RegClass::Float);
        self.code.add(&Draft::new(op, length(ty)).def(to).vvvv(b).rm(a).mask(mask));
        to
    }

    /// The mask of one lane from 0 or 1.
    fn scalar_mask(&mut self, condition: VReg) -> VReg {
        if self.evex {
            return self.opmask_of(condition);
        }
        let ones = self.tied_imm(Op::Neg, condition, 0);
        self.unary(Op::Movq, Len::X, Rm::Reg(ones))
    }
}
