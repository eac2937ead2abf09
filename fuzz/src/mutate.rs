//! Mutation of byte strings, without coverage feedback.

use edgecc_ir::rng::Rng;

/// A mutated member of the corpus; random bytes where the corpus is empty.
#[must_use]
pub fn mutated(corpus: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    if corpus.is_empty() {
        return (0..8).map(|_| rng.bits() as u8).collect();
    }
    let mut bytes = corpus[rng.below(corpus.len())].clone();
    for _ in 0..rng.between(0, 6) {
        mutate(&mut bytes, corpus, rng);
    }
    bytes
}

fn mutate(bytes: &mut Vec<u8>, corpus: &[Vec<u8>], rng: &mut Rng) {
    if bytes.is_empty() {
        bytes.push(rng.bits() as u8);
        return;
    }
    let at = rng.below(bytes.len());
    let len = rng.between(1, 16).min(bytes.len() - at);
    match rng.below(7) {
        0 => bytes[at] = rng.bits() as u8,
        1 => bytes[at] ^= 1 << rng.below(8),
        2 => drop(bytes.drain(at..at + len)),
        3 => bytes.truncate(at),
        4 => bytes.splice(at..at, (0..len).map(|_| rng.bits() as u8)).for_each(drop),
        5 => bytes[at] = rng.pick(&[0, 1, 0x7f, 0x80, 0xff, b'0', b'9', b'[', b'{', b'-']),
        _ => {
            let donor = &corpus[rng.below(corpus.len())];
            let from = rng.below(donor.len().max(1)).min(donor.len());
            let piece = donor[from..(from + 4 * len).min(donor.len())].to_vec();
            drop(bytes.splice(at..at + len, piece));
        }
    }
}
