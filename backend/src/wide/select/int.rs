//! Functions of integer vectors.

use super::constant::Literal;
use super::{Arg, Selector, length, width};
use crate::wide::code::Draft;
use crate::wide::inst::Rm;
use crate::wide::row::Op;
use edgecc_ir::loops::VType;
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::types::ElemType;
use regalloc2::{RegClass, VReg};

const ADD: [Op; 4] = [Op::Paddb, Op::Paddw, Op::Paddd, Op::Paddq];
const SUB: [Op; 4] = [Op::Psubb, Op::Psubw, Op::Psubd, Op::Psubq];
const MIN: [Op; 4] = [Op::Pminsb, Op::Pminsw, Op::Pminsd, Op::Pminsq];
const MIN_UNSIGNED: [Op; 4] = [Op::Pminub, Op::Pminuw, Op::Pminud, Op::Pminuq];
const MAX: [Op; 4] = [Op::Pmaxsb, Op::Pmaxsw, Op::Pmaxsd, Op::Pmaxsq];
const MAX_UNSIGNED: [Op; 4] = [Op::Pmaxub, Op::Pmaxuw, Op::Pmaxud, Op::Pmaxuq];
const ABS: [Op; 4] = [Op::Pabsb, Op::Pabsw, Op::Pabsd, Op::Pabsq];

impl Selector<'_> {
    /// A function of integers; all operands have the type `ty`.
    pub(super) fn ints(&mut self, func: ScalarFn, ty: VType, args: &[Arg]) -> VReg {
        if let Some(op) = self.two_ints(func, ty) {
            return self.int_pair(func, op, ty, [args[0], args[1]]);
        }
        match func {
            ScalarFn::Neg => {
                let zero = self.all_lanes(0, ty);
                let op = SUB[width(ty.elem)];
                let value = self.take_rm(args[0], op, length(ty));
                self.binary(op, length(ty), zero, value)
            }
            ScalarFn::Not => {
                let value = self.take_arg(args[0]);
                let ones = self.all_lanes(u64::MAX, ty);
                self.binary(Op::Pxor, length(ty), value, Rm::Reg(ones))
            }
            ScalarFn::Abs if !ty.elem.is_signed_int() => self.take_arg(args[0]),
            ScalarFn::Abs if self.evex || ty.elem.bytes() < 8 => {
                let op = ABS[width(ty.elem)];
                let value = self.take_rm(args[0], op, length(ty));
                self.unary(op, length(ty), value)
            }
            ScalarFn::Mul if ty.elem.bytes() == 1 => self.byte_product(ty, [args[0], args[1]]),
            ScalarFn::Shl | ScalarFn::Shr => self.shift(func, ty, [args[0], args[1]]),
            _ => self.through_scalars(func, ty, args),
        }
    }

    /// The instruction of a function of two operands.
    fn two_ints(&self, func: ScalarFn, ty: VType) -> Option<Op> {
        let (at, signed) = (width(ty.elem), ty.elem.is_signed_int());
        let has_quads = self.evex || at < 3;
        match func {
            ScalarFn::Add => Some(ADD[at]),
            ScalarFn::Sub => Some(SUB[at]),
            ScalarFn::And => Some(Op::Pand),
            ScalarFn::Or => Some(Op::Por),
            ScalarFn::Xor => Some(Op::Pxor),
            ScalarFn::Mul if at == 0 || !has_quads => None,
            ScalarFn::Mul => Some([Op::Pmullw, Op::Pmulld, Op::Pmullq][at - 1]),
            ScalarFn::Min if has_quads => Some(if signed { MIN } else { MIN_UNSIGNED }[at]),
            ScalarFn::Max if has_quads => Some(if signed { MAX } else { MAX_UNSIGNED }[at]),
            _ => None,
        }
    }

    fn int_pair(&mut self, func: ScalarFn, op: Op, ty: VType, [a, b]: [Arg; 2]) -> VReg {
        let swap = func.info().commutative && self.is_pending(a) && !self.is_pending(b);
        let (a, b) = if swap { (b, a) } else { (a, b) };
        let a = self.take_arg(a);
        let b = self.take_rm(b, op, length(ty));
        self.binary(op, length(ty), a, b)
    }

    /// The low bytes of products of 16 bits.
    fn byte_product(&mut self, ty: VType, args: [Arg; 2]) -> VReg {
        let wide = VType { elem: ElemType::I16, lanes: ty.lanes };
        let [a, b] = args.map(|arg| {
            let arg = self.take_arg(arg);
            self.resize(arg, ty.lanes, (1, 2), false)
        });
        let product = self.binary(Op::Pmullw, length(wide), a, Rm::Reg(b));
        self.resize(product, ty.lanes, (2, 1), false)
    }

    fn shift(&mut self, func: ScalarFn, ty: VType, [value, amount]: [Arg; 2]) -> VReg {
        let bits = 8 * ty.elem.bytes() as u64;
        match self.literal_bits(amount) {
            Some(amount) => self.shift_all(func, ty, value, (amount & (bits - 1)) as i64),
            None => self.shift_each(func, ty, value, amount),
        }
    }

    fn shift_all(&mut self, func: ScalarFn, ty: VType, value: Arg, amount: i64) -> VReg {
        let signed = ty.elem.is_signed_int();
        if ty.elem.bytes() == 1 {
            let elem = if signed { ElemType::I16 } else { ElemType::U16 };
            let narrow = self.take_arg(value);
            let wide = self.resize(narrow, ty.lanes, (1, 2), signed);
            let wide_ty = VType { elem, lanes: ty.lanes };
            let shifted = self.shift_all(func, wide_ty, Arg::Reg(wide), amount);
            return self.resize(shifted, ty.lanes, (2, 1), false);
        }
        let ops = match func {
            ScalarFn::Shl => [Op::Psllw, Op::Pslld, Op::Psllq],
            _ if signed => [Op::Psraw, Op::Psrad, Op::Psraq],
            _ => [Op::Psrlw, Op::Psrld, Op::Psrlq],
        };
        let op = ops[width(ty.elem) - 1];
        let value = self.take_arg(value);
        if op == Op::Psraq && !self.evex {
            let amount = self.all_lanes(amount as u64, ty);
            return self.through_scalars(func, ty, &[Arg::Reg(value), Arg::Reg(amount)]);
        }
        let to = self.code.vreg(RegClass::Float);
        let draft = Draft::new(op, length(ty)).def_vvvv(to).rm(Rm::Reg(value)).imm(amount);
        self.code.add(&draft);
        to
    }

    fn shift_each(&mut self, func: ScalarFn, ty: VType, value: Arg, amount: Arg) -> VReg {
        let signed = ty.elem.is_signed_int();
        let ops = match func {
            ScalarFn::Shl => [Op::Psllvw, Op::Psllvd, Op::Psllvq],
            _ if signed => [Op::Psravw, Op::Psravd, Op::Psravq],
            _ => [Op::Psrlvw, Op::Psrlvd, Op::Psrlvq],
        };
        let at = width(ty.elem);
        let missing = !self.evex && (at == 1 || ops[2] == Op::Psravq && at == 3);
        if at == 0 || missing {
            return self.through_scalars(func, ty, &[value, amount]);
        }
        let (value, amount) = (self.take_arg(value), self.take_arg(amount));
        let bits = self.all_lanes(8 * ty.elem.bytes() as u64 - 1, ty);
        let amount = self.binary(Op::Pand, length(ty), amount, Rm::Reg(bits));
        self.binary(ops[at - 1], length(ty), value, Rm::Reg(amount))
    }

    /// The low bits of a number in every lane.
    pub(super) fn all_lanes(&mut self, bits: u64, ty: VType) -> VReg {
        let bits = bits & (u64::MAX >> (64 - 8 * ty.elem.bytes()));
        let bytes = ty.elem.bytes() as u8;
        self.literal_register(Literal::Lanes { bits, bytes, len: length(ty) })
    }
}
