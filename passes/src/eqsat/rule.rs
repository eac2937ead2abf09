//! Rewrite rules as rows, and how egg runs them.

use super::node::{Node, OriginId};
use super::sample::Sample;
use super::types::{EGraph, Fact, Facts, Origin};
use edgecc_ir::graph::ops::{Op, OpTag};
use edgecc_ir::graph::{Graph, OpId};
use edgecc_ir::tensor::{Scalar, Tensor};
use edgecc_ir::types::TensorType;
use egg::{Applier, Id, PatternAst, SearchMatches, Searcher, Subst, Symbol, Var};
use smallvec::SmallVec;

/// How a rule's two sides may differ; see `docs/numerics.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// In no bit.
    Exact,
    /// By the rounding of reordered float arithmetic; off under `--strict-float`.
    Reassoc,
    /// By at most one quantisation step, and for NaN.
    Quant,
}

/// One rewrite rule.
pub struct Rule {
    /// Name in logs and explanations.
    pub name: &'static str,
    /// How exact it is.
    pub class: Class,
    /// The equation.
    pub doc: &'static str,
    /// The kind of op that it looks at.
    pub root: OpTag,
    /// Adds the right side for a root and returns it, if the root matches.
    pub(crate) apply: fn(&mut Rewriter<'_>, &Node) -> Option<Id>,
    /// A random graph whose result the rule rewrites.
    pub(crate) example: fn(&mut Sample) -> OpId,
}

impl Rule {
    /// A random graph that the rule rewrites, with inputs; equal seeds give equal graphs.
    #[must_use]
    pub fn instance(&self, seed: u64) -> (Graph, Vec<Tensor>) {
        let mut sample = Sample::new(seed);
        let result = (self.example)(&mut sample);
        sample.finish(result)
    }
}

/// What a rule sees of the e-graph; notes what the rule looked at for explanations.
pub(crate) struct Rewriter<'a> {
    egraph: &'a mut EGraph,
    rule: &'static str,
    used: SmallVec<[OriginId; 4]>,
}

impl Rewriter<'_> {
    /// The type of a class.
    pub(crate) fn ty(&self, id: Id) -> &TensorType {
        &self.fact(id).ty
    }

    /// Whether a class depends on constants alone.
    pub(crate) fn is_constant(&self, id: Id) -> bool {
        self.fact(id).constant
    }

    /// Whether the users of a class may recompute it.
    pub(crate) fn is_inline(&self, id: Id) -> bool {
        self.fact(id).inline
    }

    /// The value of all elements of a class, when they are known to be equal.
    pub(crate) fn uniform(&self, id: Id) -> Option<Scalar> {
        self.fact(id).uniform
    }

    fn fact(&self, id: Id) -> &Fact {
        &self.egraph[id].data
    }

    /// Whether two ids are one class.
    pub(crate) fn same(&self, a: Id, b: Id) -> bool {
        self.egraph.find(a) == self.egraph.find(b)
    }

    /// The first e-node of this kind in a class.
    pub(crate) fn node(&mut self, class: Id, tag: OpTag) -> Option<Node> {
        let node = self.egraph[class].nodes.iter().find(|n| n.op.tag() == tag)?.clone();
        self.used.push(node.origin);
        Some(node)
    }

    /// Every e-node of this kind in a class.
    pub(crate) fn nodes(&mut self, class: Id, tag: OpTag) -> Vec<Node> {
        let all = self.egraph[class].nodes.iter().filter(|n| n.op.tag() == tag);
        let found: Vec<Node> = all.cloned().collect();
        self.used.extend(found.iter().map(|n| n.origin));
        found
    }

    /// Adds an e-node.
    pub(crate) fn add(&mut self, op: impl Into<Op>, args: &[Id]) -> Id {
        let origin = OriginId(0);
        let mut node = Node { op: op.into(), args: SmallVec::from_slice(args), origin };
        if let Some(known) = self.egraph.lookup(&mut node) {
            return known;
        }
        let derivation = Origin::Rule { rule: self.rule, from: self.used.clone() };
        node.origin = self.egraph.analysis.origin(derivation);
        self.egraph.add(node)
    }
}

/// The rule as egg sees it.
pub(crate) fn rewrite(rule: &'static Rule) -> egg::Rewrite<Node, Facts> {
    egg::Rewrite::new(rule.name, Roots(rule.root), Apply(rule)).expect("it binds no variables")
}

/// Finds the classes with an e-node of a kind.
struct Roots(OpTag);

/// Applies a rule to each e-node of its kind in a class.
struct Apply(&'static Rule);

impl Searcher<Node, Facts> for Roots {
    fn search_eclass_with_limit(
        &self,
        egraph: &EGraph,
        eclass: Id,
        _limit: usize,
    ) -> Option<SearchMatches<'_, Node>> {
        let found = egraph[eclass].nodes.iter().any(|n| n.op.tag() == self.0);
        found.then(|| SearchMatches { eclass, substs: vec![Subst::default()], ast: None })
    }

    fn search_with_limit(&self, egraph: &EGraph, limit: usize) -> Vec<SearchMatches<'_, Node>> {
        let classes = egraph.classes_for_op(&self.0).into_iter().flatten();
        classes.filter_map(|id| self.search_eclass_with_limit(egraph, id, limit)).collect()
    }

    fn vars(&self) -> Vec<Var> {
        Vec::new()
    }
}

impl Applier<Node, Facts> for Apply {
    fn apply_one(
        &self,
        egraph: &mut EGraph,
        eclass: Id,
        _subst: &Subst,
        _ast: Option<&PatternAst<Node>>,
        _name: Symbol,
    ) -> Vec<Id> {
        let is_root = |n: &&Node| n.op.tag() == self.0.root;
        let roots: Vec<Node> = egraph[eclass].nodes.iter().filter(is_root).cloned().collect();
        let mut changed = Vec::new();
        for root in roots {
            let used = SmallVec::from_slice(&[root.origin]);
            let mut rewriter = Rewriter { egraph, rule: self.0.name, used };
            if let Some(equal) = (self.0.apply)(&mut rewriter, &root)
                && egraph.union(eclass, equal)
            {
                changed.push(eclass);
            }
        }
        changed
    }
}
