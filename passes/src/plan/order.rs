//! Reorders steps so that fewer bytes are live at the same time.

use super::line::{Use, line, uses_of};
use super::live::{peak, storages};
use edgecc_ir::kernel::{BufferId, Home};
use edgecc_ir::loops::{Loops, ParamAccess};
use petgraph::Direction::Incoming;
use petgraph::graph::{DiGraph, NodeIndex};
use std::collections::BTreeMap;

/// Partial orders kept at each length for small programs.
const MAX_WIDTH: usize = 16;

/// Bound on step visits, which narrows the search of large programs.
const MAX_WORK: usize = 20_000_000;

/// Puts the steps into an order with a lower peak of live bytes, if the search finds one.
///
/// A beam search over the orders that respect all dependencies; ties keep the given order. A
/// repetition or choice moves as one step. The peak is the plan's lower bound, and never rises.
pub fn reorder(loops: &mut Loops) {
    let before = bound(loops);
    let order = search(&Problem::new(loops));
    let reordered = order.into_iter().map(|n| loops.program.steps[n].clone()).collect();
    let original = std::mem::replace(&mut loops.program.steps, reordered);
    if bound(loops) >= before {
        loops.program.steps = original;
    }
}

fn bound(loops: &Loops) -> usize {
    peak(&storages(loops, &line(loops)))
}

/// The steps and buffers as numbers.
struct Problem {
    /// A node per step with its arena buffers, each once; an edge to each step that must follow,
    /// once per reason.
    steps: DiGraph<Vec<usize>, ()>,
    /// Per arena buffer, its size.
    bytes: Vec<usize>,
}

impl Problem {
    fn new(loops: &Loops) -> Problem {
        let mut p = Problem { steps: DiGraph::new(), bytes: Vec::new() };
        let mut numbers: BTreeMap<BufferId, usize> = BTreeMap::new();
        let mut history: BTreeMap<BufferId, History> = BTreeMap::new();
        for (n, step) in loops.program.steps.iter().enumerate() {
            let node = p.steps.add_node(Vec::new());
            let mut uses = Vec::new();
            for Use { buffer, access, .. } in uses_of(loops, step) {
                history.entry(buffer).or_default().depend(n, access, |m| p.edge(m, n));
                let info = &loops.buffers[buffer];
                if info.home == Home::Arena {
                    let next = p.bytes.len();
                    let number = *numbers.entry(buffer).or_insert(next);
                    if number == next {
                        p.bytes.push(info.ty.bytes());
                    }
                    uses.push(number);
                }
            }
            uses.sort_unstable();
            uses.dedup();
            p.steps[node] = uses;
        }
        p
    }

    fn edge(&mut self, from: usize, to: usize) {
        if from != to {
            self.steps.add_edge(NodeIndex::new(from), NodeIndex::new(to), ());
        }
    }

    fn count(&self) -> usize {
        self.steps.node_count()
    }

    /// The arena buffers of a step.
    fn uses(&self, step: usize) -> &[usize] {
        &self.steps[NodeIndex::new(step)]
    }

    /// How many reasons there are for a step to wait.
    fn waits(&self, step: usize) -> usize {
        self.steps.neighbors_directed(NodeIndex::new(step), Incoming).count()
    }

    /// The steps that wait for a step, once per reason.
    fn followers(&self, step: usize) -> impl Iterator<Item = usize> + '_ {
        self.steps.neighbors(NodeIndex::new(step)).map(NodeIndex::index)
    }
}

/// The steps that touched a buffer last.
#[derive(Default)]
struct History {
    writer: Option<usize>,
    readers: Vec<usize>,
}

impl History {
    /// Calls `edge` with each earlier step that step `n` must follow.
    fn depend(&mut self, n: usize, access: ParamAccess, mut edge: impl FnMut(usize)) {
        self.writer.iter().for_each(|&w| edge(w));
        match access {
            ParamAccess::Read => self.readers.push(n),
            ParamAccess::Write | ParamAccess::ReadWrite => {
                self.readers.drain(..).for_each(&mut edge);
                self.writer = Some(n);
            }
        }
    }
}

/// The first steps of an order.
#[derive(Clone)]
struct Partial {
    order: Vec<usize>,
    done: Vec<bool>,
    /// Steps whose dependencies are done, ascending.
    ready: Vec<usize>,
    before: Vec<usize>,
    /// Per arena buffer, its remaining uses.
    left: Vec<usize>,
    /// Per arena buffer, whether it holds data.
    live: Vec<bool>,
    bytes: usize,
    peak: usize,
}

fn search(p: &Problem) -> Vec<usize> {
    let steps = p.count();
    let width = (MAX_WORK / (steps * steps + 1)).clamp(1, MAX_WIDTH);
    let mut beam = vec![start(p)];
    for _ in 0..steps {
        beam = extend(p, &beam, width);
    }
    beam.into_iter().next().map(|best| best.order).unwrap_or_default()
}

fn start(p: &Problem) -> Partial {
    let mut left = vec![0; p.bytes.len()];
    p.steps.node_weights().flatten().for_each(|&b| left[b] += 1);
    let before: Vec<usize> = (0..p.count()).map(|n| p.waits(n)).collect();
    Partial {
        order: Vec::new(),
        done: vec![false; p.count()],
        ready: (0..p.count()).filter(|&n| before[n] == 0).collect(),
        before,
        left,
        live: vec![false; p.bytes.len()],
        bytes: 0,
        peak: 0,
    }
}

/// The best continuations by one step: least peak, then fewest live bytes, then the given order.
fn extend(p: &Problem, beam: &[Partial], width: usize) -> Vec<Partial> {
    let mut moves: Vec<(usize, usize, usize, usize)> = Vec::new();
    for (n, partial) in beam.iter().enumerate() {
        for &step in &partial.ready {
            let (during, after) = effect(p, partial, step);
            moves.push((partial.peak.max(during), after, n, step));
        }
    }
    moves.sort_unstable();
    let mut next: Vec<Partial> = Vec::with_capacity(width);
    for (_, _, n, step) in moves {
        if next.len() == width {
            break;
        }
        let made = advance(p, &beam[n], step);
        if next.iter().all(|other| other.done != made.done) {
            next.push(made);
        }
    }
    next
}

/// Live bytes during a step and after it.
fn effect(p: &Problem, partial: &Partial, step: usize) -> (usize, usize) {
    let uses = p.uses(step);
    let size = |keep: &dyn Fn(usize) -> bool| -> usize {
        uses.iter().filter(|&&b| keep(b)).map(|&b| p.bytes[b]).sum()
    };
    let during = partial.bytes + size(&|b| !partial.live[b]);
    (during, during - size(&|b| partial.left[b] == 1))
}

fn advance(p: &Problem, from: &Partial, step: usize) -> Partial {
    let (during, after) = effect(p, from, step);
    let mut next = from.clone();
    next.peak = next.peak.max(during);
    next.bytes = after;
    for &b in p.uses(step) {
        next.left[b] -= 1;
        next.live[b] = next.left[b] > 0;
    }
    next.order.push(step);
    next.done[step] = true;
    next.ready.retain(|&n| n != step);
    for n in p.followers(step) {
        next.before[n] -= 1;
        if next.before[n] == 0 {
            let at = next.ready.partition_point(|&r| r < n);
            next.ready.insert(at, n);
        }
    }
    next
}

#[cfg(test)]
mod tests {
    use super::reorder;
    use crate::plan::testing::{Random, chain, random_program};
    use crate::plan::{ALIGN, plan};
    use edgecc_ir::kernel::{BufferId, Home};
    use edgecc_ir::loops::Loops;
    use edgecc_ir::program::Place;

    fn bound(loops: &Loops) -> usize {
        plan(loops, ALIGN).lower_bound
    }

    #[test]
    fn branches_run_one_after_the_other() {
        // Two branches big -> small that join: running both bigs first needs 2048 bytes.
        let sizes = [16, 256, 256, 4, 4, 4];
        let steps: [&[usize]; 5] = [&[0, 1], &[0, 2], &[1, 3], &[2, 4], &[3, 4, 5]];
        let mut loops = chain(&sizes, &steps);
        let before = bound(&loops);
        reorder(&mut loops);
        assert!(bound(&loops) < before, "{} of {before}", bound(&loops));
    }

    #[test]
    fn the_peak_never_rises_and_dependencies_hold() {
        for seed in 0..300 {
            let mut loops = random_program(&mut Random(seed), 24);
            let before = (bound(&loops), loops.program.steps.len());
            reorder(&mut loops);
            assert!((bound(&loops), loops.program.steps.len()) <= before, "seed {seed}");
            let mut written: Vec<_> = vec![];
            for (call, _) in loops.program.calls() {
                let (new, old) = call.args.split_last().expect("an output");
                let defined = |b: BufferId| loops.buffers[b].home != Home::Arena;
                let known = |p: &Place| defined(p.buffer) || written.contains(&p.buffer);
                assert!(old.iter().all(known), "seed {seed}");
                written.push(new.buffer);
            }
        }
    }
}
