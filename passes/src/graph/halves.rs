//! Products of two factors that are both made at run time from codes, as products of centred codes
//! of 16 bits: neither factor has sums known now that would take its code of zero out, and two such
//! products are one step of the target's dot product. What makes the codes makes them so. Products
//! of enough rows are packed and multiplied in bytes instead, where the target does that (`dots`).

use super::canonicalize::canonical;
use super::rebuild::{Rebuild, live_ops, rebuild};
use crate::dots::pays;
use crate::manager::{Pass, PassCx};
use cranelift_entity::SecondaryMap;
use edgecc_ir::graph::ops::{Conv, Map, MatMul, Op, Zeros};
use edgecc_ir::graph::{Graph, OpId};
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::scalar::{ExprBuilder, NodeId, ScalarExpr};
use edgecc_ir::target::Target;
use edgecc_ir::tensor::Scalar;
use edgecc_ir::types::{ElemType, TensorType};

/// The pass.
pub const PASS: Pass<Graph> = Pass {
    name: "halves",
    doc: "centres the codes of products of two values, where the target has dot products of them",
    run,
};

fn run(graph: &mut Graph, cx: &PassCx<'_>) {
    let Some(products) = ScalarFn::DotI16.products() else { return };
    if !cx.target.dots.contains(&ScalarFn::DotI16) {
        return;
    }
    let live = live_ops(graph);
    let plan = Plan::of(graph, &live, products, cx.target);
    let mut ids = live.iter();
    rebuild(graph, |new, data, args| {
        let &id = ids.next().expect("one op after the other is rebuilt");
        plan.rebuilt(new, id, &data.op, args)
    });
}

/// Which values become centred codes.
#[derive(Default)]
struct Plan {
    /// The code of zero of each value, and of what it moves, that is made in another type.
    centred: SecondaryMap<OpId, Option<i32>>,
    /// The products of such values.
    products: SecondaryMap<OpId, bool>,
}

impl Plan {
    fn of(graph: &Graph, live: &[OpId], products: usize, target: &Target) -> Plan {
        let mut uses: SecondaryMap<OpId, usize> = SecondaryMap::new();
        live.iter().flat_map(|&id| &graph.ops[id].args).for_each(|&arg| uses[arg] += 1);
        graph.outputs.iter().for_each(|output| uses[output.value] += 1);
        let mut plan = Plan::default();
        for &id in live {
            let Op::MatMul(matmul) = &graph.ops[id].op else { continue };
            let factors = [graph.ops[id].args[0], graph.ops[id].args[1]];
            let zeros = [matmul.zeros.x, matmul.zeros.w];
            let chains = factors.map(|factor| chain(graph, &uses, factor));
            let [x, w] = factors.map(|factor| &graph.ops[factor].ty);
            let steps_last = is_innermost(graph, factors[0], steps_dim(matmul, x));
            let halved = !(in_bytes(target, matmul, [x, w]) && steps_last)
                && suits(graph, matmul, factors, products);
            if halved && chains.iter().all(|c| !c.is_empty()) {
                plan.products[id] = true;
                for (chain, zero) in chains.into_iter().zip(zeros) {
                    chain.into_iter().for_each(|of| plan.centred[of] = Some(zero));
                }
            }
        }
        plan
    }

    fn rebuilt(&self, new: &mut Rebuild, id: OpId, op: &Op, args: &[OpId]) -> OpId {
        let op = match (op, self.centred[id]) {
            (Op::Map(map), Some(zero)) => Map { body: centred(&map.body, zero) }.into(),
            (Op::Conv(conv), Some(zero)) => {
                Conv { epilogue: centred(&conv.epilogue, zero), ..conv.clone() }.into()
            }
            (Op::MatMul(matmul), zero) => {
                let zeros = if self.products[id] { Zeros::default() } else { matmul.zeros };
                let epilogue = zero.map(|zero| centred(&matmul.epilogue, zero));
                let epilogue = epilogue.unwrap_or_else(|| matmul.epilogue.clone());
                MatMul { zeros, epilogue, ..matmul.clone() }.into()
            }
            (op, _) => op.clone(),
        };
        canonical(new, &op, args)
    }
}

/// A value of codes and what it is moved from, to the op that computes them; empty where something
/// else reads one of these or they are not computed.
fn chain(graph: &Graph, uses: &SecondaryMap<OpId, usize>, mut id: OpId) -> Vec<OpId> {
    let mut chain = Vec::new();
    while uses[id] == 1 && matches!(graph.ops[id].ty.elem, ElemType::I8 | ElemType::U8) {
        chain.push(id);
        match &graph.ops[id].op {
            Op::Reshape(_) | Op::Transpose(_) => id = graph.ops[id].args[0],
            Op::Map(_) | Op::Conv(_) | Op::MatMul(_) => return chain,
            _ => break,
        }
    }
    Vec::new()
}

/// The dimension of a product's first factor along which it sums.
fn steps_dim(op: &MatMul, x: &TensorType) -> usize {
    x.shape.rank() - if op.transpose_a { 2 } else { 1 }
}

/// Whether a product of two values is faster as dot products of packed bytes.
pub(super) fn in_bytes(target: &Target, op: &MatMul, [x, w]: [&TensorType; 2]) -> bool {
    let takes_bytes = target.dots.iter().any(|dot| dot.products() == Some(4));
    let are_bytes = [x, w].iter().all(|ty| matches!(ty.elem, ElemType::U8 | ElemType::I8));
    let ([.., m, k], [.., n, l]) = (&x.shape[..], &w.shape[..]) else { return false };
    let (rows, steps) = if op.transpose_a { (*k, *m) } else { (*m, *k) };
    let columns = if op.transpose_b { *n } else { *l };
    takes_bytes && are_bytes && pays(rows, columns, steps)
}

/// Whether the products that are summed are of whole words of neighbours in memory.
fn suits(graph: &Graph, op: &MatMul, [x, w]: [OpId; 2], products: usize) -> bool {
    let dims = [(x, !op.transpose_a), (w, op.transpose_b)].map(|(factor, is_last)| {
        let rank = graph.ops[factor].ty.shape.rank();
        (factor, rank - if is_last { 1 } else { 2 })
    });
    let whole =
        |&(factor, dim): &(OpId, usize)| graph.ops[factor].ty.shape[dim].is_multiple_of(products);
    dims.iter().all(|at| whole(at) && is_innermost(graph, at.0, at.1))
}

/// Whether neighbours along a dimension are neighbours in what a value is moved from.
fn is_innermost(graph: &Graph, id: OpId, dim: usize) -> bool {
    let data = &graph.ops[id];
    let is_last = dim + 1 == data.ty.shape.rank();
    match &data.op {
        Op::Transpose(op) => is_innermost(graph, data.args[0], op.perm[dim] as usize),
        Op::Reshape(_) if is_last => {
            let from = &graph.ops[data.args[0]].ty.shape;
            let last = from.rank().checked_sub(1);
            last.is_some_and(|last| {
                from[last].is_multiple_of(data.ty.shape[dim])
                    && is_innermost(graph, data.args[0], last)
            })
        }
        _ => is_last,
    }
}

/// `i16(i32(code) − zero)` of the function that gives the code.
fn centred(expr: &ScalarExpr, zero: i32) -> ScalarExpr {
    ScalarExpr::build(expr.params(), |b| {
        let code: NodeId = b.inline(expr, ExprBuilder::param);
        let wide = b.cast(ElemType::I32, code);
        let zero = b.constant(Scalar::from_i64(ElemType::I32, i64::from(zero)));
        let centred = b.call(ScalarFn::Sub, &[wide, zero]);
        b.cast(ElemType::I16, centred)
    })
}

#[cfg(test)]
mod tests {
    use super::PASS;
    use crate::manager::{PassCx, PassOptions, VerifyPolicy};
    use edgecc_ir::graph::Graph;
    use edgecc_ir::graph::build::GraphBuilder;
    use edgecc_ir::graph::eval::eval;
    use edgecc_ir::graph::ops::{MatMul, Op, Quantize, Transpose, Zeros};
    use edgecc_ir::scalar::func::ScalarFn;
    use edgecc_ir::target::{Arch, Target};
    use edgecc_ir::tensor::{Scalar, Tensor};
    use edgecc_ir::types::{ElemType, TensorType};

    /// Products of two quantised inputs with a batch, both with `steps` codes in a row.
    fn product(steps: usize) -> Graph {
        let mut b = GraphBuilder::new("m");
        let ty = TensorType::new(ElemType::F32, &[5, 2, steps]);
        let factors = [131, 124].map(|zero_point| {
            let x = b.input("x", ty.clone());
            let scale = b.input("s", ty.clone());
            let quantize = Quantize { to: ElemType::U8, zero_point, lo: 0, hi: 255 };
            let body = edgecc_ir::graph::ops::Map { body: quantize.body() };
            let codes = b.add(body, &[x, scale]).expect("codes");
            b.add(Transpose { perm: vec![1, 0, 2] }, &[codes]).expect("heads")
        });
        let zeros = Zeros { x: 131, w: 124 };
        let op = MatMul { transpose_b: true, zeros, ..MatMul::plain() };
        let y = b.add(op, &factors).expect("a product");
        b.output("y", y);
        b.finish()
    }

    fn run(steps: usize) -> (Graph, Graph) {
        let plain = product(steps);
        let mut moved = plain.clone();
        let target = Target { dots: vec![ScalarFn::DotI16], ..Target::default_for(Arch::X86_64) };
        let options =
            PassOptions { strict_float: false, opt_level: 2, verify: VerifyPolicy::Never };
        (PASS.run)(&mut moved, &PassCx::new(&target, &options));
        (plain, moved)
    }

    fn wide_factors(graph: &Graph) -> usize {
        let products = graph.order.iter().filter(|&&id| matches!(graph.ops[id].op, Op::MatMul(_)));
        let wide = |id: &&_| graph.ops[**id].ty.elem == ElemType::I16;
        products.flat_map(|&id| &graph.ops[id].args).filter(wide).count()
    }

    #[test]
    fn products_of_two_values_are_of_centred_codes() {
        let (plain, moved) = run(6);
        assert_eq!((wide_factors(&plain), wide_factors(&moved)), (0, 2));
        let inputs: Vec<Tensor> = (plain.inputs.iter().enumerate())
            .map(|(n, port)| {
                let value = |i: usize| if n % 2 == 1 { 0.7 } else { (i * 37 % 301) as f32 - 150.0 };
                Tensor::from_fn(port.ty.clone(), |i| Scalar::f32(value(i)))
            })
            .collect();
        assert_eq!(eval(&plain, &inputs), eval(&moved, &inputs));
    }

    #[test]
    fn parts_of_words_stay() {
        assert_eq!(wide_factors(&run(7).1), 0);
    }
}
