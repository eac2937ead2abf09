//! Parts of a call: which iterations of a loop are whose.
//!
//! A kernel in parts has one more parameter, the number of the part that a call is to do. A loop's
//! iterations are dealt in runs of equal length. Where these do not come out even, the last runs
//! begin early, so that addresses stay inside their buffers by intervals alone, and a guard skips
//! what belongs to another part.

use edgecc_ir::affine::Affine;
use edgecc_ir::kernel::Kernel;
use edgecc_ir::loops::build::LoopBuilder;
use edgecc_ir::loops::{Guard, IndexId, Param, ParamAccess, VType};
use edgecc_ir::types::{ElemType, TensorType};

/// The part that a call does.
#[derive(Clone, Copy)]
pub(super) struct Part {
    index: IndexId,
    count: usize,
}

/// Adds the parameter and reads it, if the kernel runs in parts.
pub(super) fn read(b: &mut LoopBuilder, kernel: &Kernel) -> Option<Part> {
    let count = kernel.schedule.as_ref()?.part_count()?;
    let ty = TensorType::new(ElemType::I64, &[1]);
    let part = b.param(Param { ty, access: ParamAccess::Read });
    let number = b.load(VType::scalar(ElemType::I64), part, vec![Affine::constant(0)], 1);
    Some(Part { index: b.index(count, number), count })
}

impl Part {
    /// The iterations `0..extent` that are this part's.
    pub(super) fn each(
        self,
        b: &mut LoopBuilder,
        extent: usize,
        body: impl FnOnce(&mut LoopBuilder, Affine<IndexId>),
    ) {
        let run = extent.div_ceil(self.count);
        let own = Affine::scaled(self.index, run as i64);
        if run * self.count == extent {
            return each(b, run, |b, i| body(b, own.add_scaled(&i, 1)));
        }
        let number = b.index_value(own.clone());
        let first = Affine::var(b.index(extent - run + 1, number));
        each(b, run, |b, i| {
            let iteration = first.add_scaled(&i, 1);
            let guard = Guard { expr: iteration.add_scaled(&own, -1), extent: run };
            guarded(b, guard, |b| body(b, iteration));
        });
    }

    /// What only one part does. The last part comes first, as it has the fewest iterations of
    /// loops.
    pub(super) fn only(self, b: &mut LoopBuilder, nth: usize, body: impl FnOnce(&mut LoopBuilder)) {
        let part = self.count - 1 - nth % self.count;
        let expr = Affine::var(self.index).offset(-(part as i64));
        guarded(b, Guard { expr, extent: 1 }, body);
    }
}

/// A loop, unless there is one iteration.
pub(super) fn each(
    b: &mut LoopBuilder,
    extent: usize,
    body: impl FnOnce(&mut LoopBuilder, Affine<IndexId>),
) {
    match extent {
        1 => body(b, Affine::constant(0)),
        _ => b.for_each(extent, |b, i| body(b, Affine::var(i))),
    }
}

fn guarded(b: &mut LoopBuilder, guard: Guard, body: impl FnOnce(&mut LoopBuilder)) {
    b.guarded(vec![guard], &[], |b| {
        body(b);
        Vec::new()
    });
}
