//! Conversions (see `ScalarNode::Cast`): float to integer truncates and saturates, NaN gives 0;
//! integer to integer wraps; to `bool` is `!= 0`.

use super::constant::Literal;
use super::{Arg, Selector, is_float, length};
use crate::wide::code::Draft;
use crate::wide::inst::{Len, Rm};
use crate::wide::row::Op;
use edgecc_ir::loops::VType;
use edgecc_ir::tensor::Scalar;
use edgecc_ir::types::ElemType;
use regalloc2::{RegClass, VReg};

/// Predicates of `vcmpps`.
const ORDERED: i64 = 7;
const NOT_EQUAL: i64 = 4;
const GREATER_OR_EQUAL: i64 = 29;

const F32: ElemType = ElemType::F32;
const F64: ElemType = ElemType::F64;
const I32: ElemType = ElemType::I32;

impl Selector<'_> {
    /// A conversion lane by lane.
    pub(super) fn cast(&mut self, from: VType, to: ElemType, arg: Arg) -> VReg {
        if from.elem == to {
            return self.take_arg(arg);
        }
        if from.lanes == 1 {
            let value = self.take_arg(arg);
            return self.cast_scalar(from.elem, to, value);
        }
        self.cast_vector(from, to, arg)
    }

    fn cast_scalar(&mut self, from: ElemType, to: ElemType, value: VReg) -> VReg {
        match (from, to) {
            (ElemType::F16, to) => {
                let bits = self.unary(Op::Movd, Len::X, Rm::Reg(value));
                let single = self.unary(Op::Cvtph2ps, Len::X, Rm::Reg(bits));
                self.cast(VType::scalar(F32), to, Arg::Reg(single))
            }
            (_, ElemType::F16) => {
                let single = self.cast(VType::scalar(from), F32, Arg::Reg(value));
                let half = self.halves_of(VType::scalar(F32), single);
                let bits = self.int_of_lane(Op::MovdStore, half);
                self.normal(bits, to)
            }
            (from, ElemType::Bool) if is_float(from) => self.float_is_not_zero(from, value),
            (_, ElemType::Bool) => {
                self.test(value);
                self.flag(Op::SetNe)
            }
            (F32, F64) => self.scalar_from(Op::Cvtss2sd, value),
            (F64, F32) => self.scalar_from(Op::Cvtsd2ss, value),
            (from, to) if is_float(from) => self.float_to_int(from, to, value),
            (from, to) if is_float(to) => self.int_to_float(from, to, value),
            (_, to) => self.normal(value, to),
        }
    }

    /// A conversion whose upper lanes come from a register of zeros.
    fn scalar_from(&mut self, op: Op, value: VReg) -> VReg {
        let zero = self.literal_register(Literal::Lanes { bits: 0, bytes: 4, len: Len::X });
        self.binary(op, Len::X, zero, Rm::Reg(value))
    }

    fn float_is_not_zero(&mut self, elem: ElemType, value: VReg) -> VReg {
        let zero = self.float_literal(0.0, VType::scalar(elem));
        self.order(elem, value, zero);
        let differs = self.flag(Op::SetNe);
        self.order(elem, value, zero);
        let unordered = self.flag(Op::SetP);
        self.tied(Op::Or, differs, unordered)
    }

    /// Truncates to 64 bits, where what is too large becomes the smallest number.
    fn float_to_int(&mut self, from: ElemType, to: ElemType, value: VReg) -> VReg {
        let op = if from == F64 { Op::Cvttsd2si } else { Op::Cvttss2si };
        let truncated = self.unary_int(op, Rm::Reg(value));
        let (largest, zero) = (self.number(i64::MAX), self.number(0));
        let limit = self.float_literal(2f64.powi(63), VType::scalar(from));
        self.order(from, value, limit);
        let capped = self.tied(Op::CmovAe, truncated, largest);
        self.order(from, value, value);
        let result = self.tied(Op::CmovP, capped, zero);
        match to.int_range() {
            Some((i64::MIN, _)) | None => result,
            Some((lo, hi)) => self.clamped(result, lo, hi),
        }
    }

    fn int_to_float(&mut self, from: ElemType, to: ElemType, value: VReg) -> VReg {
        let [signed, unsigned, add, choose] = match to {
            F64 => [Op::Cvtsi2sd, Op::Cvtusi2sd, Op::Addsd, Op::Blendvpd],
            _ => [Op::Cvtsi2ss, Op::Cvtusi2ss, Op::Addss, Op::Blendvpd],
        };
        if from != ElemType::U64 {
            return self.scalar_from(signed, value);
        }
        if self.evex {
            return self.scalar_from(unsigned, value);
        }
        // Large numbers are halved, the lost bit kept for the rounding, and doubled.
        let low = self.scalar_from(signed, value);
        let half = self.tied_imm(Op::ShrImm, value, 1);
        let odd = self.tied_imm(Op::AndImm, value, 1);
        let half = self.tied(Op::Or, half, odd);
        let half = self.scalar_from(signed, half);
        let high = self.binary(add, Len::X, half, Rm::Reg(half));
        let sign = self.unary(Op::Movq, Len::X, Rm::Reg(value));
        let to = self.code.vreg(RegClass::Float);
        let draft = Draft::new(choose, Len::X).def(to).vvvv(low).rm(Rm::Reg(high)).mask(sign);
        self.code.add(&draft);
        to
    }

    fn cast_vector(&mut self, from: VType, to: ElemType, arg: Arg) -> VReg {
        let lanes = from.lanes;
        let single = VType { elem: F32, lanes };
        // Halves go through as many lanes of `f32`.
        let halves = from.elem == ElemType::F16 || to == ElemType::F16;
        if halves && length(single) == Len::Z && !self.evex {
            return self.cast_each(from, to, arg);
        }
        match (from.elem, to) {
            (ElemType::F16, F32) => {
                let value = self.take_rm(arg, Op::Cvtph2ps, length(single));
                self.unary(Op::Cvtph2ps, length(single), value)
            }
            (ElemType::F16, to) => {
                let wide = self.cast(from, F32, arg);
                self.cast(single, to, Arg::Reg(wide))
            }
            (F32, ElemType::F16) => {
                let value = self.take_arg(arg);
                self.halves_of(from, value)
            }
            (_, ElemType::F16) => {
                let value = self.cast(from, F32, arg);
                self.halves_of(single, value)
            }
            (ElemType::Bool, to) => {
                let mask = self.take_arg(arg);
                let ty = VType { elem: to, lanes };
                let one = self.all_lanes(Scalar::from_i64(to, 1).bits(), ty);
                self.masked(mask, one, ty)
            }
            (elem, ElemType::Bool) if is_float(elem) => {
                let zero = self.float_literal(0.0, from);
                self.compare_floats(NOT_EQUAL, from, [arg, Arg::Reg(zero)])
            }
            (_, ElemType::Bool) => {
                let value = self.take_arg(arg);
                self.not_zero(value, from)
            }
            (elem, to) if is_float(elem) || is_float(to) => self.cast_floats(from, to, arg),
            (elem, to) => {
                let value = self.take_arg(arg);
                self.resize(value, lanes, (elem.bytes(), to.bytes()), elem.is_signed_int())
            }
        }
    }

    fn cast_floats(&mut self, from: VType, to: ElemType, arg: Arg) -> VReg {
        let ty = VType { elem: to, lanes: from.lanes };
        match (from.elem, to) {
            (F32, F64) => self.convert(Op::Cvtps2pd, length(ty), arg),
            (F64, F32) => self.convert(Op::Cvtpd2ps, length(from), arg),
            (I32, F32) => self.convert(Op::Cvtdq2ps, length(ty), arg),
            (I32, F64) => self.convert(Op::Cvtdq2pd, length(ty), arg),
            (ElemType::U32, F32) if self.evex => self.convert(Op::Cvtudq2ps, length(ty), arg),
            (elem, F32 | F64) if elem.bytes() < 4 => {
                let value = self.take_arg(arg);
                let signed = elem.is_signed_int();
                let wide = self.resize(value, from.lanes, (elem.bytes(), 4), signed);
                self.cast_floats(VType { elem: I32, lanes: from.lanes }, to, Arg::Reg(wide))
            }
            (F32, I32) => self.floats_to_ints(from, arg),
            (F32, ElemType::U32) if self.evex => {
                let value = self.take_arg(arg);
                let zero = self.float_literal(0.0, from);
                let positive = self.binary(Op::Maxps, length(from), value, Rm::Reg(zero));
                self.convert(Op::Cvttps2udq, length(ty), Arg::Reg(positive))
            }
            (F32, to) if to.bytes() < 4 => self.floats_to_codes(from, to, arg),
            _ => self.cast_each(from, to, arg),
        }
    }

    fn convert(&mut self, op: Op, len: Len, arg: Arg) -> VReg {
        let value = self.take_rm(arg, op, len);
        self.unary(op, len, value)
    }

    /// `vcvttps2dq` gives the smallest number for what is too large, and for NaN.
    fn floats_to_ints(&mut self, ty: VType, arg: Arg) -> VReg {
        let (len, value) = (length(ty), self.take_arg(arg));
        let value = self.without_nan(ty, value);
        let converted = self.unary(Op::Cvttps2dq, len, Rm::Reg(value));
        let limit = self.float_literal(2f64.powi(31), ty);
        let args = [Arg::Reg(value), Arg::Reg(limit)];
        let large = self.compare_floats(GREATER_OR_EQUAL, ty, args);
        let largest = self.all_lanes(i32::MAX as u64, ty);
        self.blend(ty, large, Arg::Reg(largest), Arg::Reg(converted))
    }

    /// To integers that `f32` holds exactly, with their bounds.
    fn floats_to_codes(&mut self, ty: VType, to: ElemType, arg: Arg) -> VReg {
        let (len, mut value) = (length(ty), self.take_arg(arg));
        let (lo, hi) = to.int_range().expect("an integer type");
        if lo < 0 {
            value = self.without_nan(ty, value);
        }
        // Below, a NaN becomes the second operand, which is 0 for unsigned types.
        let lo = self.float_literal(lo as f64, ty);
        let raised = self.binary(Op::Maxps, len, value, Rm::Reg(lo));
        let hi = self.float_literal(hi as f64, ty);
        let clamped = self.binary(Op::Minps, len, raised, Rm::Reg(hi));
        let wide = self.unary(Op::Cvttps2dq, len, Rm::Reg(clamped));
        self.resize(wide, ty.lanes, (4, to.bytes()), true)
    }

    /// Zeros in the place of NaN.
    fn without_nan(&mut self, ty: VType, value: VReg) -> VReg {
        let ordered = self.compare_floats(ORDERED, ty, [Arg::Reg(value), Arg::Reg(value)]);
        self.masked(ordered, value, ty)
    }

    fn halves_of(&mut self, ty: VType, value: VReg) -> VReg {
        let to = self.code.vreg(RegClass::Float);
        // The immediate 0 rounds to nearest even.
        self.code.add(&Draft::new(Op::Cvtps2ph, length(ty)).reg(value).def_rm(to).imm(0));
        to
    }

    /// The conversions that have no vector form, through scalars.
    fn cast_each(&mut self, from: VType, to: ElemType, arg: Arg) -> VReg {
        let vector = self.take_arg(arg);
        let lanes: Vec<Arg> = (0..from.lanes)
            .map(|lane| {
                let scalar = self.extract(vector, from, lane);
                Arg::Reg(self.cast_scalar(from.elem, to, scalar))
            })
            .collect();
        self.pack(VType { elem: to, lanes: from.lanes }, &lanes)
    }

    pub(super) fn float_literal(&mut self, value: f64, ty: VType) -> VReg {
        let scalar = Scalar::from_f64(ty.elem, value);
        self.all_lanes(scalar.bits(), ty)
    }
}
