//! Tables of codes for the permutations of x86-64, which take the low four bits of an index in each
//! 16 bytes of a vector and give zero for a negative one.
//!
//! The table is divided into parts, one for each 16 bytes of a vector, which hold the code's distance
//! from the part's first code. A step permutes by the distance plus `start` and 16 for each step
//! before, saturated: for codes outside the part, and from some step on for all others, that is
//! negative. What steps give, exclusive-or'ed, is the entry, since a step's bytes are the difference
//! of those 16 entries where it is the last one from the next ones.

use edgecc_ir::scalar::table::{CODES, Table};

/// Entries that one permutation chooses from, and codes of a vector.
pub(crate) const ENTRIES: usize = 16;

/// What is added to distances before the first step.
pub(crate) fn start(parts: usize) -> u8 {
    (CODES / 2 - CODES / parts) as u8
}

/// The bytes of each step, for all parts after each other; at least two parts.
pub(crate) fn steps(table: &Table, parts: usize) -> Vec<Vec<u8>> {
    let count = CODES / ENTRIES / parts;
    let entry = |part: usize, step: usize, n: usize| {
        let at =
            |step: usize| table.codes()[part * (CODES / parts) + (count - 1 - step) * ENTRIES + n];
        if step == 0 { at(0) } else { at(step) ^ at(step - 1) }
    };
    let bytes = |step: usize| {
        let all = (0..parts).flat_map(|part| (0..ENTRIES).map(move |n| (part, n)));
        all.map(|(part, n)| entry(part, step, n)).collect()
    };
    (0..count).map(bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::{ENTRIES, start, steps};
    use edgecc_ir::scalar::table::{CODES, Table};
    use edgecc_ir::types::ElemType;

    #[test]
    fn steps_give_the_entry_of_every_code() {
        let table = Table::new(ElemType::U8, |bits| bits.wrapping_mul(37) ^ bits >> 3);
        for parts in [2, 4] {
            let steps = steps(&table, parts);
            for code in 0..=u8::MAX {
                let mut found = 0;
                for part in 0..parts {
                    let distance = code.wrapping_sub((part * CODES / parts) as u8);
                    let mut index = distance.saturating_add(start(parts));
                    for step in &steps {
                        if index < 128 {
                            found ^= step[part * ENTRIES + usize::from(index) % ENTRIES];
                        }
                        index = index.saturating_add(ENTRIES as u8);
                    }
                }
                assert_eq!(found, table.codes()[usize::from(code)], "{code} of {parts} parts");
            }
        }
    }
}
