//! Products of the parts of words, one part at a time.

use super::Emit;
use edgecc_ir::loops::ValueId;
use edgecc_ir::scalar::func::ScalarFn;

/// Writes a dot product of words as a sequence whose last statement defines the result.
pub(in crate::loops) fn expand_dot(
    e: &mut Emit<'_>,
    func: ScalarFn,
    args: &[ValueId],
) -> Option<ValueId> {
    let parts = func.products()? as i32;
    let first_is_signed = func != ScalarFn::DotU8;
    let [a, b, mut sum] = [args[0], args[1], args[2]];
    for part in 0..parts {
        let x = extended(e, a, part, parts, first_is_signed);
        let y = extended(e, b, part, parts, true);
        let product = e.mul(x, y);
        sum = e.add(sum, product);
    }
    Some(sum)
}

/// One of the parts of words, counted from the lowest bits, with its sign or with zeros in front.
fn extended(e: &mut Emit<'_>, word: ValueId, part: i32, parts: i32, signed: bool) -> ValueId {
    let bits = 32 / parts;
    let up = e.i32(32 - bits * (part + 1));
    let down = e.i32(32 - bits);
    if signed {
        let high = e.apply(ScalarFn::Shl, &[word, up]);
        return e.apply(ScalarFn::Shr, &[high, down]);
    }
    let (at, mask) = (e.i32(bits * part), e.i32((1 << bits) - 1));
    let low = e.apply(ScalarFn::Shr, &[word, at]);
    e.apply(ScalarFn::And, &[low, mask])
}
