//! Sequences of machine operations for functions that no machine computes.
//!
//! Each file derives one family of functions on `f32` lanes; `double` has those on `f64` lanes. The coefficients are minimax fits of
//! the Remez exchange, rounded to `f32` one after another from the lowest power with the rest
//! refitted. Accuracy is that of the function's row in the `ScalarFn` table, over all of `f32`.

mod dot;
mod double;
mod erf;
mod exp;
mod log;
mod payne_hanek;
mod pow;
mod tanh;
mod trig;

pub(super) use dot::expand_dot;
pub(super) use double::expand_f64;
pub(super) use exp::{LEAST_SUMMAND, exp_plus};

use cranelift_entity::PrimaryMap;
use edgecc_ir::loops::{Block, Expr, Stmt, VType, ValueId};
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::tensor::Scalar;
use edgecc_ir::types::ElemType;
use smallvec::SmallVec;

/// Writes `func` of `f32` operands as a sequence whose last statement defines the result; `None`
/// when the function is itself an operation.
pub(super) fn expand_f32(e: &mut Emit<'_>, func: ScalarFn, args: &[ValueId]) -> Option<ValueId> {
    Some(match func {
        ScalarFn::Exp => exp::exp(e, args[0]),
        ScalarFn::Log => log::log(e, args[0]),
        ScalarFn::Tanh => tanh::tanh(e, args[0]),
        ScalarFn::Erf => erf::erf(e, args[0]),
        ScalarFn::Sin => trig::sin(e, args[0]),
        ScalarFn::Cos => trig::cos(e, args[0]),
        ScalarFn::Pow => pow::pow(e, args[0], args[1]),
        ScalarFn::Fma => {
            let product = e.mul(args[0], args[1]);
            e.add(product, args[2])
        }
        ScalarFn::Add
        | ScalarFn::Sub
        | ScalarFn::Mul
        | ScalarFn::Div
        | ScalarFn::Min
        | ScalarFn::Max
        | ScalarFn::Neg
        | ScalarFn::Abs
        | ScalarFn::Sqrt
        | ScalarFn::Floor
        | ScalarFn::Ceil
        | ScalarFn::Trunc
        | ScalarFn::Round
        | ScalarFn::And
        | ScalarFn::Or
        | ScalarFn::Xor
        | ScalarFn::Not
        | ScalarFn::Shl
        | ScalarFn::Shr
        | ScalarFn::Eq
        | ScalarFn::Lt
        | ScalarFn::Le
        | ScalarFn::Select
        | ScalarFn::Bitcast
        | ScalarFn::DotU8
        | ScalarFn::DotI8
        | ScalarFn::DotI8Narrow
        | ScalarFn::DotI16 => return None,
    })
}

/// 1.5·2²³, whose own bits are above the low 22.
const SHIFTER: f32 = 12_582_912.0;

/// Appends definitions of values with `lanes` lanes to a block.
pub(super) struct Emit<'a> {
    pub(super) values: &'a mut PrimaryMap<ValueId, VType>,
    pub(super) out: &'a mut Block,
    pub(super) lanes: u8,
    /// Whether the target multiplies and adds with one rounding.
    pub(super) fma: bool,
}

impl Emit<'_> {
    fn define(&mut self, elem: ElemType, expr: Expr) -> ValueId {
        let value = self.values.push(VType { elem, lanes: self.lanes });
        self.out.push(Stmt::Let { value, expr });
        value
    }

    /// A literal.
    fn constant(&mut self, value: Scalar) -> ValueId {
        self.define(value.elem(), Expr::Const(value))
    }

    /// An `f32` literal.
    fn f32(&mut self, value: f32) -> ValueId {
        self.constant(Scalar::f32(value))
    }

    /// An `i32` literal.
    fn i32(&mut self, value: i32) -> ValueId {
        self.constant(Scalar::from_i64(ElemType::I32, i64::from(value)))
    }

    /// A function of fitting operands.
    pub(super) fn apply(&mut self, func: ScalarFn, args: &[ValueId]) -> ValueId {
        let elems: SmallVec<[ElemType; 3]> = args.iter().map(|&a| self.values[a].elem).collect();
        let elem = func.infer(&elems).expect("L1: operands fit the function");
        self.define(elem, Expr::Apply(func, SmallVec::from_slice(args)))
    }

    /// A conversion.
    pub(super) fn cast(&mut self, to: ElemType, value: ValueId) -> ValueId {
        self.define(to, Expr::Cast(value))
    }

    fn add(&mut self, a: ValueId, b: ValueId) -> ValueId {
        self.apply(ScalarFn::Add, &[a, b])
    }

    fn sub(&mut self, a: ValueId, b: ValueId) -> ValueId {
        self.apply(ScalarFn::Sub, &[a, b])
    }

    fn mul(&mut self, a: ValueId, b: ValueId) -> ValueId {
        self.apply(ScalarFn::Mul, &[a, b])
    }

    fn select(&mut self, condition: ValueId, yes: ValueId, no: ValueId) -> ValueId {
        self.apply(ScalarFn::Select, &[condition, yes, no])
    }

    fn bitcast(&mut self, a: ValueId) -> ValueId {
        self.apply(ScalarFn::Bitcast, &[a])
    }

    /// `a·b + c`, rounded once where the target can.
    fn madd(&mut self, a: ValueId, b: ValueId, c: ValueId) -> ValueId {
        if self.fma {
            return self.apply(ScalarFn::Fma, &[a, b, c]);
        }
        let product = self.mul(a, b);
        self.add(product, c)
    }

    /// `a·factor + c`.
    fn madd_f32(&mut self, a: ValueId, factor: f32, c: ValueId) -> ValueId {
        let factor = self.f32(factor);
        self.madd(a, factor, c)
    }

    /// `a·factor`.
    fn scale(&mut self, a: ValueId, factor: f32) -> ValueId {
        let factor = self.f32(factor);
        self.mul(a, factor)
    }

    /// `func(a, literal)` on `i32`.
    fn bits(&mut self, func: ScalarFn, a: ValueId, literal: i32) -> ValueId {
        let literal = self.i32(literal);
        self.apply(func, &[a, literal])
    }

    /// `min(limit, a)`: NaN stays NaN, because the second operand wins when unordered.
    fn at_most(&mut self, limit: f32, a: ValueId) -> ValueId {
        let limit = self.f32(limit);
        self.apply(ScalarFn::Min, &[limit, a])
    }

    /// `max(limit, a)`: NaN stays NaN.
    fn at_least(&mut self, limit: f32, a: ValueId) -> ValueId {
        let limit = self.f32(limit);
        self.apply(ScalarFn::Max, &[limit, a])
    }

    /// `Σ coefficients[n]·xⁿ` by Horner's scheme.
    fn polynomial(&mut self, x: ValueId, coefficients: &[f32]) -> ValueId {
        let (&last, rest) = coefficients.split_last().expect("a polynomial has a coefficient");
        let top = self.f32(last);
        rest.iter().rev().fold(top, |sum, &c| {
            let c = self.f32(c);
            self.madd(sum, x, c)
        })
    }

    /// `2^k` for `k` of type `i32` in `-126..=128`; 128 gives infinity.
    fn power_of_two(&mut self, k: ValueId) -> ValueId {
        let biased = self.bits(ScalarFn::Add, k, 127);
        let shifted = self.bits(ScalarFn::Shl, biased, 23);
        self.bitcast(shifted)
    }

    /// `magnitude`, which has no sign, with the sign of `sign`.
    fn with_sign_of(&mut self, magnitude: ValueId, sign: ValueId) -> ValueId {
        let bits = self.bitcast(sign);
        let sign = self.bits(ScalarFn::And, bits, i32::MIN);
        let bits = self.bitcast(magnitude);
        let signed = self.apply(ScalarFn::Or, &[sign, bits]);
        self.bitcast(signed)
    }

    /// `x·factor` rounded to the nearest integer, as `f32` and as `i32`, where it is below 2²².
    ///
    /// Adding `SHIFTER` leaves the integer in the low bits of the mantissa.
    fn nearest(&mut self, x: ValueId, factor: f32) -> (ValueId, ValueId) {
        let (float, bits) = self.nearest_biased(x, factor, 0);
        (float, self.bits(ScalarFn::Sub, bits, SHIFTER.to_bits() as i32))
    }

    /// `x·factor` rounded to the nearest integer as `f32`, and an `i32` whose low nine bits are those
    /// of this integer plus `bias`.
    fn nearest_biased(&mut self, x: ValueId, factor: f32, bias: i32) -> (ValueId, ValueId) {
        let shifter = self.f32(SHIFTER + bias as f32);
        let shifted = self.madd_f32(x, factor, shifter);
        let float = self.sub(shifted, shifter);
        (float, self.bitcast(shifted))
    }
}

#[cfg(test)]
pub(super) mod testing;
