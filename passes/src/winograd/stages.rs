//! A convolution as stages of one kernel, which run for one block of the result at a time.
//!
//! The image is transformed along its inner dimension, then along the outer one; at each point of
//! the tiles' spectra the channels are summed; the sums are transformed back along the outer
//! dimension, then along the inner one, with the convolution's epilogue. Where a block is no
//! multiple of a tile, the last tiles compute results that nobody reads.

use super::points::{Sharing, Transform, sum};
use super::site::Site;
use super::tiling::Tiling;
use edgecc_ir::affine::Affine;
use edgecc_ir::kernel::build::access;
use edgecc_ir::kernel::{
    Access, Axis, AxisId, AxisKind, Index, Kernel, Operand, OperandId, Role, Stage,
};
use edgecc_ir::scalar::{ExprBuilder, ScalarExpr};
use edgecc_ir::target::Target;
use edgecc_ir::types::{ElemType, TensorType};
use std::ops::Range;

/// The kernel in tiles; its weights are those of `weights::transformed`.
pub(super) fn tiled(kernel: &Kernel, site: &Site, tiling: &Tiling, target: &Target) -> Kernel {
    let mut build = Build::new(kernel, site, tiling, target.fma);
    let columns = build.columns_of_image();
    let spectra = build.rows_of_image(columns);
    let sums = build.products(spectra);
    let rows = build.rows_of_result(sums);
    build.results(rows);
    build.new
}

struct Build<'a> {
    old: &'a Stage,
    site: &'a Site,
    tiling: &'a Tiling,
    /// Along the outer and the inner dimension.
    transforms: [Transform; 2],
    fma: bool,
    /// Where the axes of a batch, the blocks of rows and the blocks of channels are.
    batch: Vec<(AxisId, Affine<AxisId>)>,
    row_block: Affine<AxisId>,
    channel_block: Affine<AxisId>,
    new: Kernel,
}

/// The axes of one stage under construction, its rows first.
struct Nest {
    axes: Vec<AxisId>,
}

impl<'a> Build<'a> {
    fn new(kernel: &'a Kernel, site: &'a Site, tiling: &'a Tiling, fma: bool) -> Build<'a> {
        let mut new = Kernel::empty(&format!("winograd_{}", kernel.name));
        new.operands = kernel.operands.clone();
        let old = &kernel.stages[0];
        let weights = &mut new.operands[old.reads[site.weights].operand];
        weights.ty = tiling.weights_type();
        let mut rows = Nest { axes: Vec::new() };
        let batch = site.batch.iter().map(|&a| (a, rows.axis(&mut new, kernel.extent(a))));
        let batch = batch.collect();
        let row_block = rows.axis(&mut new, tiling.row_blocks());
        let channel_block = rows.axis(&mut new, tiling.channel_blocks());
        new.rows = rows.axes;
        let transforms = tiling.tile.map(Transform::of);
        Build { old, site, tiling, transforms, fma, batch, row_block, channel_block, new }
    }

    fn nest(&self) -> Nest {
        Nest { axes: self.new.rows.clone() }
    }

    fn local(&mut self, dims: &[usize]) -> OperandId {
        let ty = TensorType::new(ElemType::F32, dims);
        self.new.operands.push(Operand { ty, role: Role::Local })
    }

    /// `[point along the inner dimension, row of the image, column of tiles · channel]`.
    fn columns_of_image(&mut self) -> OperandId {
        let t = self.tiling;
        let to = self.local(&[t.points(1), t.image_rows(), t.columns() * t.from]);
        let mut nest = self.nest();
        let row = nest.axis(&mut self.new, t.image_rows());
        let column = nest.axis(&mut self.new, t.columns());
        let channel = nest.axis(&mut self.new, t.from);
        let at_row = self.row_block.times(t.rows as i64).add_scaled(&row, 1);
        let element = column.times(t.from as i64).add_scaled(&channel, 1);
        for (point, coefficients) in self.transforms[1].input.clone().iter().enumerate() {
            let (taps, body) = sum(coefficients, Sharing::Alternate, self.fma);
            let read = |&tap: &usize| {
                let at_column = column.times(t.tile[1] as i64).offset(tap as i64);
                self.of_image(&at_row, &at_column, &channel)
            };
            let reads = taps.iter().map(read).collect();
            let point = Affine::constant(point as i64);
            let write = access(to, vec![point, row.clone(), element.clone()]);
            self.map(&nest, reads, body, write);
        }
        to
    }

    /// `[point along both dimensions, tile · channel]`.
    fn rows_of_image(&mut self, columns: OperandId) -> OperandId {
        let t = self.tiling;
        let width = t.columns() * t.from;
        let to = self.local(&[t.all_points(), t.tiles() * t.from]);
        let mut nest = self.nest();
        let inner = nest.axis(&mut self.new, t.points(1));
        let row = nest.axis(&mut self.new, t.tile_rows());
        let element = nest.axis(&mut self.new, width);
        for (point, coefficients) in self.transforms[0].input.clone().iter().enumerate() {
            let (taps, body) = sum(coefficients, Sharing::Alternate, self.fma);
            let read = |&tap: &usize| {
                let at = row.times(t.tile[0] as i64).offset(tap as i64);
                access(columns, vec![inner.clone(), at, element.clone()])
            };
            let reads = taps.iter().map(read).collect();
            let point = inner.clone().offset((point * t.points(1)) as i64);
            let place = row.times(width as i64).add_scaled(&element, 1);
            self.map(&nest, reads, body, access(to, vec![point, place]));
        }
        to
    }

    /// `[point along both dimensions, tile · channel]`.
    fn products(&mut self, spectra: OperandId) -> OperandId {
        let t = self.tiling;
        let to = self.local(&[t.all_points(), t.tiles() * t.to]);
        let mut nest = self.nest();
        let point = nest.axis(&mut self.new, t.all_points());
        let tile = nest.axis(&mut self.new, t.tiles());
        let channel = nest.axis(&mut self.new, t.to);
        let sum = self.new.axes.push(Axis { extent: t.from, kind: AxisKind::Reduce });
        nest.axes.push(sum);
        let place = tile.times(t.from as i64).plus(sum, 1);
        let image = access(spectra, vec![point.clone(), place]);
        let block = self.channel_block.clone();
        let index = vec![block, point.clone(), Affine::var(sum), channel.clone()];
        let weights = access(self.old.reads[self.site.weights].operand, index);
        let place = tile.times(t.to as i64).add_scaled(&channel, 1);
        self.new.stages.push(Stage {
            axes: nest.axes,
            reads: if self.site.image == 0 { vec![image, weights] } else { vec![weights, image] },
            body: self.old.body.clone(),
            reduce: self.old.reduce.clone(),
            epilogue_reads: Vec::new(),
            epilogue: ScalarExpr::identity(),
            write: access(to, vec![point, place]),
        });
        to
    }

    /// `[row in a tile, point along the inner dimension, tile · channel]`.
    fn rows_of_result(&mut self, sums: OperandId) -> OperandId {
        let t = self.tiling;
        let (points, width) = (t.points(1), t.tiles() * t.to);
        let to = self.local(&[t.tile[0], points, width]);
        let mut nest = self.nest();
        let inner = nest.axis(&mut self.new, points);
        let element = nest.axis(&mut self.new, width);
        for (row, coefficients) in self.transforms[0].output.clone().iter().enumerate() {
            let (taps, body) = sum(coefficients, Sharing::Pairs, self.fma);
            let read = |&tap: &usize| {
                let point = inner.clone().offset((tap * points) as i64);
                access(sums, vec![point, element.clone()])
            };
            let reads = taps.iter().map(read).collect();
            let row = Affine::constant(row as i64);
            let write = access(to, vec![row, inner.clone(), element.clone()]);
            self.map(&nest, reads, body, write);
        }
        to
    }

    /// The results of whole tiles and of those that end behind the block, by columns in a tile.
    fn results(&mut self, rows: OperandId) {
        let t = self.tiling;
        for (tile_rows, in_tile) in parts(t.rows, t.tile[0]) {
            for (tile_columns, columns) in parts(t.width, t.tile[1]) {
                let mut nest = self.nest();
                let inside = nest.axis(&mut self.new, in_tile);
                let row = nest.axis(&mut self.new, tile_rows.len());
                let column = nest.axis(&mut self.new, tile_columns.len());
                let channel = nest.axis(&mut self.new, t.to);
                let tile =
                    [row.offset(tile_rows.start as i64), column.offset(tile_columns.start as i64)];
                for n in 0..columns {
                    self.column(&nest, rows, [&inside, &tile[0], &tile[1], &channel], n);
                }
            }
        }
    }

    /// One column of the tiles at these places.
    fn column(
        &mut self,
        nest: &Nest,
        rows: OperandId,
        [inside, row, column, channel]: [&Affine<AxisId>; 4],
        nth: usize,
    ) {
        let t = self.tiling;
        let (taps, body) = sum(&self.transforms[1].output[nth], Sharing::Pairs, self.fma);
        let tile = row.times(t.columns() as i64).add_scaled(column, 1);
        let element = tile.times(t.to as i64).add_scaled(channel, 1);
        let read = |&tap: &usize| {
            access(rows, vec![inside.clone(), Affine::constant(tap as i64), element.clone()])
        };
        let mut reads: Vec<Access> = taps.iter().map(read).collect();
        let block = self.row_block.times(t.rows as i64).add_scaled(inside, 1);
        let at_row = block.add_scaled(row, t.tile[0] as i64);
        let at_column = column.times(t.tile[1] as i64).offset(nth as i64);
        let there = |a: &Access| self.of_result(a, &at_row, &at_column, channel);
        let body = then(&body, &self.old.epilogue);
        reads.extend(self.old.epilogue_reads.iter().map(there));
        let write = there(&self.old.write);
        self.map(nest, reads, body, write);
    }

    fn map(&mut self, nest: &Nest, reads: Vec<Access>, body: ScalarExpr, write: Access) {
        self.new.stages.push(Stage {
            axes: nest.axes.clone(),
            reads,
            body,
            reduce: None,
            epilogue_reads: Vec::new(),
            epilogue: ScalarExpr::identity(),
            write,
        });
    }

    /// The read of the image for the result at this row, of the first tap, and at this column.
    fn of_image(
        &self,
        row: &Affine<AxisId>,
        column: &Affine<AxisId>,
        channel: &Affine<AxisId>,
    ) -> Access {
        let [outer, inner] = self.site.slides;
        let place = |axis: AxisId| match axis {
            a if a == outer.out => row.clone(),
            a if a == inner.out => column.clone(),
            a if a == self.site.from => channel.clone(),
            a if a == outer.tap || a == inner.tap => Affine::constant(0),
            a => self.of_batch(a),
        };
        substituted(&self.old.reads[self.site.image], place)
    }

    /// An access to the result, or to what is as large.
    fn of_result(
        &self,
        access: &Access,
        row: &Affine<AxisId>,
        column: &Affine<AxisId>,
        channel: &Affine<AxisId>,
    ) -> Access {
        let [outer, inner] = self.site.slides;
        let place = |axis: AxisId| match axis {
            a if a == outer.out => row.clone(),
            a if a == inner.out => column.clone(),
            a if a == self.site.to => {
                self.channel_block.times(self.tiling.to as i64).add_scaled(channel, 1)
            }
            a => self.of_batch(a),
        };
        substituted(access, place)
    }

    fn of_batch(&self, axis: AxisId) -> Affine<AxisId> {
        let found = self.batch.iter().find(|b| b.0 == axis);
        found.expect("every axis of a convolution has a role").1.clone()
    }
}

impl Nest {
    /// A new parallel axis inside the others; one with a single point is none.
    fn axis(&mut self, kernel: &mut Kernel, extent: usize) -> Affine<AxisId> {
        if extent == 1 {
            return Affine::constant(0);
        }
        let axis = kernel.axes.push(Axis { extent, kind: AxisKind::Parallel });
        self.axes.push(axis);
        Affine::var(axis)
    }
}

/// `extent` results as whole tiles, and a tile in part: which tiles, and how many results of each.
fn parts(extent: usize, tile: usize) -> impl Iterator<Item = (Range<usize>, usize)> {
    let whole = extent / tile;
    let parts = [(0..whole, tile), (whole..whole + 1, extent % tile)];
    parts.into_iter().filter(|(tiles, results)| !tiles.is_empty() && *results > 0)
}

/// `epilogue` of `body`, whose parameters come first.
fn then(body: &ScalarExpr, epilogue: &ScalarExpr) -> ScalarExpr {
    let first = body.params();
    ScalarExpr::build(first + epilogue.params() - 1, |b| {
        let sum = b.inline(body, ExprBuilder::param);
        b.inline(epilogue, |b, p| if p == 0 { sum } else { b.param(first + p - 1) })
    })
}

fn substituted(access: &Access, place: impl Fn(AxisId) -> Affine<AxisId>) -> Access {
    let mut access = access.clone();
    for affine in access.index.iter_mut().flat_map(Index::affines_mut) {
        *affine = affine.substitute(&place);
    }
    access
}
