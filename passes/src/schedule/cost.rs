//! A small model of a core: cycles of one step of a register tile.
//!
//! Two multiply-adds and two loads per cycle, five instructions per cycle, a multiply-add takes
//! four cycles until its result can be added to: true within a third for current x86-64 cores and
//! for Cortex-A76; smaller cores rank tiles alike.

use edgecc_ir::target::Target;

/// A register tile: rows times vectors of accumulators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tile {
    /// Points of the axis that only one factor follows.
    pub(super) rows: u32,
    /// Vectors along the vector axis.
    pub(super) vectors: u32,
}

const LATENCY: f64 = 4.0;
const PER_CYCLE: f64 = 2.0;
const ISSUE: f64 = 5.0;
/// What a load costs even when it runs beside the multiply-adds: the smaller the core, the more.
const LOAD: f64 = 0.1;
/// Cycles to enter a tile, and to finish and store one accumulator.
const ENTRY: f64 = 12.0;
const FINISH: f64 = 2.0;

impl Tile {
    fn accumulators(self) -> f64 {
        f64::from(self.rows * self.vectors)
    }

    /// Whether the tile and its operands fit the registers: all accumulators, the vectors of one
    /// step and a broadcast per row, with two to spare; by lane a vector of steps per row stays, and
    /// the vectors of a step come one after the other. A fuller tile spills.
    fn fits(self, target: &Target) -> bool {
        let vectors = if target.fma_by_lane { 0 } else { self.vectors };
        self.rows * self.vectors + vectors + self.rows + 2 <= target.vector_regs
    }

    /// Cycles of one reduction step.
    fn step(self, target: &Target) -> f64 {
        let row_loads = f64::from(self.rows) / if target.fma_by_lane { 4.0 } else { 1.0 };
        let loads = row_loads + f64::from(self.vectors);
        let issue = (self.accumulators() + loads + 1.0) / ISSUE;
        let bound = LATENCY.max(self.accumulators() / PER_CYCLE).max(loads / PER_CYCLE).max(issue);
        bound + LOAD * loads
    }

    fn cycles(self, steps: usize, target: &Target) -> f64 {
        ENTRY + FINISH * self.accumulators() + steps as f64 * self.step(target)
    }
}

/// Cycles for `rows`×`columns` results of `steps` products each, remainders included.
fn total(
    tile: Tile,
    rows: usize,
    columns: usize,
    steps: usize,
    lanes: u32,
    target: &Target,
) -> f64 {
    let split =
        |extent: usize, size: u32| (extent / size as usize, (extent % size as usize) as u32);
    let (full_rows, rest_rows) = split(rows, tile.rows);
    let (full_columns, rest_columns) = split(columns, tile.vectors * lanes);
    let mut sum = 0.0;
    for (count_r, r) in [(full_rows, tile.rows), (1, rest_rows)] {
        for (count_c, v) in [(full_columns, tile.vectors), (1, rest_columns.div_ceil(lanes))] {
            let part = Tile { rows: r, vectors: v };
            if r > 0 && v > 0 {
                sum += (count_r * count_c) as f64 * part.cycles(steps, target);
            }
        }
    }
    sum
}

/// The cheapest tile that fits the registers; the first one of equally cheap tiles.
pub(super) fn best_tile(
    rows: usize,
    columns: usize,
    steps: usize,
    lanes: u32,
    target: &Target,
) -> Tile {
    let mut best = (f64::INFINITY, Tile { rows: 1, vectors: 1 });
    for vectors in 1..=columns.div_ceil(lanes as usize).min(12) as u32 {
        for r in 1..=rows.min(12) as u32 {
            let tile = Tile { rows: r, vectors };
            let cost = total(tile, rows, columns, steps, lanes, target);
            if tile.fits(target) && cost < best.0 {
                best = (cost, tile);
            }
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::{Tile, best_tile};
    use edgecc_ir::target::{Arch, Target};

    #[test]
    fn large_products_fill_the_registers() {
        let x86 = Target::default_for(Arch::X86_64);
        let tile = best_tile(3136, 64, 64, 4, &x86);
        assert!(tile.rows * tile.vectors >= 8, "{tile:?}");
        let arm = Target::default_for(Arch::Aarch64);
        let tile = best_tile(3136, 64, 64, 4, &arm);
        assert!(tile.rows * tile.vectors >= 16 && tile.vectors > 1, "{tile:?}");
    }

    #[test]
    fn a_single_row_uses_many_vectors() {
        let x86 = Target::default_for(Arch::X86_64);
        assert!(matches!(best_tile(1, 1000, 1280, 4, &x86), Tile { rows: 1, vectors: 5.. }));
    }
}
