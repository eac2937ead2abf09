//! Row kernels: a producer and its consumers that share outer axes become one kernel.
//!
//! Pieces are visited from the last to the first. A piece whose result is read by one piece alone
//! (which may itself be a group) joins it, over as many shared axes as possible, when the result
//! pays: one stage, or reductions of contiguous rows and maps over them whose row-sized locals stay
//! in a cache. Softmax, layer normalisation and a map after a pool are cases of this.

use super::merge::merge;
use super::piece::{Piece, position};
use super::settle::settle;
use edgecc_ir::kernel::{Access, BufferId, Kernel, Outside, Role, Stage};
use edgecc_ir::program::Place;
use edgecc_ir::scalar::ScalarNode;
use edgecc_ir::scalar::func::ScalarFn;

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
