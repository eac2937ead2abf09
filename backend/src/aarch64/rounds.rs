//! Numbers that are rounded to whole ones and converted to integers: one instruction in the place of
//! the conversion, with the same results for what is no number or too large.

use super::effect::effect;
use super::program::{Joined, Program};
use std::collections::BTreeSet;

/// `frintn d.4s, n.4s`, `fcvtzs d.4s, n.4s` and `fcvtns d.4s, n.4s`.
const ROUND: u32 = 0x4e21_8800;
const CONVERT: u32 = 0x4ea1_b800;
const BOTH: u32 = 0x4e21_a800;
const REGISTERS: u32 = 0x3ff;

impl Program {
    /// The program with conversions that round.
    pub(super) fn with_rounds(self) -> Vec<u32> {
        self.joined(Program::converted)
    }

    /// The conversion of what is rounded, and the instruction that does both.
    fn converted(&self, at: usize, removed: &BTreeSet<usize>) -> Option<Joined> {
        let round = self.words[at];
        (round & !REGISTERS == ROUND).then_some(())?;
        let made = effect(round);
        let (place, between) = self.reader(at, made.writes, removed)?;
        let convert = self.words[place];
        let reads_it = convert & !REGISTERS == CONVERT && (convert >> 5) & 31 == round & 31;
        let keeps = between.iter().all(|&at| effect(self.words[at]).writes & made.reads == 0);
        let is_alone = convert & 31 == round & 31 || self.is_dead(made.writes, place + 1, removed);
        let word = BOTH | round & (31 << 5) | convert & 31;
        (reads_it && keeps && is_alone).then_some(Joined { at: place, word, gone: at })
    }
}

#[cfg(test)]
mod tests {
    use super::super::shortened;
    use super::super::testing::{RET, add};
    use super::{BOTH, CONVERT, ROUND};

    fn word(op: u32, to: u32, from: u32) -> u32 {
        op | from << 5 | to
    }

    #[test]
    fn what_is_rounded_is_converted_at_once() {
        let code = [word(ROUND, 1, 2), add(3, 4, 5), word(CONVERT, 1, 1), RET];
        assert_eq!(shortened(&code), [add(3, 4, 5), word(BOTH, 1, 2), RET]);
        let code = [word(ROUND, 1, 2), word(CONVERT, 3, 1), add(1, 3, 3), RET];
        assert_eq!(shortened(&code), [word(BOTH, 3, 2), add(1, 3, 3), RET]);
    }

    #[test]
    fn whole_numbers_with_other_uses_stay() {
        for code in [
            [word(ROUND, 1, 2), word(CONVERT, 3, 1), add(4, 1, 1), RET],
            [word(ROUND, 1, 2), add(2, 4, 5), word(CONVERT, 1, 1), RET],
            [word(ROUND, 1, 2), add(1, 4, 1), word(CONVERT, 1, 1), RET],
        ] {
            assert_eq!(shortened(&code), code);
        }
    }
}
