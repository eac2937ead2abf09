//! The machine's peak, measured in the same run as what is compared with it.

use super::timing::Bench;
use crate::Outcome;
use crate::command::{command, quiet};
use crate::paths;

/// GFLOP/s of 128-bit multiply-adds on the bench's processor.
pub(super) fn measure(bench: &Bench) -> Outcome<f64> {
    let program = bench.folder.join("peak");
    quiet(command("gcc", ["-O2", "-o"]).arg(&program).arg(paths::file("benches/peak.c")))?;
    bench.number(&mut bench.pinned(&program))
}
