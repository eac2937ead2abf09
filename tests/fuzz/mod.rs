//! Replays fixed seeds of every fuzz target; `cargo xtask fuzz` searches with others.

use edgecc_fuzz::TARGETS;
use edgecc_fuzz::mutate::mutated;
use edgecc_ir::rng::Rng;

/// Executions per target: a few seconds in all.
const RUNS: u64 = 300;

#[test]
fn no_target_finds_anything_on_the_fixed_seeds() {
    for target in TARGETS {
        let corpus = (target.corpus)();
        corpus.iter().for_each(|input| (target.run)(input));
        let mut rng = Rng::new(2024);
        (0..RUNS).for_each(|_| (target.run)(&mutated(&corpus, &mut rng)));
    }
}
