//! A small model of a core: cycles of one step of a register tile.
//!
//! Two loads per cycle, five instructions per cycle, or one and two on a core that runs them in order;
//! a multiply-add takes four cycles until its result can be added to; how many multiply-adds start
//! per cycle is the target's. True within a third for current x86-64 cores, Cortex-A76 and Cortex-A55;
//! other cores rank tiles alike.

use edgecc_ir::target::Target;

/// A register tile: rows times vectors of accumulators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tile {
    /// Points of the axis that only one factor follows.
    pub(super) rows: u32,
    /// Vectors along the vector axis.
    pub(super) vectors: u32,
    /// Lanes of each vector.
    pub(super) lanes: u32,
}

/// The results of a contraction: `rows`×`columns`, each a sum of `steps` products.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) steps: usize,
    /// How often other rows follow that use the same columns.
    pub(crate) repeats: usize,
    /// Bytes from what one row reads to what the next one does.
    pub(crate) row_bytes: usize,
    /// Codes that each row's factor holds.
    pub(crate) codes: u32,
    /// Products of a step.
    pub(crate) products: u32,
    /// What makes the vectors of a step from what is stored.
    pub(crate) decoding: Decoding,
}

/// What it takes to make a vector of a step, apart from loading it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Decoding {
    /// Instructions for all products of the step.
    pub(crate) instructions: u32,
    /// Registers for what the products share.
    pub(crate) registers: u32,
}

impl Work {
    /// A product of matrices of `rows × steps` and `steps × columns`.
    pub(crate) fn of([rows, columns, steps]: [usize; 3]) -> Work {
        Work {
            rows,
            columns,
            steps,
            repeats: 1,
            row_bytes: 4 * steps,
            codes: 1,
            products: 1,
            decoding: Decoding::default(),
        }
    }

    /// Whether its dot products are made of products in vectors of 128 bits.
    fn is_multiplied_first(self, target: &Target) -> bool {
        self.codes > 1 && target.fma_by_lane && !target.dots_add
    }
}

const LATENCY: f64 = 4.0;
/// Instructions of a dot product that is made of products, and registers for these.
const INSTRUCTIONS: f64 = 4.0;
const PRODUCTS: u32 = 2;
/// Instructions and loads that start in a cycle.
const ISSUE: f64 = 5.0;
const LOADS: f64 = 2.0;
const ISSUE_IN_ORDER: f64 = 2.0;
const LOADS_IN_ORDER: f64 = 1.0;
/// What a load costs even when it runs beside the multiply-adds: the smaller the core, the more.
const LOAD: f64 = 0.1;
/// Cycles to enter a tile, and to finish and store one accumulator.
const ENTRY: f64 = 12.0;
const FINISH: f64 = 2.0;
/// Bytes that arrive per cycle from the first-level cache, the second and beyond.
const L1_RATE: f64 = 64.0;
const L2_RATE: f64 = 24.0;
const FAR_RATE: f64 = 12.0;
/// Lines of the first-level cache whose addresses differ by a multiple of its share for each, and
/// cycles of a load whose line had to leave for another row's.
const WAYS: usize = 8;
const EVICTED: f64 = 2.0;
/// Cycles that a vector takes besides its arithmetic.
const VECTOR: f64 = 0.25;
/// Rows and vectors of the largest tiles that are tried.
const MOST_ROWS: usize = 14;
const MOST_VECTORS: usize = 12;

/// The number of lanes that covers `extent` points soonest; the wider one of two
/// that are equal.
pub(super) fn best_lanes(extent: usize, target: &Target) -> Option<u32> {
    let cycles = |lanes: u32| {
        let vectors = extent.div_ceil(lanes as usize) as f64;
        vectors * (VECTOR + 1.0 / target.fma_per_cycle(32 * lanes))
    };
    lane_counts(extent, target).min_by(|&a, &b| cycles(a).total_cmp(&cycles(b)))
}

/// Lanes of 32 bits that make sense along an axis, most first: up to the first power of two that
/// covers it. None where not even the smallest vector is full.
fn lane_counts(extent: usize, target: &Target) -> impl Iterator<Item = u32> {
    let widest = target.lanes(4).min(extent.next_power_of_two() as u32);
    let widest = if extent < SMALLEST as usize { 0 } else { widest };
    std::iter::successors(Some(widest), |lanes| Some(lanes / 2)).take_while(|&l| l >= SMALLEST)
}

/// Lanes of the smallest vectors.
const SMALLEST: u32 = 4;

impl Tile {
    fn accumulators(self) -> f64 {
        f64::from(self.rows * self.vectors)
    }

    /// Whether the tile and its operands fit the registers. Vectors of 128 bits have a broadcast per
    /// row, with two registers to spare; by lane a vector of steps per row stays, and the vectors of
    /// a step come in pairs, or one by one, of which one arrives ahead. There a word of codes is
    /// copied to all lanes, once for each pair, and takes a register until the copy is found to be
    /// needless; where dot products are made of products, the copy stays, beside these and all vectors
    /// of a step. Wider vectors share one register for the broadcasts, and one for dot products that
    /// are added apart.
    fn fits(self, work: Work, target: &Target) -> bool {
        let copies = u32::from(target.fma_by_lane && work.codes > 1);
        let arriving = u32::from(target.runs_in_order());
        if work.is_multiplied_first(target) {
            let operands = self.vectors + self.rows + 1 + PRODUCTS + arriving;
            return self.rows * self.vectors + operands < target.vector_regs;
        }
        if copies > 0 && self.vectors > 1 && !self.vectors.is_multiple_of(2) {
            return false;
        }
        let vectors = if target.fma_by_lane { copies } else { self.vectors };
        let decoding = self.vectors * work.decoding.registers;
        let operands = self.rows * self.vectors + vectors + decoding + arriving;
        let registers = target.registers(32 * self.lanes);
        match 32 * self.lanes {
            0..=128 => operands + self.rows + 2 <= registers,
            _ => operands + u32::from(work.codes > 1 && !target.dots_add) < registers,
        }
    }

    /// Cycles of one reduction step; the vectors come at `rate` bytes per cycle.
    fn step(self, work: Work, rate: f64, target: &Target) -> f64 {
        let [issue, most_loads] = match target.runs_in_order() {
            true => [ISSUE_IN_ORDER, LOADS_IN_ORDER],
            false => [ISSUE, LOADS],
        };
        let products = f64::from(work.products);
        let row_loads =
            products * f64::from(self.rows) / if target.fma_by_lane { 4.0 } else { 1.0 };
        let multiply_adds = products * self.accumulators();
        let per_cycle = target.fma_per_cycle(32 * self.lanes);
        let loads = row_loads + f64::from(self.vectors) * (most_loads / per_cycle.min(most_loads));
        let decoding = f64::from(self.vectors * work.decoding.instructions);
        let [multiplied, copied] = match work.is_multiplied_first(target) {
            true => [INSTRUCTIONS * multiply_adds, f64::from(self.rows)],
            false => [multiply_adds, 0.0],
        };
        let arithmetic = multiplied + copied + decoding;
        let started = arithmetic + row_loads + f64::from(self.vectors) + 1.0;
        let stream = f64::from(4 * self.vectors * self.lanes) / rate;
        let bounds = [arithmetic / per_cycle, loads / most_loads, started / issue, stream];
        bounds.into_iter().fold(products * LATENCY, f64::max) + LOAD * loads
    }

    /// Bytes per cycle at which the vectors come: those of one block stay near for the next tile
    /// of rows, where there is one.
    fn rate(self, work: Work, target: &Target) -> f64 {
        let block = (self.vectors * self.lanes) as usize;
        let is_used_again = work.rows * work.repeats > self.rows as usize;
        let kept = if is_used_again { block } else { work.columns };
        match 8 * work.steps * kept {
            bytes if bytes <= target.l1_bytes => L1_RATE,
            bytes if bytes <= target.l2_bytes => L2_RATE,
            _ => FAR_RATE,
        }
    }

    /// Rows whose lines a step finds gone, because those of other rows are stored in their places.
    fn evicted(self, row_bytes: usize, target: &Target) -> f64 {
        let way = target.l1_bytes / WAYS;
        let places = (1..=MOST_ROWS).find(|n| (n * row_bytes).is_multiple_of(way));
        let per_place = (self.rows as usize).div_ceil(places.unwrap_or(MOST_ROWS));
        per_place.saturating_sub(WAYS) as f64
    }

    fn cycles(self, work: Work, rate: f64, target: &Target) -> f64 {
        let step = self.step(work, rate, target) + EVICTED * self.evicted(work.row_bytes, target);
        ENTRY + FINISH * self.accumulators() + work.steps as f64 * step
    }

    /// Cycles of all the work, remainders included.
    fn total(self, work: Work, target: &Target) -> f64 {
        let split =
            |extent: usize, size: u32| (extent / size as usize, (extent % size as usize) as u32);
        let (full_rows, rest_rows) = split(work.rows, self.rows);
        let (full_columns, rest_columns) = split(work.columns, self.vectors * self.lanes);
        let rate = self.rate(work, target);
        let mut sum = 0.0;
        for (count_r, rows) in [(full_rows, self.rows), (1, rest_rows)] {
            for (count_c, vectors) in
                [(full_columns, self.vectors), (1, rest_columns.div_ceil(self.lanes))]
            {
                let part = Tile { rows, vectors, lanes: self.lanes };
                if rows > 0 && vectors > 0 {
                    sum += (count_r * count_c) as f64 * part.cycles(work, rate, target);
                }
            }
        }
        sum
    }
}

/// Cycles of all the work in the cheapest tiles, or one result at a time.
pub(crate) fn best_cycles(work: Work, target: &Target) -> f64 {
    let alone = (work.rows * work.columns * work.steps) as f64;
    costs(work, target).map(|cost| cost.0).reduce(f64::min).unwrap_or(alone)
}

/// Every tile that fits the registers, with the cycles of the work.
pub(super) fn costs(work: Work, target: &Target) -> impl Iterator<Item = (f64, Tile)> {
    let lanes = lane_counts(work.columns, target);
    let tiles = lanes.flat_map(move |lanes| {
        let vectors = 1..=work.columns.div_ceil(lanes as usize).min(MOST_VECTORS) as u32;
        vectors.flat_map(move |vectors| {
            let rows = 1..=work.rows.min(MOST_ROWS) as u32;
            rows.map(move |rows| Tile { rows, vectors, lanes })
        })
    });
    tiles.filter(move |t| t.fits(work, target)).map(move |t| (t.total(work, target), t))
}

#[cfg(test)]
mod tests {
    use super::{Decoding, Tile, Work, best_lanes, costs};
    use edgecc_ir::target::{Arch, Cpu, Target};

    fn target(name: &str) -> Target {
        Cpu::named(name).expect("a row").target()
    }

    fn best_tile(work: Work, target: &Target) -> Option<Tile> {
        costs(work, target).min_by(|a, b| a.0.total_cmp(&b.0)).map(|best| best.1)
    }

    fn tile(rows: usize, columns: usize, steps: usize, target: &Target) -> Tile {
        best_tile(Work::of([rows, columns, steps]), target).expect("a tile")
    }

    #[test]
    fn large_products_fill_the_registers() {
        for (cpu, accumulators) in [("x86-64-v2", 8), ("x86-64-v3", 10), ("x86-64-v4", 24)] {
            let tile = tile(3136, 64, 64, &target(cpu));
            assert!(tile.rows * tile.vectors >= accumulators, "{cpu}: {tile:?}");
        }
        let tile = tile(3136, 64, 64, &Target::default_for(Arch::Aarch64));
        assert!(tile.rows * tile.vectors >= 16 && tile.vectors > 1, "{tile:?}");
    }

    #[test]
    fn words_by_lane_leave_a_register_for_their_copies() {
        let target = target("neoverse-n1");
        let work = Work { codes: 4, ..Work::of([49, 960, 40]) };
        let tile = best_tile(work, &target).expect("a tile");
        assert!(tile.vectors.is_multiple_of(2), "{tile:?}");
        assert!(tile.rows * (tile.vectors + 1) + 3 <= target.vector_regs, "{tile:?}");
    }

    #[test]
    fn vectors_that_take_long_to_make_serve_many_rows() {
        let target = target("x86-64-v4");
        let plain = Work::of([128, 384, 768]);
        let decoding = Decoding { instructions: 9, registers: 2 };
        let made = Work { products: 2, decoding, ..plain };
        let [plain, made] = [plain, made].map(|work| best_tile(work, &target).expect("a tile"));
        assert!(made.rows >= plain.rows && made.vectors <= plain.vectors, "{made:?} {plain:?}");
        assert!(made.rows * made.vectors + 3 * made.vectors < target.registers(512), "{made:?}");
    }

    #[test]
    fn a_single_row_uses_many_vectors() {
        let tile = tile(1, 1000, 1280, &Target::default_for(Arch::X86_64));
        assert!(matches!(tile, Tile { rows: 1, vectors: 5.., .. }), "{tile:?}");
    }

    #[test]
    fn columns_that_other_rows_use_again_come_in_wide_vectors() {
        let work = Work { repeats: 7, ..Work::of([7, 512, 4608]) };
        let tile = best_tile(work, &target("znver4")).expect("a tile");
        assert_eq!((tile.rows, tile.lanes), (7, 16), "{tile:?}");
    }

    #[test]
    fn rows_that_a_cache_stores_in_one_place_evict_each_other() {
        let tile = Tile { rows: 14, vectors: 2, lanes: 16 };
        let evicted = [4096, 2048, 4000].map(|apart| tile.evicted(apart, &target("znver4")));
        assert_eq!(evicted, [6.0, 0.0, 0.0]);
    }

    #[test]
    fn lanes_cover_an_axis_without_waste_where_narrow_vectors_cost_less() {
        let lanes = |extent, cpu| best_lanes(extent, &target(cpu));
        assert_eq!(lanes(24, "x86-64-v4"), Some(16));
        assert_eq!(lanes(24, "znver4"), Some(8));
        assert_eq!(lanes(32, "znver4"), Some(16));
        assert_eq!(lanes(5, "x86-64-v3"), Some(8));
        assert_eq!((lanes(5, "generic"), lanes(3, "generic")), (Some(4), None));
    }
}
