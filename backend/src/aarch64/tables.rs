//! Lookups in tables of 256 bytes: Cranelift permutes one register of entries after the other, from
//! literals; here those of four or two registers, as many as are free, with one load and one
//! permutation for all of them.

use super::effect::effect;
use super::program::{Program, VECTOR_WORDS};
use std::collections::{BTreeMap, BTreeSet};

/// Registers of entries in a table.
const PARTS: usize = 16;
/// The general register that calls may change, which nothing else holds values in.
const SCRATCH: u32 = 16;

/// A lookup as it is found: instructions that do nothing else.
struct Lookup {
    start: usize,
    end: usize,
    /// The register of the codes, and the one that gets what they become.
    codes: u32,
    result: u32,
    /// The words of the table.
    table: Vec<u32>,
}

/// What a register holds in the middle of a lookup.
#[derive(Clone, Copy, PartialEq)]
enum Held {
    /// Entries of a table, or 16 in every byte.
    Bytes([u32; VECTOR_WORDS]),
    /// The codes less 16 so many times.
    Distances(usize),
    /// What the part with this number gives.
    Part(usize),
    /// What all parts before this one give.
    Found(usize),
}

/// Registers for a shorter lookup.
struct Free {
    /// The first of `count` for entries.
    entries: u32,
    count: u32,
    distance: u32,
    step: u32,
}

impl Program {
    /// The program with shorter lookups; their tables are behind all other data.
    pub(super) fn with_tables(mut self) -> Vec<u32> {
        let mut removed: BTreeSet<usize> = BTreeSet::new();
        let mut tables: BTreeMap<Vec<u32>, usize> = BTreeMap::new();
        let starts = 0..self.data;
        let lookups: Vec<Lookup> = starts.filter_map(|at| self.lookup(at)).collect();
        for lookup in lookups {
            let Some(free) = self.free_registers(&lookup) else { continue };
            let end = self.words.len().next_multiple_of(VECTOR_WORDS);
            let table = *tables.entry(lookup.table.clone()).or_insert(end);
            if table == end {
                self.words.resize(end, 0);
                self.words.extend(&lookup.table);
            }
            let words = lookup.words(&free, table);
            let rest = lookup.start + words.len()..lookup.end;
            self.words[lookup.start..rest.start].copy_from_slice(&words);
            removed.extend(rest);
        }
        if !removed.is_empty() {
            removed.extend(self.unread(&removed));
        }
        self.without(&removed)
    }

    /// Vectors of data that no instruction reads any more.
    fn unread(&self, removed: &BTreeSet<usize>) -> Vec<usize> {
        let mut read: BTreeSet<usize> = BTreeSet::new();
        for at in (0..self.data).filter(|at| !removed.contains(at)) {
            if let Some(place) = self.place(at).filter(|&place| place >= self.data) {
                let words = if is_address(self.words[at]) { PARTS } else { 1 } * VECTOR_WORDS;
                read.extend((place..place + words).map(|word| word / VECTOR_WORDS));
            }
        }
        let data = self.data.next_multiple_of(VECTOR_WORDS)..self.words.len();
        data.filter(|word| !read.contains(&(word / VECTOR_WORDS))).collect()
    }

    /// The lookup that starts at an instruction.
    fn lookup(&self, start: usize) -> Option<Lookup> {
        (repeated(self.words[start])? == SIXTEEN).then_some(())?;
        let mut held: BTreeMap<u32, Held> = BTreeMap::new();
        let (mut codes, mut parts) = (None, Vec::new());
        for at in start..self.data {
            if at > start && self.is_boundary(at) {
                return None;
            }
            let word = self.words[at];
            let [d, n, m] = [0, 5, 16].map(|low| (word >> low) & 31);
            if is_permutation(word) && codes.is_none() && !held.contains_key(&m) {
                codes = Some(m);
                held.insert(m, Held::Distances(0));
            }
            let result = self.held_after(at, [held.get(&n), held.get(&m)])?;
            if let (true, Some(Held::Bytes(entries))) = (is_permutation(word), held.get(&n)) {
                parts.push(*entries);
            }
            held.insert(d, result);
            if result == Held::Found(PARTS) && parts.len() == PARTS {
                let table = parts.concat();
                return Some(Lookup { start, end: at + 1, codes: codes?, result: d, table });
            }
        }
        None
    }

    /// What an instruction of a lookup gives for what its two operands hold.
    fn held_after(&self, at: usize, operands: [Option<&Held>; 2]) -> Option<Held> {
        let word = self.words[at];
        let [n, m] = operands.map(Option::<&Held>::copied);
        match (n, m) {
            _ if is_literal(word) => {
                let words = self.words.get(self.place(at)?..)?.first_chunk()?;
                Some(Held::Bytes(*words))
            }
            _ if repeated(word).is_some() => repeated(word).map(Held::Bytes),
            (Some(Held::Distances(before)), Some(Held::Bytes(SIXTEEN))) if is_difference(word) => {
                Some(Held::Distances(before + 1))
            }
            (Some(Held::Bytes(_)), Some(Held::Distances(part))) if is_permutation(word) => {
                Some(if part == 0 { Held::Found(1) } else { Held::Part(part) })
            }
            (Some(Held::Found(before)), Some(Held::Part(part)))
            | (Some(Held::Part(part)), Some(Held::Found(before)))
                if is_union(word) && part == before =>
            {
                Some(Held::Found(before + 1))
            }
            (Some(one), Some(other)) if is_union(word) && one == other => Some(one),
            _ => None,
        }
    }

    /// Registers without a value that anything behind a lookup needs, if that holds for all that it
    /// writes.
    fn free_registers(&self, lookup: &Lookup) -> Option<Free> {
        let none = BTreeSet::new();
        let is_dead = |register: u32| self.is_dead(1 << register, lookup.end, &none);
        let words = &self.words[lookup.start..lookup.end];
        let written = words.iter().fold(0, |all, &word| all | effect(word).writes);
        let is_written = |register: u32| written & 1 << register != 0;
        let own = [lookup.codes, lookup.result];
        let free: Vec<u32> = (0..32).filter(|r| !own.contains(r) && is_dead(*r)).collect();
        let others = (0..32).filter(|&r| is_written(r) && r != lookup.result);
        let leaves_nothing = others.clone().all(is_dead);
        leaves_nothing.then(|| [4, 2].into_iter().find_map(|count| Free::of(&free, count)))?
    }
}

impl Free {
    fn of(free: &[u32], count: u32) -> Option<Free> {
        let group = |first: u32| first..first + count;
        let entries =
            free.iter().copied().find(|&first| group(first).all(|r| free.contains(&r)))?;
        let mut others = free.iter().copied().filter(|r| !group(entries).contains(r));
        Some(Free { entries, count, distance: others.next()?, step: others.next()? })
    }

    /// `ld1 {entries…}, [scratch], #size`
    fn load(&self) -> u32 {
        let form = if self.count == 4 { 0x4cdf_2000 } else { 0x4cdf_a000 };
        form | SCRATCH << 5 | self.entries
    }

    /// `tbl to, {entries…}, index`, or `tbx`, which leaves what no entry is for.
    fn permutation(&self, to: u32, index: u32, extends: bool) -> u32 {
        let form = 0x4e00_0000 | u32::from(extends) << 12 | (self.count - 1) << 13;
        form | index << 16 | self.entries << 5 | to
    }
}

impl Lookup {
    /// The shorter lookup, of a table at a word of the program.
    fn words(&self, free: &Free, table: usize) -> Vec<u32> {
        let less = |from| DIFFERENCE | free.step << 16 | from << 5 | free.distance;
        let step = PARTS as u32 * free.count;
        let first = [
            address(table - self.start),
            0x4f00_e400 | (step >> 5) << 16 | (step & 31) << 5 | free.step,
            less(self.codes),
            free.load(),
            free.permutation(self.result, self.codes, false),
        ];
        let others = (1..PARTS as u32 / free.count).flat_map(|part| {
            let again = (part > 1).then_some(less(free.distance));
            let rest = [free.load(), free.permutation(self.result, free.distance, true)];
            again.into_iter().chain(rest)
        });
        first.into_iter().chain(others).collect()
    }
}

/// `sub v0.16b, v0.16b, v0.16b`
const DIFFERENCE: u32 = 0x6e20_8400;

fn is_difference(word: u32) -> bool {
    word & 0xffe0_fc00 == DIFFERENCE
}

/// `orr`, which also moves.
fn is_union(word: u32) -> bool {
    word & 0xffe0_fc00 == 0x4ea0_1c00
}

/// `tbl` of one register.
fn is_permutation(word: u32) -> bool {
    word & 0xffe0_fc00 == 0x4e00_0000
}

/// A vector of bytes that are 16.
const SIXTEEN: [u32; VECTOR_WORDS] = [0x1010_1010; VECTOR_WORDS];

/// What `movi v.16b, #byte` gives.
fn repeated(word: u32) -> Option<[u32; VECTOR_WORDS]> {
    let byte = (word >> 16 & 7) << 5 | word >> 5 & 31;
    (word & 0xfff8_fc00 == 0x4f00_e400).then_some([byte * 0x0101_0101; VECTOR_WORDS])
}

/// `ldr q, literal`
fn is_literal(word: u32) -> bool {
    word & 0xff00_0000 == 0x9c00_0000
}

fn is_address(word: u32) -> bool {
    word & 0xff00_0000 == 0x1000_0000
}

/// `adr scratch, place`, so many words from here.
fn address(words: usize) -> u32 {
    0x1000_0000 | (words as u32) << 5 | SCRATCH
}

#[cfg(test)]
mod tests {
    use super::super::shortened;
    use super::super::testing::RET;
    use super::{DIFFERENCE, PARTS, VECTOR_WORDS};

    const CODES: u32 = 17;
    /// A part whose bytes are equal.
    const REPEATED: usize = 7;

    /// `ldr v<to>, literal`
    fn literal(to: u32, words: usize) -> u32 {
        0x9c00_0000 | (words as u32) << 5 | to
    }

    fn three(form: u32, to: u32, n: u32, m: u32) -> u32 {
        form | m << 16 | n << 5 | to
    }

    /// A lookup of the codes in register 17 that gives register 18 and changes 16 and 19, then
    /// `after`, and its table.
    fn program(after: &[u32]) -> Vec<u32> {
        let length = 3 + 4 * (PARTS - 1);
        let data = (length + after.len()).next_multiple_of(VECTOR_WORDS);
        let mut words = vec![0x4f00_e610, literal(18, data - 1), three(0x4e00_0000, 18, 18, CODES)];
        for part in 1..PARTS {
            words.push(three(DIFFERENCE, CODES, CODES, 16));
            words.push(match part {
                REPEATED => 0x4f04_e513, // movi v19.16b, #0x88
                _ => literal(19, data + part * VECTOR_WORDS - words.len()),
            });
            words.push(three(0x4e00_0000, 19, 19, CODES));
            words.push(three(0x4ea0_1c00, 18, 18, 19));
        }
        words.extend(after);
        words.resize(data, 0xd503_201f);
        words.extend(table());
        words
    }

    fn table() -> Vec<u32> {
        let entries = |n: u32| match n as usize / VECTOR_WORDS {
            REPEATED => 0x8888_8888,
            _ => 0x0101_0101 * n,
        };
        (0..(PARTS * VECTOR_WORDS) as u32).map(entries).collect()
    }

    /// Instructions that read a register each.
    fn reads(registers: impl Iterator<Item = u32>) -> Vec<u32> {
        registers.map(|register| 0x3d80_0000 | register).collect()
    }

    #[test]
    fn four_registers_are_permuted_at_once() {
        let code = shortened(&program(&[0x3d80_0032, RET]));
        let lookup = [
            0x4f02_e405, // movi v5.16b, #64
            0x6e25_8624, // sub v4.16b, v17.16b, v5.16b
            0x4cdf_2200, // ld1 {v0.16b-v3.16b}, [x16], #64
            0x4e11_6012, // tbl v18.16b, {v0.16b-v3.16b}, v17.16b
            0x4cdf_2200,
            0x4e04_7012, // tbx v18.16b, {v0.16b-v3.16b}, v4.16b
            0x6e25_8484, // sub v4.16b, v4.16b, v5.16b
            0x4cdf_2200,
            0x4e04_7012,
            0x6e25_8484,
            0x4cdf_2200,
            0x4e04_7012,
            0x3d80_0032,
            RET,
        ];
        assert_eq!(code[1..15], lookup);
        // adr x16, table
        let at = (code[0] >> 5) & 0x7_ffff;
        assert_eq!(code[0], 0x1000_0010 | at << 5);
        assert_eq!(code[at as usize..], table());
    }

    #[test]
    fn two_registers_are_enough() {
        let kept =
            (0..32).filter(|r| ![4, 5, 16, 17, 18, 19, 30].contains(r) && !(8..16).contains(r));
        let after: Vec<u32> = reads(kept).into_iter().chain([0x3d80_0032, RET]).collect();
        let code = shortened(&program(&after));
        assert_eq!(code[3..5], [0x4cdf_a204, 0x4e11_2092]);
        assert!(code.len() < program(&after).len());
    }

    #[test]
    fn lookups_whose_registers_are_needed_stay() {
        for needed in [16, 17, 19] {
            let after: Vec<u32> = reads([needed].into_iter()).into_iter().chain([RET]).collect();
            let code = program(&after);
            assert_eq!(shortened(&code), code);
        }
        let all: Vec<u32> =
            reads((0..32).filter(|r| !(16..20).contains(r))).into_iter().chain([RET]).collect();
        let code = program(&all);
        assert_eq!(shortened(&code), code);
    }
}
