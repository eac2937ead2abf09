//! Products and sums of neighbours that are added as they are made, and loads that need no move
//! behind them.
//!
//! A product twice as wide as its factors, or sums of neighbours twice as wide as they are, and the
//! addition behind it that alone reads it, become one instruction in the place of the addition. A
//! load of a float clears the rest of its register, which a move behind it does again.

use super::effect::effect;
use super::program::{Joined, Program};
use std::collections::BTreeSet;

/// Instructions from a product to its sum, or from a load to its move, at most.
const REACH: usize = 8;

impl Program {
    /// The program with fewer additions and moves.
    pub(super) fn with_sums(self) -> Vec<u32> {
        self.joined(|program, at, removed| {
            program.summed(at, removed).or_else(|| program.loaded(at, removed))
        })
    }

    /// The addition of a product, and the instruction that does both.
    fn summed(&self, at: usize, removed: &BTreeSet<usize>) -> Option<Joined> {
        let product = self.words[at];
        is_partial(product).then_some(())?;
        let made = effect(product);
        let (sum, between) = self.reader(at, made.writes, removed)?;
        let word = added(product, self.words[sum])?;
        let keeps = between.iter().all(|&at| effect(self.words[at]).writes & made.reads == 0);
        let is_dead = self.is_dead(made.writes, sum + 1, removed);
        (keeps && is_dead).then_some(Joined { at: sum, word, gone: at })
    }

    /// The move behind a load, and the load into the register that the move fills.
    fn loaded(&self, at: usize, removed: &BTreeSet<usize>) -> Option<Joined> {
        let load = self.words[at];
        is_float_load(load).then_some(())?;
        let made = effect(load);
        let (moved, between) = self.reader(at, made.writes, removed)?;
        let word = self.words[moved];
        let [to, from] = [0, 5].map(|low| (word >> low) & 31);
        (is_float_move(word) && from == load & 31).then_some(())?;
        let used = |&at: &usize| effect(self.words[at]).reads | effect(self.words[at]).writes;
        let is_free = between.iter().all(|at| used(at) & (1 << to) == 0);
        let is_alone = made.writes == 1 << to || self.is_dead(made.writes, moved + 1, removed);
        (is_free && is_alone).then_some(Joined { at, word: load & !31 | to, gone: moved })
    }

    /// The next instruction of straight code that reads or writes a register, and those between.
    pub(super) fn reader(
        &self,
        at: usize,
        register: u32,
        removed: &BTreeSet<usize>,
    ) -> Option<(usize, Vec<usize>)> {
        let mut between = Vec::new();
        for next in (at + 1..self.data).take(REACH) {
            if self.is_boundary(next) {
                return None;
            }
            let effect = effect(self.words[next]);
            if removed.contains(&next) {
                continue;
            }
            if (effect.reads | effect.writes) & register != 0 {
                return Some((next, between));
            }
            between.push(next);
        }
        None
    }
}

/// What an instruction adds to a register as it makes it: products and sums of neighbours, which
/// are twice as wide as what they are made of.
pub(super) fn is_partial(word: u32) -> bool {
    is_wide_product(word) || is_sum_of_neighbours(word)
}

/// The result and the operands of an addition of whole vectors.
pub(super) fn operands_of_sum(word: u32) -> Option<(usize, [usize; 2])> {
    let register = |low: u32| ((word >> low) & 31) as usize;
    (word & 0xff20_fc00 == 0x4e20_8400).then(|| (register(0), [register(5), register(16)]))
}

/// `smull`, `umull` and those of upper halves.
fn is_wide_product(word: u32) -> bool {
    word & 0x9f20_fc00 == 0x0e20_c000
}

/// `saddlp`, `uaddlp` of whole vectors.
fn is_sum_of_neighbours(word: u32) -> bool {
    word & 0xdf3f_fc00 == 0x4e20_2800
}

/// `ldr s, [x, #distance]`
fn is_float_load(word: u32) -> bool {
    word & 0xffc0_0000 == 0xbd40_0000
}

/// `fmov s, s`
fn is_float_move(word: u32) -> bool {
    word & 0xffff_fc00 == 0x1e20_4000
}

/// The product, or the sums of neighbours, added to the register that an addition replaces.
fn added(product: u32, addition: u32) -> Option<u32> {
    const SIZE: u32 = 3 << 22;
    let size = (product & SIZE) + (1 << 22);
    let adds = addition & 0xffe0_fc00 == 0x4e20_8400 | size;
    let [sum, n, m] = [0, 5, 16].map(|low| (addition >> low) & 31);
    let made = product & 31;
    let replaced = (n == made && m == sum) || (m == made && n == sum);
    // One bit tells what is made from what is added; products have it the other way round.
    (adds && replaced && sum != made).then_some((product & !31 | sum) ^ 0x4000)
}

#[cfg(test)]
mod tests {
    use super::super::shortened;
    use super::super::testing::{RET, add, product};

    /// `fmov s<to>, s<from>`
    fn float_move(to: u32, from: u32) -> u32 {
        0x1e20_4000 | from << 5 | to
    }

    /// `ldr s<register>, [x0]`
    fn load(register: u32) -> u32 {
        0xbd40_0000 | register
    }

    #[test]
    fn products_are_added_to_what_they_are_added_to() {
        let smlal = 0x0e63_8041; // smlal v1.4s, v2.4h, v3.4h
        for sum in [add(1, 1, 4), add(1, 4, 1)] {
            assert_eq!(shortened(&[product(4, 2, 3), load(5), sum, RET]), [load(5), smlal, RET]);
        }
    }

    #[test]
    fn sums_of_neighbours_are_added_as_they_are_made() {
        let saddlp = 0x4e60_2844; // saddlp v4.4s, v2.8h
        let sadalp = 0x4e60_6841; // sadalp v1.4s, v2.8h
        assert_eq!(shortened(&[saddlp, load(5), add(1, 1, 4), RET]), [load(5), sadalp, RET]);
    }

    #[test]
    fn products_with_other_uses_stay() {
        for code in [
            [product(4, 2, 3), add(1, 6, 4), add(0, 6, 0), RET], // to what is read again
            [product(4, 2, 3), add(1, 1, 4), add(6, 6, 4), RET], // read again
            [product(4, 2, 3), load(2), add(1, 1, 4), RET],      // of a factor that changes
            [product(4, 2, 3), add(4, 4, 1), add(1, 1, 4), RET], // the sum itself
            [product(4, 2, 3), 0x4ee4_8421, add(0, 0, 0), RET],  // of another width
        ] {
            assert_eq!(shortened(&code), code, "{code:x?}");
        }
    }

    #[test]
    fn loads_fill_the_register_that_was_moved_to() {
        let code = [load(5), float_move(5, 5), load(6), float_move(7, 6), RET];
        assert_eq!(shortened(&code), [load(5), load(7), RET]);
        let code = [load(6), load(7), float_move(7, 6), RET];
        assert_eq!(shortened(&code), code);
        let code = [load(6), float_move(7, 6), add(1, 1, 6), RET];
        assert_eq!(shortened(&code), code);
    }
}
