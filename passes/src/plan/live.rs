//! Lifetimes of arena buffers in the step sequence.

use super::alias;
use edgecc_ir::kernel::{BufferId, Home};
use edgecc_ir::loops::{Loops, ParamAccess, Step};
use indexmap::IndexMap;

/// The steps in which a buffer holds data, both inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lifetime {
    /// The first step that uses it.
    pub(super) start: usize,
    /// The last step that uses it.
    pub(super) end: usize,
}

/// Memory for one buffer, or for a chain of buffers each of which replaces the one before.
#[derive(Clone, Debug)]
pub(super) struct Storage {
    /// The buffers in the order of their births.
    pub(super) buffers: Vec<BufferId>,
    /// Size of each of them in bytes.
    pub(super) bytes: usize,
    /// From the first one's birth to the last one's death.
    pub(super) life: Lifetime,
}

/// The buffers that a step reads or writes, with how.
pub(super) fn uses<'l>(
    loops: &'l Loops,
    step: &'l Step,
) -> impl Iterator<Item = (BufferId, ParamAccess)> + 'l {
    let Step::Call { func, args, .. } = step;
    args.iter().copied().zip(loops.funcs[*func].params.values().map(|param| param.access))
}

/// Lifetimes of the arena buffers that any step uses, in the order of their births.
pub(super) fn lifetimes(loops: &Loops) -> IndexMap<BufferId, Lifetime> {
    let mut lives: IndexMap<BufferId, Lifetime> = IndexMap::new();
    for (n, step) in loops.steps.iter().enumerate() {
        for (buffer, _) in uses(loops, step) {
            if loops.buffers[buffer].home == Home::Arena {
                lives.entry(buffer).or_insert(Lifetime { start: n, end: n }).end = n;
            }
        }
    }
    lives
}

/// All storages, in the order of their births, with every safe replacement made.
pub(super) fn storages(loops: &Loops) -> Vec<Storage> {
    let lives = lifetimes(loops);
    let replaced = alias::replacements(loops, &lives);
    let mut storages: Vec<Storage> = Vec::new();
    for (&buffer, &life) in &lives {
        let old = replaced.get(&buffer);
        let chain = old.and_then(|old| storages.iter_mut().find(|s| s.buffers.last() == Some(old)));
        match chain {
            Some(storage) => {
                storage.buffers.push(buffer);
                storage.life.end = life.end;
            }
            None => storages.push(Storage {
                buffers: vec![buffer],
                bytes: loops.buffers[buffer].ty.bytes(),
                life,
            }),
        }
    }
    storages
}

/// The largest sum of the sizes of storages that live in the same step.
pub(super) fn peak(storages: &[Storage], steps: usize) -> usize {
    let mut change = vec![0i64; steps + 1];
    for s in storages {
        change[s.life.start] += s.bytes as i64;
        change[s.life.end + 1] -= s.bytes as i64;
    }
    let live = change.iter().scan(0, |sum, c| {
        *sum += c;
        Some(*sum)
    });
    live.max().unwrap_or(0) as usize
}
