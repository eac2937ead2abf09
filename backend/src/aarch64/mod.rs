//! AArch64 machine code → the same with fewer instructions, which Cranelift does not select: vectors
//! that are copies of a lane go where an instruction takes the lane itself (`lanes`), products and
//! their sums become one (`sums`), in the registers of what they are added to (`in_place`), as do
//! what rounds and what converts (`rounds`), two loads or stores of neighbouring places one of a pair
//! (`pairs`), where that is faster; lookups permute several registers at once (`tables`).
//!
//! Code that contains what is not known here stays as it is. Encodings: Arm Architecture Reference
//! Manual for A-profile, C4.1.

mod effect;
mod in_place;
mod lanes;
mod life;
mod pairs;
mod program;
mod rounds;
mod sums;
mod tables;
#[cfg(test)]
mod testing;

use edgecc_ir::target::Target;
use program::Program;

/// Bytes of an instruction.
const WORD: usize = 4;

/// The shorter code of a function without relocations for a target.
pub(crate) fn shorten(code: Vec<u8>, target: &Target) -> Vec<u8> {
    let words: Vec<u32> = code
        .chunks_exact(WORD)
        .map(|word| u32::from_le_bytes(word.try_into().expect("four bytes")))
        .collect();
    let steps: [fn(Program) -> Vec<u32>; 4] = [
        Program::with_lanes,
        Program::with_sums_in_place,
        Program::with_sums,
        Program::with_rounds,
    ];
    let pairs: Option<fn(Program) -> Vec<u32>> = target.loads_pairs().then_some(Program::paired);
    let shorter = |words: Vec<u32>, step: fn(Program) -> Vec<u32>| Program::of(&words).map(step);
    let tables: fn(Program) -> Vec<u32> = Program::with_tables;
    match steps.into_iter().chain(pairs).chain([tables]).try_fold(words, shorter) {
        Some(words) => words.into_iter().flat_map(u32::to_le_bytes).collect(),
        None => code,
    }
}

/// Makes what unit tests say about words from what is done to bytes.
#[cfg(test)]
fn shortened(words: &[u32]) -> Vec<u32> {
    let target = Target::default_for(edgecc_ir::target::Arch::Aarch64);
    let bytes = shorten(words.iter().flat_map(|word| word.to_le_bytes()).collect(), &target);
    let word = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().expect("four bytes"));
    bytes.chunks_exact(WORD).map(word).collect()
}
