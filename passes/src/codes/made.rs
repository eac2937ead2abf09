//! How a code is made of a number, by what a machine does at once.

use super::{Code, is_code, with_literal};
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::scalar::{ExprBuilder, NodeId, ScalarNode};
use edgecc_ir::tensor::Scalar;
use edgecc_ir::types::ElemType;

/// 1.5·2²³: the sum with a number of less than 22 bits has the number, rounded to the nearest whole
/// one (to even between two), in its lowest bits.
const SHIFTER: f32 = 12_582_912.0;

/// What a target does at once.
#[derive(Clone, Copy)]
pub(super) struct Machine {
    /// Products are added to sums.
    pub(super) fuses: bool,
    /// Numbers are rounded and saturated.
    pub(super) saturates: bool,
    /// Numbers are converted to integers, no number to 0, which are saturated as they narrow.
    pub(super) narrows: bool,
}

impl Code {
    /// The code, in the way that is the shortest on a machine.
    pub(super) fn made(
        self,
        b: &mut ExprBuilder,
        to: ElemType,
        (nodes, ids): (&[ScalarNode], &[NodeId]),
        machine: Machine,
    ) -> NodeId {
        let is_quotient = with_literal(nodes, ScalarFn::Div, self.x).is_some();
        if machine.saturates && !is_quotient && self.is_positive(to) {
            return self.saturated(b, to, ids[self.x as usize]);
        }
        if machine.narrows && !is_quotient && is_code(to) && self.fits(to) {
            return self.narrowed(b, to, ids[self.x as usize]);
        }
        let clamped = self.clamped(b, nodes, ids, machine.fuses);
        self.stored(b, to, clamped)
    }

    /// The code as its distance from the lower bound, which saturates at 0 and where no number is 0.
    fn narrowed(self, b: &mut ExprBuilder, to: ElemType, x: NodeId) -> NodeId {
        let rounded = b.call(ScalarFn::Round, &[x]);
        let moved = plus(b, rounded, self.zero - self.lo);
        let mut code = b.cast(ElemType::U8, moved);
        let most = Scalar::from_i64(ElemType::U8, (self.hi - self.lo) as i64);
        if Some(most.as_i64()) < ElemType::U8.int_range().map(|range| range.1) {
            let most = b.constant(most);
            code = b.call(ScalarFn::Min, &[code, most]);
        }
        if self.lo != 0.0 {
            let wide = b.cast(ElemType::I32, code);
            let least = b.constant(Scalar::from_i64(ElemType::I32, self.lo as i64));
            code = b.call(ScalarFn::Add, &[wide, least]);
        }
        if self.lo == 0.0 && to == ElemType::U8 { code } else { b.cast(to, code) }
    }

    /// Whether no code is negative: a NaN, which a conversion makes 0, then becomes the lower bound.
    fn is_positive(self, to: ElemType) -> bool {
        matches!(to, ElemType::U8 | ElemType::I16) && self.lo >= 0.0 && self.fits(to)
    }

    /// The code by a conversion that saturates, then between bounds that are codes.
    fn saturated(self, b: &mut ExprBuilder, to: ElemType, x: NodeId) -> NodeId {
        let rounded = b.call(ScalarFn::Round, &[x]);
        let moved = plus(b, rounded, self.zero);
        let mut code = b.cast(to, moved);
        let (least, most) = to.int_range().expect("an integer type");
        let bounds = [(ScalarFn::Max, self.lo, least), (ScalarFn::Min, self.hi, most)];
        for (func, bound, _) in bounds.into_iter().filter(|of| of.1 as i64 != of.2) {
            let bound = b.constant(Scalar::from_i64(to, bound as i64));
            code = b.call(func, &[code, bound]);
        }
        code
    }

    /// The code of a number that is clamped already. An odd zero point in the shifter would turn
    /// halves the other way.
    fn stored(self, b: &mut ExprBuilder, to: ElemType, clamped: NodeId) -> NodeId {
        let even = if self.zero % 2.0 == 0.0 { self.zero } else { 0.0 };
        let shifter = b.f32(SHIFTER + even);
        let shifted = b.call(ScalarFn::Add, &[clamped, shifter]);
        let bits = b.call(ScalarFn::Bitcast, &[shifted]);
        let zero = b.constant(Scalar::from_i64(ElemType::I32, self.zero as i64));
        let code = if self.zero == even { bits } else { b.call(ScalarFn::Add, &[bits, zero]) };
        b.cast(to, code)
    }

    /// The same as a number; where it may be a negative zero, an addition makes that positive.
    pub(super) fn number(self, b: &mut ExprBuilder, clamped: NodeId) -> NodeId {
        let rounded = b.call(ScalarFn::Round, &[clamped]);
        let zero = b.f32(self.zero);
        let is_number = self.zero == 0.0 && self.lo >= 0.0;
        if is_number { rounded } else { b.call(ScalarFn::Add, &[rounded, zero]) }
    }
}

/// `x + by`, as `x` where that adds nothing.
fn plus(b: &mut ExprBuilder, x: NodeId, by: f32) -> NodeId {
    if by == 0.0 {
        return x;
    }
    let by = b.f32(by);
    b.call(ScalarFn::Add, &[x, by])
}
