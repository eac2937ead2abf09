//! Two vector loads or stores of neighbouring places as one of a pair.
//!
//! The second load of a pair moves up to the first one, the first store down to the second one, past
//! vector arithmetic that does not touch its register and nothing else.

use super::effect::is_arithmetic;
use super::program::{Joined, Program};
use std::collections::BTreeSet;

/// Bytes of a vector.
const VECTOR: i64 = 16;
/// Instructions between the members of a pair, at most.
const REACH: usize = 6;

impl Program {
    pub(super) fn paired(self) -> Vec<u32> {
        self.joined(|program, at, removed| {
            let access = Access::of(program.words[at]).filter(|_| !removed.contains(&at))?;
            let (other, word) = program.partner(at, access, removed)?;
            let (at, gone) = if word & LOAD_BIT != 0 { (at, other) } else { (other, at) };
            Some(Joined { at, word, gone })
        })
    }

    /// The other member behind an access, and the instruction for both.
    fn partner(&self, at: usize, first: Access, removed: &BTreeSet<usize>) -> Option<(usize, u32)> {
        let mut between: Vec<u32> = Vec::new();
        for next in (at + 1..self.data).take(REACH + 1) {
            let word = self.words[next];
            if self.targets.contains(&next) {
                return None;
            }
            if removed.contains(&next) {
                continue;
            }
            if let Some(second) = Access::of(word) {
                let moving = if first.is_load { second.register } else { first.register };
                let free = between.iter().all(|&word| leaves(word, moving, first.is_load));
                if let Some(pair) = first.pair(second).filter(|_| free) {
                    return Some((next, pair));
                }
                if !(first.is_load && second.is_load) {
                    return None;
                }
            } else if !is_arithmetic(word) {
                return None;
            }
            between.push(word);
        }
        None
    }
}

const LOAD_BIT: u32 = 1 << 22;

/// A load or store of a whole vector register at a constant distance from a pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Access {
    is_load: bool,
    register: u32,
    pointer: u32,
    offset: i64,
}

impl Access {
    fn of(word: u32) -> Option<Access> {
        let offset = if word & 0xff80_0000 == 0x3d80_0000 {
            i64::from((word >> 10) & 0xfff) * VECTOR
        } else if word & 0xffa0_0c00 == 0x3c80_0000 {
            i64::from(((word >> 12) << 23) as i32 >> 23)
        } else {
            return None;
        };
        let (register, pointer) = (word & 31, (word >> 5) & 31);
        Some(Access { is_load: word & LOAD_BIT != 0, register, pointer, offset })
    }

    /// The instruction that does both, if there is one.
    fn pair(self, other: Access) -> Option<u32> {
        let neighbours = (self.offset - other.offset).abs() == VECTOR
            && self.pointer == other.pointer
            && self.is_load == other.is_load;
        let (low, high) = if self.offset < other.offset { (self, other) } else { (other, self) };
        let units = low.offset / VECTOR;
        let fits = low.offset % VECTOR == 0 && (-64..64).contains(&units);
        if !neighbours || !fits || (self.is_load && low.register == high.register) {
            return None;
        }
        let load = if self.is_load { LOAD_BIT } else { 0 };
        let distance = (units as u32 & 0x7f) << 15;
        Some(0xad00_0000 | load | distance | high.register << 10 | low.pointer << 5 | low.register)
    }
}

/// Whether a load (that moves up) or a store (that moves down) of a register may pass an
/// instruction, which is arithmetic or a load.
fn leaves(word: u32, register: u32, is_load: bool) -> bool {
    let written = word & 31;
    let reads = [(word >> 5) & 31, (word >> 16) & 31, written];
    match Access::of(word) {
        Some(access) => access.register != register,
        None => written != register && !(is_load && reads.contains(&register)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::program::NOP;
    use super::super::shortened;
    use super::super::testing::{RET, store};
    use super::Access;

    fn load(register: u32, offset: u32) -> u32 {
        0x3dc0_0000 | (offset / 16) << 10 | register
    }

    /// `fmla v<d>.4s, v<n>.4s, v<m>.s[0]`
    fn multiply_add(d: u32, n: u32, m: u32) -> u32 {
        0x4f80_1000 | m << 16 | n << 5 | d
    }

    /// `ldp` or `stp` of two vectors.
    fn pair(word: u32, low: u32, high: u32, offset: u32) -> u32 {
        word | (offset / 16) << 15 | high << 10 | low
    }

    const LDP: u32 = 0xad40_0000;
    const STP: u32 = 0xad00_0000;

    #[test]
    fn accesses_are_read_with_either_kind_of_distance() {
        let access = |is_load, offset| Access { is_load, register: 3, pointer: 2, offset };
        // ldr q3, [x2, #32]; ldur q3, [x2, #-16]; str q3, [x2]; ldr d3, [x2]
        assert_eq!(Access::of(0x3dc0_0843), Some(access(true, 32)));
        assert_eq!(Access::of(0x3cdf_0043), Some(access(true, -16)));
        assert_eq!(Access::of(0x3d80_0043), Some(access(false, 0)));
        assert_eq!(Access::of(0xfd40_0043), None);
    }

    #[test]
    fn loads_move_up_and_stores_move_down() {
        let code = [load(1, 32), multiply_add(4, 5, 1), load(2, 48), multiply_add(6, 5, 2), RET];
        let expected = [pair(LDP, 1, 2, 32), multiply_add(4, 5, 1), multiply_add(6, 5, 2), RET];
        assert_eq!(shortened(&code), expected);
        let code = [store(1, 48), multiply_add(4, 5, 1), store(2, 32), RET];
        assert_eq!(shortened(&code), [multiply_add(4, 5, 1), pair(STP, 2, 1, 32), RET]);
    }

    #[test]
    fn registers_in_use_keep_loads_and_stores_apart() {
        for code in [
            [load(1, 0), multiply_add(4, 2, 1), load(2, 16), RET],
            [load(1, 0), multiply_add(2, 5, 1), load(2, 16), RET],
            [store(1, 0), multiply_add(1, 5, 6), store(2, 16), RET],
            [load(1, 0), store(3, 64), load(2, 16), RET],
            [load(1, 0), 0x9100_4000, load(2, 16), RET], // add x0, x0, #16
            [load(1, 0), NOP, load(1, 16), RET],
            [load(1, 1024), NOP, load(2, 1040), RET],
        ] {
            assert_eq!(shortened(&code), code, "{code:x?}");
        }
    }

    #[test]
    fn jumps_and_literals_find_their_places() {
        // l: ldr q1; ldr q2; cbnz x3, l; ldr q4, literal; ret; (padding) literal
        let cbnz = |distance: i32| 0xb500_0003 | (distance as u32 & 0x7_ffff) << 5;
        let literal = |distance: u32| 0x9c00_0004 | distance << 5;
        let code = [NOP, load(1, 0), load(2, 16), cbnz(-2), literal(4), RET, NOP, NOP, 7, 7, 7, 7];
        let expected =
            [NOP, pair(LDP, 1, 2, 0), cbnz(-1), literal(5), RET, NOP, NOP, NOP, 7, 7, 7, 7];
        assert_eq!(shortened(&code), expected);
    }

    #[test]
    fn a_jump_into_a_pair_keeps_it_apart() {
        let code = [load(1, 0), load(2, 16), 0xb5ff_ffe3, RET]; // cbnz x3, back by one
        assert_eq!(shortened(&code), code);
    }
}
