//! Numbers that become codes: fewer operations for the same codes.
//!
//! Purpose   rounds numbers that are clamped to a few bits by an addition, divides them by products,
//!           and reads back codes that were never stored as the numbers they were made from.
//! In → Out  Kernels → Kernels of the same results, bit for bit.
//! Owns      the forms of such functions after the graph.
//! Never     looks beyond one function.
//! Tests     `mod tests` in each file.

mod chain;
mod made;
mod quotient;
pub(crate) mod tables;

use edgecc_ir::kernel::{Access, Kernels};
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::scalar::{ExprBuilder, NodeId, ScalarExpr, ScalarNode};
use edgecc_ir::target::Target;
use edgecc_ir::types::ElemType;
use made::Machine;
use quotient::Quotient;

/// Codes below this leave room for a zero point in those bits.
const MOST: f32 = 1_048_576.0;

/// Rewrites the functions of every stage.
pub fn simplify_codes(kernels: &mut Kernels, target: &Target) {
    for kernel in kernels.kernels.values_mut().filter(|k| k.schedule.is_none()) {
        for number in 0..kernel.stages.len() {
            let stage = &kernel.stages[number];
            let types = |reads: &[Access]| reads.iter().map(|read| kernel.elem(read)).collect();
            let (reads, mut extra): (Vec<ElemType>, Vec<ElemType>) =
                (types(&stage.reads), types(&stage.epilogue_reads));
            extra.splice(0..0, stage.body.infer(&reads));
            let body = shortened(&stage.body, &reads);
            let epilogue = shortened(&stage.epilogue, &extra);
            let stage = &mut kernel.stages[number];
            let machine =
                Machine { fuses: target.fma, saturates: target.saturates, narrows: target.narrows };
            stage.body = simplified(&body, machine);
            stage.epilogue = simplified(&epilogue, machine);
        }
    }
}

/// The same function of parameters of these types without codes that equal others, and with one table
/// where there were several steps from code to code.
fn shortened(expr: &ScalarExpr, params: &[ElemType]) -> ScalarExpr {
    let short = chain::shortened(expr, |p| params.get(p as usize).copied());
    tables::of_distances(&tables::looked_up(&short, params, |way| way.has_table))
}

/// The same function with codes rounded by addition or by a conversion that saturates, and quotients
/// as products.
fn simplified(expr: &ScalarExpr, machine: Machine) -> ScalarExpr {
    let fused = machine.fuses;
    let nodes = expr.nodes();
    ScalarExpr::build(expr.params(), |b| {
        let mut ids: Vec<NodeId> = Vec::with_capacity(nodes.len());
        for node in nodes {
            let made = match node {
                ScalarNode::Cast(to, arg) if is_stored(*to) => {
                    let again = || stored_code(nodes, *arg).filter(|code| code.fits(*to));
                    let code = Code::of(nodes, *arg).or_else(again);
                    code.map(|code| code.made(b, *to, (nodes, &ids), machine))
                }
                ScalarNode::Call(..) => bounded_code(nodes, node)
                    .map(|(to, code)| code.made(b, to, (nodes, &ids), machine)),
                ScalarNode::Cast(ElemType::F32, arg) => stored_code(nodes, *arg).map(|code| {
                    let clamped = code.clamped(b, nodes, &ids, fused);
                    code.number(b, clamped)
                }),
                _ => None,
            };
            ids.push(made.unwrap_or_else(|| b.copy(node, &ids)));
        }
        ids[expr.root() as usize]
    })
}

fn is_code(elem: ElemType) -> bool {
    elem.is_int() && elem.bytes() == 1
}

/// Whether codes are stored so: in 16 bits where the target multiplies these.
fn is_stored(elem: ElemType) -> bool {
    is_code(elem) || elem == ElemType::I16
}

/// The code that is read back, in its range, with what is added to it in its zero point.
fn stored_code(nodes: &[ScalarNode], id: NodeId) -> Option<Code> {
    match &nodes[id as usize] {
        ScalarNode::Cast(ElemType::I32, arg) => stored_code(nodes, *arg),
        ScalarNode::Call(func @ (ScalarFn::Add | ScalarFn::Sub), args) => {
            let ScalarNode::Const(literal) = nodes[args[1] as usize] else { return None };
            let wide = matches!(nodes[args[0] as usize], ScalarNode::Cast(ElemType::I32, _));
            let by = if *func == ScalarFn::Add { literal.as_i64() } else { -literal.as_i64() };
            let fits = wide && by.abs() < MOST as i64;
            stored_code(nodes, args[0]).filter(|_| fits).map(|code| code.moved(by as f32))
        }
        _ => Code::of_codes(nodes, id),
    }
}

/// The code, and its type, of a node that bounds one by a literal: a clamp of codes.
fn bounded_code(nodes: &[ScalarNode], node: &ScalarNode) -> Option<(ElemType, Code)> {
    let ScalarNode::Call(func, args) = node else { return None };
    let ScalarNode::Const(literal) = nodes[*args.get(1)? as usize] else { return None };
    if !is_stored(literal.elem()) {
        return None;
    }
    let (code, bound) = (stored_code(nodes, args[0])?, literal.as_i64() as f32);
    let bounded = match func {
        ScalarFn::Max => Code { lo: code.lo.max(bound), ..code },
        ScalarFn::Min => Code { hi: code.hi.min(bound), ..code },
        _ => return None,
    };
    (bounded.lo <= bounded.hi).then_some((literal.elem(), bounded))
}

/// `min(max(round(x) + z, lo), hi)`, with literals.
#[derive(Clone, Copy)]
pub(crate) struct Code {
    /// What is rounded.
    pub(crate) x: NodeId,
    zero: f32,
    lo: f32,
    hi: f32,
}

impl Code {
    /// The form of the operand of a conversion to a code, if it is that.
    pub(crate) fn of(nodes: &[ScalarNode], clamped: NodeId) -> Option<Code> {
        let (raised, hi) = with_literal(nodes, ScalarFn::Min, clamped)?;
        let (whole, lo) = with_literal(nodes, ScalarFn::Max, raised)?;
        let (rounded, zero) = with_literal(nodes, ScalarFn::Add, whole).unwrap_or((whole, 0.0));
        let ScalarNode::Call(ScalarFn::Round, args) = &nodes[rounded as usize] else { return None };
        let literals = [zero, lo, hi];
        let whole = literals.iter().all(|l| l.fract() == 0.0 && l.abs() <= MOST);
        (whole && lo <= hi).then(|| Code { x: args[0], zero, lo, hi })
    }

    /// The form of a node that is a code, between bounds that may be codes themselves.
    pub(crate) fn of_codes(nodes: &[ScalarNode], id: NodeId) -> Option<Code> {
        match &nodes[id as usize] {
            ScalarNode::Cast(to, arg) if is_stored(*to) => {
                Code::of(nodes, *arg).filter(|code| code.fits(*to))
            }
            node => bounded_code(nodes, node).map(|(_, code)| code),
        }
    }

    /// Whether all results are codes of a type.
    pub(crate) fn fits(self, to: ElemType) -> bool {
        let range = to.int_range().expect("an integer type");
        range.0 as f32 <= self.lo && self.hi <= range.1 as f32
    }

    /// The lowest code.
    pub(crate) fn lowest(self) -> i32 {
        self.lo as i32
    }

    /// The form whose results are larger by a whole number.
    pub(crate) fn moved(self, by: f32) -> Code {
        Code { zero: self.zero + by, lo: self.lo + by, hi: self.hi + by, ..self }
    }

    /// The form as it is stated, of this operand.
    pub(crate) fn stated(self, b: &mut ExprBuilder, x: NodeId) -> NodeId {
        let [zero, lo, hi] = [self.zero, self.lo, self.hi].map(|literal| b.f32(literal));
        let rounded = b.call(ScalarFn::Round, &[x]);
        let moved = b.call(ScalarFn::Add, &[rounded, zero]);
        let raised = b.call(ScalarFn::Max, &[moved, lo]);
        b.call(ScalarFn::Min, &[raised, hi])
    }

    /// What is rounded, clamped before that, which whole bounds allow; a NaN still becomes the lower
    /// one.
    fn clamped(
        self,
        b: &mut ExprBuilder,
        nodes: &[ScalarNode],
        ids: &[NodeId],
        fused: bool,
    ) -> NodeId {
        let bounds = [self.lo - self.zero, self.hi - self.zero];
        let between = |b: &mut ExprBuilder, x: NodeId, bounds: [f32; 2]| {
            let [lo, hi] = bounds.map(|bound| b.f32(bound));
            let raised = b.call(ScalarFn::Max, &[x, lo]);
            b.call(ScalarFn::Min, &[raised, hi])
        };
        let divided = with_literal(nodes, ScalarFn::Div, self.x);
        let product = divided.and_then(|(x, s)| Some((x, s, Quotient::of(s, bounds, fused)?)));
        match product {
            Some((x, scale, quotient)) => {
                let x = between(b, ids[x as usize], bounds.map(|bound| bound * scale));
                quotient.expr(b, x)
            }
            None => between(b, ids[self.x as usize], bounds),
        }
    }
}

/// The other operand of a call whose second one is a literal number, and the literal.
fn with_literal(nodes: &[ScalarNode], func: ScalarFn, id: NodeId) -> Option<(NodeId, f32)> {
    let ScalarNode::Call(found, args) = &nodes[id as usize] else { return None };
    let ScalarNode::Const(literal) = &nodes[*args.get(1)? as usize] else { return None };
    (*found == func && literal.elem() == ElemType::F32).then(|| (args[0], literal.as_f32()))
}

#[cfg(test)]
mod tests {
    use super::{Machine, simplified};
    use edgecc_ir::scalar::eval::eval;
    use edgecc_ir::scalar::func::ScalarFn;
    use edgecc_ir::scalar::{ExprBuilder, NodeId, ScalarExpr, ScalarNode};
    use edgecc_ir::tensor::Scalar;
    use edgecc_ir::types::ElemType;

    const PLAIN: Machine = Machine { fuses: false, saturates: false, narrows: false };

    fn quantized(b: &mut ExprBuilder, to: ElemType, zero: f32, [lo, hi]: [f32; 2]) -> NodeId {
        let [x, zero, lo, hi] = [b.param(0), b.f32(zero), b.f32(lo), b.f32(hi)];
        let rounded = b.call(ScalarFn::Round, &[x]);
        let moved = b.call(ScalarFn::Add, &[rounded, zero]);
        let raised = b.call(ScalarFn::Max, &[moved, lo]);
        let clamped = b.call(ScalarFn::Min, &[raised, hi]);
        b.cast(to, clamped)
    }

    #[test]
    fn every_number_becomes_the_same_code() {
        let halves = (-2000..2000).map(|n| n as f32 / 4.0);
        let special = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, 3e9, -3e9, 0.499_999_97];
        let numbers: Vec<f32> = halves.chain(special).collect();
        for (to, zero, bounds) in [
            (ElemType::U8, 0.0, [0.0, 255.0]),
            (ElemType::U8, 131.0, [131.0, 255.0]),
            (ElemType::U8, 128.0, [0.0, 255.0]),
            (ElemType::I8, -7.0, [-128.0, 127.0]),
            (ElemType::I16, 131.0, [131.0, 255.0]),
            (ElemType::I16, -7.0, [-128.0, 127.0]),
        ] {
            let plain = ScalarExpr::build(1, |b| quantized(b, to, zero, bounds));
            let narrow = ScalarExpr::build(1, |b| {
                let code = b.inline(&plain, ExprBuilder::param);
                let [lo, hi] = [3, 99].map(|bound| b.constant(Scalar::from_i64(to, bound)));
                let raised = b.call(ScalarFn::Max, &[code, lo]);
                b.call(ScalarFn::Min, &[raised, hi])
            });
            let machines =
                [PLAIN, Machine { saturates: true, ..PLAIN }, Machine { narrows: true, ..PLAIN }];
            let both = [&plain, &narrow];
            for (plain, machine) in both.iter().flat_map(|&p| machines.map(|machine| (p, machine)))
            {
                let cheap = simplified(plain, machine);
                assert_ne!(&cheap, plain);
                for &x in &numbers {
                    let args = [Scalar::f32(x)];
                    assert_eq!(eval(&cheap, &args), eval(plain, &args), "{x} {zero}");
                }
            }
        }
    }

    #[test]
    fn codes_that_are_read_back_stay_numbers() {
        let back = ScalarExpr::build(1, |b| {
            let code = quantized(b, ElemType::U8, 3.0, [0.0, 255.0]);
            b.cast(ElemType::F32, code)
        });
        let number = simplified(&back, PLAIN);
        for x in [-9.0, 1.5, 2.5, 400.0, f32::NAN] {
            let args = [Scalar::f32(x)];
            assert_eq!(eval(&number, &args), eval(&back, &args));
        }
        assert_eq!(number.cost(), 4);
    }

    #[test]
    fn codes_around_zero_are_clamped_there() {
        let back = ScalarExpr::build(1, |b| {
            let code = quantized(b, ElemType::U8, 138.0, [0.0, 255.0]);
            let (wide, zero) = (b.cast(ElemType::I32, code), Scalar::from_i64(ElemType::I32, 138));
            let zero = b.constant(zero);
            let centred = b.call(ScalarFn::Sub, &[wide, zero]);
            b.cast(ElemType::F32, centred)
        });
        let number = simplified(&back, PLAIN);
        for x in [-900.0, -138.0, -1.5, 2.5, 116.6, 400.0, f32::NAN] {
            let args = [Scalar::f32(x)];
            assert_eq!(eval(&number, &args), eval(&back, &args));
        }
        assert_eq!(number.cost(), 4);
    }

    #[test]
    fn clamps_of_codes_bound_what_is_rounded() {
        let clamped = |b: &mut ExprBuilder| {
            let code = quantized(b, ElemType::I8, -7.0, [-128.0, 127.0]);
            let [lo, hi] = [0, 100].map(|n| b.constant(Scalar::from_i64(ElemType::I8, n)));
            let raised = b.call(ScalarFn::Max, &[code, lo]);
            b.call(ScalarFn::Min, &[raised, hi])
        };
        let moved = ScalarExpr::build(1, |b| {
            let code = clamped(b);
            let (wide, by) = (b.cast(ElemType::I32, code), Scalar::from_i64(ElemType::I32, 128));
            let by = b.constant(by);
            let sum = b.call(ScalarFn::Add, &[wide, by]);
            b.cast(ElemType::U8, sum)
        });
        for (plain, cost) in [(ScalarExpr::build(1, clamped), 6), (moved, 6)] {
            let cheap = simplified(&plain, PLAIN);
            for x in [-900.0, -138.0, 7.5, 8.5, 2.5, 106.5, 107.5, 400.0, f32::NAN] {
                let args = [Scalar::f32(x)];
                assert_eq!(eval(&cheap, &args), eval(&plain, &args), "{x}");
            }
            assert_eq!(cheap.cost(), cost, "{cheap:?}");
        }
    }

    #[test]
    fn quotients_become_products_with_the_same_codes() {
        let plain = ScalarExpr::build(1, |b| {
            let scale = b.f32(0.037_867_93);
            let body = ScalarExpr::build(1, |b| quantized(b, ElemType::U8, 3.0, [0.0, 255.0]));
            b.inline(&body, |b, _| {
                let x = b.param(0);
                b.call(ScalarFn::Div, &[x, scale])
            })
        });
        let cheap = simplified(&plain, Machine { fuses: true, ..PLAIN });
        assert!(!cheap.nodes().iter().any(|n| matches!(n, ScalarNode::Call(ScalarFn::Div, _))));
        let special = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 3e38, -3e38, -0.0, 1e-44];
        for x in (-20_000..20_000).map(|n| n as f32 * 0.000_631).chain(special) {
            let args = [Scalar::f32(x)];
            assert_eq!(eval(&cheap, &args), eval(&plain, &args), "{x}");
        }
    }
}
