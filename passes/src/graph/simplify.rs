//! Exact simplification of scalar expressions: every rule keeps each bit of the result, NaN and −0
//! included (`x·1` is `x`, but `x+0` is not: it turns −0 into +0, whereas `x+(−0)` is `x`).

use edgecc_ir::scalar::eval;
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::scalar::table::Table;
use edgecc_ir::scalar::{NodeId, ScalarExpr, ScalarNode};
use edgecc_ir::tensor::Scalar;
use edgecc_ir::types::ElemType;
use smallvec::SmallVec;

/// The simplest known expression with the same value for parameters of these types.
pub(crate) fn simplify(expr: &ScalarExpr, params: &[ElemType]) -> ScalarExpr {
    let types = expr.infer_all(params).expect("G4: bodies type-check");
    let mut arena = Arena::default();
    let mut map: Vec<NodeId> = Vec::with_capacity(types.len());
    for node in expr.nodes() {
        let id = match node {
            ScalarNode::Param(p) => arena.add(node.clone(), params[*p as usize]),
            ScalarNode::Const(c) => arena.add(node.clone(), c.elem()),
            ScalarNode::Cast(to, a) => arena.cast(*to, map[*a as usize]),
            ScalarNode::Lookup(table, a) => arena.lookup(table, map[*a as usize]),
            ScalarNode::Call(func, args) => {
                let args: SmallVec<[NodeId; 3]> = args.iter().map(|&a| map[a as usize]).collect();
                arena.call(*func, &args)
            }
        };
        map.push(id);
    }
    arena.finish(expr.params(), map[expr.root() as usize])
}

#[derive(Default)]
struct Arena {
    nodes: Vec<(ScalarNode, ElemType)>,
}

impl Arena {
    fn add(&mut self, node: ScalarNode, ty: ElemType) -> NodeId {
        let at = self.nodes.iter().position(|(n, _)| *n == node);
        at.unwrap_or_else(|| {
            self.nodes.push((node, ty));
            self.nodes.len() - 1
        }) as NodeId
    }

    fn constant(&mut self, value: Scalar) -> NodeId {
        self.add(ScalarNode::Const(value), value.elem())
    }

    fn as_const(&self, id: NodeId) -> Option<Scalar> {
        match self.nodes[id as usize].0 {
            ScalarNode::Const(value) => Some(value),
            _ => None,
        }
    }

    fn ty(&self, id: NodeId) -> ElemType {
        self.nodes[id as usize].1
    }

    fn cast(&mut self, to: ElemType, arg: NodeId) -> NodeId {
        match self.as_const(arg) {
            _ if self.ty(arg) == to => arg,
            Some(value) => self.constant(eval::cast(to, value)),
            None => self.add(ScalarNode::Cast(to, arg), to),
        }
    }

    fn lookup(&mut self, table: &Table, arg: NodeId) -> NodeId {
        match self.as_const(arg) {
            Some(code) => self.constant(table.apply(code)),
            None => self.add(ScalarNode::Lookup(table.clone(), arg), table.elem()),
        }
    }

    fn call(&mut self, func: ScalarFn, args: &[NodeId]) -> NodeId {
        let literals: Option<SmallVec<[Scalar; 3]>> =
            args.iter().map(|&a| self.as_const(a)).collect();
        if let Some(values) = literals {
            return self.constant(eval::apply(func, &values));
        }
        if func.info().commutative && self.as_const(args[0]).is_some() {
            return self.call(func, &[args[1], args[0]]);
        }
        self.unary_rule(func, args).or_else(|| self.binary_rule(func, args)).unwrap_or_else(|| {
            let types: SmallVec<[ElemType; 3]> = args.iter().map(|&a| self.ty(a)).collect();
            let ty = func.infer(&types).expect("G4: bodies type-check");
            self.add(ScalarNode::Call(func, SmallVec::from_slice(args)), ty)
        })
    }

    /// `−(−x) = x`, `not not x = x`, `||x|| = |x|`, `select(const, a, b)`, `select(c, a, a) = a`.
    fn unary_rule(&self, func: ScalarFn, args: &[NodeId]) -> Option<NodeId> {
        let inner = self.operands(args[0], func);
        match func {
            ScalarFn::Neg | ScalarFn::Not => inner.map(|operands| operands[0]),
            ScalarFn::Abs => inner.map(|_| args[0]),
            ScalarFn::Select if args[1] == args[2] => Some(args[1]),
            ScalarFn::Select => {
                self.as_const(args[0]).map(|c| if c.is_true() { args[1] } else { args[2] })
            }
            _ => None,
        }
    }

    fn binary_rule(&mut self, func: ScalarFn, args: &[NodeId]) -> Option<NodeId> {
        let &[a, b] = args else { return None };
        let (left, right) = (self.as_const(a), self.as_const(b));
        match func {
            ScalarFn::Mul | ScalarFn::Div if right.is_some_and(is_one) => Some(a),
            ScalarFn::Div => {
                let reciprocal = right.and_then(exact_reciprocal)?;
                let factor = self.constant(reciprocal);
                Some(self.call(ScalarFn::Mul, &[a, factor]))
            }
            ScalarFn::Add if right.is_some_and(|c| is_zero(c, Sign::Minus)) => Some(a),
            ScalarFn::Sub if right.is_some_and(|c| is_zero(c, Sign::Plus)) => Some(a),
            ScalarFn::Min | ScalarFn::Max => {
                let inner = |id| self.operands(id, func);
                match (left, right) {
                    _ if a == b => Some(a),
                    (Some(_), None) if inner(b).is_some_and(|o| o.contains(&a)) => Some(b),
                    // NaN and the sign of zero follow the second operand.
                    (None, Some(_)) if inner(a).is_some_and(|o| o[1] == b) => Some(a),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    fn operands(&self, id: NodeId, of: ScalarFn) -> Option<&[NodeId]> {
        match &self.nodes[id as usize].0 {
            ScalarNode::Call(func, args) if *func == of => Some(args),
            _ => None,
        }
    }

    fn finish(self, params: u32, root: NodeId) -> ScalarExpr {
        ScalarExpr::build(params, |b| {
            let mut map: Vec<NodeId> = Vec::with_capacity(self.nodes.len());
            for (node, _) in &self.nodes {
                map.push(b.copy(node, &map));
            }
            map[root as usize]
        })
    }
}

#[derive(Clone, Copy)]
enum Sign {
    Plus,
    Minus,
}

fn is_one(value: Scalar) -> bool {
    value == Scalar::from_i64(value.elem(), 1)
}

/// An integer zero, or the float zero of this sign.
fn is_zero(value: Scalar, sign: Sign) -> bool {
    let zero = match sign {
        Sign::Plus => Scalar::from_f64(value.elem(), 0.0),
        Sign::Minus => Scalar::from_f64(value.elem(), -0.0),
    };
    value == zero
}

/// `1/value` when dividing by `value` and multiplying by it round alike: a float power of two whose
/// reciprocal is normal.
fn exact_reciprocal(value: Scalar) -> Option<Scalar> {
    let x = value.as_f64();
    let power_of_two = x.is_normal() && x.to_bits() & ((1 << 52) - 1) == 0;
    let small = (-126.0..=126.0).contains(&x.abs().log2());
    (value.elem() == ElemType::F32 && power_of_two && small).then(|| Scalar::f32(1.0 / x as f32))
}

#[cfg(test)]
mod tests {
    use super::simplify;
    use edgecc_ir::scalar::func::ScalarFn;
    use edgecc_ir::scalar::{ExprBuilder, NodeId, ScalarExpr};
    use edgecc_ir::types::ElemType;

    fn simple(body: impl FnOnce(&mut ExprBuilder, NodeId) -> NodeId) -> ScalarExpr {
        let expr = ScalarExpr::build(1, |b| {
            let x = b.param(0);
            body(b, x)
        });
        simplify(&expr, &[ElemType::F32])
    }

    fn with_const(func: ScalarFn, value: f32) -> ScalarExpr {
        simple(|b, x| {
            let c = b.f32(value);
            b.call(func, &[x, c])
        })
    }

    #[test]
    fn only_neutral_operands_that_keep_minus_zero_vanish() {
        assert!(with_const(ScalarFn::Mul, 1.0).is_identity());
        assert!(with_const(ScalarFn::Add, -0.0).is_identity());
        assert!(!with_const(ScalarFn::Add, 0.0).is_identity());
        assert!(with_const(ScalarFn::Sub, 0.0).is_identity());
        assert!(!with_const(ScalarFn::Sub, -0.0).is_identity());
    }

    #[test]
    fn division_by_a_power_of_two_multiplies() {
        assert_eq!(with_const(ScalarFn::Div, 4.0), with_const(ScalarFn::Mul, 0.25));
        assert_ne!(with_const(ScalarFn::Div, 3.0), with_const(ScalarFn::Mul, 1.0 / 3.0));
    }

    #[test]
    fn a_repeated_clamp_is_one_clamp() {
        let relu = |b: &mut ExprBuilder, x| {
            let zero = b.f32(0.0);
            b.call(ScalarFn::Max, &[zero, x])
        };
        let twice = simple(|b, x| {
            let once = relu(b, x);
            relu(b, once)
        });
        assert_eq!(twice, simple(relu));
    }

    #[test]
    fn literals_fold() {
        let six = simple(|b, x| {
            let (two, three) = (b.f32(2.0), b.f32(3.0));
            let six = b.call(ScalarFn::Mul, &[two, three]);
            b.call(ScalarFn::Mul, &[six, x])
        });
        assert_eq!(six, with_const(ScalarFn::Mul, 6.0));
    }
}
