//! Vectors of truth values.
//!
//! With AVX-512 they are opmasks. Otherwise they are lanes of all ones or all zeros, as wide as
//! those they were compared from.

use super::constant::Literal;
use super::{Arg, Selector, is_vector};
use crate::wide::code::Draft;
use crate::wide::inst::{Len, Rm};
use crate::wide::row::Op;
use edgecc_ir::loops::VType;
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::types::ElemType;
use regalloc2::{RegClass, VReg};

/// Bytes of the lanes of a mask that was not compared from anything.
pub(super) fn default_bytes(lanes: u8) -> usize {
    if lanes > 8 { 1 } else { 4 }
}

impl Selector<'_> {
    /// A register for a mask with lanes of this many bytes.
    pub(super) fn mask(&mut self, bytes: usize) -> VReg {
        if self.evex {
            return self.code.vreg(RegClass::Vector);
        }
        let mask = self.code.vreg(RegClass::Float);
        self.mask_bytes.insert(mask.vreg(), bytes as u8);
        mask
    }

    /// Remembers that a register holds a literal mask.
    pub(super) fn note_mask(&mut self, reg: VReg, ty: VType) {
        if ty.elem == ElemType::Bool && is_vector(ty) && !self.evex {
            self.mask_bytes.insert(reg.vreg(), default_bytes(ty.lanes) as u8);
        }
    }

    fn bytes_of(&self, mask: VReg) -> usize {
        usize::from(self.mask_bytes[&mask.vreg()])
    }

    /// The mask with lanes of this many bytes.
    pub(super) fn mask_as(&mut self, mask: VReg, lanes: u8, bytes: usize) -> VReg {
        if self.evex || self.bytes_of(mask) == bytes {
            return mask;
        }
        let from = self.bytes_of(mask);
        let resized = self.resize(mask, lanes, (from, bytes), true);
        self.mask_bytes.insert(resized.vreg(), bytes as u8);
        resized
    }

    /// The mask as the other one is kept.
    pub(super) fn mask_like(&mut self, mask: VReg, other: VReg, lanes: u8) -> VReg {
        if self.evex {
            return mask;
        }
        let bytes = self.bytes_of(other);
        self.mask_as(mask, lanes, bytes)
    }

    /// `and`, `or`, `xor` or `not` of truth values.
    pub(super) fn mask_bits(&mut self, func: ScalarFn, lanes: u8, args: &[Arg]) -> VReg {
        let a = self.take_arg(args[0]);
        if func == ScalarFn::Not {
            return self.complement(a, lanes);
        }
        let b = self.take_arg(args[1]);
        let (opmask, bits) = match func {
            ScalarFn::And => (Op::Kand, Op::Pand),
            ScalarFn::Or => (Op::Kor, Op::Por),
            _ => (Op::Kxor, Op::Pxor),
        };
        self.combine(opmask, bits, lanes, a, b)
    }

    pub(super) fn compare_masks(&mut self, func: ScalarFn, lanes: u8, args: [Arg; 2]) -> VReg {
        let [a, b] = args.map(|arg| self.take_arg(arg));
        match func {
            ScalarFn::Eq => {
                let differ = self.combine(Op::Kxor, Op::Pxor, lanes, a, b);
                self.complement(differ, lanes)
            }
            ScalarFn::Lt => self.combine(Op::Kandn, Op::Pandn, lanes, a, b),
            _ => {
                let not = self.complement(a, lanes);
                self.combine(Op::Kor, Op::Por, lanes, not, b)
            }
        }
    }

    pub(super) fn choose_masks(&mut self, lanes: u8, args: [Arg; 3]) -> VReg {
        let [condition, a, b] = args.map(|arg| self.take_arg(arg));
        let yes = self.combine(Op::Kand, Op::Pand, lanes, condition, a);
        let no = self.combine(Op::Kandn, Op::Pandn, lanes, condition, b);
        self.combine(Op::Kor, Op::Por, lanes, yes, no)
    }

    fn combine(&mut self, opmask: Op, bits: Op, lanes: u8, a: VReg, b: VReg) -> VReg {
        if self.evex {
            let to = self.mask(0);
            self.code.add(&Draft::new(opmask, Len::X).def(to).vvvv(a).rm(Rm::Reg(b)));
            return to;
        }
        let (bytes, b) = (self.bytes_of(a), self.mask_like(b, a, lanes));
        let to = self.mask(bytes);
        let len = Len::of(bytes * usize::from(lanes));
        self.code.add(&Draft::new(bits, len).def(to).vvvv(a).rm(Rm::Reg(b)));
        to
    }

    fn complement(&mut self, mask: VReg, lanes: u8) -> VReg {
        if self.evex {
            let to = self.mask(0);
            self.code.add(&Draft::new(Op::Knot, Len::X).def(to).rm(Rm::Reg(mask)));
            return to;
        }
        let bytes = self.bytes_of(mask);
        let len = Len::of(bytes * usize::from(lanes));
        let ones = self.literal_register(Literal::Lanes { bits: 0xff, bytes: 1, len });
        let to = self.mask(bytes);
        self.code.add(&Draft::new(Op::Pxor, len).def(to).vvvv(mask).rm(Rm::Reg(ones)));
        to
    }

    /// An opmask whose lanes are all the same, from 0 or 1.
    pub(super) fn opmask_of(&mut self, condition: VReg) -> VReg {
        let ones = self.tied_imm(Op::Neg, condition, 0);
        self.opmask_from(ones)
    }

    /// An opmask from the low bits of an integer.
    pub(super) fn opmask_from(&mut self, bits: VReg) -> VReg {
        let to = self.mask(0);
        self.code.add(&Draft::new(Op::KmovFromInt, Len::X).def(to).rm(Rm::Reg(bits)));
        to
    }

    /// One lane as 0 or 1.
    pub(super) fn extract_mask(&mut self, mask: VReg, lanes: u8, lane: u8) -> VReg {
        let bits = if self.evex {
            let bits = self.unary_int(Op::KmovToInt, Rm::Reg(mask));
            self.tied_imm(Op::ShrImm, bits, i64::from(lane))
        } else {
            let elem = match self.bytes_of(mask) {
                1 => ElemType::U8,
                2 => ElemType::U16,
                4 => ElemType::U32,
                _ => ElemType::U64,
            };
            self.extract(mask, VType { elem, lanes }, lane)
        };
        self.tied_imm(Op::AndImm, bits, 1)
    }

    /// Zeros and ones of 1 byte.
    pub(super) fn mask_to_bytes(&mut self, mask: VReg, lanes: u8) -> VReg {
        let one = Literal::Lanes { bits: 1, bytes: 1, len: Len::of(lanes.into()) };
        let ones = self.literal_register(one);
        self.masked(mask, ones, VType { elem: ElemType::U8, lanes })
    }

    /// The lanes of `value` where the mask is set, else zeros.
    pub(super) fn masked(&mut self, mask: VReg, value: VReg, ty: VType) -> VReg {
        let len = super::length(ty);
        if !self.evex {
            let mask = self.mask_as(mask, ty.lanes, ty.elem.bytes());
            return self.binary(Op::Pand, len, mask, Rm::Reg(value));
        }
        let moves = [Op::Movdqu8, Op::Movdqu16, Op::Movdqu32, Op::Movdqu64];
        let to = self.code.vreg(RegClass::Float);
        let draft = Draft::new(moves[super::width(ty.elem)], len).def(to).rm(Rm::Reg(value));
        self.code.add(&draft.mask(mask).zeroing());
        to
    }

    /// Which lanes of integers are not zero.
    pub(super) fn not_zero(&mut self, value: VReg, ty: VType) -> VReg {
        let (at, len) = (super::width(ty.elem), super::length(ty));
        if self.evex {
            let tests = [Op::Ptestmb, Op::Ptestmw, Op::Ptestmd, Op::Ptestmq];
            let to = self.mask(0);
            self.code.add(&Draft::new(tests[at], len).def(to).vvvv(value).rm(Rm::Reg(value)));
            return to;
        }
        let zero = self.all_lanes(0, ty);
        let equal = self.compare(ScalarFn::Eq, ty, [Arg::Reg(value), Arg::Reg(zero)]);
        self.complement(equal, ty.lanes)
    }
}
