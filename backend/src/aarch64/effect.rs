//! Which vector registers an instruction reads and writes.

/// Sets of vector registers, one bit each. What an instruction writes and does not read, it gives a
/// new value; it may do less to what it reads and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Effect {
    pub(super) reads: u32,
    pub(super) writes: u32,
}

/// How an instruction uses the registers of its fields `d`, `n`, `m` and `a`, from the lowest bits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `d`: loads, and copies from general registers.
    Load,
    /// `d, a`
    LoadPair,
    Store,
    StorePair,
    /// `d = f(n)`
    One,
    /// `d = f(n, m)`
    Two,
    /// `d = f(d, n)`
    OneInto,
    /// `d = f(d, n, m)`
    TwoInto,
}

/// Instructions by the bits that tell them from others; the first row that fits counts.
const FORMS: &[(u32, u32, Form)] = &[
    // Loads and stores of one register at a distance from a pointer, or of a literal.
    (0x3f40_0000, 0x3d40_0000, Form::Load),
    (0x3f40_0000, 0x3c40_0000, Form::Load),
    (0x3f40_0000, 0x3d00_0000, Form::Store),
    (0x3f40_0000, 0x3c00_0000, Form::Store),
    (0x3f00_0000, 0x1c00_0000, Form::Load),
    (0x3e40_0000, 0x2c40_0000, Form::LoadPair),
    (0x3e40_0000, 0x2c00_0000, Form::StorePair),
    // Loads of one element for all lanes; copies of general registers.
    (0xbfff_f000, 0x0d40_c000, Form::Load),
    (0xbfe0_fc00, 0x0e00_0c00, Form::Load),
    (0xffff_fc00, 0x1e27_0000, Form::Load),
    (0xffff_fc00, 0x9e67_0000, Form::Load),
    // Moves of floats, copies of an element.
    (0xffbf_fc00, 0x1e20_4000, Form::One),
    (0xbfe0_fc00, 0x0e00_0400, Form::One),
    // Literals; others change some bits of the register.
    (0x9ff8_1c00, 0x0f00_0400, Form::Load),
    (0x9ff8_dc00, 0x0f00_d400, Form::Load),
    (0x9ff8_0400, 0x0f00_0400, Form::OneInto),
    // Shifts into the first, narrow ones into its upper half, then all others.
    (0x9f80_dc00, 0x0f00_1400, Form::OneInto),
    (0xbf80_ec00, 0x2f00_4400, Form::OneInto),
    (0xdf80_e400, 0x4f00_8400, Form::OneInto),
    (0x9f80_0400, 0x0f00_0400, Form::One),
    // Three of a type: sums of products, differences and masks into the first, then all others.
    (0x9f20_fc00, 0x0e20_9400, Form::TwoInto),
    (0x9f20_fc00, 0x0e20_7c00, Form::TwoInto),
    (0xbf20_fc00, 0x0e20_cc00, Form::TwoInto),
    (0xbf20_fc00, 0x2e20_cc00, Form::TwoInto),
    (0xbf20_fc00, 0x0e20_ec00, Form::TwoInto),
    (0xbf20_fc00, 0x2e20_1c00, Form::TwoInto),
    (0x9f20_0400, 0x0e20_0400, Form::Two),
    // Dot products and others that came later.
    (0x9f20_8400, 0x0e00_8400, Form::TwoInto),
    // Products with an element: of floats, of bytes in words.
    (0xffc0_f400, 0x4f80_1000, Form::TwoInto),
    (0xffc0_f400, 0x4f80_9000, Form::Two),
    (0xffc0_f400, 0x4f80_e000, Form::TwoInto),
    (0xff40_f400, 0x4f00_f000, Form::TwoInto),
    // Products twice as wide, and their sums.
    (0x9f20_fc00, 0x0e20_c000, Form::Two),
    (0x9f20_fc00, 0x0e20_8000, Form::TwoInto),
    // Of one register: sums of neighbours and upper halves into the first, then all others.
    (0x9f3f_fc00, 0x0e20_6800, Form::OneInto),
    (0x9f3f_fc00, 0x0e20_3800, Form::OneInto),
    (0xdf3f_fc00, 0x4e21_2800, Form::OneInto),
    (0xdf3f_fc00, 0x4e21_4800, Form::OneInto),
    (0xdf3f_fc00, 0x4e21_6800, Form::OneInto),
    (0x9f3e_0c00, 0x0e20_0800, Form::One),
    // Permutations.
    (0xbf20_8c00, 0x0e00_0800, Form::Two),
    (0xbfe0_fc00, 0x0e00_0000, Form::Two),
    (0xbfe0_8400, 0x2e00_0000, Form::Two),
];

impl Form {
    fn of(word: u32) -> Option<Form> {
        FORMS.iter().find(|(mask, value, _)| word & mask == *value).map(|row| row.2)
    }
}

/// What an instruction does to vector registers; everything, where that is not known.
pub(super) fn effect(word: u32) -> Effect {
    if !touches_vectors(word) {
        return Effect { reads: 0, writes: 0 };
    }
    let [d, n, m, a] = [0, 5, 16, 10].map(|low| 1 << ((word >> low) & 31));
    let (reads, writes) = match Form::of(word) {
        None => (u32::MAX, u32::MAX),
        Some(Form::Load) => (0, d),
        Some(Form::LoadPair) => (0, d | a),
        Some(Form::Store) => (d, 0),
        Some(Form::StorePair) => (d | a, 0),
        Some(Form::One) => (n, d),
        Some(Form::Two) => (n | m, d),
        Some(Form::OneInto) => (d | n, d),
        Some(Form::TwoInto) => (d | n | m, d),
    };
    Effect { reads, writes }
}

/// Whether it is known what an instruction does to vector registers.
pub(super) fn is_known(word: u32) -> bool {
    !touches_vectors(word) || Form::of(word).is_some()
}

/// An instruction of known effect with other vector registers: what it only reads, and what it
/// writes. A register that it does both to has the name of what it reads.
pub(super) fn renamed(word: u32, read: impl Fn(u32) -> u32, written: impl Fn(u32) -> u32) -> u32 {
    let Some(form) = Form::of(word).filter(|_| touches_vectors(word)) else { return word };
    let with = |word: u32, low: u32, name: &dyn Fn(u32) -> u32| {
        word & !(31 << low) | name((word >> low) & 31) << low
    };
    let (d, n, m, a) = (0, 5, 16, 10);
    match form {
        Form::Load => with(word, d, &written),
        Form::LoadPair => with(with(word, d, &written), a, &written),
        Form::Store => with(word, d, &read),
        Form::StorePair => with(with(word, d, &read), a, &read),
        Form::One => with(with(word, d, &written), n, &read),
        Form::Two => with(with(with(word, d, &written), n, &read), m, &read),
        Form::OneInto => with(with(word, d, &read), n, &read),
        Form::TwoInto => with(with(with(word, d, &read), n, &read), m, &read),
    }
}

/// Vector arithmetic of three registers that touches nothing else.
pub(super) fn is_arithmetic(word: u32) -> bool {
    is_vector_arithmetic(word) && matches!(Form::of(word), Some(Form::Two | Form::TwoInto))
}

fn touches_vectors(word: u32) -> bool {
    let is_access = word & 0x0a00_0000 == 0x0800_0000;
    is_vector_arithmetic(word) || is_access && word & 0x0400_0000 != 0
}

fn is_vector_arithmetic(word: u32) -> bool {
    word & 0x0e00_0000 == 0x0e00_0000
}

#[cfg(test)]
mod tests {
    use super::{Effect, effect};

    fn check(word: u32, reads: &[u32], writes: &[u32]) {
        let [reads, writes] = [reads, writes].map(|set| set.iter().map(|n| 1 << n).sum());
        assert_eq!(effect(word), Effect { reads, writes }, "{word:x}");
    }

    #[test]
    fn registers_are_read_and_written_as_the_manual_says() {
        check(0x4e83_9441, &[1, 2, 3], &[1]); // sdot v1.4s, v2.16b, v3.16b
        check(0x4fb3_e841, &[1, 2, 19], &[1]); // sdot v1.4s, v2.16b, v19.4b[3]
        check(0x4f33_f841, &[1, 2, 19], &[1]); // sudot v1.4s, v2.16b, v19.4b[3]
        check(0x4fb3_1841, &[1, 2, 19], &[1]); // fmla v1.4s, v2.4s, v19.s[3]
        check(0x4e1c_0441, &[2], &[1]); // dup v1.4s, v2.s[3]
        check(0x4d40_c841, &[], &[1]); // ld1r {v1.4s}, [x2]
        check(0x4e04_0041, &[2, 4], &[1]); // tbl v1.16b, {v2.16b}, v4.16b
        check(0xad40_0861, &[], &[1, 2]); // ldp q1, q2, [x3]
        check(0x3dc0_0041, &[], &[1]); // ldr q1, [x2]
        check(0x3d80_0041, &[1], &[]); // str q1, [x2]
        check(0x6cc1_27e8, &[], &[8, 9]); // ldp d8, d9, [sp], #16
        check(0x9c00_0001, &[], &[1]); // ldr q1, literal
        check(0x1e27_0041, &[], &[1]); // fmov s1, w2
        check(0x4ea2_1c41, &[2], &[1]); // mov v1.16b, v2.16b
        check(0x0e23_c041, &[2, 3], &[1]); // smull v1.8h, v2.8b, v3.8b
        check(0x0e63_8041, &[1, 2, 3], &[1]); // smlal v1.4s, v2.4h, v3.4h
        check(0x4e60_6841, &[1, 2], &[1]); // sadalp v1.4s, v2.8h
        check(0x4e60_2841, &[2], &[1]); // saddlp v1.4s, v2.8h
        check(0x0e61_2841, &[2], &[1]); // xtn v1.4h, v2.4s
        check(0x0f08_a441, &[2], &[1]); // sxtl v1.8h, v2.8b
        check(0x4e43_1841, &[2, 3], &[1]); // uzp1 v1.8h, v2.8h, v3.8h
        for general in [0x9100_4041, 0x8b03_0041, 0xb940_0041, 0xa8c1_7bfd, 0xb500_0001] {
            check(general, &[], &[]);
        }
    }

    #[test]
    fn what_is_not_known_may_do_anything() {
        // fmov w1, s2; tbl v1.16b, {v2.16b, v3.16b}, v4.16b
        for word in [0x1e26_0041, 0x4e04_2041] {
            assert_eq!(effect(word), Effect { reads: u32::MAX, writes: u32::MAX });
        }
    }
}
