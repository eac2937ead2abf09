//! Narrow floats: their codes and the numbers of these, in operations of `i32` and `f32`.

use super::i32;
use crate::emit::Body;
use edgecc_ir::scalar::NodeId;
use edgecc_ir::scalar::func::ScalarFn as F;

/// `sign · 1.mantissa · 2^(exponent − bias)`, subnormal where the exponent is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Float {
    pub(super) exponent: u32,
    pub(super) mantissa: u32,
    pub(super) bias: i32,
    pub(super) special: Special,
}

/// Codes that are not finite numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Special {
    /// The largest exponent: infinity, then NaN (IEEE 754).
    Ieee,
    /// NaN where all bits but the sign are ones.
    AllOnes,
    /// NaN in the place of −0.
    NegativeZero,
    /// None; conversions saturate, and NaN becomes −0.
    None,
}

impl Float {
    /// Bits of the magnitude.
    fn width(self) -> u32 {
        self.exponent + self.mantissa
    }

    /// Bits of an `f32` mantissa that this type does not have.
    fn dropped(self) -> i32 {
        23 - self.mantissa as i32
    }

    /// Whether codes are the upper bits of an `f32`, which then says all about special values.
    fn is_upper_half(self) -> bool {
        self.exponent == 8 && self.bias == 127
    }

    fn infinity_code(self) -> i32 {
        ((1 << self.exponent) - 1) << self.mantissa
    }

    fn nan_code(self) -> i32 {
        match self.special {
            Special::Ieee => self.infinity_code() | 1 << (self.mantissa - 1),
            Special::AllOnes => (1 << self.width()) - 1,
            Special::NegativeZero => 1 << self.width(),
            Special::None => 0,
        }
    }

    /// The largest finite number.
    fn largest(self) -> f64 {
        let code = match self.special {
            Special::Ieee => self.infinity_code() - 1,
            Special::AllOnes => (1 << self.width()) - 2,
            Special::NegativeZero | Special::None => (1 << self.width()) - 1,
        };
        let significand = f64::from((code & ((1 << self.mantissa) - 1)) | 1 << self.mantissa);
        significand * 2f64.powi((code >> self.mantissa) - self.bias - self.mantissa as i32)
    }

    /// The number of a code in `i32`: its magnitude, read as the upper bits of an `f32`, is too
    /// small by the difference of the biases, subnormal numbers included.
    pub(super) fn decoded(self, b: &mut Body<'_>, code: NodeId) -> NodeId {
        let magnitude = b.bits(F::And, code, (1 << self.width()) - 1);
        let bits = b.bits(F::Shl, magnitude, self.dropped());
        let scaled = b.bitcast(bits);
        let mut size = b.times(scaled, 2f64.powi(127 - self.bias));
        match self.special {
            _ if self.is_upper_half() => size = scaled,
            Special::Ieee => {
                let special = b.bits(F::Or, bits, f32::INFINITY.to_bits() as i32);
                let special = b.bitcast(special);
                let limit = b.literal(i32(self.infinity_code()));
                let finite = b.f2(F::Lt, magnitude, limit);
                size = b.select(finite, size, special);
            }
            Special::AllOnes => {
                let (is_nan, nan) = (b.bits(F::Eq, magnitude, self.nan_code()), b.single(f64::NAN));
                size = b.select(is_nan, nan, size);
            }
            Special::NegativeZero | Special::None => {}
        }
        let (negative, limit) = (b.f1(F::Neg, size), b.literal(i32((1 << self.width()) - 1)));
        let has_sign = b.f2(F::Lt, limit, code);
        let value = b.select(has_sign, negative, size);
        if self.special != Special::NegativeZero {
            return value;
        }
        let (is_nan, nan) = (b.bits(F::Eq, code, self.nan_code()), b.single(f64::NAN));
        b.select(is_nan, nan, value)
    }

    /// The code in `i32` of a number on the grid, the reverse of `decoded`.
    pub(super) fn encoded(self, b: &mut Body<'_>, x: NodeId) -> NodeId {
        let size = b.f1(F::Abs, x);
        let scaled =
            if self.is_upper_half() { size } else { b.times(size, 2f64.powi(self.bias - 127)) };
        let bits = b.bitcast(scaled);
        let mut magnitude = b.bits(F::Shr, bits, self.dropped());
        if self.special == Special::Ieee && !self.is_upper_half() {
            let (largest, infinity) =
                (b.single(self.largest()), b.literal(i32(self.infinity_code())));
            let beyond = b.f2(F::Lt, largest, size);
            magnitude = b.select(beyond, infinity, magnitude);
        }
        let nan = b.literal(i32(self.nan_code()));
        let magnitude = b.unless_nan(x, magnitude, nan);
        let all = b.bitcast(x);
        let copies = b.bits(F::Shr, all, 31);
        let sign = b.bits(F::And, copies, 1 << self.width());
        b.f2(F::Or, sign, magnitude)
    }

    /// The nearest number on the grid, ties to even, of an `f32`.
    pub(super) fn rounded(self, b: &mut Body<'_>, x: NodeId, saturate: bool) -> NodeId {
        let mut y = self.rounded_mantissa(b, x);
        if !self.is_upper_half() {
            y = self.rounded_subnormal(b, x, y);
            y = self.limited(b, y, saturate || self.special == Special::None);
        }
        if self.special == Special::NegativeZero {
            let zero = b.single(0.0);
            let is_zero = b.f2(F::Eq, y, zero);
            y = b.select(is_zero, zero, y);
        }
        let nan = if self.special == Special::None { b.single(-0.0) } else { x };
        b.unless_nan(x, y, nan)
    }

    /// Rounds the bits: a carry out of the mantissa is the next exponent.
    fn rounded_mantissa(self, b: &mut Body<'_>, x: NodeId) -> NodeId {
        let dropped = self.dropped();
        let bits = b.bitcast(x);
        let last = b.bits(F::Shr, bits, dropped);
        let odd = b.bits(F::And, last, 1);
        let up = b.bits(F::Add, bits, (1 << (dropped - 1)) - 1);
        let up = b.f2(F::Add, up, odd);
        let kept = b.bits(F::And, up, -1 << dropped);
        b.bitcast(kept)
    }

    /// `y`, or `x` as a multiple of the smallest number where it is below the normal ones.
    fn rounded_subnormal(self, b: &mut Body<'_>, x: NodeId, y: NodeId) -> NodeId {
        let steps = self.bias - 1 + self.mantissa as i32;
        let (size, normal) = (b.f1(F::Abs, x), b.single(2f64.powi(1 - self.bias)));
        let scaled = b.times(x, 2f64.powi(steps));
        let whole = b.f1(F::Round, scaled);
        let subnormal = b.times(whole, 2f64.powi(-steps));
        let small = b.f2(F::Lt, size, normal);
        b.select(small, subnormal, y)
    }

    /// What becomes of numbers beyond the largest one.
    fn limited(self, b: &mut Body<'_>, y: NodeId, saturate: bool) -> NodeId {
        let (low, high) = (b.single(-self.largest()), b.single(self.largest()));
        if saturate {
            return b.clamp(y, low, high);
        }
        let beyond = match self.special {
            Special::Ieee => (f64::NEG_INFINITY, f64::INFINITY),
            Special::AllOnes | Special::NegativeZero | Special::None => (-f64::NAN, f64::NAN),
        };
        let (below, above) = (b.single(beyond.0), b.single(beyond.1));
        let (is_below, is_above) = (b.f2(F::Lt, y, low), b.f2(F::Lt, high, y));
        let y = b.select(is_below, below, y);
        b.select(is_above, above, y)
    }
}
