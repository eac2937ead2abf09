//! Packed weights that come from far away are asked for ahead of their use.
//!
//! Where a block of packed weights serves many tiles of rows, the first of them waits for memory
//! whenever the weights have left the caches since the last run. So each tile asks for its share of
//! the block that comes next, evenly over the steps of its sum. Blocks follow each other in memory,
//! and behind the last one are, most often, the weights of the next kernel.

use super::Cx;
use super::nest::{Env, Point};
use super::pack::Layout;
use edgecc_ir::affine::Affine;
use edgecc_ir::kernel::{Access, AxisId};
use edgecc_ir::loops::build::LoopBuilder;
use edgecc_ir::loops::{IndexId, ParamId};

/// Bytes that come together.
const LINE: usize = 64;
/// The most times that the same line may be asked for.
const MOST_REPEATS: usize = 8;

/// What the points of a tile ask for.
struct Share<'a> {
    param: ParamId,
    layout: &'a Layout,
    /// Axes along which tiles use the same block, outermost first, and their extents.
    rows: Vec<(AxisId, usize)>,
    /// Elements that a row asks for, over all steps.
    per_row: usize,
    /// Elements that a step asks for, for all rows of the tile.
    per_step: usize,
    /// Elements of a line.
    line: usize,
}

/// Asks for what this many steps of the sum, from the place of `env` on, are to ask for. Reduce axes
/// without a place are at their start.
pub(super) fn next_block(b: &mut LoopBuilder, cx: &Cx<'_>, env: &Env, steps: usize) {
    let shares: Vec<Share<'_>> =
        cx.stage.reads.iter().filter_map(|read| Share::of(b, cx, env, read)).collect();
    for share in shares.iter().filter(|share| share.is_worth(steps)) {
        let first = share.place(env);
        for ahead in (0..share.per_step * steps).step_by(share.line) {
            b.prefetch(share.param, vec![first.clone().offset(ahead as i64)]);
        }
    }
}

impl<'a> Share<'a> {
    /// The share of a read of packed constants that are too large for the first-level cache.
    fn of(b: &LoopBuilder, cx: &Cx<'a>, env: &Env, read: &Access) -> Option<Share<'a>> {
        let layout = cx.packed.layouts[read.operand].as_ref()?;
        let param = cx.param(read);
        let ty = &b.func().params[param].ty;
        let bits = 8 * ty.elem.bytes() as u32 * u32::from(cx.lanes());
        if !cx.target.prefetches(bits) || ty.bytes() <= cx.target.l1_bytes {
            return None;
        }
        let rows = rows(cx, layout)?;
        let all: usize = rows.iter().map(|row| row.1).product();
        let tile: usize = rows.iter().map(|row| env.size(row.0)).product();
        let per_row = layout.block_len().div_ceil(all);
        let per_step = (per_row * tile).div_ceil(layout.steps());
        let line = LINE / ty.elem.bytes();
        (all > tile).then_some(Share { param, layout, rows, per_row, per_step, line })
    }

    fn is_worth(&self, steps: usize) -> bool {
        self.per_step * steps * MOST_REPEATS >= self.line
    }

    fn place(&self, env: &Env) -> Affine<IndexId> {
        let at = |axis| match env.is_bound(axis) {
            true => env.at(axis, &Point::default()),
            false => Affine::constant(0),
        };
        let row = self.rows.iter().fold(Affine::constant(0), |row, &(axis, extent)| {
            row.times(extent as i64).add_scaled(&at(axis), 1)
        });
        let start = self.layout.next_block(at);
        let asked = start.add_scaled(&row, self.per_row as i64);
        asked.add_scaled(&self.layout.step(at), self.per_step as i64)
    }
}

/// The axes of a stage's loops inside the one over the blocks, if there are any.
fn rows(cx: &Cx<'_>, layout: &Layout) -> Option<Vec<(AxisId, usize)>> {
    let order = &cx.schedule.order;
    let blocks = order.iter().position(|&axis| axis == layout.blocked_axis())?;
    let inside = order[blocks + 1..].iter().copied().filter(|a| cx.stage.axes.contains(a));
    let rows: Vec<(AxisId, usize)> = inside.map(|a| (a, cx.kernel.extent(a))).collect();
    (!rows.is_empty()).then_some(rows)
}

#[cfg(test)]
mod tests {
    use crate::eqsat::rule::Class;
    use crate::form_kernels::form_kernels;
    use crate::lower_to_loops::lower;
    use crate::schedule::schedule;
    use edgecc_ir::affine::Affine;
    use edgecc_ir::graph::build::GraphBuilder;
    use edgecc_ir::graph::ops::MatMul;
    use edgecc_ir::loops::walk::each_stmt;
    use edgecc_ir::loops::{IndexId, LoopFn, Stmt};
    use edgecc_ir::target::{Arch, Cpu, Target};
    use edgecc_ir::tensor::{Scalar, Tensor};
    use edgecc_ir::types::{ElemType, TensorType};
    use std::collections::BTreeSet;

    /// A product of so many rows and steps with 96 columns of constants.
    fn product(rows: usize, steps: usize, target: &Target) -> LoopFn {
        let mut b = GraphBuilder::new("m");
        let x = b.input("x", TensorType::new(ElemType::F32, &[rows, steps]));
        let ty = TensorType::new(ElemType::F32, &[steps, 96]);
        let w = b.constant(Tensor::from_fn(ty, |i| Scalar::f32(i as f32)));
        let y = b.add(MatMul::plain(), &[x, w]).expect("a product");
        b.output("y", y);
        let mut kernels = form_kernels(&b.finish());
        schedule(&mut kernels, target, Class::Reassoc);
        lower(&kernels, target).funcs.values().next().expect("a function").clone()
    }

    fn avx512() -> Target {
        Cpu::named("znver4").expect("a row").target()
    }

    /// Lines of 16 elements that the function asks for.
    fn lines(func: &LoopFn) -> BTreeSet<i64> {
        let mut found = BTreeSet::new();
        each_stmt(&func.body, &mut |stmt| {
            if let Stmt::Prefetch { index, .. } = stmt {
                found.extend(values(func, &index[0]).into_iter().map(|at| at / 16));
            }
        });
        found
    }

    fn values(func: &LoopFn, of: &Affine<IndexId>) -> Vec<i64> {
        of.terms().iter().fold(vec![of.constant], |all, &(index, step)| {
            let moved = |at: i64| (0..func.indices[index] as i64).map(move |i| at + i * step);
            all.into_iter().flat_map(moved).collect()
        })
    }

    #[test]
    fn the_tiles_of_a_block_ask_for_all_of_the_next_one() {
        let func = product(64, 301, &avx512());
        let (asked, block) = (lines(&func), 48 * 301);
        assert!((block / 16..=2 * block / 16).all(|line| asked.contains(&line)), "{func:#?}");
    }

    #[test]
    fn near_weights_and_weights_of_one_tile_are_not_asked_for() {
        for (rows, steps) in [(64, 40), (1, 1000), (5000, 301)] {
            assert_eq!(lines(&product(rows, steps, &avx512())), BTreeSet::new(), "{rows}");
        }
    }

    #[test]
    fn vectors_of_128_bits_wait() {
        assert_eq!(lines(&product(64, 301, &Target::default_for(Arch::Aarch64))), BTreeSet::new());
    }
}
