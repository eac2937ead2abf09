//! Numbers in `f16` as numbers in `f32` that are rounded to `f16`: arithmetic on `f16` is done in
//! `f32`, and between operators the wider type needs no conversions.
//!
//! Each result of an operator is rounded once, as in its own type, so that functions of one element
//! keep their bits; sums are rounded at their end only (`docs/numerics.md`). Inputs and results of the
//! graph keep their types, as do operands of ops that are not arithmetic on numbers.

use super::rebuild::{Rebuild, rebuild};
use crate::manager::{Pass, PassCx};
use edgecc_ir::graph::ops::{Conv, Map, MatMul, Op, Pad};
use edgecc_ir::graph::{Graph, OpData, OpId};
use edgecc_ir::scalar::eval::cast_tensor;
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::scalar::{ExprBuilder, NodeId, ScalarExpr, ScalarNode};
use edgecc_ir::tensor::Scalar;
use edgecc_ir::types::ElemType::{F16, F32};

/// The pass.
pub const PASS: Pass<Graph> =
    Pass { name: "singles", doc: "computes in f32 what is computed in f16", run };

fn run(graph: &mut Graph, _cx: &PassCx<'_>) {
    if graph.order.iter().any(|&id| graph.ty(id).elem == F16) {
        rebuild(graph, |new, data, args| {
            wider(new, data, args).unwrap_or_else(|| new.emit(data.op.clone(), args))
        });
    }
}

/// An op on numbers in `f16` as one on numbers in `f32`; nothing where it stays.
fn wider(new: &mut Rebuild, data: &OpData, args: &[OpId]) -> Option<OpId> {
    if !args.iter().any(|&arg| new.ty(arg).elem == F16) && data.ty.elem != F16 {
        return None;
    }
    let (op, finish) = match &data.op {
        Op::Map(map) => return Some(mapped(new, &map.body, data, args)),
        Op::Conv(conv) => {
            let sums = Conv { epilogue: ScalarExpr::identity(), ..conv.clone() };
            (sums.into(), Some(&conv.epilogue))
        }
        Op::MatMul(matmul) => {
            let sums = MatMul { epilogue: ScalarExpr::identity(), ..matmul.clone() };
            (sums.into(), Some(&matmul.epilogue))
        }
        Op::Reduce(reduce) if selects(reduce.func) => return Some(moved(new, &data.op, args)),
        Op::Pool(pool) if selects(pool.func) => return Some(moved(new, &data.op, args)),
        Op::Reduce(_) | Op::Pool(_) => (data.op.clone(), None),
        Op::Pad(pad) => {
            let value = Scalar::f32(pad.value.as_f64() as f32);
            return Some(moved(new, &Pad { value, ..pad.clone() }.into(), args));
        }
        Op::Reshape(_)
        | Op::Transpose(_)
        | Op::Broadcast(_)
        | Op::Slice(_)
        | Op::Concat(_)
        | Op::Gather(_) => return Some(moved(new, &data.op, args)),
        Op::Input(_)
        | Op::Const(_)
        | Op::Quantize(_)
        | Op::Dequantize(_)
        | Op::Requantize(_)
        | Op::NonMaxSuppression(_)
        | Op::NonZero(_)
        | Op::Scatter(_)
        | Op::TopK(_)
        | Op::If(_)
        | Op::Repeat(_) => return None,
    };
    let factors = if finish.is_some() { 2 } else { 1 };
    let wide: Vec<OpId> = args[..factors].iter().map(|&arg| widened(new, arg)).collect();
    let sum = new.emit(op, &wide);
    let body = ScalarExpr::build(1, |b| {
        let sum = b.param(0);
        rounded(b, sum)
    });
    let sum = new.emit(Map { body }, &[sum]);
    let sum = narrowed(new, sum);
    let Some(epilogue) = finish.filter(|epilogue| !epilogue.is_identity()) else {
        return Some(sum);
    };
    let all: Vec<OpId> = [sum].into_iter().chain(args[factors..].iter().copied()).collect();
    Some(mapped(new, epilogue, data, &all))
}

/// An op whose results are elements of its operands.
fn moved(new: &mut Rebuild, op: &Op, args: &[OpId]) -> OpId {
    let wide: Vec<OpId> = args.iter().map(|&arg| widened(new, arg)).collect();
    let moved = new.emit(op.clone(), &wide);
    narrowed(new, moved)
}

/// A function of elements, in `f32`.
fn mapped(new: &mut Rebuild, body: &ScalarExpr, data: &OpData, args: &[OpId]) -> OpId {
    let elems: Vec<_> = args.iter().map(|&arg| new.ty(arg).elem).collect();
    let elems = body.infer_all(&elems).expect("G4: the op type-checks");
    let nodes = body.nodes();
    let body = ScalarExpr::build(body.params(), |b| {
        let mut ids: Vec<NodeId> = Vec::with_capacity(nodes.len());
        for (node, &elem) in nodes.iter().zip(&elems) {
            let made = match node {
                ScalarNode::Const(c) if elem == F16 => b.f32(c.as_f64() as f32),
                ScalarNode::Cast(F16 | F32, arg) if elems[*arg as usize] == F16 => {
                    ids[*arg as usize]
                }
                ScalarNode::Cast(F16, arg) => rounded(b, ids[*arg as usize]),
                ScalarNode::Call(func, _) if elem == F16 && !selects(*func) => {
                    let result = b.copy(node, &ids);
                    rounded(b, result)
                }
                _ => b.copy(node, &ids),
            };
            ids.push(made);
        }
        ids[body.root() as usize]
    });
    let wide: Vec<OpId> = args.iter().map(|&arg| widened(new, arg)).collect();
    let result = if body.is_identity() { wide[0] } else { new.emit(Map { body }, &wide) };
    if data.ty.elem == F16 { narrowed(new, result) } else { result }
}

/// Whether a function gives one of its operands, but for its sign: nothing is to be rounded.
fn selects(func: ScalarFn) -> bool {
    use ScalarFn::{Abs, Max, Min, Neg, Select};
    matches!(func, Min | Max | Select | Neg | Abs)
}

/// The nearest number of `f16`, as an `f32`.
fn rounded(b: &mut ExprBuilder, x: NodeId) -> NodeId {
    let half = b.cast(F16, x);
    b.cast(F32, half)
}

/// `(x) -> f16(x)`.
fn narrow() -> ScalarExpr {
    ScalarExpr::build(1, |b| {
        let x = b.param(0);
        b.cast(F16, x)
    })
}

/// A value of rounded numbers in `f16`.
fn narrowed(new: &mut Rebuild, value: OpId) -> OpId {
    new.emit(Map { body: narrow() }, &[value])
}

/// A value in `f16` as `f32`; others as they are.
fn widened(new: &mut Rebuild, value: OpId) -> OpId {
    if new.ty(value).elem != F16 {
        return value;
    }
    if let Some(halves) = new.graph().as_const(value) {
        let singles = cast_tensor(F32, halves);
        return new.constant(singles);
    }
    match new.op(value) {
        // Only `narrowed` makes this, of numbers that are rounded.
        Op::Map(map) if map.body == narrow() => new.arg(value, 0),
        _ => {
            let body = ScalarExpr::build(1, |b| {
                let x = b.param(0);
                b.cast(F32, x)
            });
            new.emit(Map { body }, &[value])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::PASS;
    use crate::manager::{PassCx, PassOptions, VerifyPolicy};
    use edgecc_ir::graph::build::GraphBuilder;
    use edgecc_ir::graph::eval::eval;
    use edgecc_ir::graph::ops::{Concat, Conv, Layout, Map, MatMul, Op, Pad, Reduce, Window};
    use edgecc_ir::graph::verify::verify;
    use edgecc_ir::graph::{Graph, OpId};
    use edgecc_ir::scalar::ScalarExpr;
    use edgecc_ir::scalar::func::ScalarFn;
    use edgecc_ir::target::{Arch, Target};
    use edgecc_ir::tensor::{Scalar, Tensor};
    use edgecc_ir::types::ElemType::{F16, I32};
    use edgecc_ir::types::TensorType;

    fn halves(dims: &[usize], seed: usize) -> Tensor {
        let number = |i: usize| ((i * 37 + seed * 11) % 101) as f64 / 16.0 - 3.0;
        Tensor::from_fn(TensorType::new(F16, dims), |i| Scalar::from_f64(F16, number(i)))
    }

    /// The graph after the pass, which gives the same bits.
    fn check(x: &Tensor, build: impl FnOnce(&mut GraphBuilder, OpId) -> OpId) -> Graph {
        let mut b = GraphBuilder::new("m");
        let input = b.input("x", x.ty.clone());
        let y = build(&mut b, input);
        b.output("y", y);
        let before = b.finish();
        let mut after = before.clone();
        let target = Target::default_for(Arch::X86_64);
        let options =
            PassOptions { strict_float: false, opt_level: 2, verify: VerifyPolicy::Never };
        (PASS.run)(&mut after, &PassCx::new(&target, &options));
        assert_eq!(verify(&after), Ok(()));
        let inputs = std::slice::from_ref(x);
        assert_eq!(eval(&after, inputs), eval(&before, inputs));
        after
    }

    /// Ops other than maps that have results in `f16`.
    fn left(graph: &Graph) -> usize {
        let is_left = |op: &Op| !matches!(op, Op::Map(_) | Op::Input(_));
        let all = graph.order.iter().filter(|&&id| graph.ty(id).elem == F16);
        all.filter(|&&id| is_left(&graph.ops[id].op)).count()
    }

    #[test]
    fn sums_and_moves_are_computed_in_f32() {
        let x = halves(&[1, 6, 6, 4], 1);
        let graph = check(&x, |b, x| {
            let w = b.constant(halves(&[4, 4, 3, 3], 2));
            let relu = ScalarExpr::build(1, |b| {
                let (x, zero) = (b.param(0), b.constant(Scalar::from_f64(F16, 0.0)));
                b.call(ScalarFn::Max, &[x, zero])
            });
            let plain = Conv::plain(Window::unit(2), 1, Layout::ChannelsLast);
            let y = b.add(Conv { epilogue: relu, ..plain }, &[x, w]).expect("a convolution");
            let value = Scalar::from_f64(F16, 0.1);
            let pad = Pad { low: vec![0, 1, 1, 0], high: vec![0, 1, 1, 0], value };
            let padded = b.add(pad, &[y]).expect("a pad");
            let both = b.add(Concat { dim: 3 }, &[padded, x]).expect("equal planes");
            b.add(Reduce { func: ScalarFn::Add, dims: vec![1, 2] }, &[both]).expect("a sum")
        });
        assert_eq!(left(&graph), 0);
    }

    #[test]
    fn every_function_is_rounded() {
        let body = ScalarExpr::build(1, |b| {
            let (x, third) = (b.param(0), b.constant(Scalar::from_f64(F16, 0.333)));
            let product = b.call(ScalarFn::Mul, &[x, third]);
            let power = b.call(ScalarFn::Exp, &[product]);
            let whole = b.cast(I32, power);
            let back = b.cast(F16, whole);
            let sum = b.call(ScalarFn::Add, &[back, product]);
            b.call(ScalarFn::Div, &[sum, power])
        });
        check(&halves(&[57], 3), |b, x| b.add(Map { body }, &[x]).expect("a map"));
    }

    #[test]
    fn products_of_two_values_too() {
        let x = halves(&[5, 5], 4);
        let graph = check(&x, |b, x| b.add(MatMul::plain(), &[x, x]).expect("a product"));
        assert_eq!(left(&graph), 0);
    }
}
