//! Contractions of codes in matrix tiles: which blocks of tiles, and when they beat vectors.
//!
//! A product of two tiles takes a cycle per row of codes, and as long whatever the steps; in that
//! time two tiles could be loaded. Vectors need no memory for their sums, and no tile to be whole:
//! short sums and few rows are theirs. The rates are those of Sapphire Rapids (Intel's optimization
//! manual, chapter 20); what functions and blocks take besides is estimated.

use super::cost::{Tile, Work};
use edgecc_ir::kernel::matrix::MatrixStage;
use edgecc_ir::loops::matrix::{MOST_SUMS, TILE_ROWS, TILE_WORDS};

/// Cycles to tell the processor of a function's tiles, and to release them.
const CONFIGURE: f64 = 200.0;
/// Cycles to enter a block: the first loads, and the last product until its sums are there.
const ENTRY: f64 = 80.0;
/// Cycles to store, load and finish a vector of sums.
const FINISH: f64 = 4.0;
/// Rows of tiles that are loaded in a cycle.
const LOADS: f64 = 2.0;

/// A block of matrix tiles.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    /// Rows of a tile.
    pub(super) tile_rows: usize,
    /// Tiles along the rows.
    pub(super) high: usize,
    /// Tiles along the columns.
    pub(super) wide: usize,
}

impl Block {
    /// The same as a tile of vectors.
    pub(super) fn tile(self) -> Tile {
        Tile {
            rows: (self.tile_rows * self.high) as u32,
            vectors: self.wide as u32,
            lanes: TILE_WORDS as u32,
        }
    }
}

/// Every block of a contraction, with the cycles of the work.
pub(super) fn costs(work: Work, stage: &MatrixStage<'_>) -> Vec<(f64, Block)> {
    // The rows of all tiles alike, so that the last tile does little again.
    let tile_rows = work.rows.div_ceil(work.rows.div_ceil(TILE_ROWS));
    let blocks = (1..=MOST_SUMS)
        .flat_map(|high| (1..=MOST_SUMS / high).map(move |wide| Block { tile_rows, high, wide }));
    let columns = work.columns.div_ceil(TILE_WORDS);
    let fits = |b: &Block| b.high * b.tile_rows <= work.rows && b.wide <= columns;
    blocks.filter(fits).map(|block| (total(work, stage, block), block)).collect()
}

fn total(work: Work, stage: &MatrixStage<'_>, block: Block) -> f64 {
    let split = |all: usize, size: usize| [(all / size, size), (1, all % size)];
    let rows = work.rows.div_ceil(block.tile_rows);
    let columns = work.columns.div_ceil(TILE_WORDS);
    let mut sum = CONFIGURE / work.repeats as f64;
    for (times, high) in split(rows, block.high) {
        for (again, wide) in split(columns, block.wide) {
            if high > 0 && wide > 0 {
                let part = Block { high, wide, ..block };
                sum += (times * again) as f64 * cycles(stage, part);
            }
        }
    }
    sum
}

/// Cycles of one block.
fn cycles(stage: &MatrixStage<'_>, block: Block) -> f64 {
    let Block { tile_rows, high, wide } = block;
    let run = stage.run();
    let products = stage.runs() * run.div_ceil(TILE_WORDS);
    let words = (stage.runs() * run) as f64 / products as f64;
    let loads = (high * tile_rows) as f64 + (wide * high) as f64 * words;
    let step = ((high * wide * tile_rows) as f64).max(loads / LOADS);
    ENTRY + products as f64 * step + FINISH * (high * wide * tile_rows) as f64
}
