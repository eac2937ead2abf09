//! The products that `conv` and `matmul` sum: of numbers of one type, or of codes.
//!
//! Codes are integers of 8 and 16 bits in any mix. Their zero points are subtracted first, and
//! products and sums are `i32`; numbers are summed in their own type.

use super::{TypeError, attrs, ensure};
use crate::kernel::Reduce;
use crate::scalar::func::ScalarFn;
use crate::scalar::{ExprBuilder, NodeId, ScalarExpr};
use crate::tensor::Scalar;
use crate::types::{ElemType, TensorType};

attrs! {
    /// The codes of zero of two factors; 0 for numbers.
    #[derive(Copy, Default)]
    pub struct Zeros {
        /// Of the first factor (activations).
        x: i32 = |_| 0,
        /// Of the second factor (weights).
        w: i32 = |_| 0,
    }
}

/// Whether products of this type of factor are products of codes.
#[must_use]
pub fn is_code(factor: ElemType) -> bool {
    factor.is_int() && factor.bytes() <= 2
}

/// The type in which products of this type of factor are summed.
#[must_use]
pub fn sum_elem(factor: ElemType) -> ElemType {
    if is_code(factor) { ElemType::I32 } else { factor }
}

impl Zeros {
    /// The type of the sums of products of two operands.
    pub(super) fn check(self, x: &TensorType, w: &TensorType) -> Result<ElemType, TypeError> {
        let alike = if is_code(x.elem) { is_code(w.elem) } else { x.elem == w.elem };
        ensure(alike && x.elem != ElemType::Bool, || format!("operand types {x} and {w} differ"))?;
        for (zero, elem) in [(self.x, x.elem), (self.w, w.elem)] {
            let range = elem.int_range().filter(|_| is_code(elem)).unwrap_or((0, 0));
            ensure((range.0..=range.1).contains(&i64::from(zero)), || {
                format!("{zero} is not a zero point of {elem}")
            })?;
        }
        Ok(sum_elem(x.elem))
    }

    /// `(x, w) -> (x − zero) · (w − zero)` for factors of these types.
    pub(super) fn product(self, x: ElemType, w: ElemType) -> ScalarExpr {
        ScalarExpr::build(2, |b| {
            let (left, right) = (b.param(0), b.param(1));
            let factors = [(left, x, self.x), (right, w, self.w)].map(|(value, elem, zero)| {
                if is_code(elem) { centred(b, value, zero) } else { value }
            });
            b.call(ScalarFn::Mul, &factors)
        })
    }
}

/// `i32(code) − zero`.
pub(super) fn centred(b: &mut ExprBuilder, code: NodeId, zero: i32) -> NodeId {
    let wide = b.cast(ElemType::I32, code);
    if zero == 0 {
        return wide;
    }
    let zero = b.constant(Scalar::from_i64(ElemType::I32, i64::from(zero)));
    b.call(ScalarFn::Sub, &[wide, zero])
}

/// Sum of products of factors of this type, from zero.
pub(super) fn sum(factor: ElemType) -> Reduce {
    let init = ScalarFn::Add.identity(sum_elem(factor)).expect("a number");
    Reduce { func: ScalarFn::Add, init }
}
