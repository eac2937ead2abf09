//! No reduction and results consecutive in memory: whole vectors along that axis, a few at a time,
//! so that the loop's own instructions do not count.

use super::facts;
use edgecc_ir::kernel::schedule::Schedule;
use edgecc_ir::kernel::{Kernel, Stage};
use edgecc_ir::target::Target;

/// Vectors per iteration.
const VECTORS: u32 = 4;

pub(super) fn plan(kernel: &Kernel, target: &Target) -> Option<Schedule> {
    if kernel.stages.iter().any(|s| s.reduce.is_some()) {
        return None;
    }
    let axes = |s: &Stage| facts::vector_axis(kernel, s, target);
    let vector = facts::distinct(kernel.stages.iter().filter_map(axes));
    let tile = vector.iter().map(|&(axis, lanes)| {
        let vectors = (kernel.extent(axis) as u32 / lanes).clamp(1, VECTORS);
        (axis, lanes * vectors)
    });
    let tile = tile.collect();
    let peel = match (kernel.stages.as_slice(), vector.as_slice()) {
        ([stage], [(vector, _)]) => facts::peeled_axes(kernel, stage, *vector, VECTORS),
        _ => Vec::new(),
    };
    (!vector.is_empty()).then_some(Schedule { tile, vector, peel, ..Schedule::default() })
}
