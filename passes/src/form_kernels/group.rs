//! Row kernels: a producer and its consumers that share outer axes become one kernel.
//!
//! Pieces are visited from the last to the first. A piece whose result is read by one piece alone
//! (which may itself be a group) joins it, over as many shared axes as possible, when the result
//! pays: one stage, or reductions of contiguous rows and maps over them whose row-sized locals stay
//! in a cache. Softmax, layer normalisation and a map after a pool are cases of this.

use super::settle::settle;
use cranelift_entity::{EntityRef, SecondaryMap};
use edgecc_ir::affine::{Affine, Interval};
use edgecc_ir::kernel::{
    Access, AxisId, BufferId, Index, Kernel, Lookup, Operand, OperandId, Outside, Role, Stage,
};
use edgecc_ir::loc::LocId;
use edgecc_ir::program::Place;
use edgecc_ir::scalar::ScalarNode;
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::types::{Shape, TensorType};

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

/// Bytes of the row-sized locals of one kernel, which so stay in the second-level cache.
const ROW_BYTES: usize = 64 << 10;
/// Rows below this many elements leave most of a vector empty.
const SHORTEST_ROW: usize = 4;

/// Joins pieces where that pays. `is_private` tells whether a buffer is read by pieces alone.
pub(super) fn join_rows(pieces: Vec<Piece>, is_private: impl Fn(BufferId) -> bool) -> Vec<Piece> {
    let mut groups: Vec<Option<Group>> = pieces.into_iter().map(Group::new).map(Some).collect();
    for at in (0..groups.len()).rev() {
        let Some(result) = groups[at].as_ref().and_then(Group::result).cloned() else { continue };
        let reads = |g: &Option<Group>| g.as_ref().is_some_and(|g| g.reads(&result));
        let mut readers = (at + 1..groups.len()).filter(|&n| reads(&groups[n]));
        let (Some(reader), None) = (readers.next(), readers.next()) else { continue };
        if is_private(result.buffer)
            && let (Some(producer), Some(consumer)) = (&groups[at], &groups[reader])
            && let Some(joined) = consumer.with(&producer.members[0])
        {
            groups[reader] = Some(joined);
            groups[at] = None;
        }
    }
    groups.into_iter().flatten().map(Group::finish).collect()
}

/// Pieces in execution order that run as one kernel over the leading `shared` parallel axes of each.
struct Group {
    members: Vec<Piece>,
    shared: usize,
    /// The kernel of several members.
    merged: Option<Piece>,
}

impl Group {
    fn new(piece: Piece) -> Group {
        let shared = piece.stage().map_or(0, |s| piece.kernel.parallel_axes(s).count());
        Group { members: vec![piece], shared, merged: None }
    }

    /// The place that a single member writes.
    fn result(&self) -> Option<&Place> {
        let [only] = self.members.as_slice() else { return None };
        only.stage()?;
        only.args.last()
    }

    fn reads(&self, place: &Place) -> bool {
        self.members.iter().any(|m| m.reads(place))
    }

    fn finish(self) -> Piece {
        let first = self.members.into_iter().next();
        self.merged.or(first).expect("a group has members")
    }

    /// The group with a producer in front, if that pays.
    fn with(&self, producer: &Piece) -> Option<Group> {
        let producer = &producer.in_order();
        let stage = producer.stage()?;
        self.members.iter().find(|m| m.stage().is_none()).is_none().then_some(())?;
        let most = self.shared.min(producer.kernel.parallel_axes(stage).count());
        let result = producer.args.last()?;
        let readers: Vec<&Piece> = self.members.iter().filter(|m| m.reads(result)).collect();
        let aligned =
            |&shared: &usize| readers.iter().all(|reader| producer.feeds(result, reader, shared));
        (0..=most).rev().filter(aligned).find_map(|shared| {
            let members: Vec<Piece> =
                [producer].into_iter().chain(&self.members).cloned().collect();
            let mut merged = merge(&members, shared);
            settle(&mut merged.kernel);
            pays(&merged.kernel).then_some(Group { members, shared, merged: Some(merged) })
        })
    }
}

impl Piece {
    /// The stage of a piece that has exactly one.
    fn stage(&self) -> Option<&Stage> {
        match self.kernel.stages.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }

    fn reads(&self, place: &Place) -> bool {
        self.args[..self.args.len() - 1].contains(place)
    }

    /// The same piece with its parallel axes in the order in which its result lies in memory.
    fn in_order(&self) -> Piece {
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
    fn bound_to<'p>(&'p self, place: &'p Place) -> impl Iterator<Item = OperandId> + 'p {
        let args = self.args.iter().enumerate();
        args.filter(move |(_, p)| *p == place).map(|(n, _)| OperandId::new(n))
    }

    /// The leading parallel axes.
    fn shared_axes(&self, shared: usize) -> &[AxisId] {
        self.stage().map_or(&[], |s| &s.axes[..shared])
    }

    /// Whether, at each point of the shared axes, `reader` reads of `place` only what this piece
    /// writes there.
    fn feeds(&self, place: &Place, reader: &Piece, shared: usize) -> bool {
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
fn position(kernel: &Kernel, access: &Access) -> Option<Affine<AxisId>> {
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
fn without(position: &Affine<AxisId>, axes: &[AxisId]) -> Affine<AxisId> {
    axes.iter().fold(position.clone(), |p, &a| {
        let step = p.coefficient(a);
        p.plus(a, -step)
    })
}

/// One kernel for pieces in execution order; what only they read is local.
fn merge(members: &[Piece], shared: usize) -> Piece {
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
            return Access { operand, index: vec![place.into()], outside: Outside::Never };
        }
        let index = access.index.iter().map(|index| match index {
            Index::Affine(affine) => rename(affine).into(),
            Index::Lookup(lookup) => Index::Lookup(Lookup {
                operand: self.operand(member, lookup.operand),
                index: lookup.index.iter().map(rename).collect(),
            }),
        });
        Access { operand, index: index.collect(), outside: access.outside }
    }

    /// The operand here of an operand of a member.
    fn operand(&self, member: &Piece, operand: OperandId) -> OperandId {
        let (place, ty) = (&member.args[operand.index()], &member.kernel.operands[operand].ty);
        let local = self.locals.iter().find(|l| l.0 == *place).map(|l| l.1);
        let known = || self.known.iter().find(|(p, t, _)| p == place && t == ty).map(|k| k.2);
        local.or_else(known).expect("every operand is declared")
    }
}

/// Whether a kernel is better than its parts: one stage, or maps and reductions over rows that
/// move contiguously and whose locals are small. Maps alone share at most single values.
fn pays(kernel: &Kernel) -> bool {
    let locals = || kernel.operands.values().filter(|o| o.role == Role::Local);
    let bytes: usize = locals().map(|o| o.ty.bytes()).sum();
    let single_values = locals().all(|o| o.ty.shape.numel() == 1);
    let mut reductions = kernel.stages.iter().filter(|s| s.reduce.is_some()).peekable();
    kernel.stages.len() == 1
        || bytes <= ROW_BYTES
            && kernel.stages.iter().all(|s| is_long(kernel, s))
            && (single_values || reductions.peek().is_some())
            && reductions.all(|s| reduces_a_row(kernel, s))
}

/// Whether the row that a stage runs along, if any, fills a vector.
fn is_long(kernel: &Kernel, stage: &Stage) -> bool {
    let along = stage.axes[kernel.rows.len()..].last();
    along.is_none_or(|&a| kernel.extent(a) >= SHORTEST_ROW)
}

/// Whether a stage reduces the whole contiguous row to a scalar and is no contraction, for which
/// there are better loops.
fn reduces_a_row(kernel: &Kernel, stage: &Stage) -> bool {
    let Some(innermost) = kernel.reduce_axes(stage).last() else { return false };
    let contiguous = |access: &Access| {
        let step = position(kernel, access).map(|p| p.coefficient(innermost));
        access.outside == Outside::Never && matches!(step, Some(0 | 1))
    };
    kernel.parallel_axes(stage).count() == kernel.rows.len()
        && stage.reads.iter().all(contiguous)
        && !is_contraction(stage)
}

/// Whether a stage reduces products of different values.
fn is_contraction(stage: &Stage) -> bool {
    match stage.body.nodes().last() {
        Some(ScalarNode::Call(ScalarFn::Mul, factors)) => factors[0] != factors[1],
        _ => false,
    }
}
