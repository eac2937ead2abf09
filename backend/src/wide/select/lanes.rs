//! Lanes: broadcasting, extracting, packing, combining.

use super::mask::default_bytes;
use super::{Arg, Selector, is_float, length, width};
use crate::wide::code::Draft;
use crate::wide::inst::{Len, Rm};
use crate::wide::row::Op;
use edgecc_ir::loops::{VType, ValueId};
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::types::ElemType;
use regalloc2::{RegClass, VReg};

const BROADCASTS: [Op; 4] = [Op::Pbroadcastb, Op::Pbroadcastw, Op::Broadcastss, Op::Pbroadcastq];
const EXTRACTS: [Op; 4] = [Op::Pextrb, Op::Pextrw, Op::Pextrd, Op::Pextrq];
pub(super) const INSERTS: [Op; 4] = [Op::Pinsrb, Op::Pinsrw, Op::Pinsrd, Op::Pinsrq];

impl Selector<'_> {
    /// A scalar in every lane.
    pub(super) fn splat(&mut self, ty: VType, scalar: ValueId) -> VReg {
        if ty.lanes == 1 {
            return self.take(scalar);
        }
        let loaded = if ty.elem == ElemType::Bool { None } else { self.lone_load(scalar) };
        if let Some(mem) = loaded {
            self.uses[scalar] -= 1;
            return self.unary(BROADCASTS[width(ty.elem)], length(ty), Rm::Mem(mem));
        }
        let scalar = self.take(scalar);
        match ty.elem {
            ElemType::Bool if self.evex => self.opmask_of(scalar),
            ElemType::Bool => {
                let ones = self.tied_imm(Op::Neg, scalar, 0);
                let bytes = default_bytes(ty.lanes);
                let low = self.unary(Op::Movq, Len::X, Rm::Reg(ones));
                let to = self.mask(bytes);
                let op = BROADCASTS[bytes.ilog2() as usize];
                let len = Len::of(bytes * usize::from(ty.lanes));
                self.code.add(&Draft::new(op, len).def(to).rm(Rm::Reg(low)));
                to
            }
            elem => {
                let low = self.low_lane_of(scalar, elem);
                self.unary(BROADCASTS[width(elem)], length(ty), Rm::Reg(low))
            }
        }
    }

    /// A scalar in the low lane of a vector register.
    fn low_lane_of(&mut self, scalar: VReg, elem: ElemType) -> VReg {
        match elem {
            elem if is_float(elem) => scalar,
            _ => self.unary(Op::Movq, Len::X, Rm::Reg(scalar)),
        }
    }

    /// One lane in every lane.
    pub(super) fn splat_lane(&mut self, vector: VReg, ty: VType, lane: u8) -> VReg {
        if ty.elem == ElemType::Bool {
            let one = self.extract_mask(vector, ty.lanes, lane);
            let lanes = vec![Arg::Reg(one); usize::from(ty.lanes)];
            return self.pack(ty, &lanes);
        }
        let low = self.low_lane(vector, ty, lane);
        self.unary(BROADCASTS[width(ty.elem)], length(ty), Rm::Reg(low))
    }

    /// One lane as a scalar.
    pub(super) fn extract(&mut self, vector: VReg, ty: VType, lane: u8) -> VReg {
        match ty.elem {
            _ if ty.lanes == 1 => vector,
            ElemType::Bool => self.extract_mask(vector, ty.lanes, lane),
            elem if is_float(elem) => self.low_lane(vector, ty, lane),
            elem => {
                let (part, within) = self.part(vector, ty, lane);
                let to = self.code.vreg(RegClass::Int);
                let draft = Draft::new(EXTRACTS[width(elem)], Len::X).reg(part).def_rm(to);
                self.code.add(&draft.imm(i64::from(within)));
                if elem.is_signed_int() { self.normal(to, elem) } else { to }
            }
        }
    }

    /// The 128 bits with a lane, and the lane's number in them.
    fn part(&mut self, vector: VReg, ty: VType, lane: u8) -> (VReg, u8) {
        let in_part = (16 / ty.elem.bytes()) as u8;
        let part = lane / in_part;
        if part == 0 {
            return (vector, lane);
        }
        (self.upper(Op::Extract128, length(ty), vector, part), lane % in_part)
    }

    pub(super) fn upper(&mut self, op: Op, len: Len, vector: VReg, part: u8) -> VReg {
        let to = self.code.vreg(RegClass::Float);
        self.code.add(&Draft::new(op, len).reg(vector).def_rm(to).imm(i64::from(part)));
        to
    }

    /// A vector whose lowest lane is the given one.
    fn low_lane(&mut self, vector: VReg, ty: VType, lane: u8) -> VReg {
        let (part, within) = self.part(vector, ty, lane);
        self.moved_down(part, usize::from(within) * ty.elem.bytes())
    }

    /// 128 bits, shifted right by bytes.
    fn moved_down(&mut self, vector: VReg, bytes: usize) -> VReg {
        if bytes == 0 {
            return vector;
        }
        let to = self.code.vreg(RegClass::Float);
        let draft = Draft::new(Op::Psrldq, Len::X).def_vvvv(to).rm(Rm::Reg(vector));
        self.code.add(&draft.imm(bytes as i64));
        to
    }

    /// A vector from its lanes.
    pub(super) fn pack(&mut self, ty: VType, scalars: &[Arg]) -> VReg {
        match ty.elem {
            _ if ty.lanes == 1 => self.take_arg(scalars[0]),
            ElemType::Bool => self.pack_mask(ty.lanes, scalars),
            elem => {
                let in_part = 16 / elem.bytes();
                let parts: Vec<VReg> =
                    scalars.chunks(in_part).map(|part| self.pack_part(elem, part)).collect();
                self.join(&parts)
            }
        }
    }

    fn pack_part(&mut self, elem: ElemType, scalars: &[Arg]) -> VReg {
        let first = self.take_arg(scalars[0]);
        let mut vector = self.low_lane_of(first, elem);
        for (lane, &scalar) in scalars.iter().enumerate().skip(1) {
            let (op, imm) = match elem {
                ElemType::F32 => (Op::Insertps, lane << 4),
                ElemType::F64 => (Op::Unpcklpd, 0),
                elem => (INSERTS[width(elem)], lane),
            };
            let rm = if elem == ElemType::F32 {
                self.take_rm(scalar, op, Len::X)
            } else {
                Rm::Reg(self.take_arg(scalar))
            };
            let to = self.code.vreg(RegClass::Float);
            self.code.add(&Draft::new(op, Len::X).def(to).vvvv(vector).rm(rm).imm(imm as i64));
            vector = to;
        }
        vector
    }

    /// Vectors of 128 bits as one.
    pub(super) fn join(&mut self, parts: &[VReg]) -> VReg {
        match *parts {
            [one] => one,
            [low, high] => self.joined(Op::Insert128, Len::Y, low, high),
            _ => {
                let (low, high) = parts.split_at(parts.len() / 2);
                let (low, high) = (self.join(low), self.join(high));
                self.joined(Op::Insert256, Len::Z, low, high)
            }
        }
    }

    pub(super) fn joined(&mut self, op: Op, len: Len, low: VReg, high: VReg) -> VReg {
        let to = self.code.vreg(RegClass::Float);
        self.code.add(&Draft::new(op, len).def(to).vvvv(low).rm(Rm::Reg(high)).imm(1));
        to
    }

    fn pack_mask(&mut self, lanes: u8, scalars: &[Arg]) -> VReg {
        let scalars: Vec<VReg> = scalars.iter().map(|&s| self.take_arg(s)).collect();
        if !self.evex {
            let bytes: Vec<Arg> = scalars.into_iter().map(Arg::Reg).collect();
            let ty = VType { elem: ElemType::U8, lanes };
            let vector = self.pack(ty, &bytes);
            return self.not_zero(vector, ty);
        }
        let mut bits = scalars[0];
        for (lane, &scalar) in scalars.iter().enumerate().skip(1) {
            let moved = self.tied_imm(Op::ShlImm, scalar, lane as i64);
            bits = self.tied(Op::Or, bits, moved);
        }
        self.opmask_from(bits)
    }

    /// The upper half of the lanes combined with the lower one, until one is left.
    pub(super) fn reduce(&mut self, func: ScalarFn, ty: VType, vector: VReg) -> VReg {
        if ty.elem == ElemType::Bool {
            return self.reduce_mask(func, ty, vector);
        }
        if ty.lanes == 1 {
            return vector;
        }
        let mut lanes = ty.lanes;
        let mut vector = vector;
        while lanes > 1 {
            let whole = VType { elem: ty.elem, lanes };
            let upper = self.upper_half(vector, whole);
            lanes /= 2;
            let least = if is_float(ty.elem) { 1 } else { 2 };
            let half = VType { elem: ty.elem, lanes: lanes.max(least) };
            vector = self.apply(func, half, &[Arg::Reg(vector), Arg::Reg(upper)]);
        }
        match ty.elem {
            elem if is_float(elem) => vector,
            elem => self.extract(vector, VType { elem, lanes: 2 }, 0),
        }
    }

    fn upper_half(&mut self, vector: VReg, ty: VType) -> VReg {
        match ty.elem.bytes() * usize::from(ty.lanes) {
            64 => self.upper(Op::Extract256, Len::Z, vector, 1),
            32 => self.upper(Op::Extract128, Len::Y, vector, 1),
            bytes => self.moved_down(vector, bytes / 2),
        }
    }

    fn reduce_mask(&mut self, func: ScalarFn, ty: VType, mask: VReg) -> VReg {
        let one = VType::scalar(ty.elem);
        let mut lanes: Vec<VReg> = (0..ty.lanes).map(|lane| self.extract(mask, ty, lane)).collect();
        while lanes.len() > 1 {
            let upper = lanes.split_off(lanes.len() / 2);
            for (lane, upper) in lanes.iter_mut().zip(upper) {
                *lane = self.apply(func, one, &[Arg::Reg(*lane), Arg::Reg(upper)]);
            }
        }
        lanes[0]
    }
}
