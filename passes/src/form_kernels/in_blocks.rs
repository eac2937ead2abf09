//! Two pieces as one kernel that runs both for one block of a value at a time.

use super::merge::{accesses_mut, renamed};
use super::piece::Piece;
use cranelift_entity::{EntityRef, SecondaryMap};
use edgecc_ir::affine::Affine;
use edgecc_ir::kernel::{Access, Axis, AxisId, AxisKind, Index, Kernel, Operand, OperandId, Role};
use edgecc_ir::program::Place;
use edgecc_ir::types::{Shape, TensorType};

/// How two pieces share a value: along its dimension `dim`, which is an axis of each.
pub(super) struct Shared {
    pub(super) dim: usize,
    /// The axis of the maker and of the user: the first row axis of a piece that has rows, whose
    /// blocks are single points.
    pub(super) axes: [AxisId; 2],
    /// Points of one block.
    pub(super) block: usize,
    pub(super) blocks: usize,
}

/// One kernel over blocks, with one block of the value, of type `ty`, as a local.
pub(super) fn in_blocks(
    pieces: [&Piece; 2],
    value: &Place,
    ty: &TensorType,
    shared: &Shared,
) -> Piece {
    let names = pieces.map(|p| p.kernel.name.as_str()).join("_");
    let mut kernel = Kernel::empty(&names);
    let row = Axis { extent: shared.blocks, kind: AxisKind::Parallel };
    kernel.rows = vec![kernel.axes.push(row)];
    let parts = [0, 1].map(|n| blocked(&pieces[n].kernel, shared.axes[n], shared));
    let mut args = Vec::new();
    let mut operands = [0, 1].map(|_| SecondaryMap::with_default(None));
    for role in [Role::Read, Role::Const, Role::Write, Role::Local] {
        for (n, part) in parts.iter().enumerate() {
            for (id, operand) in part.operands.iter().filter(|(_, o)| o.role == role) {
                let place = pieces[n].args.get(id.index());
                if place != Some(value) {
                    operands[n][id] = Some(kernel.operands.push(operand.clone()));
                    args.extend(place.cloned());
                }
            }
        }
    }
    let extent = |(d, &e): (usize, &usize)| if d == shared.dim { shared.block } else { e };
    let shape: Shape = ty.shape.iter().enumerate().map(extent).collect();
    let block = Operand { ty: TensorType { elem: ty.elem, shape }, role: Role::Local };
    let local = kernel.operands.push(block);
    for (part, operands) in parts.iter().zip(&operands) {
        add_stages(&mut kernel, part, |id| operands[id].unwrap_or(local));
    }
    local_in_block(&mut kernel, local);
    let locs = pieces.iter().flat_map(|p| &p.locs).copied().collect();
    Piece { kernel, args, locs }
}

/// The kernel with blocks of `axis` as its only rows; accesses to the value still count blocks.
fn blocked(kernel: &Kernel, axis: AxisId, shared: &Shared) -> Kernel {
    let mut kernel = kernel.clone();
    if kernel.rows.is_empty() {
        kernel.axes[axis].extent = shared.block;
        let row = Axis { extent: shared.blocks, kind: AxisKind::Parallel };
        let row = kernel.axes.push(row);
        kernel.rows = vec![row];
        let whole = Affine::scaled(row, shared.block as i64).plus(axis, 1);
        for access in kernel.stages.iter_mut().flat_map(accesses_mut) {
            substitute(access, |a| if a == axis { whole.clone() } else { Affine::var(a) });
        }
        kernel.stages.iter_mut().for_each(|stage| stage.axes.insert(0, row));
    } else {
        keep_first_row(&mut kernel);
    }
    kernel
}

/// Makes row axes but the first ordinary ones; locals get a dimension for each.
fn keep_first_row(kernel: &mut Kernel) {
    let rest = kernel.rows.split_off(1);
    let extents: Vec<usize> = rest.iter().map(|&a| kernel.extent(a)).collect();
    let mut is_local = SecondaryMap::with_default(false);
    for (id, operand) in kernel.operands.iter_mut().filter(|(_, o)| o.role == Role::Local) {
        is_local[id] = true;
        operand.ty.shape = extents.iter().chain(operand.ty.shape.iter()).copied().collect();
    }
    for access in kernel.stages.iter_mut().flat_map(accesses_mut) {
        if is_local[access.operand] {
            let rows = rest.iter().map(|&a| Index::from(Affine::var(a)));
            access.index.splice(0..0, rows);
        }
    }
}

/// Appends the stages of a kernel with one row axis, under new names. Each stage gets axes of its
/// own, so that each can be scheduled by itself.
fn add_stages(kernel: &mut Kernel, part: &Kernel, operand: impl Fn(OperandId) -> OperandId) {
    for stage in &part.stages {
        let mut axes: SecondaryMap<AxisId, Option<AxisId>> = SecondaryMap::new();
        for &id in &stage.axes {
            let is_row = part.rows.contains(&id);
            axes[id] = Some(if is_row { kernel.rows[0] } else { kernel.axes.push(part.axes[id]) });
        }
        let axis = |a: AxisId| axes[a].expect("every axis of the stage has a new name");
        kernel.stages.push(renamed(stage, &operand, axis));
    }
}

/// Lets accesses to the value's block start at the block.
fn local_in_block(kernel: &mut Kernel, local: OperandId) {
    let row = kernel.rows[0];
    let accesses = kernel.stages.iter_mut().flat_map(accesses_mut);
    for access in accesses.filter(|a| a.operand == local) {
        substitute(access, |a| if a == row { Affine::constant(0) } else { Affine::var(a) });
    }
}

fn substitute(access: &mut Access, with: impl Fn(AxisId) -> Affine<AxisId>) {
    for affine in access.index.iter_mut().flat_map(Index::affines_mut) {
        *affine = affine.substitute(&with);
    }
}
