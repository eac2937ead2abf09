//! Lifetimes of arena buffers in a program.
//!
//! A buffer that carries data into a repetition, out of it or from one iteration to the next lives
//! through all of it. One that each iteration writes anew lives from that to its last use.

use super::alias;
use super::line::{Line, Span, Use};
use edgecc_ir::kernel::{BufferId, Home};
use edgecc_ir::loops::{Loops, ParamAccess};
use indexmap::IndexMap;

/// The sites in which a buffer holds data, both inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lifetime {
    /// The first site.
    pub(super) start: usize,
    /// The last site.
    pub(super) end: usize,
    /// The innermost repetition whose iterations each have a value of their own; `None` when there
    /// is one value in all.
    pub(super) span: Option<usize>,
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

/// Lifetimes of the arena buffers that any site uses, in the order of their births.
pub(super) fn lifetimes(loops: &Loops, line: &Line<'_>) -> IndexMap<BufferId, Lifetime> {
    let mut uses: IndexMap<BufferId, Vec<(usize, Use)>> = IndexMap::new();
    for (at, site) in line.sites.iter().enumerate() {
        for used in &site.uses {
            if loops.buffers[used.buffer].home == Home::Arena {
                uses.entry(used.buffer).or_default().push((at, *used));
            }
        }
    }
    let mut lives: IndexMap<BufferId, Lifetime> =
        uses.iter().map(|(&buffer, uses)| (buffer, lifetime(line, uses))).collect();
    lives.sort_by(|a, x, b, y| (x.start, first_use(&uses[a])).cmp(&(y.start, first_use(&uses[b]))));
    lives
}

fn first_use(uses: &[(usize, Use)]) -> usize {
    uses[0].0
}

/// `uses` in the order of the line.
fn lifetime(line: &Line<'_>, uses: &[(usize, Use)]) -> Lifetime {
    let (mut start, mut end) = (uses[0].0, uses[uses.len() - 1].0);
    for span in &line.spans {
        let inside = within(span, uses);
        if !inside.is_empty() && !is_own(inside, uses) {
            (start, end) = (start.min(span.first), end.max(span.last));
        }
    }
    let owns = |&n: &usize| is_own(within(&line.spans[n], uses), uses);
    let mut around = std::iter::successors(line.sites[uses[0].0].span, |&n| line.spans[n].outer);
    Lifetime { start, end, span: around.find(owns) }
}

/// The uses in a repetition.
fn within<'u>(span: &Span, uses: &'u [(usize, Use)]) -> &'u [(usize, Use)] {
    let from = uses.partition_point(|(at, _)| *at < span.first);
    let to = uses.partition_point(|(at, _)| *at <= span.last);
    &uses[from..to]
}

/// Whether a repetition's uses are all there are, and each iteration starts by writing everything.
fn is_own(inside: &[(usize, Use)], all: &[(usize, Use)]) -> bool {
    let (site, _) = inside[0];
    let at_first = inside.iter().take_while(|(at, _)| *at == site);
    let writes = |used: &Use| used.access == ParamAccess::Write && used.whole;
    inside.len() == all.len() && at_first.clone().all(|(_, used)| writes(used))
}

/// All storages, in the order of their births, with every safe replacement made.
pub(super) fn storages(loops: &Loops, line: &Line<'_>) -> Vec<Storage> {
    let lives = lifetimes(loops, line);
    let replaced = alias::replacements(loops, line, &lives);
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

/// The largest sum of the sizes of storages that live in the same site.
pub(super) fn peak(storages: &[Storage]) -> usize {
    let sites = storages.iter().map(|s| s.life.end + 1).max().unwrap_or(0);
    let mut change = vec![0i64; sites + 1];
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
