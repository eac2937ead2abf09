//! Several pieces as one kernel.

use super::piece::{Piece, position, without};
use cranelift_entity::{EntityRef, SecondaryMap};
use edgecc_ir::affine::Affine;
use edgecc_ir::kernel::{
    Access, AxisId, Index, Kernel, Lookup, Operand, OperandId, Outside, Role, Stage,
};
use edgecc_ir::program::Place;
use edgecc_ir::types::{Shape, TensorType};

/// One kernel for pieces in execution order; what only they read is local.
pub(super) fn merge(members: &[Piece], shared: usize) -> Piece {
    let last = members.last().expect("a group has members");
    let reduces = |m: &&Piece| m.kernel.stages.iter().any(|s| s.reduce.is_some());
    let named = members.iter().find(reduces).unwrap_or(last);
    let mut merge = Merge::new(&named.kernel.name, last, shared);
    let results: Vec<&Place> = members.iter().filter_map(|m| m.args.last()).collect();
    let (output, inner) = results.split_last().expect("a group has members");
    for member in members {
        merge.declare_reads(member, inner);
    }
    merge.declare_results(members, output);
    for member in members {
        merge.stages(member, shared);
    }
    let locs = members.iter().flat_map(|m| &m.locs).copied().collect();
    Piece { kernel: merge.kernel, args: merge.args, locs }
}

/// One kernel for pieces without rows and locals, each of which writes its part of one result.
/// Operands are not shared, so that each can take the shape that suits its stage.
pub(super) fn side_by_side(members: &[Piece]) -> Piece {
    let first = members.first().expect("a group has members");
    let mut kernel = Kernel::empty(&first.kernel.name);
    let (mut args, mut offsets) = (Vec::new(), Vec::new());
    for Piece { kernel: member, args: places, .. } in members {
        offsets.push((kernel.operands.len(), kernel.axes.len()));
        let reads = member.operands.values().zip(places).filter(|(o, _)| o.role != Role::Write);
        for (operand, place) in reads {
            kernel.operands.push(operand.clone());
            args.push(place.clone());
        }
        member.axes.values().for_each(|&axis| {
            kernel.axes.push(axis);
        });
    }
    let written = first.kernel.operands.values().find(|o| o.role == Role::Write);
    let result = kernel.operands.push(written.expect("a member writes").clone());
    args.extend(first.args.last().cloned());
    for (Piece { kernel: member, .. }, (operand, axis)) in members.iter().zip(offsets) {
        let operand = |id: OperandId| match member.operands[id].role {
            Role::Write => result,
            Role::Read | Role::Const | Role::Local => OperandId::new(operand + id.index()),
        };
        let axis = |id: AxisId| AxisId::new(axis + id.index());
        kernel.stages.extend(member.stages.iter().map(|stage| renamed(stage, operand, axis)));
    }
    let locs = members.iter().flat_map(|m| &m.locs).copied().collect();
    Piece { kernel, args, locs }
}

/// One stage of a piece without locals, with the operands and axes that it needs.
pub(super) fn only(piece: &Piece, stage: &Stage) -> Piece {
    let mut kernel = Kernel::empty(&piece.kernel.name);
    let accesses = || stage.all_reads().chain([&stage.write]);
    let looked_up = || stage.lookups().map(|l| l.operand);
    let is_used = |id| accesses().map(|a| a.operand).chain(looked_up()).any(|o| o == id);
    let used: Vec<OperandId> = piece.kernel.operands.keys().filter(|&id| is_used(id)).collect();
    used.iter().for_each(|&id| {
        kernel.operands.push(piece.kernel.operands[id].clone());
    });
    stage.axes.iter().for_each(|&a| {
        kernel.axes.push(piece.kernel.axes[a]);
    });
    let operand = |id| OperandId::new(used.iter().position(|&u| u == id).expect("it is used"));
    let axis = |id| AxisId::new(stage.axes.iter().position(|&a| a == id).expect("of the stage"));
    kernel.stages.push(renamed(stage, operand, axis));
    let args = used.iter().map(|id| piece.args[id.index()].clone()).collect();
    Piece { kernel, args, locs: Vec::new() }
}

/// Every access of a stage.
pub(super) fn accesses_mut(stage: &mut Stage) -> impl Iterator<Item = &mut Access> {
    let Stage { reads, epilogue_reads, write, .. } = stage;
    reads.iter_mut().chain(epilogue_reads).chain([write])
}

/// The stage with other names for its operands and axes.
pub(super) fn renamed(
    stage: &Stage,
    operand: impl Fn(OperandId) -> OperandId,
    axis: impl Fn(AxisId) -> AxisId,
) -> Stage {
    let affine = |i: &Affine<AxisId>| i.substitute(|a| Affine::var(axis(a)));
    let index = |index: &Index| match index {
        Index::Affine(place) => affine(place).into(),
        Index::Lookup(lookup) => Index::Lookup(Lookup {
            operand: operand(lookup.operand),
            index: lookup.index.iter().map(affine).collect(),
        }),
    };
    let access = |access: &Access| Access {
        operand: operand(access.operand),
        index: access.index.iter().map(index).collect(),
        outside: access.outside,
        unit: access.unit,
    };
    Stage {
        axes: stage.axes.iter().map(|&a| axis(a)).collect(),
        reads: stage.reads.iter().map(access).collect(),
        epilogue_reads: stage.epilogue_reads.iter().map(access).collect(),
        write: access(&stage.write),
        ..stage.clone()
    }
}

struct Merge {
    kernel: Kernel,
    args: Vec<Place>,
    /// The operand of each place under each type.
    known: Vec<(Place, TensorType, OperandId)>,
    locals: Vec<(Place, OperandId)>,
}

impl Merge {
    /// A kernel with the row axes of its last member.
    fn new(name: &str, last: &Piece, shared: usize) -> Merge {
        let mut kernel = Kernel::empty(name);
        let axes = last.shared_axes(shared).iter();
        kernel.rows = axes.map(|&a| kernel.axes.push(last.kernel.axes[a])).collect();
        Merge { kernel, args: Vec::new(), known: Vec::new(), locals: Vec::new() }
    }

    fn declare_reads(&mut self, member: &Piece, inner: &[&Place]) {
        let reads = member.kernel.operands.values().zip(&member.args);
        for (operand, place) in reads.filter(|(o, _)| o.role != Role::Write) {
            let known = self.known.iter().any(|(p, ty, _)| p == place && *ty == operand.ty);
            if !known && !inner.contains(&place) {
                self.declare(operand.clone(), place);
            }
        }
    }

    fn declare(&mut self, operand: Operand, place: &Place) {
        let ty = operand.ty.clone();
        self.known.push((place.clone(), ty, self.kernel.operands.push(operand)));
        self.args.push(place.clone());
    }

    fn declare_results(&mut self, members: &[Piece], output: &Place) {
        let rows: usize = self.kernel.rows.iter().map(|&a| self.kernel.extent(a)).product();
        let mut inner = Vec::new();
        for member in members {
            let written = member.kernel.operands.values().zip(&member.args);
            for (operand, place) in written.filter(|(o, _)| o.role == Role::Write) {
                if place == output {
                    self.declare(operand.clone(), place);
                } else {
                    inner.push((operand.ty.clone(), place.clone()));
                }
            }
        }
        for (ty, place) in inner {
            let shape = Shape::new(&[ty.shape.numel() / rows]);
            let operand = Operand { ty: TensorType { elem: ty.elem, shape }, role: Role::Local };
            self.locals.push((place, self.kernel.operands.push(operand)));
        }
    }

    fn stages(&mut self, member: &Piece, shared: usize) {
        let (rows, mine) = (self.kernel.rows.clone(), member.shared_axes(shared).to_vec());
        let mut renamed: SecondaryMap<AxisId, Option<AxisId>> = SecondaryMap::new();
        for (id, axis) in &member.kernel.axes {
            let row = mine.iter().position(|&a| a == id);
            renamed[id] = Some(match row {
                Some(n) => rows[n],
                None => self.kernel.axes.push(*axis),
            });
        }
        let axis = |a: AxisId| renamed[a].expect("every axis has a new name");
        for stage in &member.kernel.stages {
            let moved = |access: &Access| self.access(member, access, &mine, &axis);
            let stage = Stage {
                axes: stage.axes.iter().map(|&a| axis(a)).collect(),
                reads: stage.reads.iter().map(moved).collect(),
                epilogue_reads: stage.epilogue_reads.iter().map(moved).collect(),
                write: moved(&stage.write),
                ..stage.clone()
            };
            self.kernel.stages.push(stage);
        }
    }

    fn access(
        &self,
        member: &Piece,
        access: &Access,
        shared: &[AxisId],
        axis: &impl Fn(AxisId) -> AxisId,
    ) -> Access {
        let rename = |i: &Affine<AxisId>| i.substitute(|a| Affine::var(axis(a)));
        let operand = self.operand(member, access.operand);
        if self.locals.iter().any(|l| l.1 == operand) {
            let place = position(&member.kernel, access).expect("what is joined is not looked up");
            let place = rename(&without(&place, shared));
            let index = vec![place.into()];
            return Access { operand, index, outside: Outside::Never, unit: access.unit };
        }
        let index = access.index.iter().map(|index| match index {
            Index::Affine(affine) => rename(affine).into(),
            Index::Lookup(lookup) => Index::Lookup(Lookup {
                operand: self.operand(member, lookup.operand),
                index: lookup.index.iter().map(rename).collect(),
            }),
        });
        Access { operand, index: index.collect(), outside: access.outside, unit: access.unit }
    }

    /// The operand here of an operand of a member.
    fn operand(&self, member: &Piece, operand: OperandId) -> OperandId {
        let (place, ty) = (&member.args[operand.index()], &member.kernel.operands[operand].ty);
        let local = self.locals.iter().find(|l| l.0 == *place).map(|l| l.1);
        let known = || self.known.iter().find(|(p, t, _)| p == place && t == ty).map(|k| k.2);
        local.or_else(known).expect("every operand is declared")
    }
}
