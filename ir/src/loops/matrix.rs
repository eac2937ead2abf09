//! Sums of dot products over blocks of rows and columns, as matrix tiles make them.
//!
//! A tile has up to 16 rows of 64 bytes. One instruction multiplies a tile of codes, whose rows are
//! those of the result and hold words of consecutive steps, with a tile of words, whose rows are
//! steps and whose columns are those of the result, and adds the sums to a tile of them.

use super::{IndexId, LoopFn, ParamId};
use crate::affine::Affine;
use crate::scalar::func::ScalarFn;
use smallvec::SmallVec;

/// The most rows of a tile.
pub const TILE_ROWS: usize = 16;
/// Words of a row of a tile: columns of a tile of sums, and steps in a tile of codes.
pub const TILE_WORDS: usize = 16;
/// The most tiles of sums that a block has: half of the tiles that there are.
pub const MOST_SUMS: usize = 4;

/// For each row and each column of a block, `to = Σ dot(codes, words, 0)` over all steps.
///
/// The indices of the rows and of the steps belong to this statement alone. `to` moves with the
/// rows, `codes` with rows and steps, `words` with steps; columns lie next to each other in `to` and
/// in `words`. What is stored is not read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MatrixSum {
    /// The rows of the block.
    pub row: IndexId,
    /// Rows of a tile; they divide those of the block.
    pub tile_rows: u8,
    /// The steps of the sum, outermost first. The last index counts consecutive words of codes.
    pub steps: SmallVec<[IndexId; 3]>,
    /// Columns of the block.
    pub columns: u8,
    /// What multiplies two words.
    pub dot: ScalarFn,
    /// The first factor: codes of 8 bits, of which each step takes a word.
    pub codes: Place,
    /// The second factor: words.
    pub words: Place,
    /// The sums, `i32`.
    pub to: Place,
}

/// A place in a parameter: one index per dimension.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The buffer.
    pub param: ParamId,
    /// One index per dimension.
    pub index: Vec<Affine<IndexId>>,
}

/// The tiles of a function's matrix sums, which a processor is told once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiles {
    /// Rows of the tiles of codes and of sums.
    pub rows: usize,
    /// Steps of a whole tile of codes, and of the last one where that has fewer.
    pub steps: usize,
    /// Steps of the last tile where it has fewer; else 0.
    pub rest: usize,
}

impl MatrixSum {
    /// The three places, with whether they are stored to.
    #[must_use]
    pub fn places(&self) -> [(&Place, bool); 3] {
        [(&self.codes, false), (&self.words, false), (&self.to, true)]
    }

    /// The indices that belong to the statement, that of the rows first.
    pub fn indices(&self) -> impl Iterator<Item = IndexId> + '_ {
        std::iter::once(self.row).chain(self.steps.iter().copied())
    }

    /// Whether the statement loads from or stores to a parameter.
    #[must_use]
    pub fn touches(&self, param: ParamId) -> bool {
        self.places().iter().any(|(place, _)| place.param == param)
    }

    /// The tiles that the statement needs.
    #[must_use]
    pub fn tiles(&self, func: &LoopFn) -> Tiles {
        let steps = self.steps.last().map_or(1, |&last| func.indices[last]);
        let rest = if steps > TILE_WORDS { steps % TILE_WORDS } else { 0 };
        Tiles { rows: self.tile_rows.into(), steps: steps.min(TILE_WORDS), rest }
    }
}
