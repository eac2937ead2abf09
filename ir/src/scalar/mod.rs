//! `ScalarExpr`: the per-element arithmetic shared by all three levels. Fusion is composition.

pub mod eval;
pub mod func;
pub mod table;

use crate::tensor::Scalar;
use crate::types::ElemType;
use func::ScalarFn;
use smallvec::SmallVec;
use table::Table;

/// Position of a node in its expression.
pub type NodeId = u32;

/// One node; operands are earlier nodes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ScalarNode {
    /// The n-th parameter.
    Param(u32),
    /// A literal.
    Const(Scalar),
    /// A function of the table.
    Call(ScalarFn, SmallVec<[NodeId; 3]>),
    /// Conversion to a type: float to integer truncates and saturates (NaN gives 0), integer to
    /// integer wraps, integer to float rounds to nearest, to `bool` is `!= 0`.
    Cast(ElemType, NodeId),
    /// What a code of 8 bits becomes.
    Lookup(Table, NodeId),
}

impl ScalarNode {
    /// The nodes that a node reads.
    #[must_use]
    pub fn operands(&self) -> &[NodeId] {
        match self {
            ScalarNode::Param(_) | ScalarNode::Const(_) => &[],
            ScalarNode::Call(_, args) => args,
            ScalarNode::Cast(_, arg) | ScalarNode::Lookup(_, arg) => std::slice::from_ref(arg),
        }
    }
}

/// A function from `params` scalars to one scalar.
///
/// Canonical: nodes are in depth-first order from the root, hash-consed, all reachable (an unused
/// parameter has no node), so structural equality is equality of the expression as written.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ScalarExpr {
    params: u32,
    nodes: Vec<ScalarNode>,
}

impl ScalarExpr {
    /// `(x) -> x`.
    #[must_use]
    pub fn identity() -> ScalarExpr {
        ScalarExpr::build(1, |b| b.param(0))
    }

    /// An expression of one function over its parameters in order.
    #[must_use]
    pub fn call(func: ScalarFn) -> ScalarExpr {
        let arity = func.info().arity as u32;
        ScalarExpr::build(arity, |b| {
            let args: Vec<NodeId> = (0..arity).map(|p| b.param(p)).collect();
            b.call(func, &args)
        })
    }

    /// Builds an expression; the closure returns the root.
    #[must_use]
    pub fn build(params: u32, root: impl FnOnce(&mut ExprBuilder) -> NodeId) -> ScalarExpr {
        let mut builder = ExprBuilder::default();
        let root = root(&mut builder);
        let mut canonical = ExprBuilder::default();
        let mut seen = vec![None; builder.nodes.len()];
        canonical.import(&builder.nodes, root, &mut seen);
        ScalarExpr { params, nodes: canonical.nodes }
    }

    /// Number of parameters.
    #[must_use]
    pub fn params(&self) -> u32 {
        self.params
    }

    /// The nodes; the last one is the root.
    #[must_use]
    pub fn nodes(&self) -> &[ScalarNode] {
        &self.nodes
    }

    /// The root's id.
    #[must_use]
    pub fn root(&self) -> NodeId {
        self.nodes.len() as NodeId - 1
    }

    /// Whether this is `(x) -> x`.
    #[must_use]
    pub fn is_identity(&self) -> bool {
        self.params == 1 && self.nodes == [ScalarNode::Param(0)]
    }

    /// `[f, g]` when this is `(x, y) -> mul(f(x), g(y))`, or the sum of such products of the parts
    /// of words.
    #[must_use]
    pub fn factors(&self) -> Option<[ScalarExpr; 2]> {
        let (_, factors) = self.product()?;
        let of = |root: NodeId, other: u32| {
            let factor = self.subexpression(root);
            let alone = !factor.nodes.contains(&ScalarNode::Param(other));
            alone.then(|| factor.substitute(1, |b, _| b.param(0)))
        };
        Some([of(factors[0], 1)?, of(factors[1], 0)?])
    }

    /// The root's function and its two factors when it gives a product, or a sum of products that
    /// starts at zero.
    #[must_use]
    pub fn product(&self) -> Option<(ScalarFn, [NodeId; 2])> {
        self.product_at(self.root())
    }

    /// The products that are added, in order, as `product` gives them; `None` when a term is none.
    #[must_use]
    pub fn products(&self) -> Option<Vec<(ScalarFn, [NodeId; 2])>> {
        self.addends().into_iter().map(|term| self.product_at(term)).collect()
    }

    /// The expressions that are added, in order, each of the same parameters.
    #[must_use]
    pub fn terms(&self) -> Vec<ScalarExpr> {
        self.addends().into_iter().map(|term| self.subexpression(term)).collect()
    }

    /// The nodes whose sum the root is; the root where it adds nothing.
    fn addends(&self) -> Vec<NodeId> {
        let (mut found, mut open) = (Vec::new(), vec![self.root()]);
        while let Some(node) = open.pop() {
            match &self.nodes[node as usize] {
                ScalarNode::Call(ScalarFn::Add, args) => open.extend(args.iter().rev()),
                _ => found.push(node),
            }
        }
        found
    }

    /// Whether a node depends on a parameter.
    #[must_use]
    pub fn reads(&self, node: NodeId, param: u32) -> bool {
        let node = &self.nodes[node as usize];
        let reads = |&arg: &NodeId| self.reads(arg, param);
        *node == ScalarNode::Param(param) || node.operands().iter().any(reads)
    }

    fn product_at(&self, node: NodeId) -> Option<(ScalarFn, [NodeId; 2])> {
        let is_zero = |n: &NodeId| match &self.nodes[*n as usize] {
            ScalarNode::Const(c) => !c.is_true(),
            _ => false,
        };
        match &self.nodes[node as usize] {
            ScalarNode::Call(ScalarFn::Mul, args) => Some((ScalarFn::Mul, [args[0], args[1]])),
            ScalarNode::Call(func, args) if func.products().is_some() && is_zero(&args[2]) => {
                Some((*func, [args[0], args[1]]))
            }
            _ => None,
        }
    }

    /// The node that adds a parameter to parameter 0, and that parameter, if nothing else uses
    /// parameter 0.
    #[must_use]
    pub fn addend(&self) -> Option<(NodeId, u32)> {
        let first = self.nodes.iter().position(|n| *n == ScalarNode::Param(0))? as NodeId;
        let uses = |node: &ScalarNode| node.operands().contains(&first);
        let mut users = self.nodes.iter().enumerate().filter(|(_, node)| uses(node));
        let (Some((at, ScalarNode::Call(ScalarFn::Add, args))), None) =
            (users.next(), users.next())
        else {
            return None;
        };
        let term = args.iter().find(|&&arg| arg != first)?;
        match self.nodes[*term as usize] {
            ScalarNode::Param(param) => Some((at as NodeId, param)),
            ScalarNode::Const(_)
            | ScalarNode::Cast(..)
            | ScalarNode::Call(..)
            | ScalarNode::Lookup(..) => None,
        }
    }

    /// The expression of one node, of the same parameters.
    #[must_use]
    pub fn subexpression(&self, root: NodeId) -> ScalarExpr {
        let mut canonical = ExprBuilder::default();
        canonical.import(&self.nodes, root, &mut vec![None; self.nodes.len()]);
        ScalarExpr { params: self.params, nodes: canonical.nodes }
    }

    /// Number of nodes that compute something: the work per element.
    #[must_use]
    pub fn cost(&self) -> usize {
        self.nodes.iter().filter(|n| !n.operands().is_empty()).count()
    }

    /// Whether something is rounded or converted to a whole number on the way, so that the smallest
    /// change of a parameter may change the result by a step.
    #[must_use]
    pub fn rounds(&self) -> bool {
        self.nodes.iter().any(|node| match node {
            ScalarNode::Cast(to, _) => !to.is_float(),
            ScalarNode::Call(func, _) => {
                matches!(func, ScalarFn::Floor | ScalarFn::Ceil | ScalarFn::Trunc | ScalarFn::Round)
            }
            ScalarNode::Param(_) | ScalarNode::Const(_) | ScalarNode::Lookup(..) => false,
        })
    }

    /// How often other nodes read a node.
    #[must_use]
    pub fn uses(&self, of: NodeId) -> usize {
        self.nodes.iter().flat_map(ScalarNode::operands).filter(|&&read| read == of).count()
    }

    /// `[x, y, z]` if a node is `x·y + z` and nothing else uses the product.
    #[must_use]
    pub fn multiply_add(&self, id: NodeId) -> Option<[NodeId; 3]> {
        let ScalarNode::Call(ScalarFn::Add, terms) = &self.nodes[id as usize] else { return None };
        [[0, 1], [1, 0]].into_iter().find_map(|[product, other]| {
            let [product, other] = [terms[product], terms[other]];
            match &self.nodes[product as usize] {
                ScalarNode::Call(ScalarFn::Mul, factors) if self.uses(product) == 1 => {
                    Some([factors[0], factors[1], other])
                }
                _ => None,
            }
        })
    }

    /// The expression in which floats that are multiplied and added are rounded once, given the types
    /// of the parameters; as it is where the last bit decides about a whole number.
    #[must_use]
    pub fn contracted(&self, params: &[ElemType]) -> ScalarExpr {
        let types = self.infer_all(params).unwrap_or_default();
        let is_float = |id: NodeId| types.get(id as usize).is_some_and(|ty| ty.is_float());
        if self.rounds() {
            return self.clone();
        }
        ScalarExpr::build(self.params, |b| {
            let mut map: Vec<NodeId> = Vec::with_capacity(self.nodes.len());
            for (id, node) in (0..).zip(&self.nodes) {
                let new = match self.multiply_add(id).filter(|_| is_float(id)) {
                    Some(operands) => b.call(ScalarFn::Fma, &operands.map(|o| map[o as usize])),
                    None => b.copy(node, &map),
                };
                map.push(new);
            }
            map[self.root() as usize]
        })
    }

    /// The type of every node, or the first node that does not type-check.
    pub fn infer_all(&self, params: &[ElemType]) -> Result<Vec<ElemType>, NodeId> {
        let mut types: Vec<ElemType> = Vec::with_capacity(self.nodes.len());
        for (id, node) in self.nodes.iter().enumerate() {
            let ty = match node {
                ScalarNode::Param(p) => params.get(*p as usize).copied(),
                ScalarNode::Const(c) => Some(c.elem()),
                ScalarNode::Cast(to, _) => Some(*to),
                ScalarNode::Lookup(table, a) => table.infer(types[*a as usize]),
                ScalarNode::Call(func, args) => {
                    let args: SmallVec<[ElemType; 3]> =
                        args.iter().map(|&a| types[a as usize]).collect();
                    func.infer(&args)
                }
            };
            types.push(ty.ok_or(id as NodeId)?);
        }
        Ok(types)
    }

    /// The result type, when the expression type-checks against exactly `self.params()` types.
    #[must_use]
    pub fn infer(&self, params: &[ElemType]) -> Option<ElemType> {
        if params.len() != self.params as usize {
            return None;
        }
        self.infer_all(params).ok()?.last().copied()
    }

    /// Replaces each parameter `p` by `with(builder, p)`, giving a function of `params` parameters.
    #[must_use]
    pub fn substitute(
        &self,
        params: u32,
        mut with: impl FnMut(&mut ExprBuilder, u32) -> NodeId,
    ) -> ScalarExpr {
        ScalarExpr::build(params, |b| b.inline(self, |b, p| with(b, p)))
    }
}

/// Adds nodes with hash-consing.
#[derive(Debug, Default)]
pub struct ExprBuilder {
    nodes: Vec<ScalarNode>,
}

impl ExprBuilder {
    fn add(&mut self, node: ScalarNode) -> NodeId {
        let at = self.nodes.iter().position(|n| *n == node);
        at.unwrap_or_else(|| {
            self.nodes.push(node);
            self.nodes.len() - 1
        }) as NodeId
    }

    /// The n-th parameter.
    pub fn param(&mut self, index: u32) -> NodeId {
        self.add(ScalarNode::Param(index))
    }

    /// A literal.
    pub fn constant(&mut self, value: Scalar) -> NodeId {
        self.add(ScalarNode::Const(value))
    }

    /// An `f32` literal.
    pub fn f32(&mut self, value: f32) -> NodeId {
        self.constant(Scalar::f32(value))
    }

    /// A function call.
    pub fn call(&mut self, func: ScalarFn, args: &[NodeId]) -> NodeId {
        debug_assert_eq!(args.len(), func.info().arity, "{}", func.info().mnemonic);
        self.add(ScalarNode::Call(func, SmallVec::from_slice(args)))
    }

    /// A conversion.
    pub fn cast(&mut self, to: ElemType, arg: NodeId) -> NodeId {
        self.add(ScalarNode::Cast(to, arg))
    }

    /// What a code becomes.
    pub fn lookup(&mut self, table: Table, arg: NodeId) -> NodeId {
        self.add(ScalarNode::Lookup(table, arg))
    }

    /// Copies `expr` into this builder with its parameters replaced; returns its root here.
    pub fn inline(
        &mut self,
        expr: &ScalarExpr,
        mut with: impl FnMut(&mut ExprBuilder, u32) -> NodeId,
    ) -> NodeId {
        let mut map: Vec<NodeId> = Vec::with_capacity(expr.nodes.len());
        for node in &expr.nodes {
            let id = match node {
                ScalarNode::Param(p) => with(self, *p),
                _ => self.copy(node, &map),
            };
            map.push(id);
        }
        map[expr.root() as usize]
    }

    /// Adds a node of another expression whose operands are here under the names in `map`.
    pub fn copy(&mut self, node: &ScalarNode, map: &[NodeId]) -> NodeId {
        match node {
            ScalarNode::Param(_) | ScalarNode::Const(_) => self.add(node.clone()),
            ScalarNode::Cast(to, a) => self.cast(*to, map[*a as usize]),
            ScalarNode::Lookup(table, a) => self.lookup(table.clone(), map[*a as usize]),
            ScalarNode::Call(f, args) => {
                let args = args.iter().map(|&a| map[a as usize]).collect();
                self.add(ScalarNode::Call(*f, args))
            }
        }
    }

    fn import(&mut self, from: &[ScalarNode], id: NodeId, seen: &mut [Option<NodeId>]) -> NodeId {
        if let Some(done) = seen[id as usize] {
            return done;
        }
        let node = match &from[id as usize] {
            ScalarNode::Call(f, args) => {
                ScalarNode::Call(*f, args.iter().map(|&a| self.import(from, a, seen)).collect())
            }
            ScalarNode::Cast(to, a) => ScalarNode::Cast(*to, self.import(from, *a, seen)),
            ScalarNode::Lookup(table, a) => {
                ScalarNode::Lookup(table.clone(), self.import(from, *a, seen))
            }
            leaf => leaf.clone(),
        };
        let new = self.add(node);
        seen[id as usize] = Some(new);
        new
    }
}

#[cfg(test)]
mod tests {
    use super::{ScalarExpr, func::ScalarFn};
    use crate::types::ElemType;

    #[test]
    fn whole_numbers_come_from_rounding() {
        let of = |func| {
            ScalarExpr::build(1, |b| {
                let x = b.param(0);
                b.call(func, &[x])
            })
        };
        assert!(of(ScalarFn::Round).rounds() && !of(ScalarFn::Sqrt).rounds());
    }

    #[test]
    fn a_sum_of_products_has_terms_and_factors() {
        let sum = ScalarExpr::build(4, |b| {
            let [x, y, v, w] = [0, 1, 2, 3].map(|p| b.param(p));
            let [xv, yw] = [[x, v], [y, w]].map(|factors| b.call(ScalarFn::Mul, &factors));
            b.call(ScalarFn::Add, &[xv, yw])
        });
        let products = sum.products().expect("two products");
        let read = |node| (0..4).filter(|&p| sum.reads(node, p)).collect::<Vec<u32>>();
        let read: Vec<_> = products.iter().map(|(_, factors)| factors.map(read)).collect();
        assert_eq!(read, [[[0], [2]], [[1], [3]]]);
        assert!(sum.terms().iter().all(|term| term.product().is_some() && term.params() == 4));
        assert_eq!((sum.product(), ScalarExpr::identity().products()), (None, None));
    }

    #[test]
    fn building_drops_unreachable_nodes_and_shares_equal_ones() {
        let e = ScalarExpr::build(1, |b| {
            let _unused = b.f32(7.0);
            let x = b.param(0);
            let a = b.call(ScalarFn::Mul, &[x, x]);
            let c = b.call(ScalarFn::Mul, &[x, x]);
            b.call(ScalarFn::Add, &[a, c])
        });
        assert_eq!(e.nodes().len(), 3);
        assert_eq!(e.infer(&[ElemType::F32]), Some(ElemType::F32));
        assert_eq!(e.infer(&[ElemType::Bool]), None);
    }

    #[test]
    fn a_product_has_factors_when_each_depends_on_its_own_parameter() {
        let product = |left: u32, right: u32| {
            ScalarExpr::build(2, |b| {
                let (x, y) = (b.param(left), b.param(right));
                let wide = b.cast(ElemType::I32, y);
                b.call(ScalarFn::Mul, &[x, wide])
            })
        };
        let [f, g] = product(0, 1).factors().expect("two factors");
        assert!(f.is_identity() && g.cost() == 1);
        assert_eq!(product(0, 0).factors(), None);
        assert_eq!(ScalarExpr::call(ScalarFn::Add).factors(), None);
    }

    #[test]
    fn floats_are_multiplied_and_added_at_once() {
        let affine = ScalarExpr::build(3, |b| {
            let [x, y, z] = [0, 1, 2].map(|p| b.param(p));
            let product = b.call(ScalarFn::Mul, &[x, y]);
            b.call(ScalarFn::Add, &[z, product])
        });
        let fused = ScalarExpr::call(ScalarFn::Fma);
        assert_eq!(affine.contracted(&[ElemType::F32; 3]), fused);
        assert_eq!(affine.contracted(&[ElemType::I32; 3]), affine);
    }

    #[test]
    fn products_with_other_uses_and_sums_that_are_rounded_stay() {
        let both = |last: ScalarFn| {
            ScalarExpr::build(2, |b| {
                let [x, y] = [0, 1].map(|p| b.param(p));
                let product = b.call(ScalarFn::Mul, &[x, y]);
                let sum = b.call(ScalarFn::Add, &[product, x]);
                let used = if last == ScalarFn::Mul { vec![sum, product] } else { vec![sum] };
                b.call(last, &used)
            })
        };
        for last in [ScalarFn::Mul, ScalarFn::Round] {
            assert_eq!(both(last).contracted(&[ElemType::F32; 2]), both(last));
        }
        assert_eq!(both(ScalarFn::Sqrt).contracted(&[ElemType::F32; 2]).cost(), 2);
    }

    #[test]
    fn substitution_composes() {
        let relu = ScalarExpr::build(1, |b| {
            let zero = b.f32(0.0);
            let x = b.param(0);
            b.call(ScalarFn::Max, &[zero, x])
        });
        let add = ScalarExpr::call(ScalarFn::Add);
        let fused = relu.substitute(2, |b, _| b.inline(&add, |b, p| b.param(p)));
        assert_eq!(fused.params(), 2);
        assert_eq!(fused.cost(), 2);
    }
}
