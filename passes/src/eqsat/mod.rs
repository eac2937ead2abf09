//! Equality saturation over the graph's own ops.
//!
//! Purpose   finds the cheapest graph that the rewrite rules make equal to the given one.
//! In → Out  Graph → Graph, and for each op of the result how it was derived.
//! Owns      the rules, the cost of an op, the choice among equal graphs.
//! Never     has a second list of ops, of type rules or of constant folders; holds constants' bytes.
//! To add    a rule: one row in `rules/<topic>.rs`; its example is its test.
//! Tests     `mod tests` here instantiates every row; `tests/passes/eqsat`.
//!
//! Arithmetic on codes is settled first, with conversions of codes apart (`rules::dissolve`).
//! Rules are directional and keep the graph's normal forms. Constants are expressions until the
//! folding pass that follows. Limits are numbers of iterations and e-nodes, never time, so that the
//! result does not depend on the machine.

mod body;
mod cost;
pub mod explain;
mod extract;
mod node;
pub mod rule;
mod rules;
mod sample;
mod types;
mod uses;

use crate::graph::rebuild::Rebuild;
use crate::manager::{Pass, PassCx};
use cost::node_cost;
use cranelift_entity::SecondaryMap;
use edgecc_ir::graph::ops::Op;
use edgecc_ir::graph::{Graph, OpId, Output};
use edgecc_ir::tensor::Tensor;
use egg::{Id, Runner, SimpleScheduler, StopReason};
use explain::{Derivation, derivation};
use extract::Selection;
use node::Node;
use rule::{Class, Rule, rewrite};
use smallvec::{SmallVec, smallvec};
use std::time::Duration;
use types::{EGraph, Facts, Origin};

/// The pass.
pub const PASS: Pass<Graph> =
    Pass { name: "eqsat", doc: "fuses and simplifies by equality saturation", run };

/// Rounds of all rules; chains of fusible ops halve in each.
const MAX_ITERATIONS: usize = 12;

/// E-nodes per op of the source graph.
const NODES_PER_OP: usize = 64;

/// Every rewrite rule, for documentation and tests.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    rules::all()
}

fn run(graph: &mut Graph, cx: &PassCx<'_>) {
    if cx.options.opt_level > 0 {
        optimize(graph, cx);
    }
}

/// Runs the pass and tells how each op of the new graph was derived.
pub fn optimize(graph: &mut Graph, cx: &PassCx<'_>) -> Vec<Derivation> {
    let has_codes = graph.ops.values().any(|data| matches!(data.op, Op::Quantize(_)));
    let before = match has_codes {
        true => saturate(graph, cx, rules::on_codes(), &[]),
        false => Vec::new(),
    };
    saturate(graph, cx, rules(), &before)
}

/// Rewrites by some of the rules; `before` says how ops of the given graph were derived.
fn saturate(
    graph: &mut Graph,
    cx: &PassCx<'_>,
    rules: impl Iterator<Item = &'static Rule>,
    before: &[Derivation],
) -> Vec<Derivation> {
    let allowed = |r: &&Rule| !(cx.options.strict_float && r.class == Class::Reassoc);
    let rules: Vec<&'static Rule> = rules.filter(allowed).collect();
    let (saturated, stop) = Saturated::new(graph, &rules, before);
    if let Some(reason) = stop {
        cx.remark(PASS.name, format!("stopped before all rules were exhausted: {reason}"));
    }
    saturated.extract(graph, node_cost)
}

/// A saturated e-graph with the classes of the source graph.
struct Saturated {
    egraph: EGraph,
    sources: Vec<Id>,
    roots: Vec<Id>,
}

impl Saturated {
    /// Applies `rules` until nothing new is found; tells the limit that was hit, if any.
    fn new(
        graph: &Graph,
        rules: &[&'static Rule],
        before: &[Derivation],
    ) -> (Saturated, Option<String>) {
        let (egraph, sources, roots) = load(graph, before);
        let rewrites: Vec<_> = rules.iter().map(|r| rewrite(r)).collect();
        let runner: Runner<Node, Facts> = Runner::new(Facts::default())
            .with_egraph(egraph)
            .with_iter_limit(MAX_ITERATIONS)
            .with_node_limit(NODES_PER_OP * sources.len())
            .with_time_limit(Duration::MAX)
            .with_scheduler(SimpleScheduler)
            .run(&rewrites);
        let stop = match runner.stop_reason {
            Some(StopReason::IterationLimit(n)) => Some(format!("{n} iterations")),
            Some(StopReason::NodeLimit(n)) => Some(format!("{n} e-nodes")),
            Some(StopReason::TimeLimit(_) | StopReason::Other(_)) => unreachable!("not set"),
            Some(StopReason::Saturated) | None => None,
        };
        (Saturated { egraph: runner.egraph, sources, roots }, stop)
    }

    /// Rebuilds the graph from the cheapest choice of e-nodes.
    fn extract(
        &self,
        graph: &mut Graph,
        cost: impl Fn(&EGraph, Id, &Node) -> f64,
    ) -> Vec<Derivation> {
        let cost = |class: Id, node: &Node| cost(&self.egraph, class, node);
        let selection = Selection::new(&self.egraph, &self.sources, &self.roots, cost);
        let (old, new) = Rebuild::start(graph);
        let mut build = Build { saturated: self, selection: &selection, new, done: Vec::new() };
        let mut derivations = Vec::new();
        let outputs: Vec<Output> = old
            .outputs
            .into_iter()
            .zip(&self.roots)
            .map(|(o, &root)| Output { value: build.value(root, &mut derivations), ..o })
            .collect();
        *graph = build.new.finish(&outputs);
        derivations
    }
}

fn load(graph: &Graph, before: &[Derivation]) -> (EGraph, Vec<Id>, Vec<Id>) {
    let live = crate::graph::rebuild::live_ops(graph);
    let uses = uses::uses(graph, &live);
    let uniform = graph.consts.values().map(Tensor::uniform).collect();
    let mut egraph = EGraph::new(Facts { uniform, origins: Vec::new() });
    let mut classes: SecondaryMap<OpId, Option<Id>> = SecondaryMap::new();
    let class = |classes: &SecondaryMap<OpId, Option<Id>>, id: OpId| {
        classes[id].expect("G2: operands come first")
    };
    for &id in &live {
        let data = &graph.ops[id];
        let args: SmallVec<[Id; 4]> = data.args.iter().map(|&a| class(&classes, a)).collect();
        let source = egraph.analysis.origin(Origin::Source(data.loc));
        let derivation = before.iter().filter(|d| d.op == id).flat_map(|d| &d.rules);
        let origin = derivation.fold(source, |from, &rule| {
            egraph.analysis.origin(Origin::Rule { rule, from: smallvec![from] })
        });
        let added = egraph.add(Node { op: data.op.clone(), args, origin });
        let mut fact = egraph[added].data.clone();
        fact.inline |= uses[id].inline;
        fact.shared |= uses[id].shared;
        egraph.set_analysis_data(added, fact);
        classes[id] = Some(added);
    }
    egraph.rebuild();
    let sources = live.iter().map(|&id| class(&classes, id)).collect();
    let roots = graph.outputs.iter().map(|o| class(&classes, o.value)).collect();
    (egraph, sources, roots)
}

/// Emits chosen e-nodes, operands first.
struct Build<'a> {
    saturated: &'a Saturated,
    selection: &'a Selection,
    new: Rebuild,
    done: Vec<(Id, OpId)>,
}

impl Build<'_> {
    fn value(&mut self, class: Id, derivations: &mut Vec<Derivation>) -> OpId {
        let egraph = &self.saturated.egraph;
        let class = egraph.find(class);
        if let Ok(at) = self.done.binary_search_by_key(&class, |d| d.0) {
            return self.done[at].1;
        }
        let node = self.selection.node(egraph, class);
        let args: SmallVec<[OpId; 4]> =
            node.args.iter().map(|&a| self.value(a, derivations)).collect();
        let derived = derivation(&egraph.analysis, node.origin);
        let loc = self.new.fused_loc(&derived.locs);
        self.new.set_loc(loc);
        let id = self.new.emit(node.op.clone(), &args);
        if !matches!(node.op, Op::Const(_) | Op::Input(_)) {
            derivations.push(Derivation { op: id, rules: derived.rules });
        }
        let at = self.done.partition_point(|d| d.0 < class);
        self.done.insert(at, (class, id));
        id
    }
}

#[cfg(test)]
mod tests {
    use super::rule::{Class, Rule};
    use super::sample::Sample;
    use super::types::{EGraph, Origin};
    use super::{Node, Saturated, rules};
    use edgecc_ir::graph::eval::eval;
    use edgecc_ir::graph::ops::Map;
    use edgecc_ir::graph::verify::verify;
    use edgecc_ir::graph::{Graph, OpId};
    use edgecc_ir::scalar::ScalarExpr;
    use edgecc_ir::scalar::func::ScalarFn;
    use edgecc_ir::tensor::Tensor;
    use egg::Id;

    /// Prefers whatever rules made.
    fn new_first(egraph: &EGraph, _class: Id, node: &Node) -> f64 {
        match egraph.analysis.origins[node.origin.0 as usize] {
            Origin::Source(_) if node.args.is_empty() => 0.0,
            Origin::Source(_) => 1000.0,
            Origin::Rule { .. } => 1.0,
        }
    }

    fn close(a: &Tensor, b: &Tensor, class: Class) -> bool {
        let near = |x: f64, y: f64| match class {
            Class::Exact => x.to_bits() == y.to_bits(),
            Class::Reassoc => (x - y).abs() <= 1e-4 * (1.0 + x.abs()),
            Class::Quant => (x - y).abs() <= 1.0,
        };
        a.ty == b.ty && a.iter().zip(b.iter()).all(|(x, y)| near(x.as_f64(), y.as_f64()))
    }

    fn check(rule: &'static Rule, seed: u64) {
        let (graph, inputs) = rule.instance(seed);
        let mut rewritten: Graph = graph.clone();
        let (saturated, _) = Saturated::new(&graph, &[rule], &[]);
        let derivations = saturated.extract(&mut rewritten, new_first);
        let name = rule.name;
        let applied = derivations.iter().any(|d| d.rules.contains(&name));
        assert!(applied || rewritten.order.len() < graph.order.len(), "{name} did not fire");
        assert_eq!(verify(&rewritten), Ok(()), "{name}");
        let (left, right) = (eval(&graph, &inputs), eval(&rewritten, &inputs));
        assert!(close(&left[0], &right[0], rule.class), "{name}: {left:?} became {right:?}");
    }

    #[test]
    fn both_sides_of_each_rule_agree() {
        for rule in rules() {
            (0..10).for_each(|seed| check(rule, seed));
        }
    }

    /// The rules that change `user (x / 3)`.
    fn division_rules(
        x: impl Fn(&mut Sample) -> OpId,
        user: Option<ScalarFn>,
    ) -> Vec<&'static str> {
        let body = ScalarExpr::build(1, |b| {
            let (x, c) = (b.param(0), b.f32(3.0));
            let quotient = b.call(ScalarFn::Div, &[x, c]);
            user.map_or(quotient, |func| b.call(func, &[quotient]))
        });
        let mut sample = Sample::new(0);
        let x = x(&mut sample);
        let y = sample.add(Map { body }, &[x]);
        let (mut graph, _) = sample.finish(y);
        let all: Vec<&Rule> = rules().collect();
        let (saturated, _) = Saturated::new(&graph, &all, &[]);
        saturated.extract(&mut graph, new_first).into_iter().flat_map(|d| d.rules).collect()
    }

    #[test]
    fn divisions_stay_where_the_last_bit_decides() {
        let input = |s: &mut Sample| s.input(&[3]);
        assert_eq!(division_rules(input, Some(ScalarFn::Abs)), ["division-by-literal"]);
        assert!(division_rules(input, Some(ScalarFn::Round)).is_empty());
        assert!(division_rules(|s| s.constant(&[3]), None).is_empty());
    }

    #[test]
    fn rules_have_distinct_names() {
        let mut names: Vec<_> = rules().map(|r| r.name).collect();
        names.sort_unstable();
        assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
    }
}
