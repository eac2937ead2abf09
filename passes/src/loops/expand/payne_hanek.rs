//! Reduction of large arguments modulo π/2 by an exact product with the bits of 2/π (Payne and
//! Hanek 1983), in 32-bit integer lanes without shifts by a variable amount.

use super::Emit;
use edgecc_ir::loops::ValueId;
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::tensor::Scalar;
use edgecc_ir::types::ElemType;
use std::f32::consts::FRAC_PI_2;

/// 16 zero bits, then the fraction bits of 2/π, most significant first.
const TWO_OVER_PI: [u32; 8] = [
    0x0000_a2f9,
    0x836e_4e44,
    0x1529_fc27,
    0x57d1_f534,
    0xddc0_db62,
    0x9599_3c43,
    0x9041_fe51,
    0x63ab_debb,
];

/// Biased exponent of 2⁹, the smallest argument.
const FIRST_EXPONENT: i32 = 136;

/// `(n, r)` with `x = n·π/2 + r`, `|r| ≤ π/4` and `n` modulo 4, for finite `x ≥ 2⁹`; any numbers
/// elsewhere.
///
/// With `q` the multiple of 8 in the exponent, `x = m·2^(q−14)` for an integer `m < 2³¹`, and a
/// quarter of `x·2/π` is `m` times the 96 bits of 2/π from position `q` on, modulo 1.
pub(super) fn reduce(e: &mut Emit<'_>, x: ValueId) -> (ValueId, ValueId) {
    let (q, m) = split(e, x);
    let window = window(e, q);
    let (high, low) = product(e, m, window);
    let rounded = e.u32_op(ScalarFn::Add, high, 1 << 29);
    let n = e.u32_op(ScalarFn::Shr, rounded, 30);
    let whole = e.u32_op(ScalarFn::Shl, n, 30);
    let fraction = e.sub(high, whole);
    let r = angle(e, fraction, low);
    (e.cast(ElemType::I32, n), r)
}

/// `q` as `i32` and `m` as `u32`.
fn split(e: &mut Emit<'_>, x: ValueId) -> (ValueId, ValueId) {
    let bits = e.bitcast(x);
    let exponent = e.bits(ScalarFn::Shr, bits, 23);
    let above = e.bits(ScalarFn::Sub, exponent, FIRST_EXPONENT);
    let q = e.bits(ScalarFn::And, above, 0x78);
    let base = e.i32(14);
    let power = e.sub(base, q);
    let factor = e.power_of_two(power);
    let m = e.mul(x, factor);
    let m = e.cast(ElemType::I32, m);
    (q, e.cast(ElemType::U32, m))
}

/// The 96 bits from position `q` on: by halving steps of 64, 32, 16 and 8 bits.
fn window(e: &mut Emit<'_>, q: ValueId) -> [ValueId; 3] {
    let mut words: Vec<ValueId> = TWO_OVER_PI.iter().map(|&w| e.u32(w)).collect();
    for (step, kept) in [(64, 6), (32, 5), (16, 4), (8, 3)] {
        let (bit, zero) = (e.bits(ScalarFn::And, q, step), e.i32(0));
        let stays = e.apply(ScalarFn::Eq, &[bit, zero]);
        words = (0..kept)
            .map(|k| {
                let moved = match step {
                    8 | 16 => joined(e, words[k], words[k + 1], step as u32),
                    _ => words[k + step as usize / 32],
                };
                e.select(stays, words[k], moved)
            })
            .collect();
    }
    [words[0], words[1], words[2]]
}

/// The word `shift` bits further in `high:low`.
fn joined(e: &mut Emit<'_>, high: ValueId, low: ValueId, shift: u32) -> ValueId {
    let high = e.u32_op(ScalarFn::Shl, high, shift);
    let low = e.u32_op(ScalarFn::Shr, low, 32 - shift);
    e.apply(ScalarFn::Or, &[high, low])
}

/// The upper 64 bits of `m·window` modulo 2⁹⁶, up to a carry from the lowest word.
fn product(e: &mut Emit<'_>, m: ValueId, window: [ValueId; 3]) -> (ValueId, ValueId) {
    let (top, middle) = (e.mul(m, window[0]), e.mul(m, window[1]));
    let (into_top, into_middle) = (high_half(e, m, window[1]), high_half(e, m, window[2]));
    let low = e.add(middle, into_middle);
    let carries = e.apply(ScalarFn::Lt, &[low, middle]);
    let (one, zero) = (e.u32(1), e.u32(0));
    let carry = e.select(carries, one, zero);
    let high = e.add(top, into_top);
    (e.add(high, carry), low)
}

/// The upper 32 bits of a product, from products of 16-bit halves.
fn high_half(e: &mut Emit<'_>, a: ValueId, b: ValueId) -> ValueId {
    let [(a0, a1), (b0, b1)] = [a, b].map(|x| halves(e, x));
    let low = e.mul(a0, b0);
    let low = e.u32_op(ScalarFn::Shr, low, 16);
    let cross = e.mul(a1, b0);
    let cross = e.add(cross, low);
    let (cross_low, cross_high) = halves(e, cross);
    let other = e.mul(a0, b1);
    let other = e.add(other, cross_low);
    let other = e.u32_op(ScalarFn::Shr, other, 16);
    let high = e.mul(a1, b1);
    let high = e.add(high, cross_high);
    e.add(high, other)
}

/// Low and high 16 bits.
fn halves(e: &mut Emit<'_>, x: ValueId) -> (ValueId, ValueId) {
    (e.u32_op(ScalarFn::And, x, 0xffff), e.u32_op(ScalarFn::Shr, x, 16))
}

/// The angle of a signed fraction of a turn, `fraction:low` in units of 2⁻⁶⁴ turns.
fn angle(e: &mut Emit<'_>, fraction: ValueId, low: ValueId) -> ValueId {
    let fraction = e.cast(ElemType::I32, fraction);
    let fraction = e.cast(ElemType::F32, fraction);
    let low = e.u32_op(ScalarFn::Shr, low, 8);
    let low = e.cast(ElemType::I32, low);
    let low = e.cast(ElemType::F32, low);
    let quarters = e.madd_f32(low, 2f32.powi(-24), fraction);
    e.scale(quarters, FRAC_PI_2 * 2f32.powi(-30))
}

impl Emit<'_> {
    /// A `u32` literal.
    fn u32(&mut self, value: u32) -> ValueId {
        self.constant(Scalar::from_i64(ElemType::U32, i64::from(value)))
    }

    /// `func(a, literal)` on `u32`.
    fn u32_op(&mut self, func: ScalarFn, a: ValueId, literal: u32) -> ValueId {
        let literal = self.u32(literal);
        self.apply(func, &[a, literal])
    }
}
