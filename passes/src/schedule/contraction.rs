//! Sums of products in which one factor (the weights) follows the vector axis and the other (the
//! activations) does not: matrix products and convolutions with channels innermost.
//!
//! A register tile of `rows × vectors` accumulators stays in registers over the whole reduction;
//! each step loads `vectors` vectors of weights and broadcasts `rows` activations. Constant weights
//! are packed so that these loads are consecutive, others are copied where enough rows use the copy.
//! Of the loops over rows and over the vector axis
//! that one goes outside which moves fewer bytes through the first-level cache; axes that both
//! factors follow (batch, groups) go outermost. Rows whose window leaves the
//! input are peeled, so that the interior needs no tests.

use super::cost::{self, Decoding, Tile, Work};
use super::facts;
use super::matrix::{self, Block};
use edgecc_ir::kernel::matrix::MatrixStage;
use edgecc_ir::kernel::schedule::{Pack, Schedule};
use edgecc_ir::kernel::{Access, AxisId, Kernel, Outside, Stage, Unit};
use edgecc_ir::scalar::NodeId;
use edgecc_ir::target::Target;
use std::collections::BTreeSet;
use std::ptr;

/// Reduction loops up to this extent are unrolled completely.
const SHORT: usize = 8;
/// Longer ones until an iteration has this many multiply-adds, but no more than `MOST_STEPS` times.
const PER_ITERATION: u32 = 48;
const MOST_STEPS: u32 = 4;
/// Steps of an iteration where one load serves several of them.
const STEPS_BY_LANE: [u32; 3] = [16, 8, 4];
/// Vectors that the instructions for pairs of them reach from one pointer.
const IN_REACH: u32 = 64;

/// A copy pays from one row on for so many steps of the sum, and whatever the steps from the rows on
/// that the longest sum needs.
const STEPS_PER_ROW: usize = 6;
const LONG_SUM: usize = 384;

struct Roles<'k> {
    /// What the factors read: at first a number or a word of codes, then what decodes it.
    weights: Vec<&'k Access>,
    activations: Vec<&'k Access>,
    shared: Vec<AxisId>,
    rows: Vec<AxisId>,
}

pub(super) fn plan(kernel: &Kernel, target: &Target) -> Option<Schedule> {
    let product = Product::of(kernel, target)?;
    product.ways(target).first().map(|way| product.way(*way, target))
}

/// The plans for all tiles that fit the registers, the best of them first.
pub(crate) fn plans(kernel: &Kernel, target: &Target) -> Vec<Schedule> {
    let Some(product) = Product::of(kernel, target) else { return Vec::new() };
    product.ways(target).into_iter().map(|way| product.way(way, target)).collect()
}

/// Cycles that matrix tiles save over vectors, where the target has them and the sums suit them.
pub(crate) fn cycles_saved_in_tiles(kernel: &Kernel, target: &Target) -> Option<f64> {
    let product = Product::of(kernel, target)?;
    let (stage, work) = (product.in_matrix(target)?, product.work());
    let in_tiles = matrix::costs(work, &stage).into_iter().map(|cost| cost.0).reduce(f64::min)?;
    let vectors = cost::best_cycles(work, target);
    Some((vectors - in_tiles) * work.repeats as f64)
}

/// A way to compute a tile's sums.
#[derive(Clone, Copy)]
enum Way {
    Vectors(Tile),
    Matrix(Block),
}

/// A stage that this strategy runs.
struct Product<'k> {
    kernel: &'k Kernel,
    stage: &'k Stage,
    vector: AxisId,
    roles: Roles<'k>,
}

impl<'k> Product<'k> {
    fn of(kernel: &'k Kernel, target: &Target) -> Option<Product<'k>> {
        let [stage] = kernel.stages.as_slice() else { return None };
        let factors = facts::product_sum(stage)?;
        let (vector, _) = facts::vector_axis(kernel, stage, target)?;
        Some(Product { kernel, stage, vector, roles: roles(kernel, stage, factors, vector)? })
    }

    /// The axis along which a tile has rows.
    fn row_axis(&self) -> Option<AxisId> {
        self.roles.rows.last().copied()
    }

    fn work(&self) -> Work {
        let Product { kernel, roles, .. } = self;
        let extents = |axes: &[AxisId]| axes.iter().map(|&a| kernel.extent(a)).product();
        let (others, innermost) = roles.rows.split_at(roles.rows.len().saturating_sub(1));
        let step = |&a: &AxisId| kernel.stride(roles.activations[0], a);
        let apart = innermost.first().and_then(step).map_or(1, i64::unsigned_abs) as usize;
        let elem = kernel.operands[roles.activations[0].operand].ty.elem;
        let codes = self.stage.body.product().and_then(|(of, _)| of.products());
        Work {
            rows: extents(innermost),
            columns: kernel.extent(self.vector),
            steps: facts::reduce_points(kernel, self.stage),
            repeats: extents(others),
            row_bytes: apart * elem.bytes(),
            codes: codes.map_or(1, |codes| codes as u32),
            products: self.stage.body.products().map_or(1, |all| all.len() as u32),
            decoding: self.decoding(),
        }
    }

    /// What makes the weights' factors, if more than one read does.
    fn decoding(&self) -> Decoding {
        let Product { stage, roles, .. } = self;
        let body = &stage.body;
        let weights = |n: usize| roles.weights.iter().any(|w| ptr::eq(*w, &stage.reads[n]));
        let products = body.products().unwrap_or_default();
        if roles.weights.len() + products.len() <= 2 {
            return Decoding::default();
        }
        let of_weights =
            |node: NodeId| (0..stage.reads.len()).any(|n| weights(n) && body.reads(node, n as u32));
        let factors = products.iter().flat_map(|product| product.1).filter(|&f| of_weights(f));
        let instructions: usize = factors.map(|factor| body.subexpression(factor).cost()).sum();
        let registers = roles.weights.len() + products.len() - 2;
        Decoding { instructions: instructions as u32, registers: registers as u32 }
    }

    /// The ways to compute the sums, the cheapest first.
    fn ways(&self, target: &Target) -> Vec<Way> {
        let work = self.work();
        let vectors = cost::costs(work, target).map(|(cycles, tile)| (cycles, Way::Vectors(tile)));
        let stage = self.in_matrix(target);
        let blocks = stage.iter().flat_map(|stage| matrix::costs(work, stage));
        let blocks = blocks.map(|(cycles, block)| (cycles, Way::Matrix(block)));
        let mut all: Vec<(f64, Way)> = vectors.chain(blocks).collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        all.into_iter().map(|(_, way)| way).collect()
    }

    fn way(&self, way: Way, target: &Target) -> Schedule {
        match way {
            Way::Vectors(tile) => self.schedule(tile, target),
            Way::Matrix(block) => self.in_matrix_tiles(block, target),
        }
    }

    /// The sums in matrix tiles, if the target has them and the sums suit them.
    fn in_matrix(&self, target: &Target) -> Option<MatrixStage<'k>> {
        let axes = [self.row_axis()?, self.vector];
        let stage = MatrixStage::of(self.kernel, self.stage, axes)?;
        (target.matrix_tiles && target.dots.contains(&stage.dot)).then_some(stage)
    }

    /// The schedule of a block: words that are not constant stay where they are.
    fn in_matrix_tiles(&self, block: Block, target: &Target) -> Schedule {
        let plain = self.schedule(block.tile(), target);
        let is_const = self.roles.weights.iter().all(|r| facts::is_const(self.kernel, r));
        Schedule {
            matrix: self.row_axis().map(|row| (row, block.tile_rows as u32)).into_iter().collect(),
            unroll: Vec::new(),
            peel: Vec::new(),
            pack: if is_const { plain.pack } else { Vec::new() },
            ..plain
        }
    }

    fn schedule(&self, tile: Tile, target: &Target) -> Schedule {
        let Product { kernel, stage, vector, roles } = self;
        let (vector, block) = (*vector, tile.vectors * tile.lanes);
        let mut schedule = Schedule { vector: vec![(vector, tile.lanes)], ..Schedule::default() };
        let rows = self.row_axis().map(|a| (a, tile.rows));
        schedule.tile = rows.into_iter().chain([(vector, block)]).collect();
        schedule.order = order(kernel, roles, vector, tile, target);
        let steps = self.work().steps;
        schedule.unroll = facts::innermost_reduce(kernel, stage)
            .map(|k| (k, unroll(kernel.extent(k), steps, tile, target)))
            .into_iter()
            .collect();
        schedule.peel = facts::peeled_axes(kernel, stage, vector, tile.rows * tile.vectors);
        let alone = |read: &Access| roles.weights.len() == 1 || kernel.is_read_once(read.operand);
        let is_const = roles.weights.iter().all(|r| facts::is_const(kernel, r) && alone(r));
        if is_const || is_worth_a_copy(kernel, stage, roles, vector) {
            let pack = |read: &&Access| Pack { operand: read.operand, axis: vector, block };
            schedule.pack = roles.weights.iter().map(pack).collect();
        }
        schedule
    }
}

/// Whether weights that the vector axis scatters are used so often that a packed copy pays. A sum of
/// products along the reduce axis instead (`row`) needs no copy, but combines the lanes of each
/// result, which costs more the shorter the sum is.
fn is_worth_a_copy(kernel: &Kernel, stage: &Stage, roles: &Roles<'_>, vector: AxisId) -> bool {
    let &[weights] = roles.weights.as_slice() else { return false };
    let known = weights.outside == Outside::Never
        && weights.unit == Unit::Element
        && weights.lookups().next().is_none();
    let scattered = !matches!(kernel.stride(weights, vector), Some(0 | 1));
    let rows: usize = roles.rows.iter().map(|&a| kernel.extent(a)).product();
    let steps = facts::reduce_points(kernel, stage).min(LONG_SUM);
    known && scattered && steps <= STEPS_PER_ROW * rows
}

/// The order in which fewer bytes pass through the first-level cache: the loops outside read all of
/// the other factor once per tile, unless that stays in the cache.
fn order(
    kernel: &Kernel,
    roles: &Roles<'_>,
    vector: AxisId,
    tile: Tile,
    target: &Target,
) -> Vec<AxisId> {
    let bytes = |side: &[&Access]| -> usize {
        side.iter().map(|access| bytes_at_a_point(kernel, access, &roles.shared)).sum()
    };
    let traffic =
        |bytes: usize, passes: usize| if bytes <= target.l1_bytes / 2 { 0 } else { bytes * passes };
    let rows: usize = roles.rows.iter().map(|&a| kernel.extent(a)).product();
    let blocks = kernel.extent(vector).div_ceil((tile.vectors * tile.lanes) as usize);
    let rows_first = traffic(bytes(&roles.weights), rows.div_ceil(tile.rows as usize));
    let vector_first = traffic(bytes(&roles.activations), blocks);
    let (shared, rows) = (roles.shared.iter().copied(), roles.rows.iter().copied());
    match rows_first < vector_first {
        true => shared.chain(rows).chain([vector]).collect(),
        false => shared.chain([vector]).chain(rows).collect(),
    }
}

/// Bytes that an access reads while these axes stand still.
fn bytes_at_a_point(kernel: &Kernel, access: &Access, still: &[AxisId]) -> usize {
    let ty = &kernel.operands[access.operand].ty;
    let moving = access.axes().filter(|a| !still.contains(a)).collect::<BTreeSet<AxisId>>();
    let points: usize = moving.into_iter().map(|a| kernel.extent(a)).product();
    ty.bytes().min(points * ty.elem.bytes())
}

/// Which factor is which, and which axes only the activations follow.
fn roles<'k>(
    kernel: &Kernel,
    stage: &Stage,
    [a, b]: [Vec<&'k Access>; 2],
    vector: AxisId,
) -> Option<Roles<'k>> {
    let follows =
        |side: &[&Access], axis| side.iter().any(|read| facts::follows(kernel, read, axis));
    let (weights, activations) = match (follows(&a, vector), follows(&b, vector)) {
        (true, false) => (a, b),
        (false, true) => (b, a),
        (true, true) | (false, false) => return None,
    };
    let others = facts::other_parallel(kernel, stage, vector);
    let is_row = |&axis: &AxisId| !follows(&weights, axis) && follows(&activations, axis);
    let (rows, shared) = others.into_iter().partition(is_row);
    Some(Roles { weights, activations, shared, rows })
}

/// Where multiply-adds take one lane of a vector, a vector of factors serves so many steps.
fn unroll(extent: usize, steps: usize, tile: Tile, target: &Target) -> u32 {
    match extent {
        0..=SHORT => extent as u32,
        _ if target.fma_by_lane => steps_by_lane(extent, steps, tile),
        _ => (PER_ITERATION / (tile.rows * tile.vectors)).clamp(1, MOST_STEPS),
    }
}

/// The most steps that divide the extent and whose vectors are in reach. Taps, which may be straight
/// code at a border, have a loop inside, so that they do not share what they read in registers.
fn steps_by_lane(extent: usize, all: usize, tile: Tile) -> u32 {
    let fits = |&steps: &u32| {
        let most = if all > extent { extent / 2 } else { extent };
        let divides = extent.is_multiple_of(steps as usize) && steps as usize <= most;
        steps * tile.vectors <= IN_REACH && (steps <= 8 || divides)
    };
    STEPS_BY_LANE.into_iter().find(fits).unwrap_or(STEPS_BY_LANE[2])
}

#[cfg(test)]
mod tests {
    use super::plan;
    use crate::form_kernels::form_kernels;
    use edgecc_ir::graph::build::GraphBuilder;
    use edgecc_ir::graph::ops::MatMul;
    use edgecc_ir::target::{Arch, Target};
    use edgecc_ir::types::{ElemType, TensorType};

    /// Packed operands of a product of `rows × steps` inputs and as many steps of 64 columns.
    fn packs(rows: usize, steps: usize, transpose_b: bool) -> Vec<u32> {
        let mut b = GraphBuilder::new("m");
        let right = if transpose_b { [64, steps] } else { [steps, 64] };
        let [x, w] =
            [[rows, steps], right].map(|dims| b.input("x", TensorType::new(ElemType::F32, &dims)));
        let y = b.add(MatMul { transpose_b, ..MatMul::plain() }, &[x, w]).expect("a product");
        b.output("y", y);
        let kernels = form_kernels(&b.finish());
        let kernel = kernels.kernels.values().next().expect("a kernel");
        let planned = plan(kernel, &Target::default_for(Arch::X86_64)).expect("a contraction");
        planned.pack.iter().map(|pack| pack.operand.as_u32()).collect()
    }

    #[test]
    fn scattered_weights_are_copied_for_many_rows() {
        assert_eq!(packs(64, 32, true), [1]);
        assert_eq!(packs(4, 32, true), []);
        assert_eq!(packs(64, 1000, true), [1]);
    }

    #[test]
    fn consecutive_weights_stay_in_place() {
        assert_eq!(packs(64, 32, false), []);
    }
}
