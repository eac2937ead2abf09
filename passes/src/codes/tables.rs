//! Codes of 8 bits that are functions of one other such code, as tables of their results.
//!
//! The reference evaluator fills a table, so that codes behind functions which compiled code only
//! approximates are those of its table wherever there is one.

use super::Code;
use super::chain::value;
use edgecc_ir::scalar::func::Accuracy;
use edgecc_ir::scalar::table::{Table, is_byte};
use edgecc_ir::scalar::{NodeId, ScalarExpr, ScalarNode};
use edgecc_ir::tensor::Scalar;
use edgecc_ir::types::ElemType;
use std::collections::BTreeSet;

/// The nodes from a code to one that is a function of it.
pub(crate) struct Way {
    /// Functions and conversions.
    pub(crate) work: usize,
    /// Whether the codes come from memory and all others go there.
    pub(crate) is_whole: bool,
    /// Whether compiled code computes the same bits.
    pub(crate) is_exact: bool,
    /// Whether there is a table already.
    pub(crate) has_table: bool,
}

/// What a node depends on.
#[derive(Clone, Copy, PartialEq)]
enum Origin {
    Literals,
    Code(NodeId),
    More,
}

/// The same function with a table wherever a code is a function of one other code and that `pays`;
/// the parameters have these types.
pub(crate) fn looked_up(
    expr: &ScalarExpr,
    params: &[ElemType],
    pays: impl Fn(&Way) -> bool,
) -> ScalarExpr {
    let nodes = expr.nodes();
    let Ok(types) = expr.infer_all(params) else { return expr.clone() };
    let origins = origins(nodes, &types);
    ScalarExpr::build(expr.params(), |b| {
        let mut ids: Vec<NodeId> = Vec::with_capacity(nodes.len());
        for (id, node) in (0..).zip(nodes) {
            let from = match origins[id as usize] {
                Origin::Code(from) if from != id && is_byte(types[id as usize]) => Some(from),
                _ => None,
            };
            let from = from.filter(|&from| pays(&Way::of(nodes, from, id)));
            let made = match from.and_then(|from| Some((from, table(nodes, &types, from, id)?))) {
                Some((from, table)) => b.lookup(table, ids[from as usize]),
                None => match widened(nodes, node) {
                    Some((to, code)) => b.cast(to, ids[code as usize]),
                    None => b.copy(node, &ids),
                },
            };
            ids.push(made);
        }
        ids[expr.root() as usize]
    })
}

/// The same function with tables of the distances from the lowest code, which are never negative, where
/// numbers are rounded to what is looked up.
pub(super) fn of_distances(expr: &ScalarExpr) -> ScalarExpr {
    let nodes = expr.nodes();
    ScalarExpr::build(expr.params(), |b| {
        let mut ids: Vec<NodeId> = Vec::with_capacity(nodes.len());
        for node in nodes {
            let made = match rounded(nodes, node) {
                Some((table, code)) => {
                    let by = code.lowest();
                    let number = code.moved(-by as f32).stated(b, ids[code.x as usize]);
                    let distance = b.cast(ElemType::U8, number);
                    let moved = |bits: u8| table.codes()[usize::from(bits.wrapping_add(by as u8))];
                    b.lookup(Table::new(table.elem(), moved), distance)
                }
                None => b.copy(node, &ids),
            };
            ids.push(made);
        }
        ids[expr.root() as usize]
    })
}

/// The table of a lookup, and the code above or below zero that a number is rounded to for it.
fn rounded<'a>(nodes: &'a [ScalarNode], node: &'a ScalarNode) -> Option<(&'a Table, Code)> {
    let ScalarNode::Lookup(table, code) = node else { return None };
    let ScalarNode::Cast(to, clamped) = nodes[*code as usize] else { return None };
    let code = Code::of(nodes, clamped).filter(|code| code.fits(to) && code.lowest() != 0)?;
    Some((table, code))
}

/// The lowest of all codes that a function looks up last.
pub(crate) fn lowest(expr: &ScalarExpr) -> Option<i32> {
    let ScalarNode::Lookup(table, _) = &expr.nodes()[expr.root() as usize] else { return None };
    let codes = (0..=u8::MAX).map(|bits| table.apply(Scalar::from_bits(ElemType::U8, bits.into())));
    codes.map(|code| code.as_i64() as i32).min()
}

/// The first code of 8 bits that alone decides about each node.
fn origins(nodes: &[ScalarNode], types: &[ElemType]) -> Vec<Origin> {
    let mut origins: Vec<Origin> = Vec::with_capacity(nodes.len());
    for (id, node) in (0..).zip(nodes) {
        let together = |all: Origin, arg: &NodeId| match (all, origins[*arg as usize]) {
            (Origin::Literals, other) | (other, Origin::Literals) => other,
            (one, other) if one == other => one,
            _ => Origin::More,
        };
        let origin = match node {
            ScalarNode::Param(_) => Origin::More,
            node => node.operands().iter().fold(Origin::Literals, together),
        };
        let is_first = origin == Origin::More && is_byte(types[id as usize]);
        origins.push(if is_first { Origin::Code(id) } else { origin });
    }
    origins
}

impl Way {
    fn of(nodes: &[ScalarNode], from: NodeId, to: NodeId) -> Way {
        let (mut left, mut between) = (vec![to], BTreeSet::new());
        while let Some(id) = left.pop() {
            if id != from && between.insert(id) {
                left.extend(nodes[id as usize].operands());
            }
        }
        let between: Vec<&ScalarNode> = between.iter().map(|&id| &nodes[id as usize]).collect();
        Way {
            work: between.iter().filter(|node| !node.operands().is_empty()).count(),
            is_whole: matches!(nodes[from as usize], ScalarNode::Param(_))
                && to as usize + 1 == nodes.len(),
            is_exact: between.iter().all(|node| is_exact(node)),
            has_table: between.iter().any(|node| matches!(node, ScalarNode::Lookup(..))),
        }
    }
}

fn is_exact(node: &ScalarNode) -> bool {
    match node {
        ScalarNode::Call(func, _) => func.info().accuracy == Accuracy::Exact,
        ScalarNode::Param(_)
        | ScalarNode::Const(_)
        | ScalarNode::Cast(..)
        | ScalarNode::Lookup(..) => true,
    }
}

/// What becomes of each code that `from` may be.
fn table(nodes: &[ScalarNode], types: &[ElemType], from: NodeId, to: NodeId) -> Option<Table> {
    let code = |bits: u8| Scalar::from_bits(types[from as usize], bits.into());
    let result = |bits| Some(value(nodes, to, from, code(bits))?.bits() as u8);
    let results: Option<Vec<u8>> = (0..=u8::MAX).map(result).collect();
    let results = results?;
    Some(Table::new(types[to as usize], |bits| results[usize::from(bits)]))
}

/// A code of a table that becomes wider in two steps, and its last type: one step does the same.
fn widened(nodes: &[ScalarNode], node: &ScalarNode) -> Option<(ElemType, NodeId)> {
    let ScalarNode::Cast(ElemType::I16, wide) = node else { return None };
    let ScalarNode::Cast(ElemType::I32, code) = nodes[*wide as usize] else { return None };
    matches!(nodes[code as usize], ScalarNode::Lookup(..)).then_some((ElemType::I16, code))
}

#[cfg(test)]
mod tests {
    use super::{Way, looked_up, of_distances};
    use edgecc_ir::graph::ops::{Dequantize, Quantize};
    use edgecc_ir::scalar::eval::eval;
    use edgecc_ir::scalar::func::ScalarFn;
    use edgecc_ir::scalar::{ExprBuilder, NodeId, ScalarExpr, ScalarNode};
    use edgecc_ir::tensor::Scalar;
    use edgecc_ir::types::ElemType;

    const SCALE: f32 = 0.031;

    fn number(b: &mut ExprBuilder, code: NodeId) -> NodeId {
        let scale = b.f32(SCALE);
        b.inline(&Dequantize { zero_point: -3 }.body(), |_, p| [code, scale][p as usize])
    }

    fn code(b: &mut ExprBuilder, number: NodeId) -> NodeId {
        let scale = b.f32(SCALE);
        let quantize = Quantize::full(ElemType::I8, -3).body();
        b.inline(&quantize, |_, p| [number, scale][p as usize])
    }

    /// The code of `func` of the number that a code is, times that number.
    fn gated(b: &mut ExprBuilder, of: NodeId, func: ScalarFn) -> NodeId {
        let x = number(b, of);
        let gate = b.call(func, &[x]);
        let y = b.call(ScalarFn::Mul, &[x, gate]);
        code(b, y)
    }

    fn lookups(expr: &ScalarExpr) -> usize {
        expr.nodes().iter().filter(|node| matches!(node, ScalarNode::Lookup(..))).count()
    }

    fn always(_: &Way) -> bool {
        true
    }

    #[test]
    fn a_code_of_a_code_is_one_lookup() {
        let plain = ScalarExpr::build(1, |b| {
            let x = b.param(0);
            let first = gated(b, x, ScalarFn::Tanh);
            gated(b, first, ScalarFn::Exp)
        });
        let short = looked_up(&plain, &[ElemType::I8], always);
        assert_eq!((lookups(&short), short.cost()), (1, 1));
        for bits in -128..128 {
            let args = [Scalar::from_i64(ElemType::I8, bits)];
            assert_eq!(eval(&short, &args), eval(&plain, &args));
        }
    }

    #[test]
    fn the_code_in_the_middle_is_computed() {
        let plain = ScalarExpr::build(2, |b| {
            let [x, y] = [0, 1].map(|p| b.param(p));
            let sum = b.call(ScalarFn::Add, &[x, y]);
            let middle = code(b, sum);
            gated(b, middle, ScalarFn::Erf)
        });
        let short = looked_up(&plain, &[ElemType::F32; 2], always);
        assert_eq!(lookups(&short), 1);
        assert!(short.cost() < plain.cost());
        for n in -300..300 {
            let args = [Scalar::f32(n as f32 * 0.02), Scalar::f32(0.1)];
            assert_eq!(eval(&short, &args), eval(&plain, &args));
        }
    }

    #[test]
    fn rounded_numbers_are_looked_up_by_their_distance_from_the_lowest_code() {
        let plain = ScalarExpr::build(1, |b| {
            let x = b.param(0);
            let middle = code(b, x);
            gated(b, middle, ScalarFn::Tanh)
        });
        let signed = looked_up(&plain, &[ElemType::F32], always);
        let unsigned = of_distances(&signed);
        let types = unsigned.infer_all(&[ElemType::F32]).expect("well-typed");
        assert_eq!(types[types.len() - 2..], [ElemType::U8, ElemType::I8]);
        for n in (-300..300).map(|n| n as f32 * 0.02).chain([f32::NAN, f32::INFINITY]) {
            assert_eq!(eval(&unsigned, &[Scalar::f32(n)]), eval(&plain, &[Scalar::f32(n)]));
        }
    }

    #[test]
    fn codes_of_two_codes_and_of_wider_ones_stay() {
        let sum = ScalarExpr::build(2, |b| {
            let [x, y] = [0, 1].map(|p| b.param(p)).map(|code| number(b, code));
            let sum = b.call(ScalarFn::Add, &[x, y]);
            code(b, sum)
        });
        assert_eq!(looked_up(&sum, &[ElemType::I8; 2], always), sum);
        let wide = ScalarExpr::build(1, |b| {
            let x = b.param(0);
            gated(b, x, ScalarFn::Exp)
        });
        assert_eq!(looked_up(&wide, &[ElemType::I16], always), wide);
    }

    #[test]
    fn what_does_not_pay_stays() {
        let plain = ScalarExpr::build(1, |b| {
            let x = b.param(0);
            gated(b, x, ScalarFn::Abs)
        });
        let pays = |way: &Way| {
            assert!(way.is_exact && way.is_whole && !way.has_table);
            way.work > 20
        };
        assert_eq!(looked_up(&plain, &[ElemType::I8], pays), plain);
    }

    #[test]
    fn what_moves_a_code_of_a_table_joins_the_table() {
        let plain = ScalarExpr::build(1, |b| {
            let x = b.param(0);
            gated(b, x, ScalarFn::Tanh)
        });
        let moved = |by: i64, to: ElemType| {
            let code = looked_up(&plain, &[ElemType::I8], always);
            ScalarExpr::build(1, |b| {
                let code = b.inline(&code, ExprBuilder::param);
                let wide = b.cast(ElemType::I32, code);
                if by == 0 {
                    return b.cast(to, wide);
                }
                let by = b.constant(Scalar::from_i64(ElemType::I32, by));
                let sum = b.call(ScalarFn::Add, &[wide, by]);
                b.cast(to, sum)
            })
        };
        for (by, to, cost) in [(128, ElemType::U8, 1), (0, ElemType::I16, 2)] {
            let long = moved(by, to);
            let short = looked_up(&long, &[ElemType::I8], |way| way.has_table);
            assert_eq!(short.cost(), cost);
            for bits in -128..128 {
                let args = [Scalar::from_i64(ElemType::I8, bits)];
                assert_eq!(eval(&short, &args), eval(&long, &args));
            }
        }
    }
}
