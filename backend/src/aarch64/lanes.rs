//! Dot products that take a word from a lane of a register instead of from a copy of that lane in
//! all lanes.
//!
//! A copy disappears when all instructions that read it can take the lane, while the register with
//! the lane still holds it, and when nothing reads the copy afterwards.

use super::effect::effect;
use super::program::Program;
use std::collections::BTreeSet;

impl Program {
    /// The program with lanes instead of copies of them.
    pub(super) fn with_lanes(mut self) -> Vec<u32> {
        let mut removed: BTreeSet<usize> = BTreeSet::new();
        // A later copy may stand where a lane is still used.
        for at in (0..self.data).rev() {
            let copy = Copied::of(self.words[at]);
            if let Some(users) = copy.and_then(|copy| self.users(at, copy, &removed)) {
                users.into_iter().for_each(|(user, word)| self.words[user] = word);
                removed.insert(at);
            }
        }
        self.without(&removed)
    }

    /// The instructions that read a copy as they are with the lane, if that is possible for all.
    fn users(
        &self,
        at: usize,
        copied: Copied,
        removed: &BTreeSet<usize>,
    ) -> Option<Vec<(usize, u32)>> {
        let [copy, source] = [copied.copy, copied.source].map(|register| 1 << register);
        let (mut users, mut is_held) = (Vec::new(), true);
        for at in at + 1..self.data {
            if self.is_boundary(at) {
                return self.is_dead(copy, at, removed).then_some(users);
            }
            let word = self.words[at];
            if removed.contains(&at) {
                continue;
            }
            let effect = effect(word);
            match copied.taken_by(word).filter(|_| is_held) {
                Some(word) => users.push((at, word)),
                None if effect.reads & copy != 0 => return None,
                None if effect.writes & copy != 0 => return Some(users),
                None => {}
            }
            is_held &= effect.writes & source == 0;
        }
        None
    }
}

/// `dup copy.4s, source.s[lane]`
#[derive(Clone, Copy)]
struct Copied {
    copy: u32,
    source: u32,
    lane: u32,
}

/// Dot products of bytes, and the forms that take a word of their first and of their second factor
/// from a lane.
const BY_LANE: &[(u32, u32, u32)] = &[
    // sdot
    (0x4e80_9400, 0x4f80_e000, 0x4f80_e000),
    // usdot; sudot, usdot
    (0x4e80_9c00, 0x4f00_f000, 0x4f80_f000),
];

impl Copied {
    fn of(word: u32) -> Option<Copied> {
        let is_copy = word & 0xffe7_fc00 == 0x4e04_0400;
        let lane = (word >> 19) & 3;
        is_copy.then_some(Copied { copy: word & 31, source: (word >> 5) & 31, lane })
    }

    /// The instruction that takes the lane instead of the copy.
    fn taken_by(self, word: u32) -> Option<u32> {
        let (_, first, second) = BY_LANE.iter().find(|row| word & 0xffe0_fc00 == row.0)?;
        let [sum, n, m] = [0, 5, 16].map(|low| (word >> low) & 31);
        let (form, other) = match (n == self.copy, m == self.copy) {
            (true, false) => (first, m),
            (false, true) => (second, n),
            (true, true) | (false, false) => return None,
        };
        let lane = (self.lane & 1) << 21 | (self.lane >> 1) << 11;
        (sum != self.copy).then_some(form | lane | self.source << 16 | other << 5 | sum)
    }
}

#[cfg(test)]
mod tests {
    use super::super::shortened;
    use super::super::testing::RET;

    const SDOT: u32 = 0x4e80_9400;
    const USDOT: u32 = 0x4e80_9c00;

    /// `dup v<copy>.4s, v<source>.s[lane]`
    fn dup(copy: u32, source: u32, lane: u32) -> u32 {
        0x4e04_0400 | lane << 19 | source << 5 | copy
    }

    fn dot(word: u32, sum: u32, n: u32, m: u32) -> u32 {
        word | m << 16 | n << 5 | sum
    }

    fn load(register: u32) -> u32 {
        0x3dc0_0000 | register
    }

    #[test]
    fn all_uses_of_a_copy_take_the_lane() {
        let code = [dup(1, 19, 3), dot(SDOT, 4, 1, 2), dot(SDOT, 5, 2, 1), RET];
        assert_eq!(shortened(&code), [0x4fb3_e844, 0x4fb3_e845, RET]);
        let code = [dup(1, 19, 3), dot(USDOT, 4, 1, 2), dot(USDOT, 5, 2, 1), RET];
        assert_eq!(shortened(&code), [0x4f33_f844, 0x4fb3_f845, RET]);
    }

    #[test]
    fn a_copy_may_replace_its_source_once_others_are_gone() {
        let code =
            [dup(1, 3, 2), dup(3, 3, 1), dot(SDOT, 4, 2, 1), dot(SDOT, 5, 2, 3), load(1), RET];
        assert_eq!(shortened(&code), [0x4f83_e844, 0x4fa3_e045, load(1), RET]);
    }

    #[test]
    fn copies_that_are_needed_stay() {
        for code in [
            // read by another instruction
            [dup(1, 3, 0), dot(SDOT, 4, 2, 1), 0x4ea1_1c22, RET],
            // after the source changed
            [dup(1, 3, 0), load(3), dot(SDOT, 4, 2, 1), RET],
            // as a sum
            [dup(1, 3, 0), dot(SDOT, 1, 2, 1), load(1), RET],
            // as both factors
            [dup(1, 3, 0), dot(SDOT, 4, 1, 1), load(1), RET],
            // in the next iteration: cbnz x3, back by one
            [dup(1, 3, 0), dot(SDOT, 4, 2, 1), 0xb5ff_ffe3, RET],
        ] {
            assert_eq!(shortened(&code), code, "{code:x?}");
        }
    }

    #[test]
    fn copies_in_loops_disappear() {
        // cbnz x3, back by three
        let code = [load(3), dup(1, 3, 0), dot(SDOT, 4, 2, 1), 0xb5ff_ffa3, RET];
        assert_eq!(shortened(&code), [load(3), 0x4f83_e044, 0xb5ff_ffc3, RET]);
    }
}
