//! How a convolution is divided into tiles and blocks, and what that costs.

use super::points::{TAPS, sizes};
use super::site::Site;
use crate::schedule::cost::{Work, best_cycles};
use edgecc_ir::kernel::{Kernel, Outside};
use edgecc_ir::target::Target;
use edgecc_ir::types::{ElemType, TensorType};

/// A division of a convolution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tiling {
    /// Results of a tile along the outer and the inner dimension.
    pub(super) tile: [usize; 2],
    /// Extents of the result: all of its rows, the rows of a block, the columns.
    pub(super) height: usize,
    pub(super) rows: usize,
    pub(super) width: usize,
    /// Channels of the image, of the result, and of a block of the result.
    pub(super) from: usize,
    pub(super) all_to: usize,
    pub(super) to: usize,
    /// Images.
    pub(super) batch: usize,
}

/// Cycles of a vector of a transform: its share of the loads, of the arithmetic, and its store.
const TRANSFORM: f64 = 2.0;
/// Bytes per cycle from the second-level cache, from the one beyond it, and from memory.
const NEAR: f64 = 24.0;
const FAR: f64 = 24.0;
const MEMORY: f64 = 5.5;
/// Weights of a model, in bytes, that stay in the last cache from run to run.
const KEPT: usize = 16 << 20;
/// Of the shorter one of arithmetic and streaming, what the longer one does not hide.
const SHOWN: f64 = 0.3;
/// The same for sums of all taps, which are long and read weights in one order.
const SHOWN_DIRECT: f64 = 0.05;
/// Blocks of channels that are tried; each transforms the image again.
const CHANNEL_BLOCKS: [usize; 3] = [1, 2, 4];
/// Numbers of threads that a division should serve.
const THREADS: [usize; 2] = [1, 2];
/// Cycles that a byte must save which the transforms add to the weights: the first run takes some
/// 0.6 to page one in, and memory is short.
const PAGE: f64 = 0.12;
/// What the transforms must save to be worth their memory.
const WORTH: f64 = 0.9;

/// What a convolution runs on.
#[derive(Clone, Copy)]
pub(super) struct Machine<'a> {
    target: &'a Target,
    /// Bytes per cycle at which weights arrive that are used for the first time in a run.
    arrival: f64,
}

impl<'a> Machine<'a> {
    /// For a model with so many bytes of weights.
    pub(super) fn of(target: &'a Target, weights: usize) -> Machine<'a> {
        Machine { target, arrival: if weights > KEPT { MEMORY } else { FAR } }
    }
}

impl Tiling {
    /// The best division of a convolution, if that is faster than sums of all its taps. Transforms
    /// run along channels, which must fill vectors.
    pub(super) fn of(kernel: &Kernel, site: &Site, machine: Machine<'_>) -> Option<Tiling> {
        let target = machine.target;
        let direct = direct_cycles(kernel, site, machine);
        let is_wide = |axis| kernel.extent(axis) >= target.lanes(4) as usize;
        let all = Tiling::all(kernel, site).filter(|_| is_wide(site.from) && is_wide(site.to));
        let faster = all.filter(|t| t.cycles(1, machine) < WORTH * direct);
        let score = |t: &Tiling| THREADS.iter().map(|&n| t.cycles(n, machine) * n as f64).sum();
        let scored: Vec<(f64, Tiling)> = faster.map(|t| (score(&t), t)).collect();
        scored.into_iter().min_by(|a, b| a.0.total_cmp(&b.0)).map(|best| best.1)
    }

    /// Every division that may be worth it. Of an image without pads no tile may be read in part.
    pub(super) fn all(kernel: &Kernel, site: &Site) -> impl Iterator<Item = Tiling> {
        let [height, width] = site.slides.map(|s| kernel.extent(s.out));
        let (from, all_to) = (kernel.extent(site.from), kernel.extent(site.to));
        let batch = site.batch.iter().map(|&a| kernel.extent(a)).product();
        let tiles = sizes().flat_map(|a| sizes().map(move |b| [a, b]));
        let image = &kernel.stages[0].reads[site.image];
        let open = image.outside == Outside::Never;
        tiles.filter(move |t| !open || width.is_multiple_of(t[1])).flat_map(move |tile| {
            let fits = move |r: usize| !open || r.is_multiple_of(tile[0]);
            let rows = (1..=height).filter(move |&r| height.is_multiple_of(r) && fits(r));
            rows.flat_map(move |rows| {
                let blocks = CHANNEL_BLOCKS.into_iter().filter(move |b| all_to.is_multiple_of(*b));
                blocks.map(move |blocks| {
                    let to = all_to / blocks;
                    Tiling { tile, height, rows, width, from, all_to, to, batch }
                })
            })
        })
    }

    /// Points of a transform along one dimension.
    pub(super) fn points(&self, dim: usize) -> usize {
        self.tile[dim] + TAPS - 1
    }

    pub(super) fn all_points(&self) -> usize {
        self.points(0) * self.points(1)
    }

    /// Rows and columns of the tiles of a block.
    pub(super) fn tile_rows(&self) -> usize {
        self.rows.div_ceil(self.tile[0])
    }

    pub(super) fn columns(&self) -> usize {
        self.width.div_ceil(self.tile[1])
    }

    pub(super) fn tiles(&self) -> usize {
        self.tile_rows() * self.columns()
    }

    /// Rows of the image that the tiles of a block need.
    pub(super) fn image_rows(&self) -> usize {
        self.tile_rows() * self.tile[0] + TAPS - 1
    }

    pub(super) fn row_blocks(&self) -> usize {
        self.height / self.rows
    }

    pub(super) fn channel_blocks(&self) -> usize {
        self.all_to / self.to
    }

    /// Of the transformed weights.
    pub(super) fn weights_type(&self) -> TensorType {
        let dims = [self.channel_blocks(), self.all_points(), self.from, self.to];
        TensorType::new(ElemType::F32, &dims)
    }

    /// Elements of what a block keeps: the image along one dimension and both, the sums, and those
    /// along one dimension.
    fn kept(&self) -> [usize; 4] {
        let columns = self.points(1) * self.image_rows() * self.columns() * self.from;
        let rows = self.tile[0] * self.points(1) * self.tiles() * self.to;
        let spectra = self.all_points() * self.tiles();
        [columns, spectra * self.from, spectra * self.to, rows]
    }

    /// Cycles until the last of some threads is done, and what more weights are worth.
    fn cycles(&self, threads: usize, machine: Machine<'_>) -> f64 {
        let blocks = self.batch * self.row_blocks() * self.channel_blocks();
        let turns = blocks.div_ceil(threads);
        let weights = 4 * self.all_points() * self.from * self.all_to;
        let streamed = stream_cycles(weights, turns * (weights / self.channel_blocks()), machine);
        let more = weights - 4 * TAPS * TAPS * self.from * self.all_to;
        let arithmetic = turns as f64 * self.block_cycles(machine.target);
        overlapped(arithmetic, streamed, SHOWN) + PAGE * more as f64
    }

    /// Of the products and transforms of a block; each transform reads what another one has written.
    fn block_cycles(&self, target: &Target) -> f64 {
        let products = best_cycles(Work::of([self.tiles(), self.to, self.from]), target);
        let results = self.rows * self.width * self.to;
        let elements: usize = self.kept().iter().sum::<usize>() - self.kept()[2] + results;
        let vectors = elements as f64 / f64::from(target.lanes(4));
        let kept = 4 * self.kept().iter().sum::<usize>();
        let near = if kept > target.l1_bytes { 3 * kept } else { 0 };
        let far = 2 * kept.saturating_sub(target.l2_bytes);
        let moved = near as f64 / NEAR + far as f64 / FAR;
        self.all_points() as f64 * products + vectors * TRANSFORM + moved
    }
}

/// Cycles to read some bytes of weights, if those do not stay in the second-level cache: each as they
/// arrive the first time.
fn stream_cycles(weights: usize, bytes: usize, machine: Machine<'_>) -> f64 {
    let first = bytes.min(weights);
    match weights > machine.target.l2_bytes / 2 {
        true => first as f64 / machine.arrival + (bytes - first) as f64 / FAR,
        false => 0.0,
    }
}

/// Cycles of arithmetic and of streaming at the same time.
fn overlapped(arithmetic: f64, streamed: f64, shown: f64) -> f64 {
    arithmetic.max(streamed) + shown * arithmetic.min(streamed)
}

/// Cycles of the sums of all taps.
fn direct_cycles(kernel: &Kernel, site: &Site, machine: Machine<'_>) -> f64 {
    let [rows, columns] = site.slides.map(|s| kernel.extent(s.out));
    let (from, to) = (kernel.extent(site.from), kernel.extent(site.to));
    let images: usize = site.batch.iter().map(|&a| kernel.extent(a)).product();
    let steps = TAPS * TAPS * from;
    let repeats = images * rows;
    let work = Work { repeats, row_bytes: 4 * from, ..Work::of([columns, to, steps]) };
    let weights = 4 * steps * to;
    let streamed = stream_cycles(weights, weights, machine);
    overlapped(repeats as f64 * best_cycles(work, machine.target), streamed, SHOWN_DIRECT)
}
