//! `ScalarFn` → CLIF, for scalars and for vectors.

use super::vector::Typed;
use super::{Translator, types};
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::types::{F32, F32X4, F64, F64X2, I32, I32X4, I64, I64X2};
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Value};
use edgecc_ir::loops::{Expr, ValueId};
use edgecc_ir::scalar::func::{Class, ScalarFn};
use edgecc_ir::target::Arch;
use edgecc_ir::types::ElemType;

impl Translator<'_> {
    /// A function over operands of one lane count.
    pub(super) fn apply(&mut self, func: ScalarFn, args: &[ValueId]) -> Value {
        let typed: Vec<Typed> = args.iter().map(|&arg| (self.value(arg), self.ty(arg))).collect();
        let values: Vec<Value> = typed.iter().map(|t| t.0).collect();
        let last = typed.last().expect("every function has an operand").1;
        if last.lanes == 1 {
            return self.apply_scalar(func, last.elem, &values);
        }
        if let Some(short) = self.bounded(func, args).or_else(|| self.word_of_codes(func, args)) {
            return short;
        }
        match func {
            ScalarFn::Shl | ScalarFn::Shr => match self.uniform(args[1]) {
                Some(amount) => self.shift(func, last.elem, values[0], amount),
                None => self.through_scalars(func, &typed),
            },
            ScalarFn::Div if last.elem.is_int() => self.through_scalars(func, &typed),
            ScalarFn::Mul if last.elem.bytes() == 1 => self.through_scalars(func, &typed),
            _ if func.info().class == Class::Dot => {
                self.dot(func, [values[0], values[1], values[2]])
            }
            _ => self.apply_either(func, last.elem, &values),
        }
    }

    /// `min` or `max` of a literal and a vector of floats as one instruction of AArch64. It gives a
    /// NaN if either operand is one, as the function does when the first operand is a number.
    fn bounded(&mut self, func: ScalarFn, args: &[ValueId]) -> Option<Value> {
        let &[bound, value] = args else { return None };
        let Some(Expr::Const(literal)) = self.exprs[bound] else { return None };
        let is_number = literal.elem() == ElemType::F32 && !literal.as_f64().is_nan();
        if self.target.arch != Arch::Aarch64 || !is_number {
            return None;
        }
        let (bound, value) = (self.value(bound), self.value(value));
        match func {
            ScalarFn::Min => Some(self.builder.ins().fmin(bound, value)),
            ScalarFn::Max => Some(self.builder.ins().fmax(bound, value)),
            _ => None,
        }
    }

    /// A function over scalars; `elem` is the type of the last operand.
    pub(super) fn apply_scalar(&mut self, func: ScalarFn, elem: ElemType, args: &[Value]) -> Value {
        match func {
            ScalarFn::Shl | ScalarFn::Shr => self.shift(func, elem, args[0], args[1]),
            ScalarFn::Div if elem.is_int() => self.divide(elem.is_signed_int(), args[0], args[1]),
            ScalarFn::Not if elem == ElemType::Bool => self.builder.ins().bxor_imm_u(args[0], 1),
            _ => self.apply_either(func, elem, args),
        }
    }

    fn through_scalars(&mut self, func: ScalarFn, args: &[Typed]) -> Value {
        let elem = args[0].1.elem;
        self.lane_by_lane(args, args[0].1, |t, scalars| t.apply_scalar(func, elem, scalars))
    }

    /// The functions whose instructions serve scalars and vectors alike.
    fn apply_either(&mut self, func: ScalarFn, elem: ElemType, args: &[Value]) -> Value {
        match func.info().class {
            Class::Number if elem.is_float() => self.float_number(func, args),
            Class::Number => self.int_number(func, elem, args),
            Class::Float => self.float(func, args),
            Class::Bits => self.bits(func, args),
            Class::Compare => self.compare(func, elem, args[0], args[1]),
            Class::Select => self.choose(args[0], args[1], args[2]),
            Class::Bitcast => self.bitcast(args[0]),
            Class::Dot => self.dot_scalar(func, [args[0], args[1], args[2]]),
        }
    }

    fn float_number(&mut self, func: ScalarFn, args: &[Value]) -> Value {
        let (a, b) = (args[0], *args.last().expect("an operand"));
        match func {
            ScalarFn::Add => self.builder.ins().fadd(a, b),
            ScalarFn::Sub => self.builder.ins().fsub(a, b),
            ScalarFn::Mul => self.builder.ins().fmul(a, b),
            ScalarFn::Div => self.builder.ins().fdiv(a, b),
            ScalarFn::Neg => self.builder.ins().fneg(a),
            ScalarFn::Abs => self.builder.ins().fabs(a),
            ScalarFn::Min => self.float_pick(a, b, a, b),
            ScalarFn::Max => self.float_pick(b, a, a, b),
            other => unreachable!("{other:?} is no function of numbers"),
        }
    }

    /// `if x < y then a else b`: with `x, y` = `a, b` or `b, a` one instruction on x86-64.
    fn float_pick(&mut self, x: Value, y: Value, a: Value, b: Value) -> Value {
        let less = self.builder.ins().fcmp(FloatCC::LessThan, x, y);
        self.choose(less, a, b)
    }

    fn int_number(&mut self, func: ScalarFn, elem: ElemType, args: &[Value]) -> Value {
        let (a, b) = (args[0], *args.last().expect("an operand"));
        match func {
            ScalarFn::Add => self.builder.ins().iadd(a, b),
            ScalarFn::Sub => self.builder.ins().isub(a, b),
            ScalarFn::Mul => self.builder.ins().imul(a, b),
            ScalarFn::Neg => self.builder.ins().ineg(a),
            ScalarFn::Abs if elem.is_signed_int() => self.builder.ins().iabs(a),
            ScalarFn::Abs => a,
            ScalarFn::Min => self.int_pick(elem, (a, b), a, b),
            ScalarFn::Max => self.int_pick(elem, (b, a), a, b),
            other => unreachable!("{other:?} is no function of integers"),
        }
    }

    fn int_pick(&mut self, elem: ElemType, (x, y): (Value, Value), a: Value, b: Value) -> Value {
        let less = self.compare(ScalarFn::Lt, elem, x, y);
        self.choose(less, a, b)
    }

    fn float(&mut self, func: ScalarFn, args: &[Value]) -> Value {
        match func {
            ScalarFn::Fma => self.builder.ins().fma(args[0], args[1], args[2]),
            ScalarFn::Sqrt => self.builder.ins().sqrt(args[0]),
            ScalarFn::Floor => self.builder.ins().floor(args[0]),
            ScalarFn::Ceil => self.builder.ins().ceil(args[0]),
            ScalarFn::Trunc => self.builder.ins().trunc(args[0]),
            ScalarFn::Round => self.builder.ins().nearest(args[0]),
            other => unreachable!("{other:?} is not legal here"),
        }
    }

    fn bits(&mut self, func: ScalarFn, args: &[Value]) -> Value {
        if func == ScalarFn::Not {
            return self.builder.ins().bnot(args[0]);
        }
        let b = self.mask_like(args[1], args[0]);
        match func {
            ScalarFn::And => self.builder.ins().band(args[0], b),
            ScalarFn::Or => self.builder.ins().bor(args[0], b),
            ScalarFn::Xor => self.builder.ins().bxor(args[0], b),
            other => unreachable!("{other:?} shifts"),
        }
    }

    fn shift(&mut self, func: ScalarFn, elem: ElemType, value: Value, amount: Value) -> Value {
        match func {
            ScalarFn::Shl => self.builder.ins().ishl(value, amount),
            _ if elem.is_signed_int() => self.builder.ins().sshr(value, amount),
            _ => self.builder.ins().ushr(value, amount),
        }
    }

    /// `a / b` towards zero; 0 for `b == 0`, wrapping for the smallest value by −1.
    fn divide(&mut self, signed: bool, a: Value, b: Value) -> Value {
        let ty = self.clif_type(b);
        let (zero, one) = (self.builder.ins().iconst(ty, 0), self.builder.ins().iconst(ty, 1));
        let by_zero = self.builder.ins().icmp(IntCC::Equal, b, zero);
        let safe = self.builder.ins().select(by_zero, one, b);
        let quotient = if signed {
            let negated = self.builder.ins().ineg(b);
            let by_minus_one = self.builder.ins().icmp(IntCC::Equal, negated, one);
            let safe = self.builder.ins().select(by_minus_one, one, safe);
            let quotient = self.builder.ins().sdiv(a, safe);
            let opposite = self.builder.ins().ineg(a);
            self.builder.ins().select(by_minus_one, opposite, quotient)
        } else {
            self.builder.ins().udiv(a, safe)
        };
        self.builder.ins().select(by_zero, zero, quotient)
    }

    fn compare(&mut self, func: ScalarFn, elem: ElemType, a: Value, b: Value) -> Value {
        let b = self.mask_like(b, a);
        if elem.is_float() {
            let cc = match func {
                ScalarFn::Eq => FloatCC::Equal,
                ScalarFn::Lt => FloatCC::LessThan,
                _ => FloatCC::LessThanOrEqual,
            };
            return self.builder.ins().fcmp(cc, a, b);
        }
        let cc = match (func, elem.is_signed_int()) {
            (ScalarFn::Eq, _) => IntCC::Equal,
            (ScalarFn::Lt, true) => IntCC::SignedLessThan,
            (ScalarFn::Lt, false) => IntCC::UnsignedLessThan,
            (_, true) => IntCC::SignedLessThanOrEqual,
            (_, false) => IntCC::UnsignedLessThanOrEqual,
        };
        self.builder.ins().icmp(cc, a, b)
    }

    /// `if condition then a else b`, lane by lane when `condition` is a mask.
    pub(super) fn choose(&mut self, condition: Value, a: Value, b: Value) -> Value {
        let ty = self.clif_type(a);
        if !ty.is_vector() {
            return self.builder.ins().select(condition, a, b);
        }
        let b = if self.clif_type(b) == ty { b } else { self.mask_like(b, a) };
        let mask = self.mask_as(condition, ty.lane_bits());
        let mask = self.reinterpret(ty, mask);
        self.builder.ins().bitselect(mask, a, b)
    }

    fn bitcast(&mut self, value: Value) -> Value {
        let to = match self.clif_type(value) {
            F32 => I32,
            I32 => F32,
            F64 => I64,
            I64 => F64,
            F32X4 => I32X4,
            I32X4 => F32X4,
            F64X2 => I64X2,
            _ => F64X2,
        };
        if to.is_vector() {
            return self.reinterpret(to, value);
        }
        self.builder.ins().bitcast(to, MemFlagsData::new(), value)
    }

    /// The scalar that is in every lane, when the definition shows it.
    fn uniform(&mut self, value: ValueId) -> Option<Value> {
        match self.exprs[value]? {
            Expr::Splat(scalar) => Some(self.value(*scalar)),
            Expr::Const(c) => {
                let ty = types::scalar(c.elem());
                Some(self.builder.ins().iconst(ty, c.bits() as i64))
            }
            Expr::Load { .. }
            | Expr::SplatLane(..)
            | Expr::Extract(..)
            | Expr::Pack(..)
            | Expr::Apply(..)
            | Expr::Cast(..)
            | Expr::Lookup(..)
            | Expr::IndexValue(_)
            | Expr::ReduceLanes(..) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{ARCHES, program, run_for};
    use edgecc_ir::affine::Affine;
    use edgecc_ir::loops::build::LoopBuilder;
    use edgecc_ir::loops::{LoopFn, Param, ParamAccess, VType};
    use edgecc_ir::scalar::eval;
    use edgecc_ir::scalar::func::ScalarFn;
    use edgecc_ir::target::Target;
    use edgecc_ir::tensor::{Scalar, Tensor};
    use edgecc_ir::types::{ElemType, TensorType};

    const COUNT: usize = 48;

    /// Values at the edges of the type, in an order that pairs differently in each operand.
    fn samples(elem: ElemType, operand: usize) -> Tensor {
        let edges = [0.0, -0.0, 1.0, -1.0, 2.5, -3.5, 0.5, 1e-40, 7.0, 100.0, f64::INFINITY];
        let value = |i: usize| match (elem.is_float(), i * (2 * operand + 3) % 14) {
            (true, 11) => Scalar::from_f64(elem, f64::NAN),
            (true, 12) => Scalar::from_f64(elem, f64::NEG_INFINITY),
            (true, at) => Scalar::from_f64(elem, edges[at % 11] * (1.0 + i as f64)),
            (false, 0) => Scalar::from_bits(elem, u64::MAX),
            (false, 1) => Scalar::from_i64(elem, elem.int_range().map_or(1, |r| r.0)),
            (false, 2) => Scalar::from_i64(elem, elem.int_range().map_or(1, |r| r.1)),
            (false, 3) => Scalar::from_i64(elem, 0),
            (false, at) => Scalar::from_i64(elem, at as i64 * 37 - 150 + i as i64),
        };
        Tensor::from_fn(TensorType::new(elem, &[COUNT]), |i| match elem {
            ElemType::Bool => Scalar::bool((i >> operand) & 1 == 1),
            _ => value(i),
        })
    }

    fn applied(func: ScalarFn, args: &[ElemType], result: ElemType, lanes: u8) -> LoopFn {
        let mut b = LoopBuilder::new("k0_apply");
        let param = |elem, access| Param { ty: TensorType::new(elem, &[COUNT]), access };
        let reads: Vec<_> = args.iter().map(|&a| b.param(param(a, ParamAccess::Read))).collect();
        let write = b.param(param(result, ParamAccess::Write));
        b.for_each(COUNT / usize::from(lanes), |b, i| {
            let at = vec![Affine::scaled(i, i64::from(lanes))];
            let load = |(&read, &elem): (_, &ElemType)| {
                b.load(VType { elem, lanes }, read, at.clone(), lanes)
            };
            let values: Vec<_> = reads.iter().zip(args).map(load).collect();
            let value = b.apply(func, &values);
            b.store(write, at, value, lanes);
        });
        b.finish()
    }

    fn operand_types(func: ScalarFn, elem: ElemType) -> Option<(Vec<ElemType>, ElemType)> {
        let mut args = vec![elem; func.info().arity];
        if func == ScalarFn::Select {
            args[0] = ElemType::Bool;
        }
        func.infer(&args).map(|result| (args, result))
    }

    fn same(a: Scalar, b: Scalar) -> bool {
        a == b || a.elem().is_float() && a.as_f64().is_nan() && b.as_f64().is_nan()
    }

    fn check(func: ScalarFn, elem: ElemType, lanes: u8) {
        let Some((args, result)) = operand_types(func, elem) else { return };
        let loops = program(applied(func, &args, result, lanes));
        let targets = ARCHES.map(Target::default_for);
        let is_legal =
            |t: &Target| loops.funcs.values().all(|f| crate::clif::check(f, t).is_empty());
        if !targets.iter().any(is_legal) {
            return;
        }
        let inputs: Vec<Tensor> = args.iter().enumerate().map(|(n, &a)| samples(a, n)).collect();
        let legal = targets.iter().filter(|t| is_legal(t));
        let outputs: Vec<_> = legal.filter_map(|t| run_for(&loops, &inputs, t)).collect();
        let Some(outputs) = outputs.first() else { return };
        for i in 0..COUNT {
            let operands: Vec<Scalar> = inputs.iter().map(|t| t.get(i)).collect();
            let (expected, found) = (eval::apply(func, &operands), outputs[0].get(i));
            assert!(
                same(expected, found),
                "{func:?} on {elem}x{lanes} {operands:?}: {expected:?}, compiled {found:?}"
            );
        }
    }

    #[test]
    fn every_legal_function_computes_what_its_row_says() {
        for &func in ScalarFn::ALL {
            for &elem in ElemType::ALL {
                // The evaluator reads `u64` as signed here.
                if (func, elem) == (ScalarFn::Abs, ElemType::U64) {
                    continue;
                }
                for lanes in [1, 2, 4, 8, 16] {
                    check(func, elem, lanes);
                }
            }
        }
    }
}
