//! Lanes: extracting, packing, broadcasting, masks, and functions that no vector unit has.

use super::{Translator, types};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I8, I8X16, Type};
use cranelift_codegen::ir::{ConstantData, InstBuilder, Value};
use edgecc_ir::loops::{VType, ValueId};
use edgecc_ir::target::Arch;
use edgecc_ir::types::ElemType;

/// A value and its IR type.
pub(super) type Typed = (Value, VType);

impl Translator<'_> {
    /// One lane as a scalar.
    pub(super) fn extract(&mut self, (vector, ty): Typed, lane: u8) -> Value {
        if ty.lanes == 1 {
            return vector;
        }
        let value = self.builder.ins().extractlane(vector, lane);
        match ty.elem {
            ElemType::Bool => self.builder.ins().icmp_imm_u(IntCC::NotEqual, value, 0),
            _ => value,
        }
    }

    /// A vector from its lanes.
    pub(super) fn pack(&mut self, scalars: &[Value], ty: VType) -> Value {
        if ty.lanes == 1 {
            return scalars[0];
        }
        let lane_bits = 128 / u32::from(ty.lanes);
        let register = match ty.elem {
            ElemType::Bool => types::int_vector(lane_bits),
            elem => types::vector(elem),
        };
        let mut vector = self.zero(register);
        for (lane, &scalar) in scalars.iter().enumerate() {
            let scalar = match ty.elem {
                ElemType::Bool => self.wide_bool(scalar, lane_bits),
                _ => scalar,
            };
            vector = self.builder.ins().insertlane(vector, scalar, lane as u8);
        }
        vector
    }

    /// One lane in every lane: the shuffle of bytes that both targets have in one instruction, and
    /// that a multiply-add by element absorbs.
    pub(super) fn splat_lane(&mut self, vector: ValueId, lane: u8) -> Value {
        let value = self.value(vector);
        let register = self.clif_type(value);
        let width = register.lane_type().bytes() as u8;
        let bytes: Vec<u8> = (0..16).map(|byte| lane * width + byte % width).collect();
        self.shuffle(value, &bytes)
    }

    /// A function lane by lane through scalars.
    pub(super) fn lane_by_lane(
        &mut self,
        args: &[Typed],
        result: VType,
        mut one: impl FnMut(&mut Self, &[Value]) -> Value,
    ) -> Value {
        let mut lanes = Vec::with_capacity(usize::from(result.lanes));
        for lane in 0..result.lanes {
            let scalars: Vec<Value> = args.iter().map(|&arg| self.extract(arg, lane)).collect();
            lanes.push(one(self, &scalars));
        }
        self.pack(&lanes, result)
    }

    /// A mask with lanes of another width.
    pub(super) fn mask_as(&mut self, mut mask: Value, lane_bits: u32) -> Value {
        loop {
            let bits = self.clif_type(mask).lane_bits();
            if bits == lane_bits {
                return mask;
            }
            mask = if bits < lane_bits {
                self.builder.ins().swiden_low(mask)
            } else {
                self.low_halves(mask)
            };
        }
    }

    /// The mask in lanes as wide as those of `like`, which is not a mask of its own kind.
    pub(super) fn mask_like(&mut self, mask: Value, like: Value) -> Value {
        match self.clif_type(like).is_vector() {
            true => self.mask_as(mask, self.clif_type(like).lane_bits()),
            false => mask,
        }
    }

    /// The low half of each lane, packed into the low half of the register.
    pub(super) fn low_halves(&mut self, vector: Value) -> Value {
        let width = self.clif_type(vector).lane_type().bytes() as u8;
        let half = width / 2;
        // AArch64 takes the even parts of two registers at once, x86-64 bytes of one.
        let wraps = if self.target.arch == Arch::X86_64 { 16 } else { 32 };
        let bytes: Vec<u8> = (0..16).map(|at| at / half * width % wraps + at % half).collect();
        let shuffled = self.shuffle(vector, &bytes);
        self.reinterpret(types::int_vector(8 * u32::from(half)), shuffled)
    }

    /// A `bool` scalar as an integer of all ones or all zeros.
    pub(super) fn wide_bool(&mut self, scalar: Value, bits: u32) -> Value {
        let ty = types::int_vector(bits).lane_type();
        let wide = if ty == I8 { scalar } else { self.builder.ins().uextend(ty, scalar) };
        self.builder.ins().ineg(wide)
    }

    /// A vector of zeros.
    pub(super) fn zero(&mut self, ty: Type) -> Value {
        self.repeat(ty, 0)
    }

    /// A vector with the same bits in every lane.
    pub(super) fn repeat(&mut self, ty: Type, bits: u64) -> Value {
        let width = ty.lane_type().bytes() as usize;
        let lane = &bits.to_le_bytes()[..width];
        let bytes: Vec<u8> = lane.iter().copied().cycle().take(16).collect();
        let constant = self.builder.func.dfg.constants.insert(ConstantData::from(bytes));
        self.builder.ins().vconst(ty, constant)
    }

    fn shuffle(&mut self, vector: Value, bytes: &[u8]) -> Value {
        let register = self.clif_type(vector);
        let source = self.reinterpret(I8X16, vector);
        let shuffled = self.shuffle_two(source, source, bytes);
        self.reinterpret(register, shuffled)
    }

    /// Bytes of two vectors after each other.
    pub(super) fn shuffle_two(&mut self, a: Value, b: Value, bytes: &[u8]) -> Value {
        let mask = self.builder.func.dfg.immediates.push(ConstantData::from(bytes));
        self.builder.ins().shuffle(a, b, mask)
    }

    /// Sign- or zero-extends the low lanes until they have this width.
    pub(super) fn widen(&mut self, mut vector: Value, signed: bool, lane_bits: u32) -> Value {
        while self.clif_type(vector).lane_bits() < lane_bits {
            vector = match signed {
                true => self.builder.ins().swiden_low(vector),
                false => self.builder.ins().uwiden_low(vector),
            };
        }
        vector
    }
}
