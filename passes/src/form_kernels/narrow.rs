//! Keeps the locals of a kernel in the first-level cache.
//!
//! Where all stages run along the same dimension of all locals, none needs more of them at a time
//! than a block of that dimension: the rows of a matrix of scores, of which softmax reads one. The
//! blocks become row axes. What does not follow the dimension is read once per block, from a cache.

use super::merge::accesses_mut;
use super::piece::position;
use cranelift_entity::SecondaryMap;
use edgecc_ir::affine::Affine;
use edgecc_ir::kernel::{Access, Axis, AxisId, AxisKind, Index, Kernel, OperandId, Role, Stage};
use std::collections::BTreeSet;

/// Locals up to this size stay in the first-level cache beside what else a stage reads.
const NEAR: usize = 16 << 10;
/// What all blocks read stays in the second-level cache up to this size.
const READ_AGAIN: usize = 256 << 10;
/// Rows of the smallest block: fewer leave most of a register tile empty.
const LEAST: usize = 4;
/// Elements of a cache line, below which a step along the dimension stays in the line.
const LINE: i64 = 16;

/// Runs a kernel in blocks whose locals are near, if there are any.
pub(super) fn narrow(kernel: &mut Kernel) {
    let bytes: usize = locals(kernel).map(|id| kernel.operands[id].ty.bytes()).sum();
    let Some(along) = (bytes > NEAR).then(|| common_axes(kernel)).flatten() else { return };
    let extent = kernel.extent(along[0]);
    let fits = |&block: &usize| extent.is_multiple_of(block) && bytes / extent * block <= NEAR;
    let block = (LEAST..extent).rev().find(fits);
    if let Some(block) = block.filter(|_| read_again(kernel, &along) <= READ_AGAIN) {
        split(kernel, &along, block);
    }
}

fn locals(kernel: &Kernel) -> impl Iterator<Item = OperandId> {
    kernel.operands.iter().filter(|(_, o)| o.role == Role::Local).map(|(id, _)| id)
}

/// For each stage the axis, inside the rows, that runs through the same dimension of all locals that
/// the stage accesses, of the same extent everywhere.
fn common_axes(kernel: &Kernel) -> Option<Vec<AxisId>> {
    let mut dims: SecondaryMap<OperandId, BTreeSet<usize>> = SecondaryMap::new();
    for id in locals(kernel) {
        dims[id] = (0..kernel.operands[id].ty.shape.rank()).collect();
    }
    for stage in &kernel.stages {
        for access in of_locals(kernel, stage) {
            let axes = candidates(kernel, stage);
            let through: BTreeSet<usize> = axes.filter_map(|axis| dim(access, axis)).collect();
            dims[access.operand].retain(|d| through.contains(d));
        }
    }
    let fits = |access: &Access, axis| {
        dim(access, axis).is_some_and(|d| dims[access.operand].first() == Some(&d))
    };
    let axis = |stage: &Stage| {
        candidates(kernel, stage).find(|&a| of_locals(kernel, stage).all(|l| fits(l, a)))
    };
    let along: Vec<AxisId> = kernel.stages.iter().map(axis).collect::<Option<_>>()?;
    let alike = along.iter().all(|&a| kernel.extent(a) == kernel.extent(along[0]));
    let mut written = kernel.stages.iter().zip(&along).filter(|(s, _)| is_large(kernel, &s.write));
    let apart = written.all(|(s, &axis)| {
        position(kernel, &s.write).is_some_and(|place| place.coefficient(axis) >= LINE)
    });
    (alike && apart).then_some(along)
}

/// Whether an access is to a local that is not near by itself.
fn is_large(kernel: &Kernel, access: &Access) -> bool {
    let operand = &kernel.operands[access.operand];
    operand.role == Role::Local && operand.ty.bytes() > NEAR
}

/// Parallel axes of a stage inside the rows that each of its accesses to locals follows.
fn candidates<'k>(kernel: &'k Kernel, stage: &'k Stage) -> impl Iterator<Item = AxisId> + 'k {
    let inner = kernel.parallel_axes(stage).filter(|a| !kernel.rows.contains(a));
    inner.filter(|&axis| of_locals(kernel, stage).all(|access| dim(access, axis).is_some()))
}

fn of_locals<'k>(kernel: &'k Kernel, stage: &'k Stage) -> impl Iterator<Item = &'k Access> {
    let all = stage.all_reads().chain([&stage.write]);
    all.filter(|access| kernel.operands[access.operand].role == Role::Local)
}

/// The only dimension of an access that moves with an axis, by one element per step.
fn dim(access: &Access, axis: AxisId) -> Option<usize> {
    let mut moving = (0..access.index.len()).filter(|&d| access.index[d].follows(axis));
    let dim = moving.next().filter(|_| moving.next().is_none())?;
    (access.index[dim].affine().and_then(Affine::as_var) == Some(axis)).then_some(dim)
}

/// Bytes of operands that every block reads.
fn read_again(kernel: &Kernel, along: &[AxisId]) -> usize {
    let stages = kernel.stages.iter().zip(along);
    let reads = stages.flat_map(|(s, &axis)| s.all_reads().map(move |read| (read, axis)));
    let fixed = reads.filter(|(read, axis)| {
        let is_local = kernel.operands[read.operand].role == Role::Local;
        !is_local && !read.axes().any(|a| a == *axis)
    });
    let bytes = fixed.map(|(read, _)| {
        let moving: BTreeSet<AxisId> =
            read.axes().filter(|axis| !kernel.rows.contains(axis)).collect();
        let points: usize = moving.into_iter().map(|axis| kernel.extent(axis)).product();
        points * kernel.operands[read.operand].ty.elem.bytes()
    });
    bytes.sum()
}

/// Makes the blocks of one axis per stage a row axis.
fn split(kernel: &mut Kernel, along: &[AxisId], block: usize) {
    let blocks = kernel.extent(along[0]) / block;
    let row = kernel.axes.push(Axis { extent: blocks, kind: AxisKind::Parallel });
    let roles = kernel.operands.clone();
    for (stage, &axis) in kernel.stages.iter_mut().zip(along) {
        kernel.axes[axis].extent = block;
        stage.axes.insert(kernel.rows.len(), row);
        let whole = Affine::scaled(row, block as i64).plus(axis, 1);
        for access in accesses_mut(stage) {
            if roles[access.operand].role == Role::Local {
                let dim = dim(access, axis).expect("the axis runs through all locals");
                let ty = &mut kernel.operands[access.operand].ty;
                let extent = |(d, &e): (usize, &usize)| if d == dim { block } else { e };
                ty.shape = ty.shape.iter().enumerate().map(extent).collect();
            } else {
                for place in access.index.iter_mut().flat_map(Index::affines_mut) {
                    *place = place.substitute(|a| match a == axis {
                        true => whole.clone(),
                        false => Affine::var(a),
                    });
                }
            }
        }
    }
    kernel.rows.push(row);
}

#[cfg(test)]
mod tests {
    use crate::form_kernels::testing::kernels;
    use edgecc_ir::graph::OpId;
    use edgecc_ir::graph::build::GraphBuilder;
    use edgecc_ir::graph::ops::{Broadcast, Map, MatMul, Reduce, Reshape};
    use edgecc_ir::kernel::{Kernel, Role};
    use edgecc_ir::scalar::ScalarExpr;
    use edgecc_ir::scalar::func::ScalarFn;
    use edgecc_ir::types::Shape;

    /// The kernel of products whose rows are lowered by their maximum in between.
    fn attention(heads: usize, rows: usize) -> Kernel {
        let build = |b: &mut GraphBuilder, x: OpId| {
            let product = MatMul { transpose_b: true, ..MatMul::plain() };
            let scores = b.add(product, &[x, x]).expect("a product");
            let most = b.add(Reduce { func: ScalarFn::Max, dims: vec![2] }, &[scores]).unwrap();
            let most = b.add(Reshape { shape: Shape::new(&[heads, rows]) }, &[most]).unwrap();
            let shape = Shape::new(&[heads, rows, rows]);
            let most = b.add(Broadcast { dims: vec![0, 1], shape }, &[most]).unwrap();
            let below = Map { body: ScalarExpr::call(ScalarFn::Sub) };
            let below = b.add(below, &[scores, most]).unwrap();
            b.add(MatMul::plain(), &[below, x]).expect("a product")
        };
        let made = kernels(&[heads, rows, 4], build);
        assert_eq!(made.program.steps.len(), 1);
        made.kernels.values().next().expect("one kernel").clone()
    }

    fn local_bytes(kernel: &Kernel) -> usize {
        kernel.operands.values().filter(|o| o.role == Role::Local).map(|o| o.ty.bytes()).sum()
    }

    #[test]
    fn rows_of_scores_are_made_and_used_in_blocks() {
        let kernel = attention(4, 192);
        assert_eq!((kernel.rows.len(), kernel.stages.len()), (2, 4));
        assert!(local_bytes(&kernel) <= super::NEAR, "{}", local_bytes(&kernel));
    }

    #[test]
    fn rows_without_blocks_of_a_fair_size_stay_together() {
        assert_eq!(attention(4, 191).rows.len(), 1);
    }
}
