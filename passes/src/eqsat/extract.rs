//! Choosing one e-node per class so that the whole graph, shared values counted once, is cheap.
//!
//! Classes are ranked by the source graph's order and an e-node may only use operands of lower rank,
//! so no choice can be cyclic. A first choice is made in rank order, in which a value that several
//! ops of the source need anyway costs its users nothing; then single exchanges are tried, users
//! first, as long as one lowers the exact total.

use super::node::Node;
use super::types::EGraph;
use egg::Id;
use indexmap::IndexMap;
use std::collections::BTreeMap;

/// How often all exchanges are tried.
const ROUNDS: usize = 8;

/// A place in the order of computation: below the source op of that number, at this depth.
type Rank = (u32, u32);

/// The chosen e-nodes.
pub(crate) struct Selection {
    classes: Vec<Candidates>,
    index: IndexMap<Id, usize>,
    chosen: Vec<usize>,
    uses: Vec<u32>,
}

struct Candidates {
    shared: bool,
    nodes: Vec<Candidate>,
}

struct Candidate {
    node: Node,
    args: Vec<usize>,
    cost: f64,
}

impl Selection {
    /// The cheapest known choice for computing `roots`; `sources` are the classes of the source's
    /// ops in order.
    pub(crate) fn new(
        egraph: &EGraph,
        sources: &[Id],
        roots: &[Id],
        cost: impl Fn(Id, &Node) -> f64,
    ) -> Selection {
        let ranks = rank_classes(egraph, sources);
        let mut order: Vec<(Rank, Id)> = ranks.iter().map(|(&id, &rank)| (rank, id)).collect();
        order.sort_unstable();
        let index: IndexMap<Id, usize> =
            order.iter().enumerate().map(|(at, &(_, id))| (id, at)).collect();
        let classes: Vec<Candidates> = order
            .iter()
            .map(|&(_, id)| {
                let place = |a: &Id| index.get(&egraph.find(*a)).copied();
                let candidate = |node: &Node| {
                    let args: Vec<usize> = node.args.iter().map(place).collect::<Option<_>>()?;
                    let lower = args.iter().all(|&a| ranks[&order[a].1] < ranks[&id]);
                    lower.then(|| Candidate { node: node.clone(), args, cost: cost(id, node) })
                };
                let nodes = egraph[id].nodes.iter().filter_map(candidate).collect();
                Candidates { shared: egraph[id].data.shared, nodes }
            })
            .collect();
        let chosen = first_choice(&classes);
        let uses = vec![0; classes.len()];
        let mut selection = Selection { classes, index, chosen, uses };
        for root in roots {
            selection.acquire(selection.place(egraph, *root));
        }
        selection.improve();
        selection
    }

    /// The chosen e-node of a class.
    pub(crate) fn node(&self, egraph: &EGraph, class: Id) -> &Node {
        &self.candidate(self.place(egraph, class)).node
    }

    fn place(&self, egraph: &EGraph, class: Id) -> usize {
        self.index[&egraph.find(class)]
    }

    fn candidate(&self, class: usize) -> &Candidate {
        &self.classes[class].nodes[self.chosen[class]]
    }

    fn improve(&mut self) {
        for _ in 0..ROUNDS {
            let mut improved = false;
            for class in (0..self.classes.len()).rev() {
                for other in 0..self.classes[class].nodes.len() {
                    improved |= self.uses[class] > 0 && self.try_exchange(class, other);
                }
            }
            if !improved {
                return;
            }
        }
    }

    /// Chooses another e-node for a class in use, if that lowers the total.
    fn try_exchange(&mut self, class: usize, other: usize) -> bool {
        let current = self.chosen[class];
        if other == current {
            return false;
        }
        if self.exchange(class, other) < 0.0 {
            return true;
        }
        self.exchange(class, current);
        false
    }

    /// Changes the choice and returns the change of the total.
    fn exchange(&mut self, class: usize, other: usize) -> f64 {
        let before = self.candidate(class);
        let (old, old_cost) = (before.args.clone(), before.cost);
        self.chosen[class] = other;
        let after = self.candidate(class);
        let (new, new_cost) = (after.args.clone(), after.cost);
        let added: f64 = new.into_iter().map(|a| self.acquire(a)).sum();
        let removed: f64 = old.into_iter().map(|a| self.release(a)).sum();
        new_cost - old_cost + added - removed
    }

    /// Counts one more use; returns the cost of what is now computed in addition.
    fn acquire(&mut self, class: usize) -> f64 {
        self.uses[class] += 1;
        if self.uses[class] > 1 {
            return 0.0;
        }
        let (cost, args) = (self.candidate(class).cost, self.candidate(class).args.clone());
        cost + args.into_iter().map(|a| self.acquire(a)).sum::<f64>()
    }

    /// Counts one use less; returns the cost of what is no longer computed.
    fn release(&mut self, class: usize) -> f64 {
        self.uses[class] -= 1;
        if self.uses[class] > 0 {
            return 0.0;
        }
        let (cost, args) = (self.candidate(class).cost, self.candidate(class).args.clone());
        cost + args.into_iter().map(|a| self.release(a)).sum::<f64>()
    }
}

/// The cheapest e-node per class when each operand that is not shared is computed for it alone.
fn first_choice(classes: &[Candidates]) -> Vec<usize> {
    let mut totals: Vec<f64> = Vec::with_capacity(classes.len());
    let mut chosen = Vec::with_capacity(classes.len());
    for class in classes {
        let total = |candidate: &Candidate| {
            let charged = candidate.args.iter().filter(|&&a| !classes[a].shared);
            candidate.cost + charged.map(|&a| totals[a]).sum::<f64>()
        };
        let costs = class.nodes.iter().map(total).enumerate();
        let (at, best) = costs
            .min_by(|a, b| a.1.total_cmp(&b.1))
            .expect("the e-node that gave the class its rank qualifies");
        totals.push(best);
        chosen.push(at);
    }
    chosen
}

/// Ranks the classes that can be computed from the source's ops. A source class has its first op's
/// number; any other lies just above the highest operand of its lowest e-node.
fn rank_classes(egraph: &EGraph, sources: &[Id]) -> BTreeMap<Id, Rank> {
    let mut ranks: BTreeMap<Id, Rank> = BTreeMap::new();
    for (at, &id) in sources.iter().enumerate() {
        ranks.entry(egraph.find(id)).or_insert((at as u32, 0));
    }
    let mut rest: Vec<Id> =
        egraph.classes().map(|c| c.id).filter(|id| !ranks.contains_key(id)).collect();
    rest.sort_unstable();
    loop {
        let before = rest.len();
        rest.retain(|&id| {
            let rank = egraph[id].nodes.iter().filter_map(|n| above(egraph, n, &ranks)).min();
            rank.is_none_or(|rank| ranks.insert(id, rank).is_some())
        });
        if rest.len() == before {
            return ranks;
        }
    }
}

fn above(egraph: &EGraph, node: &Node, ranks: &BTreeMap<Id, Rank>) -> Option<Rank> {
    let args = node.args.iter().map(|&a| ranks.get(&egraph.find(a)).copied());
    let (op, depth) = args.collect::<Option<Vec<Rank>>>()?.into_iter().max().unwrap_or_default();
    Some((op, depth + 1))
}
