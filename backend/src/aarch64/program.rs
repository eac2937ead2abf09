//! A function's machine code whose jumps are known, so that instructions can be removed.

use super::WORD;
use std::collections::BTreeSet;

/// Words to whose multiples data is aligned.
pub(super) const VECTOR_WORDS: usize = 16 / WORD;
pub(super) const NOP: u32 = 0xd503_201f;
const RETURN: u32 = 0xd65f_03c0;

/// A place that an instruction refers to: where the distance in words is, and its size.
#[derive(Clone, Copy)]
struct Field {
    low: u32,
    bits: u32,
}

/// A function: instructions, then data.
pub(super) struct Program {
    pub(super) words: Vec<u32>,
    /// The first word of data.
    pub(super) data: usize,
    /// Words that other words refer to.
    pub(super) targets: BTreeSet<usize>,
}

/// What an instruction has behind it.
pub(super) enum Next {
    Following,
    /// A place, and perhaps the following instruction.
    Jump {
        to: usize,
        or_following: bool,
    },
    Return,
}

/// Two instructions that become one.
pub(super) struct Joined {
    /// The place of the one that stays, and what it becomes.
    pub(super) at: usize,
    pub(super) word: u32,
    /// The place of the one that is removed.
    pub(super) gone: usize,
}

impl Program {
    pub(super) fn of(words: &[u32]) -> Option<Program> {
        let mut program =
            Program { words: words.to_vec(), data: words.len(), targets: BTreeSet::new() };
        if words.len() >= 1 << (LITERAL.bits - 2) {
            return None;
        }
        let mut at = 0;
        while at < program.data {
            if is_unknown(words[at]) {
                return None;
            }
            if let Some(field) = reference(words[at]) {
                let target = field.target(words[at], at).filter(|&t| t < words.len())?;
                if is_read(words[at]) {
                    program.data = program.data.min(target);
                }
                program.targets.insert(target);
            }
            at += 1;
        }
        // No jump leads over data, so that nothing behind them is code.
        let jumps = (0..program.data).filter(|&at| !is_read(words[at]));
        let mut ends = jumps.filter_map(|at| reference(words[at])?.target(words[at], at));
        ends.all(|target| target < program.data).then_some(program)
    }

    pub(super) fn next(&self, at: usize) -> Next {
        let word = self.words[at];
        match reference(word).filter(|_| !is_read(word)) {
            Some(field) => {
                let to = field.target(word, at).expect("checked when it was read");
                Next::Jump { to, or_following: !is_unconditional(word) }
            }
            None if word == RETURN => Next::Return,
            None => Next::Following,
        }
    }

    /// The program in which one instruction does what two did, wherever `find` finds such a pair at an
    /// instruction; it is told what was removed before.
    pub(super) fn joined(
        mut self,
        find: impl Fn(&Program, usize, &BTreeSet<usize>) -> Option<Joined>,
    ) -> Vec<u32> {
        let mut removed: BTreeSet<usize> = BTreeSet::new();
        for at in 0..self.data {
            if let Some(joined) = find(&self, at, &removed) {
                self.words[joined.at] = joined.word;
                removed.insert(joined.gone);
            }
        }
        self.without(&removed)
    }

    /// The word that an instruction refers to.
    pub(super) fn place(&self, at: usize) -> Option<usize> {
        reference(self.words[at])?.target(self.words[at], at)
    }

    /// The program without some words, of data only whole vectors, and with its distances adjusted.
    pub(super) fn without(&self, removed: &BTreeSet<usize>) -> Vec<u32> {
        // Data keeps its alignment.
        let gone = removed.range(..self.data).count();
        let lost = gone / VECTOR_WORDS * VECTOR_WORDS;
        let padding = gone - lost;
        let place = |old: usize| match old < self.data {
            true => old - removed.range(..old).count(),
            false => old - lost - removed.range(self.data..old).count(),
        };
        let mut out: Vec<u32> = Vec::with_capacity(self.words.len() - lost);
        for (at, &word) in self.words.iter().enumerate() {
            if at == self.data {
                out.extend(std::iter::repeat_n(NOP, padding));
            }
            if !removed.contains(&at) {
                out.push(match reference(word).filter(|_| at < self.data) {
                    None => word,
                    Some(field) => {
                        let target = field.target(word, at).expect("checked when it was read");
                        field.with(word, place(target) as i64 - place(at) as i64)
                    }
                });
            }
        }
        out
    }
}

/// The place of a loaded literal.
const LITERAL: Field = Field { low: 5, bits: 19 };

impl Field {
    fn mask(self) -> u32 {
        ((1 << self.bits) - 1) << self.low
    }

    fn target(self, word: u32, at: usize) -> Option<usize> {
        let raw = (word & self.mask()) >> self.low;
        let distance = (raw << (32 - self.bits)) as i32 >> (32 - self.bits);
        usize::try_from(at as i64 + i64::from(distance)).ok()
    }

    /// The word with another distance, which is never longer than the old one.
    fn with(self, word: u32, distance: i64) -> u32 {
        (word & !self.mask()) | (((distance as u32) << self.low) & self.mask())
    }
}

/// Where a word refers to another one: jumps, tests, loads of literals, addresses of whole words.
fn reference(word: u32) -> Option<Field> {
    let field = |low, bits| Some(Field { low, bits });
    if is_unconditional(word) {
        return field(0, 26);
    }
    if word & 0xff00_0010 == 0x5400_0000 || word & 0x7e00_0000 == 0x3400_0000 {
        return field(5, 19);
    }
    if word & 0x7e00_0000 == 0x3600_0000 {
        return field(5, 14);
    }
    is_read(word).then_some(LITERAL)
}

fn is_unconditional(word: u32) -> bool {
    word & 0xfc00_0000 == 0x1400_0000
}

/// Whether what a word refers to is data.
fn is_read(word: u32) -> bool {
    word & 0x3b00_0000 == 0x1800_0000 || word & 0xff00_0000 == 0x1000_0000
}

/// Calls, computed jumps and computed addresses: what they refer to is not known here.
fn is_unknown(word: u32) -> bool {
    let calls = word & 0xfc00_0000 == 0x9400_0000;
    let jumps = word & 0xfe00_0000 == 0xd600_0000 && word & 0xffff_fc1f != 0xd65f_0000;
    let addresses = word & 0x1f00_0000 == 0x1000_0000 && !is_read(word);
    calls || jumps || addresses
}
