//! `edgecc-fuzz TARGET [--runs N] [--seed S]`: runs a target on random inputs, without coverage.

use edgecc_fuzz::mutate::mutated;
use edgecc_fuzz::{FuzzTarget, TARGETS, target};
use edgecc_ir::rng::Rng;
use std::panic::catch_unwind;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str, default: u64| {
        let at = args.iter().position(|a| a == name);
        at.and_then(|at| args.get(at + 1)).map_or(Some(default), |value| value.parse().ok())
    };
    let chosen = args.first().and_then(|name| target(name));
    match (chosen, number("--runs", 100_000), number("--seed", 1)) {
        (Some(target), Some(runs), Some(seed)) => fuzz(target, runs, seed),
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: edgecc-fuzz TARGET [--runs 100000] [--seed 1]");
    TARGETS.iter().for_each(|t| eprintln!("  {:<14} finds that {}", t.name, t.doc));
    ExitCode::from(2)
}

/// Runs until the first finding, whose input is saved.
fn fuzz(target: &FuzzTarget, runs: u64, seed: u64) -> ExitCode {
    let corpus = (target.corpus)();
    let mut rng = Rng::new(seed);
    for run in 0..runs {
        let input = mutated(&corpus, &mut rng);
        if catch_unwind(|| (target.run)(&input)).is_err() {
            let file = format!("{}-{seed}-{run}.bin", target.name);
            let saved = std::fs::write(&file, &input);
            eprintln!("{}: finding at run {run}, input in {file} ({saved:?})", target.name);
            return ExitCode::FAILURE;
        }
    }
    println!("{}: {runs} runs from seed {seed}, no finding", target.name);
    ExitCode::SUCCESS
}
