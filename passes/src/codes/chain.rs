//! Codes that are a function of one other code: of 256 results, known now.

use edgecc_ir::scalar::eval::{apply, cast};
use edgecc_ir::scalar::{NodeId, ScalarExpr, ScalarNode};
use edgecc_ir::tensor::Scalar;
use edgecc_ir::types::ElemType;

use super::Code;

/// The most codes whose results are compared.
const CODES: i64 = 256;

/// A node whose values are codes.
struct Known {
    id: NodeId,
    elem: ElemType,
    lo: i64,
    hi: i64,
}

/// The same function without codes that always equal an earlier code: what quantising, moving and
/// scaling by 1 makes of it. `codes` gives the types of parameters that are codes.
pub(super) fn shortened(expr: &ScalarExpr, codes: impl Fn(u32) -> Option<ElemType>) -> ScalarExpr {
    let nodes = expr.nodes();
    let mut known: Vec<Known> = Vec::new();
    ScalarExpr::build(expr.params(), |b| {
        let mut ids: Vec<NodeId> = Vec::with_capacity(nodes.len());
        for (id, node) in (0..).zip(nodes) {
            let made = Known::of(nodes, id, &codes);
            let equal = made
                .as_ref()
                .and_then(|made| known.iter().find(|k| k.elem == made.elem && k.equals(nodes, id)));
            match equal {
                Some(code) => ids.push(ids[code.id as usize]),
                None => {
                    ids.push(b.copy(node, &ids));
                    known.extend(made);
                }
            }
        }
        ids[expr.root() as usize]
    })
}

impl Known {
    fn of(
        nodes: &[ScalarNode],
        id: NodeId,
        codes: impl Fn(u32) -> Option<ElemType>,
    ) -> Option<Known> {
        let (elem, clamped) = match &nodes[id as usize] {
            ScalarNode::Param(p) => (codes(*p)?, None),
            ScalarNode::Cast(to, arg) => (*to, Code::of(nodes, *arg)),
            ScalarNode::Lookup(table, _) => (table.elem(), None),
            ScalarNode::Const(_) | ScalarNode::Call(..) => return None,
        };
        let (lo, hi) = elem.int_range().filter(|_| elem.bytes() <= 2)?;
        let (least, most) = clamped.map_or((lo, hi), |c| (c.lo as i64, c.hi as i64));
        let (lo, hi) = (lo.max(least), hi.min(most));
        (0..CODES).contains(&(hi - lo)).then_some(Known { id, elem, lo, hi })
    }

    /// Whether another node has this code's value, whatever that is.
    fn equals(&self, nodes: &[ScalarNode], other: NodeId) -> bool {
        (self.lo..=self.hi).all(|code| {
            let code = Scalar::from_i64(self.elem, code);
            value(nodes, other, self.id, code) == Some(code)
        })
    }
}

/// The value of a node when another one has this value; `None` if it needs more to be known.
pub(super) fn value(
    nodes: &[ScalarNode],
    of: NodeId,
    known: NodeId,
    code: Scalar,
) -> Option<Scalar> {
    let mut values: Vec<Option<Scalar>> = Vec::with_capacity(nodes.len());
    for (id, node) in (0..=of).zip(nodes) {
        let arg = |a: &NodeId| values[*a as usize];
        values.push(match node {
            _ if id == known => Some(code),
            ScalarNode::Param(_) => None,
            ScalarNode::Const(literal) => Some(*literal),
            ScalarNode::Cast(to, a) => arg(a).map(|v| cast(*to, v)),
            ScalarNode::Lookup(table, a) => arg(a).map(|v| table.apply(v)),
            ScalarNode::Call(func, args) => {
                let args: Option<Vec<Scalar>> = args.iter().map(arg).collect();
                args.map(|args| apply(*func, &args))
            }
        });
    }
    values[of as usize]
}

#[cfg(test)]
mod tests {
    use super::shortened;
    use edgecc_ir::graph::ops::{Dequantize, Quantize};
    use edgecc_ir::scalar::eval::eval;
    use edgecc_ir::scalar::{ExprBuilder, NodeId, ScalarExpr};
    use edgecc_ir::tensor::Scalar;
    use edgecc_ir::types::ElemType;

    /// The code for a scale of a code with another scale.
    fn again(b: &mut ExprBuilder, code: NodeId, from: f32, to: f32) -> NodeId {
        let (from, to) = (b.f32(from), b.f32(to));
        let number =
            b.inline(&Dequantize { zero_point: 7 }.body(), |_, p| [code, from][p as usize]);
        let quantize = Quantize { to: ElemType::U8, zero_point: 7, lo: 0, hi: 255 }.body();
        b.inline(&quantize, |_, p| [number, to][p as usize])
    }

    #[test]
    fn a_code_with_the_same_scale_is_the_code() {
        let plain = ScalarExpr::build(1, |b| {
            let code = b.param(0);
            again(b, code, 0.037_867_926, 0.037_867_93)
        });
        let of = |elem: Option<ElemType>| shortened(&plain, |_| elem);
        assert!(of(Some(ElemType::U8)).is_identity());
        assert_eq!(of(Some(ElemType::I8)), plain);
        assert_eq!(of(None), plain);
    }

    #[test]
    fn other_scales_and_narrower_results_stay() {
        let plain = ScalarExpr::build(1, |b| {
            let code = b.param(0);
            again(b, code, 0.5, 0.25)
        });
        assert_eq!(shortened(&plain, |_| Some(ElemType::U8)), plain);
    }

    #[test]
    fn codes_within_bounds_are_compared_there() {
        let plain = ScalarExpr::build(1, |b| {
            let x = b.param(0);
            let scale = b.f32(1.0);
            let narrow = Quantize { to: ElemType::U8, zero_point: 7, lo: 7, hi: 99 }.body();
            let code = b.inline(&narrow, |_, p| [x, scale][p as usize]);
            let clamp = Quantize { to: ElemType::U8, zero_point: 7, lo: 7, hi: 99 }.body();
            let number =
                b.inline(&Dequantize { zero_point: 7 }.body(), |_, p| [code, scale][p as usize]);
            b.inline(&clamp, |_, p| [number, scale][p as usize])
        });
        let short = shortened(&plain, |_| None);
        assert!(short.cost() < plain.cost());
        for x in [-3.0, 0.4, 50.0, 1000.0, f32::NAN] {
            let args = [Scalar::f32(x)];
            assert_eq!(eval(&short, &args), eval(&plain, &args));
        }
    }
}
