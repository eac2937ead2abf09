//! Stages that write their part of a shared result, as kernels of their own.
//!
//! A detached stage writes a buffer, and a copy takes its place in the kernel. That pays where a
//! stage alone can run in a way that costs less than the copy does.

use super::collapse::canonical;
use super::merge::{only, side_by_side};
use super::piece::Piece;
use edgecc_ir::affine::Affine;
use edgecc_ir::kernel::build::{KernelBuilder, access_axes};
use edgecc_ir::kernel::{AxisKind, Buffer, Home, Kernel, KernelId, Kernels, Operand, Role};
use edgecc_ir::program::{Call, Place, expand_calls};
use edgecc_ir::scalar::ScalarExpr;
use edgecc_ir::types::TensorType;
use indexmap::IndexMap;

/// Detaches the stages that `is_wanted` as kernels. Needs kernels without schedules.
pub(crate) fn detach(kernels: &mut Kernels, is_wanted: impl Fn(&Kernel) -> bool) {
    let steps = std::mem::take(&mut kernels.program.steps);
    let mut detach = Detach { kernels, is_wanted, known: IndexMap::new(), rests: IndexMap::new() };
    let steps = expand_calls(steps, &mut |call| detach.call(call));
    let rests = std::mem::take(&mut detach.rests);
    kernels.program.steps = steps;
    for (id, rest) in rests {
        kernels.kernels[id] = rest;
    }
}

struct Detach<'k, W> {
    kernels: &'k mut Kernels,
    is_wanted: W,
    /// The kernels of detached stages.
    known: IndexMap<Kernel, KernelId>,
    /// What is left of kernels.
    rests: IndexMap<KernelId, Kernel>,
}

impl<W: Fn(&Kernel) -> bool> Detach<'_, W> {
    /// The calls of the detached stages, then that of the rest.
    fn call(&mut self, call: Call<KernelId>) -> Vec<Call<KernelId>> {
        let kernel = self.kernels.kernels[call.callee].clone();
        let is_open = kernel.schedule.is_none() && kernel.rows.is_empty();
        let has_locals = kernel.operands.values().any(|o| o.role == Role::Local);
        if !is_open || has_locals || kernel.stages.len() < 2 {
            return vec![call];
        }
        let piece = Piece { kernel, args: call.args.clone(), locs: Vec::new() };
        let mut calls = Vec::new();
        let stages = piece.kernel.stages.iter().map(|stage| {
            let part = only(&piece, stage).in_order();
            let alone = alone(&part);
            if !(self.is_wanted)(&alone) {
                return part;
            }
            let mut args = part.args.clone();
            let ty = alone.operands.values().last().expect("a kernel writes").ty.clone();
            let buffer = self.kernels.buffers.push(Buffer { ty, home: Home::Arena });
            *args.last_mut().expect("a kernel writes") = buffer.into();
            let copy = copy(&part, &alone, buffer.into());
            calls.push(Call { callee: self.intern(alone), args, loc: call.loc });
            copy
        });
        let stages: Vec<Piece> = stages.collect();
        if calls.is_empty() {
            return vec![call];
        }
        let Piece { kernel, args, .. } = side_by_side(&stages);
        self.rests.insert(call.callee, canonical(kernel));
        calls.push(Call { args, ..call });
        calls
    }

    fn intern(&mut self, kernel: Kernel) -> KernelId {
        let kernels = &mut self.kernels.kernels;
        *self.known.entry(kernel).or_insert_with_key(|kernel| kernels.push(kernel.clone()))
    }
}

/// The kernel of a single stage, which writes a dense result.
fn alone(part: &Piece) -> Kernel {
    let mut kernel = part.kernel.clone();
    let stage = &kernel.stages[0];
    let axes: Vec<_> = kernel.parallel_axes(stage).collect();
    let dims: Vec<usize> = axes.iter().map(|&a| kernel.extent(a)).collect();
    let written = stage.write.operand;
    kernel.stages[0].write = access_axes(written, &axes);
    let Operand { ty, .. } = &mut kernel.operands[written];
    *ty = TensorType::new(ty.elem, &dims);
    canonical(kernel)
}

/// The copy of a dense result to where the stage of `part` writes it.
fn copy(part: &Piece, alone: &Kernel, from: Place) -> Piece {
    let stage = &part.kernel.stages[0];
    let written = &part.kernel.operands[stage.write.operand].ty;
    let mut copy = KernelBuilder::new(&alone.name);
    let outer: Vec<_> = part.kernel.parallel_axes(stage).collect();
    let extents: Vec<usize> = outer.iter().map(|&a| part.kernel.extent(a)).collect();
    let source = copy.read(&TensorType::new(written.elem, &extents));
    let target = copy.write(written);
    let axes: Vec<_> =
        extents.iter().map(|&extent| copy.axis(extent, AxisKind::Parallel)).collect();
    let mut write = stage.write.clone();
    write.operand = target;
    let renamed = |a| axes[outer.iter().position(|&o| o == a).expect("writes follow these axes")];
    for place in write.index.iter_mut().flat_map(|index| index.affines_mut()) {
        *place = place.substitute(|a| Affine::var(renamed(a)));
    }
    let read = access_axes(source, &axes);
    copy.map_stage(axes, vec![read], ScalarExpr::identity(), write);
    let to = part.args.last().expect("a kernel writes").clone();
    Piece { kernel: copy.finish(), args: vec![from, to], locs: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::detach;
    use crate::form_kernels::form_kernels;
    use crate::form_kernels::testing::data;
    use edgecc_ir::graph::build::GraphBuilder;
    use edgecc_ir::graph::eval::eval;
    use edgecc_ir::graph::ops::{Concat, Conv, Layout, Window};
    use edgecc_ir::kernel;
    use edgecc_ir::kernel::verify::verify;

    #[test]
    fn a_detached_stage_is_copied_to_its_place() {
        let mut b = GraphBuilder::new("m");
        let image = data(&[1, 4, 5, 3]);
        let x = b.input("x", image.ty.clone());
        let parts = [1, 3].map(|side| {
            let w = b.constant(data(&[8, 3, side, side]));
            let pads = vec![side as u32 / 2; 2];
            let window = Window { pads_begin: pads.clone(), pads_end: pads, ..Window::unit(2) };
            b.add(Conv::plain(window, 1, Layout::ChannelsLast), &[x, w]).expect("a convolution")
        });
        let joined = b.add(Concat { dim: 3 }, &parts).expect("channels");
        b.output("y", joined);
        let graph = b.finish();
        let plain = form_kernels(&graph);
        let mut kernels = plain.clone();
        let pads = |k: &kernel::Kernel| {
            k.stages[0].reads.iter().any(|r| matches!(r.outside, kernel::Outside::Pad(_)))
        };
        detach(&mut kernels, pads);
        assert_eq!((plain.program.steps.len(), kernels.program.steps.len()), (1, 2));
        assert_eq!(verify(&kernels), Ok(()));
        let inputs = [image];
        assert_eq!(kernel::eval::eval(&kernels, &inputs), eval(&graph, &inputs));
        let mut whole = plain.clone();
        detach(&mut whole, |_| false);
        assert_eq!(whole, plain);
    }
}
