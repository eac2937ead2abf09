//! Conversions (see `ScalarNode::Cast`): float to integer truncates and saturates, NaN gives 0;
//! integer to integer wraps; to `bool` is `!= 0`.

use super::vector::Typed;
use super::{Translator, types};
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::types::{F32, F64, I32, I32X4, I64, Type};
use cranelift_codegen::ir::{InstBuilder, Value};
use edgecc_ir::loops::VType;
use edgecc_ir::types::ElemType;

impl Translator<'_> {
    /// A conversion lane by lane.
    pub(super) fn cast(&mut self, (value, from): Typed, to: ElemType) -> Value {
        if from.elem == to {
            return value;
        }
        if from.lanes == 1 {
            return self.cast_scalar(value, from.elem, to);
        }
        self.cast_vector(value, from.elem, to).unwrap_or_else(|| {
            let result = VType { elem: to, lanes: from.lanes };
            let one = |t: &mut Self, s: &[Value]| t.cast_scalar(s[0], from.elem, to);
            self.lane_by_lane(&[(value, from)], result, one)
        })
    }

    fn cast_scalar(&mut self, value: Value, from: ElemType, to: ElemType) -> Value {
        match (from, to) {
            (ElemType::F16, to) => {
                let single = self.half_to_single(value);
                self.cast((single, VType::scalar(ElemType::F32)), to)
            }
            (_, ElemType::Bool) => self.is_not_zero(value, from),
            (_, ElemType::F16) => {
                let single = self.cast((value, VType::scalar(from)), ElemType::F32);
                self.single_to_half(single)
            }
            (from, to) if from.is_float() && to.is_float() => self.resize_float(value, to),
            (from, to) if from.is_float() => self.float_to_int(value, to),
            (from, to) if to.is_float() => self.int_to_float(value, from, to),
            (from, to) => self.resize_int(value, from.is_signed_int(), types::scalar(to)),
        }
    }

    fn is_not_zero(&mut self, value: Value, elem: ElemType) -> Value {
        match elem {
            ElemType::F32 => {
                let zero = self.builder.ins().f32const(0.0);
                self.builder.ins().fcmp(FloatCC::NotEqual, value, zero)
            }
            ElemType::F64 => {
                let zero = self.builder.ins().f64const(0.0);
                self.builder.ins().fcmp(FloatCC::NotEqual, value, zero)
            }
            _ => self.builder.ins().icmp_imm_u(IntCC::NotEqual, value, 0),
        }
    }

    fn resize_float(&mut self, value: Value, to: ElemType) -> Value {
        match to {
            ElemType::F64 => self.builder.ins().fpromote(F64, value),
            _ => self.builder.ins().fdemote(F32, value),
        }
    }

    /// Narrow types through a saturated wider one; `u64` is capped at `i64::MAX`.
    fn float_to_int(&mut self, value: Value, to: ElemType) -> Value {
        let wide = if to.bytes() < 4 { I32 } else { I64 };
        let wide = if to == ElemType::I32 { I32 } else { wide };
        let result = self.builder.ins().fcvt_to_sint_sat(wide, value);
        let clamped = match to {
            ElemType::I32 | ElemType::I64 => result,
            _ => self.clamp(result, to),
        };
        self.resize_int(clamped, true, types::scalar(to))
    }

    fn clamp(&mut self, value: Value, to: ElemType) -> Value {
        let ty = self.clif_type(value);
        let (lo, hi) = to.int_range().expect("an integer type");
        let bits = 64 - ty.lane_bits();
        let constant = |v: i64| (v as u64) << bits >> bits;
        let (lo, hi) = match ty.is_vector() {
            true => (self.repeat(ty, constant(lo)), self.repeat(ty, constant(hi))),
            false => {
                let lo = self.builder.ins().iconst(ty, constant(lo) as i64);
                (lo, self.builder.ins().iconst(ty, constant(hi) as i64))
            }
        };
        let raised = self.builder.ins().smax(value, lo);
        self.builder.ins().smin(raised, hi)
    }

    fn int_to_float(&mut self, value: Value, from: ElemType, to: ElemType) -> Value {
        let signed = from.is_signed_int();
        let wide = if from.bytes() < 4 { I32 } else { types::scalar(from) };
        let value = self.resize_int(value, signed, wide);
        match signed {
            true => self.builder.ins().fcvt_from_sint(types::scalar(to), value),
            false => self.builder.ins().fcvt_from_uint(types::scalar(to), value),
        }
    }

    fn resize_int(&mut self, value: Value, signed: bool, to: Type) -> Value {
        let from = self.clif_type(value);
        match (from.bits().cmp(&to.bits()), signed) {
            (std::cmp::Ordering::Equal, _) => value,
            (std::cmp::Ordering::Greater, _) => self.builder.ins().ireduce(to, value),
            (std::cmp::Ordering::Less, true) => self.builder.ins().sextend(to, value),
            (std::cmp::Ordering::Less, false) => self.builder.ins().uextend(to, value),
        }
    }

    /// The conversions that a vector unit has; `None` for the others.
    fn cast_vector(&mut self, value: Value, from: ElemType, to: ElemType) -> Option<Value> {
        match (from, to) {
            (ElemType::F16, ElemType::F32) => {
                let wide = self.widen(value, false, 32);
                Some(self.half_to_single(wide))
            }
            (ElemType::F32, ElemType::F16) => {
                let wide = self.single_to_half(value);
                Some(self.low_halves(wide))
            }
            (ElemType::F16, _) | (_, ElemType::F16) => None,
            (ElemType::Bool, to) => Some(self.mask_to_number(value, to)),
            (from, ElemType::Bool) => Some(self.vector_is_not_zero(value, from)),
            (ElemType::F32, ElemType::F64) => Some(self.builder.ins().fvpromote_low(value)),
            (ElemType::F64, ElemType::F32) => Some(self.builder.ins().fvdemote(value)),
            (ElemType::F32, to) if to.bytes() <= 4 => self.vector_to_int(value, to),
            (from, ElemType::F32) if from.bytes() <= 2 || from == ElemType::I32 => {
                let wide = self.widen(value, from.is_signed_int(), 32);
                Some(self.builder.ins().fcvt_from_sint(types::vector(to), wide))
            }
            (from, to) if from.is_float() || to.is_float() => None,
            (from, to) => Some(self.resize_ints(value, from.is_signed_int(), to)),
        }
    }

    fn vector_to_int(&mut self, value: Value, to: ElemType) -> Option<Value> {
        if to == ElemType::U32 {
            return None;
        }
        let result = self.builder.ins().fcvt_to_sint_sat(I32X4, value);
        if to == ElemType::I32 {
            return Some(result);
        }
        let clamped = self.clamp(result, to);
        Some(self.resize_ints(clamped, true, to))
    }

    fn resize_ints(&mut self, value: Value, signed: bool, to: ElemType) -> Value {
        let bits = 8 * to.bytes() as u32;
        let mut value = self.widen(value, signed, bits);
        while self.clif_type(value).lane_bits() > bits {
            value = self.low_halves(value);
        }
        value
    }

    fn vector_is_not_zero(&mut self, value: Value, elem: ElemType) -> Value {
        let zero = self.zero(self.clif_type(value));
        match elem.is_float() {
            true => self.builder.ins().fcmp(FloatCC::NotEqual, value, zero),
            false => self.builder.ins().icmp(IntCC::NotEqual, value, zero),
        }
    }

    fn mask_to_number(&mut self, mask: Value, to: ElemType) -> Value {
        let ty = types::vector(to);
        let one = match to {
            ElemType::F32 => u64::from(1f32.to_bits()),
            ElemType::F64 => 1f64.to_bits(),
            _ => 1,
        };
        let one = self.repeat(ty, one);
        let zero = self.zero(ty);
        self.choose(mask, one, zero)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{program, run};
    use edgecc_ir::affine::Affine;
    use edgecc_ir::loops::build::LoopBuilder;
    use edgecc_ir::loops::{LoopFn, Param, ParamAccess, VType};
    use edgecc_ir::scalar::eval;
    use edgecc_ir::tensor::{Scalar, Tensor};
    use edgecc_ir::types::{ElemType, TensorType};

    const COUNT: usize = 64;

    fn converted(from: ElemType, to: ElemType, lanes: u8) -> LoopFn {
        let mut b = LoopBuilder::new("k0_cast");
        let param = |elem, access| Param { ty: TensorType::new(elem, &[COUNT]), access };
        let read = b.param(param(from, ParamAccess::Read));
        let write = b.param(param(to, ParamAccess::Write));
        b.for_each(COUNT / usize::from(lanes), |b, i| {
            let at = vec![Affine::scaled(i, i64::from(lanes))];
            let value = b.load(VType { elem: from, lanes }, read, at.clone(), lanes);
            let value = b.cast(to, value);
            b.store(write, at, value, lanes);
        });
        b.finish()
    }

    /// Exponents all over the range, ties, and the edges of every integer type.
    fn samples(elem: ElemType) -> Tensor {
        let float = |i: usize| {
            let magnitude =
                2f64.powi(i as i32 * 5 / 4 - 26) * (1.0 + (i * 341 % 4096) as f64 / 4096.0);
            if i.is_multiple_of(3) { -magnitude } else { magnitude }
        };
        let special =
            [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, 65519.99, 65520.0, 2.5];
        Tensor::from_fn(TensorType::new(elem, &[COUNT]), |i| match (elem, i) {
            (ElemType::Bool, _) => Scalar::bool(i % 3 == 0),
            (e, 0..8) if e.is_float() => Scalar::from_f64(e, special[i]),
            (e, _) if e.is_float() => Scalar::from_f64(e, float(i)),
            (e, _) => Scalar::from_bits(e, u64::MAX.wrapping_mul(i as u64 * i as u64) >> (i / 2)),
        })
    }

    /// Through `f32`, as `f64` to `f16` does.
    fn expected(to: ElemType, value: Scalar) -> Scalar {
        match (value.elem(), to) {
            (ElemType::F64, ElemType::F16) => eval::cast(to, eval::cast(ElemType::F32, value)),
            (from, ElemType::F16) if from.is_int() => {
                eval::cast(to, eval::cast(ElemType::F32, value))
            }
            _ => eval::cast(to, value),
        }
    }

    fn check(from: ElemType, to: ElemType, lanes: u8) {
        let input = samples(from);
        let loops = program(converted(from, to, lanes));
        let Some(outputs) = run(&loops, std::slice::from_ref(&input)) else { return };
        for i in 0..COUNT {
            let (expected, found) = (expected(to, input.get(i)), outputs[0].get(i));
            let nan = |s: Scalar| s.elem().is_float() && s.as_f64().is_nan();
            assert!(
                expected == found || nan(expected) && nan(found),
                "{:?} as {to}, {lanes} lanes: {expected:?}, compiled {found:?}",
                input.get(i)
            );
        }
    }

    #[test]
    fn every_conversion_agrees_with_the_evaluator() {
        for &from in ElemType::ALL {
            for &to in ElemType::ALL {
                let widest = 16 / from.bytes().max(to.bytes());
                for lanes in [1, 2, 4, 8, 16].into_iter().filter(|&l| l <= widest) {
                    check(from, to, lanes as u8);
                }
            }
        }
    }
}
