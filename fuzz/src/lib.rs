//! # Room: edgecc-fuzz
//!
//! Purpose   finds programs on which the levels of the compiler disagree, and inputs that break it.
//! In → Out  a seed or bytes → nothing, or a panic that names the guilty level.
//! Owns      the generators of random valid programs, mutation of texts and models.
//! Never     a dependency of a shipped crate.
//! To add    a target: one file with `pub fn run(data: &[u8])` and one row in `TARGETS`.
//! Tests     `tests/fuzz.rs` at the top level replays fixed seeds.

pub mod differential;
pub mod graphs;
pub mod import;
pub mod mutate;
pub mod planner;
pub mod text;

/// A fuzz target: any bytes may be given, a panic is a finding.
#[derive(Debug)]
pub struct FuzzTarget {
    /// Name on the command line.
    pub name: &'static str,
    /// What a finding means.
    pub doc: &'static str,
    /// Runs one input.
    pub run: fn(&[u8]),
    /// Inputs worth mutating; empty where any bytes are as good.
    pub corpus: fn() -> Vec<Vec<u8>>,
}

/// Every target.
pub const TARGETS: &[FuzzTarget] = &[
    FuzzTarget {
        name: "import_onnx",
        doc: "the importer panics or accepts an ill-typed model",
        run: import::run,
        corpus: import::corpus,
    },
    FuzzTarget {
        name: "parse_text",
        doc: "the text parser panics or does not print back what it read",
        run: text::run,
        corpus: text::corpus,
    },
    FuzzTarget {
        name: "differential",
        doc: "evaluator, kernels, loops and native code disagree on a random graph",
        run: differential::run,
        corpus: Vec::new,
    },
    FuzzTarget {
        name: "planner",
        doc: "the memory plan of a random program is wrong",
        run: planner::run,
        corpus: Vec::new,
    },
];

/// The target with this name.
#[must_use]
pub fn target(name: &str) -> Option<&'static FuzzTarget> {
    TARGETS.iter().find(|t| t.name == name)
}

/// A generator seeded by all of `data`, so that every byte matters.
#[must_use]
pub fn rng_of(data: &[u8]) -> edgecc_ir::rng::Rng {
    let fold = |seed: u64, &byte: &u8| (seed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    edgecc_ir::rng::Rng::new(data.iter().fold(0xcbf2_9ce4_8422_2325, fold))
}
