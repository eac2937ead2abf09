//! Calls: a kernel of its own for each, joined to its neighbours and stored once at the end.

use super::piece::Piece;
use super::views::View;
use super::{Former, Item, blocks, collapse, group, region, write_through};
use crate::recognise;
use cranelift_entity::EntityRef;
use edgecc_ir::graph::OpId;
use edgecc_ir::kernel::{
    Access, BufferId, Home, Index, Kernel, KernelId, Operand, OperandId, Role, Stage,
};
use edgecc_ir::loc::{Loc, LocId};
use edgecc_ir::program::{Call, Place, Step};
use edgecc_ir::types::TensorType;
use std::collections::{BTreeMap, BTreeSet};
use std::mem::take;

impl Former<'_, '_> {
    pub(super) fn call(
        &mut self,
        kernel: &Kernel,
        args: &[OpId],
        ty: &TensorType,
        loc: LocId,
    ) -> View {
        let view = self.whole(ty, Home::Arena);
        self.call_into(kernel, args, view.place.clone(), loc);
        view
    }

    /// A call that writes its result to a place.
    pub(super) fn call_into(&mut self, kernel: &Kernel, args: &[OpId], result: Place, loc: LocId) {
        let reads: Vec<&Access> = kernel.stages.iter().flat_map(Stage::all_reads).collect();
        for read in reads {
            let arg = args[read.operand.index()];
            if self.view(arg).compose(read, kernel).is_none() {
                self.materialize(arg);
            }
            for lookup in read.lookups() {
                let arg = args[lookup.operand.index()];
                if self.view(arg).look_up(lookup, kernel).is_none() {
                    self.materialize(arg);
                }
            }
        }
        let views: Vec<&View> = args.iter().map(|&a| self.view(a)).collect();
        let mut args: Vec<Place> = views.iter().map(|v| v.place.clone()).collect();
        let mut kernel = self.bind(kernel, &views);
        args.push(result);
        collapse::drop_unit_axes(&mut kernel);
        let locs = vec![LocId::new(self.first_loc + loc.index())];
        self.out.items.push(Item::Piece(Box::new(Piece { kernel, args, locs })));
    }

    fn is_constant(&self, view: &View) -> bool {
        let buffer = &self.out.kernels.buffers[view.place.buffer];
        let elements = buffer.ty.shape.numel();
        matches!(buffer.home, Home::Const(_)) && view.ty.shape.numel() == elements
    }

    /// One result of a routine, which is called for the first of its results; it reads whole buffers.
    pub(super) fn routine(
        &mut self,
        kernel: Kernel,
        args: &[OpId],
        result: usize,
        loc: LocId,
    ) -> View {
        let key = (kernel, args.to_vec());
        if let Some(results) = self.routines.get(&key) {
            return results[result].clone();
        }
        for &arg in args {
            if !self.view(arg).is_whole() {
                self.materialize(arg);
            }
        }
        let views: Vec<&View> = args.iter().map(|&a| self.view(a)).collect();
        let bound = self.bind(&key.0, &views);
        let mut places: Vec<Place> = views.iter().map(|v| v.place.clone()).collect();
        let written = bound.operands.values().filter(|o| o.role == Role::Write);
        let types: Vec<TensorType> = written.map(|o| o.ty.clone()).collect();
        let results: Vec<View> = types.iter().map(|ty| self.whole(ty, Home::Arena)).collect();
        places.extend(results.iter().map(|view| view.place.clone()));
        let locs = vec![LocId::new(self.first_loc + loc.index())];
        let piece = Piece { kernel: bound, args: places, locs };
        self.out.items.push(Item::Piece(Box::new(piece)));
        let view = results[result].clone();
        self.routines.insert(key, results);
        view
    }

    /// Replaces each operand by the buffer that its view reads.
    fn bind(&self, kernel: &Kernel, views: &[&View]) -> Kernel {
        const COPIED: &str = "views that do not compose were copied";
        let through = |access: &Access| {
            let seen = views[access.operand.index()].compose(access, kernel).expect(COPIED);
            let index = seen.index.into_iter().map(|index| match index {
                Index::Affine(affine) => Index::Affine(affine),
                Index::Lookup(l) => {
                    Index::Lookup(views[l.operand.index()].look_up(&l, kernel).expect(COPIED))
                }
            });
            Access { index: index.collect(), ..seen }
        };
        let mut bound = kernel.clone();
        for stage in &mut bound.stages {
            stage.reads = stage.reads.iter().map(through).collect();
            stage.epilogue_reads = stage.epilogue_reads.iter().map(through).collect();
        }
        for (at, view) in views.iter().enumerate() {
            let role = if self.is_constant(view) { Role::Const } else { Role::Read };
            bound.operands[OperandId::new(at)] = Operand { ty: view.ty.clone(), role };
        }
        bound
    }

    /// Joins pieces of the block to rows and makes them calls of interned kernels. What a step with
    /// blocks uses, and what is in `kept`, stays in memory.
    pub(super) fn join(&mut self, kept: &BTreeSet<BufferId>) {
        let mut runs: Vec<Vec<Piece>> = vec![Vec::new()];
        let mut steps = Vec::new();
        for item in take(&mut self.out.items) {
            match item {
                Item::Piece(piece) => runs.last_mut().expect("at least one run").push(*piece),
                Item::Step(step) => {
                    steps.push(step);
                    runs.push(Vec::new());
                }
            }
        }
        let mut users: BTreeMap<BufferId, usize> = BTreeMap::new();
        let mut named = kept.clone();
        for (n, run) in runs.iter().enumerate() {
            for place in run.iter().flat_map(|piece| &piece.args) {
                if *users.entry(place.buffer).or_insert(n) != n {
                    named.insert(place.buffer);
                }
            }
        }
        steps.iter().for_each(|step| region::collect(step, &mut named));
        let mut steps = steps.into_iter();
        for run in runs {
            self.calls(run, &named);
            self.out.items.extend(steps.next().map(Item::Step));
        }
    }

    /// The calls of pieces that follow one another.
    fn calls(&mut self, run: Vec<Piece>, named: &BTreeSet<BufferId>) {
        let buffers = &self.out.kernels.buffers;
        let is_private =
            |buffer: BufferId| buffers[buffer].home == Home::Arena && !named.contains(&buffer);
        let joined = group::join_rows(run, is_private);
        let written = write_through::write_through(joined, is_private);
        for piece in blocks::join_blocks(written, is_private) {
            let mut kernel = piece.kernel;
            if kernel.routine.is_none() {
                kernel = collapse::canonical(kernel);
            }
            if let Some(name) = recognise::name_of(&kernel) {
                kernel.name = name;
            }
            let callee = self.intern(kernel);
            let loc = match piece.locs.as_slice() {
                [only] => *only,
                several => self.out.kernels.locs.push(Loc::Fused(several.to_vec())),
            };
            self.push(Step::Call(Call { callee, args: piece.args, loc }));
        }
    }

    fn intern(&mut self, kernel: Kernel) -> KernelId {
        if let Some(&known) = self.out.interned.get(&kernel) {
            return known;
        }
        let id = self.out.kernels.kernels.push(kernel.clone());
        self.out.interned.insert(kernel, id);
        id
    }
}
