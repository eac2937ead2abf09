//! Sums in the place of what they add to: additions that can become one with the product before
//! them once they write the register of their other operand.
//!
//! Within straight code registers change names where both of a pair hold nothing that is read
//! again: the addend, which dies, and the register that the sum would have gone to. The names are
//! the old ones again for what is read behind the code, or the code stays as it is.

use super::effect::{effect, is_known, renamed};
use super::program::{Next, Program};
use super::sums::{is_partial, operands_of_sum};
use std::collections::BTreeSet;
use std::ops::Range;

/// The new name of each vector register.
type Names = [u8; 32];

impl Program {
    /// The program with sums in their addends' registers where that is possible.
    pub(super) fn with_sums_in_place(mut self) -> Vec<u32> {
        for range in self.straight_code() {
            if let Some(words) = self.summed_in_place(range.clone()) {
                self.words[range].copy_from_slice(&words);
            }
        }
        self.words
    }

    /// Runs of instructions of known effect with one entry and one end.
    fn straight_code(&self) -> Vec<Range<usize>> {
        let (mut all, mut first) = (Vec::new(), 0);
        for at in 0..self.data {
            if self.targets.contains(&at) {
                all.push(first..at);
                first = at;
            }
            if !matches!(self.next(at), Next::Following) || !is_known(self.words[at]) {
                all.push(first..at);
                first = at + 1;
            }
        }
        all.push(first..self.data);
        all.retain(|range| !range.is_empty());
        all
    }

    /// The words of straight code with other names for registers; `None` where a value would end in
    /// another register than before.
    fn summed_in_place(&self, range: Range<usize>) -> Option<Vec<u32>> {
        let alive = self.alive_after(range.clone());
        let mut names: Names = std::array::from_fn(|register| register as u8);
        let mut words = Vec::with_capacity(range.len());
        for at in range.clone() {
            let (word, before) = (self.words[at], names);
            if let Some((sum, addend)) = self.moved_sum(at, &range, alive[at - range.start]) {
                names.swap(sum, addend);
            }
            words.push(renamed(word, |r| before[r as usize].into(), |r| names[r as usize].into()));
        }
        let last = alive.last().copied().unwrap_or_default();
        let is_back = |&register: &usize| names[register] == register as u8;
        let mut read_later = (0..32).filter(|register| last & 1 << register != 0);
        read_later.all(|register| is_back(&register)).then_some(words)
    }

    /// The registers of a sum and of its addend, where they differ, the addend dies, and the other
    /// operand is a partial sum that nothing else reads.
    fn moved_sum(&self, at: usize, range: &Range<usize>, alive: u32) -> Option<(usize, usize)> {
        let (sum, operands) = operands_of_sum(self.words[at])?;
        let written = |register: usize| {
            let mut before = (range.start..at).rev();
            before.find(|&at| effect(self.words[at]).writes & 1 << register != 0)
        };
        let is_dead = |register: usize| register == sum || alive & 1 << register == 0;
        let partial = |register: usize| {
            written(register).filter(|&at| is_partial(self.words[at])).filter(|_| is_dead(register))
        };
        let [a, b] = operands;
        let addend = if partial(a) > partial(b) { b } else { a };
        let other = if addend == a { b } else { a };
        partial(other)?;
        (a != b && addend != sum && is_dead(addend)).then_some((sum, addend))
    }

    /// The registers that are read behind each instruction of straight code.
    fn alive_after(&self, range: Range<usize>) -> Vec<u32> {
        let none = BTreeSet::new();
        let is_known_end = range.end < self.data && is_known(self.words[range.end]);
        let is_alive = |r: &u32| !is_known_end || !self.is_dead(1 << r, range.end, &none);
        let mut alive = (0..32).filter(is_alive).fold(0, |all, r| all | 1 << r);
        let mut all: Vec<u32> = Vec::with_capacity(range.len());
        for at in range.rev() {
            all.push(alive);
            let effect = effect(self.words[at]);
            alive = alive & !effect.writes | effect.reads;
        }
        all.reverse();
        all
    }
}

#[cfg(test)]
mod tests {
    use super::super::shortened;
    use super::super::testing::{RET, add, product, store};

    /// `smlal v<d>.4s, v<n>.4h, v<m>.4h`
    fn product_sum(d: u32, n: u32, m: u32) -> u32 {
        0x0e60_8000 | m << 16 | n << 5 | d
    }

    #[test]
    fn sums_stay_where_their_addends_were() {
        let code = [
            product(4, 2, 3),
            add(5, 1, 4),
            product(1, 6, 7),
            add(4, 1, 5),
            store(4, 0),
            store(2, 64),
            RET,
        ];
        let expected = [product_sum(1, 2, 3), product_sum(1, 6, 7), store(1, 0), store(2, 64), RET];
        assert_eq!(shortened(&code), expected);
    }

    #[test]
    fn names_are_the_old_ones_where_a_loop_reads_them() {
        // cbnz x3, back to the first instruction
        let back = |by: i32| 0xb500_0003 | ((-by) as u32 & 0x7_ffff) << 5;
        let code = [
            product(4, 2, 3),
            add(5, 1, 4),
            product(4, 6, 7),
            add(1, 5, 4),
            back(4),
            store(1, 0),
            RET,
        ];
        let expected = [product_sum(1, 2, 3), product_sum(1, 6, 7), back(2), store(1, 0), RET];
        assert_eq!(shortened(&code), expected);
        // The sum is read in another register than its addend's.
        let code = [product(4, 2, 3), add(5, 1, 4), back(2), store(5, 0), RET];
        assert_eq!(shortened(&code), code);
    }

    #[test]
    fn addends_that_are_read_again_stay() {
        let code = [product(4, 2, 3), add(5, 1, 4), store(5, 0), store(1, 64), RET];
        assert_eq!(shortened(&code), code);
    }
}
