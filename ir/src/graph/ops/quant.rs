//! `quantize`, `dequantize`, `requantize`: between real numbers and integer codes.
//!
//! `dequantize(q, s) = (q − zero_point) · s`;
//! `quantize(x, s) = clamp(round(x / s) + zero_point, lo, hi)`, round half to even;
//! `requantize(q, m) = clamp(round((q − zero_point) · m) + zero_point', lo, hi)` for a ratio `m` of
//! two scales (see `docs/numerics.md`).
//! Scales and ratios are `f32` operands with the result's shape (G5), positive and finite.

use super::{TensorOp, TypeError, arity, attrs, ensure, product};
use crate::kernel::Kernel;
use crate::scalar::func::ScalarFn;
use crate::scalar::{ExprBuilder, NodeId, ScalarExpr};
use crate::tensor::{Scalar, Tensor};
use crate::types::{ElemType, TensorType};

use super::Map;

attrs! {
    /// Real numbers to codes.
    pub struct Quantize {
        /// Type of the codes.
        to: ElemType = |result| result.elem,
        /// The code of zero.
        zero_point: i32,
        /// Smallest code, at least the type's smallest value.
        lo: i32 = |result| code_range(result.elem).0,
        /// Largest code, at most the type's largest value.
        hi: i32 = |result| code_range(result.elem).1,
    }
}

attrs! {
    /// Codes to real numbers.
    pub struct Dequantize {
        /// The code of zero.
        zero_point: i32,
    }
}

attrs! {
    /// Codes, or sums of products of codes, to codes of another scale.
    pub struct Requantize {
        /// The operand's code of zero.
        from_zero_point: i32,
        /// The result's type, code of zero and bounds.
        to: Quantize,
    }
}

impl Quantize {
    /// The full range of an 8- or 16-bit type.
    #[must_use]
    pub fn full(to: ElemType, zero_point: i32) -> Quantize {
        let (lo, hi) = code_range(to);
        Quantize { to, zero_point, lo, hi }
    }

    /// `(x, scale) -> code`.
    #[must_use]
    pub fn body(&self) -> ScalarExpr {
        ScalarExpr::build(2, |b| {
            let (x, s) = (b.param(0), b.param(1));
            let steps = b.call(ScalarFn::Div, &[x, s]);
            self.encode(b, steps)
        })
    }

    /// The code of a number of steps: rounded, shifted by the zero point, clamped. In `f32`
    /// throughout: codes have at most 16 bits, so every step is exact within the bounds.
    fn encode(&self, b: &mut ExprBuilder, steps: NodeId) -> NodeId {
        let rounded = b.call(ScalarFn::Round, &[steps]);
        let zero_point = b.f32(self.zero_point as f32);
        let code = b.call(ScalarFn::Add, &[rounded, zero_point]);
        self.clamped(b, code)
    }

    /// A whole number as a code within the bounds.
    pub fn clamped(&self, b: &mut ExprBuilder, code: NodeId) -> NodeId {
        let (lo, hi) = (b.f32(self.lo as f32), b.f32(self.hi as f32));
        let code = b.call(ScalarFn::Max, &[code, lo]);
        let code = b.call(ScalarFn::Min, &[code, hi]);
        b.cast(self.to, code)
    }

    fn check(&self) -> Result<(), TypeError> {
        let range = self.to.int_range().filter(|_| self.to.bytes() <= 2);
        let (lo, hi) = range.ok_or("codes are integers of 8 or 16 bits")?;
        let inside = i64::from(self.lo) >= lo && i64::from(self.hi) <= hi && self.lo <= self.hi;
        ensure(inside, || format!("bounds {}..={} do not fit {}", self.lo, self.hi, self.to))
    }
}

impl Dequantize {
    /// `(q, scale) -> number`.
    #[must_use]
    pub fn body(&self) -> ScalarExpr {
        ScalarExpr::build(2, |b| {
            let (q, s) = (b.param(0), b.param(1));
            decode(b, q, s, self.zero_point)
        })
    }
}

impl Requantize {
    /// `(q, ratio) -> code`.
    #[must_use]
    pub fn body(&self) -> ScalarExpr {
        ScalarExpr::build(2, |b| {
            let (q, ratio) = (b.param(0), b.param(1));
            let steps = decode(b, q, ratio, self.from_zero_point);
            self.to.encode(b, steps)
        })
    }
}

/// The smallest and largest code of a type; 0 where it holds no codes.
fn code_range(elem: ElemType) -> (i32, i32) {
    let (lo, hi) = elem.int_range().unwrap_or((0, 0));
    (lo as i32, hi as i32)
}

/// `(i32(q) − zero_point)` as `f32`, times the scale.
fn decode(b: &mut ExprBuilder, q: NodeId, scale: NodeId, zero_point: i32) -> NodeId {
    let centred = product::centred(b, q, zero_point);
    let real = b.cast(ElemType::F32, centred);
    b.call(ScalarFn::Mul, &[real, scale])
}

fn check_scales(x: &TensorType, scales: &TensorType) -> Result<(), TypeError> {
    let fits = scales.elem == ElemType::F32 && scales.shape == x.shape;
    ensure(fits, || format!("scales must be f32 with the shape of {x}"))
}

fn check_codes(x: &TensorType) -> Result<(), TypeError> {
    ensure(x.elem.is_int() && x.elem.bytes() <= 4, || format!("{x} does not hold codes"))
}

fn named(mut kernel: Kernel, name: &str) -> Kernel {
    name.clone_into(&mut kernel.name);
    kernel
}

impl TensorOp for Quantize {
    const MNEMONIC: &'static str = "quantize";

    fn infer(&self, args: &[&TensorType]) -> Result<TensorType, TypeError> {
        let [x, scale] = arity::<2>(args)?;
        self.check()?;
        ensure(x.elem == ElemType::F32, || format!("{x} is not f32"))?;
        check_scales(x, scale)?;
        Ok(x.with_elem(self.to))
    }

    fn eval(&self, args: &[&Tensor]) -> Tensor {
        Map { body: self.body() }.eval(args)
    }

    fn kernel(&self, args: &[&TensorType]) -> Kernel {
        named(Map { body: self.body() }.kernel(args), Self::MNEMONIC)
    }
}

impl TensorOp for Dequantize {
    const MNEMONIC: &'static str = "dequantize";

    fn infer(&self, args: &[&TensorType]) -> Result<TensorType, TypeError> {
        let [q, scale] = arity::<2>(args)?;
        check_codes(q)?;
        check_scales(q, scale)?;
        Ok(q.with_elem(ElemType::F32))
    }

    /// Written out since whole models' weights are folded this way.
    fn eval(&self, args: &[&Tensor]) -> Tensor {
        let centred = |q: Scalar| (q.as_i64() as i32).wrapping_sub(self.zero_point) as f32;
        let reals = args[0].iter().zip(args[1].iter()).map(|(q, s)| centred(q) * s.as_f32());
        Tensor::from_f32s(&args[0].ty.shape, &reals.collect::<Vec<f32>>())
    }

    fn kernel(&self, args: &[&TensorType]) -> Kernel {
        named(Map { body: self.body() }.kernel(args), Self::MNEMONIC)
    }
}

impl TensorOp for Requantize {
    const MNEMONIC: &'static str = "requantize";

    fn infer(&self, args: &[&TensorType]) -> Result<TensorType, TypeError> {
        let [q, ratio] = arity::<2>(args)?;
        check_codes(q)?;
        self.to.check()?;
        check_scales(q, ratio)?;
        Ok(q.with_elem(self.to.to))
    }

    fn eval(&self, args: &[&Tensor]) -> Tensor {
        Map { body: self.body() }.eval(args)
    }

    fn kernel(&self, args: &[&TensorType]) -> Kernel {
        named(Map { body: self.body() }.kernel(args), Self::MNEMONIC)
    }
}
