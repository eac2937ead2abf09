//! Kernels with what they are called with, before they are joined and interned.

use cranelift_entity::EntityRef;
use edgecc_ir::affine::{Affine, Interval};
use edgecc_ir::kernel::{Access, AxisId, Kernel, OperandId, Outside, Stage};
use edgecc_ir::loc::LocId;
use edgecc_ir::program::Place;

/// A kernel and what it is called with, before kernels are interned. The last argument of
/// a structured kernel is its only result.
#[derive(Clone)]
pub(super) struct Piece {
    pub(super) kernel: Kernel,
    /// One place per operand that is not local.
    pub(super) args: Vec<Place>,
    /// Where it comes from.
    pub(super) locs: Vec<LocId>,
}

impl Piece {
    /// The stage of a piece that has exactly one.
    pub(super) fn stage(&self) -> Option<&Stage> {
        match self.kernel.stages.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }

    pub(super) fn reads(&self, place: &Place) -> bool {
        self.args[..self.args.len() - 1].contains(place)
    }

    /// The same piece with its parallel axes in the order in which its result lies in memory.
    pub(super) fn in_order(&self) -> Piece {
        let mut piece = self.clone();
        if let [stage] = piece.kernel.stages.as_mut_slice()
            && let Some(written) = position(&self.kernel, &stage.write)
        {
            let parallel = self.kernel.parallel_axes(stage).count();
            stage.axes[..parallel].sort_by_key(|&a| std::cmp::Reverse(written.coefficient(a)));
        }
        piece
    }

    /// The operands that are bound to a place.
    pub(super) fn bound_to<'p>(&'p self, place: &'p Place) -> impl Iterator<Item = OperandId> + 'p {
        let args = self.args.iter().enumerate();
        args.filter(move |(_, p)| *p == place).map(|(n, _)| OperandId::new(n))
    }

    /// The leading parallel axes.
    pub(super) fn shared_axes(&self, shared: usize) -> &[AxisId] {
        self.stage().map_or(&[], |s| &s.axes[..shared])
    }

    /// Whether, at each point of the shared axes, `reader` reads of `place` only what this piece
    /// writes there.
    pub(super) fn feeds(&self, place: &Place, reader: &Piece, shared: usize) -> bool {
        let Some(stage) = self.stage() else { return false };
        let (mine, theirs) = (self.shared_axes(shared), reader.shared_axes(shared));
        let extents = |p: &Piece, axes: &[AxisId]| -> Vec<usize> {
            axes.iter().map(|&a| p.kernel.extent(a)).collect()
        };
        if extents(self, mine) != extents(reader, theirs) {
            return false;
        }
        let steps = row_steps(self.elements(stage.write.operand), &extents(self, mine));
        let Some(steps) = steps else { return false };
        let rows_of = |position: &Affine<AxisId>, axes: &[AxisId]| {
            axes.iter().zip(&steps).all(|(&a, &(step, _))| position.coefficient(a) == step)
        };
        let block = steps.last().map_or(self.elements(stage.write.operand), |s| s.1);
        let reads = |access: &Access| {
            position(&reader.kernel, access).is_some_and(|position| {
                let inside = range(&reader.kernel, &without(&position, theirs)).within(block);
                access.outside == Outside::Never && inside && rows_of(&position, theirs)
            })
        };
        let operands: Vec<OperandId> = reader.bound_to(place).collect();
        let stages = &reader.kernel.stages;
        let mut accesses = stages.iter().flat_map(Stage::all_reads);
        position(&self.kernel, &stage.write).is_some_and(|written| rows_of(&written, mine))
            && !stages.iter().flat_map(Stage::lookups).any(|l| operands.contains(&l.operand))
            && accesses.all(|a| !operands.contains(&a.operand) || reads(a))
    }

    fn elements(&self, operand: OperandId) -> usize {
        self.kernel.operands[operand].ty.shape.numel()
    }
}

/// For a dense tensor of `elements` whose leading extents are these: each one's step, and the
/// elements below one point of it.
fn row_steps(elements: usize, extents: &[usize]) -> Option<Vec<(i64, usize)>> {
    let mut below = elements;
    let step = |&extent: &usize| {
        below.is_multiple_of(extent).then_some(())?;
        below /= extent;
        Some((below as i64, below))
    };
    extents.iter().map(step).collect()
}

/// Row-major position of an access without lookups.
pub(crate) fn position(kernel: &Kernel, access: &Access) -> Option<Affine<AxisId>> {
    let strides = kernel.operands[access.operand].ty.shape.strides();
    let mut terms = access.index.iter().zip(&strides);
    terms.try_fold(Affine::constant(0), |sum, (index, &stride)| {
        Some(sum.add_scaled(index.affine()?, stride as i64))
    })
}

fn range(kernel: &Kernel, position: &Affine<AxisId>) -> Interval {
    position.interval(|a| Interval::below(kernel.extent(a)))
}

/// A position without its terms in these axes.
pub(super) fn without(position: &Affine<AxisId>, axes: &[AxisId]) -> Affine<AxisId> {
    axes.iter().fold(position.clone(), |p, &a| {
        let step = p.coefficient(a);
        p.plus(a, -step)
    })
}
