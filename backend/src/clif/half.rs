//! binary16 ↔ binary32 in integer arithmetic, for scalars and vectors, bit-exact on every target.

use super::Translator;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{F32, F32X4, I16, I32, I32X4, Type};
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Value};

/// 2^112: from binary16's exponent bias to binary32's.
const REBIAS: u32 = 0x7780_0000;
/// binary16's infinity after its exponent moved to binary32's place.
const MOVED_INFINITY: u32 = 0x0f80_0000;
/// The smallest normal binary16, 2^−14.
const SMALLEST_NORMAL: u32 = 0x3880_0000;
/// 65520: from here on values round to infinity.
const OVERFLOW: u32 = 0x477f_f000;
const F32_INFINITY: u32 = 0x7f80_0000;
/// 0.5, whose last place is worth 2^−24, binary16's smallest step.
const HALF: u32 = 0x3f00_0000;

impl Translator<'_> {
    /// From an `i16` scalar, or from an `i32x4` of zero-extended halves.
    pub(super) fn half_to_single(&mut self, half: Value) -> Value {
        let half = match self.clif_type(half) {
            I16 => self.builder.ins().uextend(I32, half),
            _ => half,
        };
        let ty = self.clif_type(half);
        let magnitude = self.and(half, 0x7fff);
        let moved = self.shl(magnitude, 13);
        let rebias = self.bits32(ty, REBIAS);
        let scaled = self.multiply(moved, rebias);
        let infinity = self.bits32(ty, F32_INFINITY);
        let special = self.builder.ins().bor(scaled, infinity);
        let limit = self.bits32(ty, MOVED_INFINITY);
        let finite = self.builder.ins().icmp(IntCC::SignedLessThan, moved, limit);
        let result = self.choose(finite, scaled, special);
        let sign = self.and(half, 0x8000);
        let sign = self.shl(sign, 16);
        let bits = self.builder.ins().bor(result, sign);
        self.as_float(bits)
    }

    /// To an `i16` scalar, or to an `i32x4` of zero-extended halves; rounds to nearest even.
    pub(super) fn single_to_half(&mut self, single: Value) -> Value {
        let bits = self.as_int(single);
        let ty = self.clif_type(bits);
        let magnitude = self.and(bits, 0x7fff_ffff);
        let normal = self.round_normal(magnitude);
        let small = self.round_subnormal(magnitude);
        let mut result = self.pick_below(magnitude, SMALLEST_NORMAL, small, normal);
        let infinity = self.bits32(ty, 0x7c00);
        result = self.pick_below(magnitude, OVERFLOW, result, infinity);
        let nan = self.bits32(ty, 0x7e00);
        result = self.pick_below(magnitude, F32_INFINITY + 1, result, nan);
        let sign = self.shr(bits, 16);
        let sign = self.and(sign, 0x8000);
        let half = self.builder.ins().bor(result, sign);
        if ty == I32 { self.builder.ins().ireduce(I16, half) } else { half }
    }

    /// Adds just under half a step, and the rest when the kept part is odd; then drops 13 bits.
    fn round_normal(&mut self, magnitude: Value) -> Value {
        let ty = self.clif_type(magnitude);
        let kept = self.shr(magnitude, 13);
        let odd = self.and(kept, 1);
        let rebias = self.bits32(ty, 0xfffu32.wrapping_sub(112 << 23));
        let sum = self.builder.ins().iadd(magnitude, rebias);
        let sum = self.builder.ins().iadd(sum, odd);
        self.shr(sum, 13)
    }

    /// Adding 0.5 leaves the number of binary16 steps, rounded, in the low bits.
    fn round_subnormal(&mut self, magnitude: Value) -> Value {
        let half = self.bits32(self.clif_type(magnitude), HALF);
        let (x, y) = (self.as_float(magnitude), self.as_float(half));
        let sum = self.builder.ins().fadd(x, y);
        let sum = self.as_int(sum);
        self.builder.ins().isub(sum, half)
    }

    fn pick_below(&mut self, value: Value, limit: u32, below: Value, otherwise: Value) -> Value {
        let limit = self.bits32(self.clif_type(value), limit);
        let is_below = self.builder.ins().icmp(IntCC::SignedLessThan, value, limit);
        self.choose(is_below, below, otherwise)
    }

    fn multiply(&mut self, a: Value, b: Value) -> Value {
        let (a, b) = (self.as_float(a), self.as_float(b));
        let product = self.builder.ins().fmul(a, b);
        self.as_int(product)
    }

    fn and(&mut self, value: Value, mask: u32) -> Value {
        let mask = self.bits32(self.clif_type(value), mask);
        self.builder.ins().band(value, mask)
    }

    fn shl(&mut self, value: Value, amount: i64) -> Value {
        let amount = self.builder.ins().iconst(I32, amount);
        self.builder.ins().ishl(value, amount)
    }

    fn shr(&mut self, value: Value, amount: i64) -> Value {
        let amount = self.builder.ins().iconst(I32, amount);
        self.builder.ins().ushr(value, amount)
    }

    fn bits32(&mut self, ty: Type, bits: u32) -> Value {
        match ty {
            I32 => self.builder.ins().iconst(I32, i64::from(bits)),
            _ => self.repeat(I32X4, u64::from(bits)),
        }
    }

    fn as_float(&mut self, value: Value) -> Value {
        match self.clif_type(value) {
            I32 => self.builder.ins().bitcast(F32, MemFlagsData::new(), value),
            _ => self.reinterpret(F32X4, value),
        }
    }

    fn as_int(&mut self, value: Value) -> Value {
        match self.clif_type(value) {
            F32 => self.builder.ins().bitcast(I32, MemFlagsData::new(), value),
            _ => self.reinterpret(I32X4, value),
        }
    }
}
