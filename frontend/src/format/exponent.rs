//! `float8e8m0`: an exponent alone, whose numbers are powers of two.

use super::{Conversion, Direction, i32};
use crate::emit::Body;
use edgecc_ir::scalar::NodeId;
use edgecc_ir::scalar::func::ScalarFn as F;

/// The smallest power of two, a subnormal `f32`.
const SMALLEST_POWER: u32 = 1 << 22;
/// The largest power of two.
const LARGEST_POWER: u32 = 254 << 23;

pub(super) fn decoded_exponent(b: &mut Body<'_>, code: NodeId) -> NodeId {
    let bits = b.bits(F::Shl, code, 23);
    let bits = b.bits(F::Max, bits, SMALLEST_POWER as i32);
    let (value, nan) = (b.bitcast(bits), b.single(f64::NAN));
    let is_nan = b.bits(F::Eq, code, 255);
    b.select(is_nan, nan, value)
}

pub(super) fn encoded_exponent(b: &mut Body<'_>, x: NodeId) -> NodeId {
    let bits = b.bitcast(x);
    let code = b.bits(F::Shr, bits, 23);
    let nan = b.literal(i32(255));
    b.unless_nan(x, code, nan)
}

/// The power of two that an `f32` is rounded to; its sign is dropped.
pub(super) fn power_of_two(b: &mut Body<'_>, x: NodeId, how: Conversion) -> NodeId {
    let part = match how.direction {
        Direction::Up => (1 << 23) - 1,
        Direction::Down => 0,
        Direction::Nearest => 1 << 22,
    };
    let size = b.f1(F::Abs, x);
    let bits = b.bitcast(size);
    let bumped = b.bits(F::Add, bits, part);
    let power = b.bits(F::And, bumped, 255 << 23);
    let smallest = b.literal(i32(SMALLEST_POWER as i32));
    let is_small = b.f2(F::Le, bits, smallest);
    let power = b.select(is_small, smallest, power);
    let power = b.f2(F::Max, power, smallest);
    let largest = b.literal(i32(LARGEST_POWER as i32));
    let limited = b.f2(F::Min, power, largest);
    let (value, nan) = (b.bitcast(limited), b.single(f64::NAN));
    if how.saturate {
        return b.unless_nan(x, value, nan);
    }
    let beyond = b.f2(F::Lt, largest, power);
    let zero = b.single(0.0);
    let vanishes = b.f2(F::Eq, x, zero);
    let outside = b.f2(F::Or, beyond, vanishes);
    let value = b.select(outside, nan, value);
    b.unless_nan(x, value, nan)
}
