//! The buffers of a workspace: where they lie and when they hold data.

use edgecc::driver::Compiled;
use edgecc::report::layer::Layer;
use edgecc_ir::kernel::{BufferId, Home};
use edgecc_ir::loops::{FuncId, Loops};
use edgecc_ir::program::Call;
use serde_json::{Value, json};

/// A buffer of the workspace and the steps between which it is live.
pub(super) struct ArenaRow {
    pub(super) buffer: BufferId,
    pub(super) offset: usize,
    pub(super) bytes: usize,
    pub(super) first: usize,
    pub(super) last: usize,
    /// What makes it.
    pub(super) maker: String,
}

impl ArenaRow {
    pub(super) fn json(&self) -> Value {
        json!({
            "buffer": self.buffer.to_string(),
            "offset": self.offset,
            "bytes": self.bytes,
            "first_step": self.first,
            "last_step": self.last,
            "made_by": self.maker,
        })
    }

    pub(super) fn text(&self) -> String {
        let ArenaRow { buffer, offset, bytes, first, last, maker } = self;
        let buffer = buffer.to_string();
        format!("  {buffer:<8} {offset:>11} {bytes:>12}  {first} to {last}: {maker}\n")
    }
}

/// The workspace's slots by offset.
pub(super) fn rows(compiled: &Compiled) -> Vec<ArenaRow> {
    let loops = &compiled.loops;
    let Some(plan) = &loops.plan else { return Vec::new() };
    let arena = loops.buffers.iter().filter(|(_, b)| b.home == Home::Arena);
    let mut rows: Vec<ArenaRow> = arena
        .filter_map(|(buffer, _)| {
            let slot = plan.slots[buffer]?;
            let (first, last) = uses(loops, buffer)?;
            let maker = compiled.report.layers.get(first).map(Layer::title).unwrap_or_default();
            Some(ArenaRow { buffer, offset: slot.offset, bytes: slot.bytes, first, last, maker })
        })
        .collect();
    rows.sort_by_key(|r| (r.offset, r.first));
    rows
}

fn uses(loops: &Loops, buffer: BufferId) -> Option<(usize, usize)> {
    let calls = loops.program.calls();
    let used = |(call, _): &(&Call<FuncId>, u64)| call.args.iter().any(|p| p.buffer == buffer);
    let first = calls.iter().position(used)?;
    Some((first, calls.iter().rposition(used)?))
}
