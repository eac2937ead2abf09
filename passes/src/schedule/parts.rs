//! Which kernels are divided into parts that threads may share, and into how many.
//!
//! A part has to be worth the microseconds that handing it out takes, so small kernels stay whole.
//! The best way to divide one lets several threads be done first: in equal shares, with little that
//! every part reads. The parts are the same whatever runs them: so are the result's bits.

use super::facts;
use edgecc_ir::kernel::matrix;
use edgecc_ir::kernel::schedule::Schedule;
use edgecc_ir::kernel::{AxisId, AxisKind, Kernel, Kernels, Operand, Role, Stage};
use edgecc_ir::target::Target;
use std::collections::BTreeSet;

/// How kernels are divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Division {
    /// The most parts of a kernel; 1 leaves all kernels whole.
    pub parts: u32,
    /// The least estimated cycles of a part.
    pub grain: u64,
}

impl Default for Division {
    /// A part takes at least some half of a microsecond, a multiple of what handing it to a thread
    /// that looks for it does; eight of them keep up to four threads evenly busy.
    fn default() -> Division {
        Division { parts: 8, grain: 2_000 }
    }
}

/// Numbers of threads that a division should serve.
const THREADS: [usize; 3] = [2, 4, 8];
/// Cycles to hand out a part.
const HAND_OUT: u64 = 500;
/// Bytes that processors take from one another.
const LINE: usize = 64;
/// Products that matrix tiles make while vectors make one.
const IN_TILES: u64 = 8;
/// Bytes that are moved in a cycle, from beyond the first-level cache.
const BYTES: u64 = 8;

/// Divides each scheduled kernel that is worth it.
pub fn divide(kernels: &mut Kernels, target: &Target, by: Division) {
    for kernel in kernels.kernels.values_mut() {
        if let Some(schedule) = &kernel.schedule {
            let parts = plan(kernel, schedule, target, by);
            kernel.schedule = Some(Schedule { parts, ..schedule.clone() });
        }
    }
}

/// One axis for each stage, or for all stages where they share rows.
fn plan(kernel: &Kernel, schedule: &Schedule, target: &Target, by: Division) -> Vec<(AxisId, u32)> {
    let cycles = cycles(kernel, schedule, target);
    let worth = (cycles / by.grain.max(1)).min(u64::from(by.parts)) as usize;
    let most = worth.min(roomy(kernel));
    let shared = kernel.operands.values().any(|o| o.role == Role::Local);
    let best = |stages: &[Stage], axes: &[AxisId]| {
        let ways = axes.iter().flat_map(|&axis| {
            let way = move |parts| Way::new(kernel, schedule, stages, (axis, parts));
            (2..=most).filter_map(way)
        });
        let cheaper = |a: Way, b: Way| if b.cost(cycles) < a.cost(cycles) { b } else { a };
        ways.reduce(cheaper)
    };
    let found: Vec<Way> = match kernel.rows.is_empty() && !shared {
        true => {
            let order = |stage| outermost_first(kernel, schedule, stage);
            let stages = kernel.stages.iter();
            stages.filter_map(|s| best(std::slice::from_ref(s), &order(s))).collect()
        }
        false => best(&kernel.stages, &kernel.rows).into_iter().collect(),
    };
    let count = found.iter().map(|way| way.parts).max().unwrap_or(1);
    let axes: BTreeSet<AxisId> = found.iter().map(|way| way.axis).collect();
    axes.into_iter().map(|axis| (axis, count as u32)).collect()
}

/// Parts whose locals, of which each has its own, take no more memory than what the kernel reads and
/// writes; two in any case.
fn roomy(kernel: &Kernel) -> usize {
    let (locals, bound): (Vec<&Operand>, Vec<&Operand>) =
        kernel.operands.values().partition(|o| o.role == Role::Local);
    let bytes = |of: Vec<&Operand>| of.iter().map(|o| o.ty.bytes()).sum::<usize>();
    (bytes(bound) / bytes(locals).max(1)).max(2)
}

/// A way to divide a kernel.
#[derive(Clone, Copy)]
struct Way {
    axis: AxisId,
    parts: usize,
    tiles: usize,
    /// Tiles of a part, but for the last one.
    run: usize,
    /// Bytes that every part reads.
    common: usize,
}

impl Way {
    /// `None` where a part would have nothing to do, or write a fraction of a cache line whose rest
    /// another thread writes.
    fn new(
        kernel: &Kernel,
        schedule: &Schedule,
        stages: &[Stage],
        (axis, parts): (AxisId, usize),
    ) -> Option<Way> {
        let tile = schedule.tile_of(axis) as usize;
        let tiles = kernel.extent(axis).div_ceil(tile);
        let run = tiles.div_ceil(parts);
        let shares_lines = |stage: &Stage| {
            let bytes = run * tile * kernel.operands[stage.write.operand].ty.elem.bytes();
            kernel.stride(&stage.write, axis) == Some(1) && !bytes.is_multiple_of(LINE)
        };
        let alike = stages.iter().flat_map(Stage::all_reads);
        let alike = alike.filter(|read| !facts::follows(kernel, read, axis));
        let common = alike.map(|read| kernel.operands[read.operand].ty.bytes()).sum();
        (tiles.div_ceil(run) == parts && !stages.iter().any(shares_lines)).then_some(Way {
            axis,
            parts,
            tiles,
            run,
            common,
        })
    }

    /// Cycles until the last of several threads is done, summed over numbers of threads.
    fn cost(&self, cycles: u64) -> u64 {
        let own = cycles * self.run as u64 / self.tiles as u64;
        let part = own + self.common as u64 / BYTES + HAND_OUT;
        THREADS.iter().map(|&threads| self.parts.div_ceil(threads) as u64 * part).sum()
    }
}

/// The stage's parallel axes in the order of their loops.
fn outermost_first(kernel: &Kernel, schedule: &Schedule, stage: &Stage) -> Vec<AxisId> {
    let parallel = |a: &AxisId| kernel.axes[*a].kind == AxisKind::Parallel;
    let all = || stage.axes.iter().copied().filter(parallel);
    let listed = schedule.order.iter().copied().filter(|a| stage.axes.contains(a));
    all().filter(|a| !schedule.order.contains(a)).chain(listed).collect()
}

/// Cycles of all stages, roughly: sums of products run at the machine's rate, all others compute
/// or move bytes, whatever takes longer.
fn cycles(kernel: &Kernel, schedule: &Schedule, target: &Target) -> u64 {
    kernel.stages.iter().map(|stage| stage_cycles(kernel, schedule, target, stage)).sum()
}

fn stage_cycles(kernel: &Kernel, schedule: &Schedule, target: &Target, stage: &Stage) -> u64 {
    let points =
        |axes: &[AxisId]| -> u64 { axes.iter().map(|&a| kernel.extent(a) as u64).product() };
    let results = points(&outermost_first(kernel, schedule, stage));
    let lanes = stage.axes.iter().map(|&a| schedule.lanes_of(a)).max().unwrap_or(1);
    let per_cycle = f64::from(lanes) * target.fma_per_cycle(32 * lanes);
    let vectors = |elements: u64| (elements as f64 / per_cycle) as u64;
    let finish = vectors(results * facts::instructions(&stage.epilogue));
    let in_tiles = matrix::tiles(kernel, stage, schedule).is_some();
    let body = match facts::product_sum(stage) {
        Some(_) if in_tiles => vectors(points(&stage.axes)) / IN_TILES,
        Some(_) => vectors(points(&stage.axes)),
        None => vectors(points(&stage.axes) * facts::instructions(&stage.body)),
    };
    let width = kernel.operands[stage.write.operand].ty.elem.bytes() as u64;
    (body + finish).max(results * width * 2 / BYTES)
}

#[cfg(test)]
mod tests {
    use super::{Division, divide};
    use crate::eqsat::rule::Class;
    use crate::form_kernels::form_kernels;
    use crate::schedule::schedule;
    use edgecc_ir::graph::build::GraphBuilder;
    use edgecc_ir::graph::ops::MatMul;
    use edgecc_ir::kernel::verify::verify;
    use edgecc_ir::target::{Arch, Target};
    use edgecc_ir::types::{ElemType, TensorType};

    /// Parts of a product of `rows × 64` and `64 × columns`: the axis and their number.
    fn parts(rows: usize, columns: usize, by: Division) -> Vec<(u32, u32)> {
        let mut b = GraphBuilder::new("m");
        let [x, w] = [[rows, 64], [64, columns]]
            .map(|dims| b.input("x", TensorType::new(ElemType::F32, &dims)));
        let y = b.add(MatMul::plain(), &[x, w]).expect("a well-typed op");
        b.output("y", y);
        let mut kernels = form_kernels(&b.finish());
        let target = Target::default_for(Arch::Aarch64);
        schedule(&mut kernels, &target, Class::Exact);
        divide(&mut kernels, &target, by);
        assert_eq!(verify(&kernels), Ok(()));
        let kernel = kernels.kernels.values().next().expect("a kernel");
        let schedule = kernel.schedule.as_ref().expect("it was scheduled");
        schedule.parts.iter().map(|&(axis, count)| (axis.as_u32(), count)).collect()
    }

    #[test]
    fn large_kernels_have_the_most_parts_and_small_ones_none() {
        let by = Division { parts: 8, grain: 10_000 };
        assert_eq!(parts(512, 512, by)[0].1, 8);
        assert_eq!(parts(32, 32, by), []);
        assert_eq!(parts(512, 512, Division { parts: 1, ..by }), []);
    }

    #[test]
    fn the_number_of_parts_follows_the_work() {
        let by = Division { parts: 8, grain: 64 * 256 * 256 / 8 / 3 };
        assert_eq!(parts(256, 256, by)[0].1, 3);
    }

    #[test]
    fn the_axis_with_enough_tiles_is_divided() {
        let by = Division { parts: 8, grain: 1 };
        assert_eq!(parts(1024, 4, by), [(0, 8)]);
        assert_eq!(parts(1, 4096, by), [(0, 8)]);
    }
}
