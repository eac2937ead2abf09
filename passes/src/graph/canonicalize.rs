//! Normal forms: one way to write each thing, so that later passes match only that way.
//!
//! After this pass no op does nothing, chains of the same view are one view, a broadcast's operand
//! and the indices of a gather have no dimension of extent 1, uniform constants are literals of the bodies, equal ops are one.

use super::operands::{Body, normalize};
use super::perm;
use super::rebuild::{Rebuild, rebuild};
use crate::manager::{Pass, PassCx};
use edgecc_ir::graph::ops::{
    Broadcast, Concat, Conv, Gather, Map, MatMul, Op, Pad, Pick, Pool, Reduce, Repeat, Reshape,
    Slice, Transpose, Window, sum_elem,
};
use edgecc_ir::graph::{Graph, OpId};
use edgecc_ir::scalar::{ScalarExpr, ScalarNode};
use edgecc_ir::tensor::Tensor;
use edgecc_ir::types::Shape;

/// The pass.
pub const PASS: Pass<Graph> =
    Pass { name: "canonicalize", doc: "brings ops into normal form and merges equal ones", run };

fn run(graph: &mut Graph, _cx: &PassCx<'_>) {
    rebuild(graph, |new, data, args| canonical(new, &data.op, args));
}

/// Adds the normal form of an op whose operands are in normal form.
pub(crate) fn canonical(new: &mut Rebuild, op: &Op, args: &[OpId]) -> OpId {
    match op {
        Op::Broadcast(op) => broadcast(new, op, args[0]),
        Op::Concat(op) => concat(new, op, args),
        Op::Conv(op) => conv(new, op, args),
        Op::Gather(op) => gather(new, op, args),
        Op::Map(op) => map(new, &op.body, args),
        Op::MatMul(op) => matmul(new, op, args),
        Op::Pad(op) => pad(new, op, args[0]),
        Op::Pool(op) => pool(new, op, args[0]),
        Op::Reduce(op) => reduce(new, op, args[0]),
        Op::Reshape(op) => reshape(new, &op.shape, args[0]),
        Op::Slice(op) => slice(new, op, args[0]),
        Op::Transpose(op) => transpose(new, &op.perm, args[0]),
        Op::Const(_)
        | Op::If(_)
        | Op::Repeat(_)
        | Op::Input(_)
        | Op::Quantize(_)
        | Op::Dequantize(_)
        | Op::NonMaxSuppression(_)
        | Op::NonZero(_)
        | Op::Requantize(_)
        | Op::Scatter(_)
        | Op::TopK(_) => new.emit(op.clone(), args),
    }
}

/// Adds a reshape: through other reshapes, nothing when the shape stays.
pub(crate) fn reshape(new: &mut Rebuild, shape: &Shape, x: OpId) -> OpId {
    if let Op::Reshape(_) = new.op(x) {
        return reshape(new, shape, new.arg(x, 0));
    }
    if new.ty(x).shape == *shape {
        return x;
    }
    new.emit(Reshape { shape: shape.clone() }, &[x])
}

/// Adds a transpose: through other transposes, a reshape when no element moves.
pub(crate) fn transpose(new: &mut Rebuild, perm: &[u32], x: OpId) -> OpId {
    if let Op::Transpose(inner) = new.op(x) {
        let perm = perm::compose(&inner.perm, perm);
        return transpose(new, &perm, new.arg(x, 0));
    }
    let shape = perm::shape(perm, &new.ty(x).shape);
    if perm::keeps_order(perm, &new.ty(x).shape) {
        return reshape(new, &shape, x);
    }
    new.emit(Transpose { perm: perm.to_vec() }, &[x])
}

/// Adds a broadcast whose operand has no unit dimension and is not itself a broadcast.
pub(crate) fn broadcast(new: &mut Rebuild, op: &Broadcast, x: OpId) -> OpId {
    if let Op::Broadcast(inner) = new.op(x) {
        let dims = inner.dims.iter().map(|&d| op.dims[d as usize]).collect();
        return broadcast(new, &Broadcast { dims, shape: op.shape.clone() }, new.arg(x, 0));
    }
    let extents = new.ty(x).shape.clone();
    if extents.numel() == op.shape.numel() {
        return reshape(new, &op.shape, x);
    }
    let kept = op.dims.iter().zip(extents.iter()).filter(|&(_, &e)| e != 1);
    let (dims, squeezed): (Vec<u32>, Vec<usize>) = kept.map(|(&d, &e)| (d, e)).unzip();
    let x = reshape(new, &Shape::new(&squeezed), x);
    new.emit(Broadcast { dims, shape: op.shape.clone() }, &[x])
}

fn gather(new: &mut Rebuild, op: &Gather, args: &[OpId]) -> OpId {
    let mut op = op.clone();
    let mut args = args.to_vec();
    let shape = op.shape.clone();
    let indices = op.picks.iter_mut().filter_map(|pick| match pick {
        Pick::Index(dims) => Some(dims),
        Pick::Dim(_) => None,
    });
    for (dims, arg) in indices.zip(&mut args[1..]) {
        dims.retain(|&d| shape[d as usize] != 1);
        let squeezed = dims.iter().map(|&d| shape[d as usize]).collect();
        *arg = reshape(new, &squeezed, *arg);
    }
    new.emit(op, &args)
}

fn concat(new: &mut Rebuild, op: &Concat, args: &[OpId]) -> OpId {
    let full: Vec<OpId> =
        args.iter().copied().filter(|&a| new.ty(a).shape[op.dim as usize] > 0).collect();
    match full.as_slice() {
        [] => args[0],
        [only] => *only,
        _ => new.emit(op.clone(), &full),
    }
}

fn slice(new: &mut Rebuild, op: &Slice, x: OpId) -> OpId {
    if let Op::Slice(inner) = new.op(x) {
        let rank = op.starts.len();
        let start = |d: usize| inner.starts[d] + inner.steps[d] * op.starts[d];
        let both = Slice {
            starts: (0..rank).map(start).collect(),
            steps: (0..rank).map(|d| inner.steps[d] * op.steps[d]).collect(),
            shape: op.shape.clone(),
        };
        return slice(new, &both, new.arg(x, 0));
    }
    if let Some(carried) = last_of_stack(new, op, x) {
        let mut op = op.clone();
        op.starts[0] = 0;
        return slice(new, &op, carried);
    }
    let whole = op.starts.iter().all(|&s| s == 0) && op.shape == new.ty(x).shape;
    let forward = op.steps.iter().zip(op.shape.iter()).all(|(&s, &e)| s == 1 || e <= 1);
    if whole && forward { x } else { new.emit(op.clone(), &[x]) }
}

/// What the last iteration of a repetition stacked, when that is also a carried value and all that a
/// slice reads: the stack need not be made.
fn last_of_stack(new: &mut Rebuild, op: &Slice, x: OpId) -> Option<OpId> {
    let Op::Repeat(repeat) = new.op(x) else { return None };
    let (carried, count) = (repeat.carried as usize, repeat.count as usize);
    let step = *repeat.stacked.get((repeat.result as usize).checked_sub(carried)?)?;
    let last = repeat.slice(step, count - 1) as i64;
    let outputs = &repeat.body.graph().outputs;
    let stacked = outputs[repeat.result as usize].value;
    let same = outputs[..carried].iter().position(|output| output.value == stacked)?;
    if op.starts[0] != last || op.shape[0] != 1 {
        return None;
    }
    let repeat = Repeat { result: same as u32, ..repeat.clone() };
    let args = new.graph().ops[x].args.clone();
    let value = new.emit(repeat, &args);
    let dims = [&[1], &new.ty(value).shape[..]].concat();
    Some(reshape(new, &Shape::new(&dims), value))
}

fn pad(new: &mut Rebuild, op: &Pad, x: OpId) -> OpId {
    if let Op::Pad(inner) = new.op(x)
        && inner.value == op.value
    {
        let sum = |a: &[u32], b: &[u32]| a.iter().zip(b).map(|(a, b)| a + b).collect();
        let both = Pad {
            low: sum(&inner.low, &op.low),
            high: sum(&inner.high, &op.high),
            value: op.value,
        };
        return pad(new, &both, new.arg(x, 0));
    }
    let nothing = op.low.iter().chain(&op.high).all(|&p| p == 0);
    if nothing { x } else { new.emit(op.clone(), &[x]) }
}

fn pool(new: &mut Rebuild, op: &Pool, x: OpId) -> OpId {
    let single = op.kernel.iter().all(|&k| k == 1);
    if single && op.window == Window::unit(op.kernel.len()) {
        return x;
    }
    new.emit(op.clone(), &[x])
}

/// A reduction over one element is that element.
fn reduce(new: &mut Rebuild, op: &Reduce, x: OpId) -> OpId {
    let shape = &new.ty(x).shape;
    let dims: Vec<u32> = op.dims.iter().copied().filter(|&d| shape[d as usize] != 1).collect();
    if dims.is_empty() { x } else { new.emit(Reduce { func: op.func, dims }, &[x]) }
}

fn conv(new: &mut Rebuild, op: &Conv, args: &[OpId]) -> OpId {
    let Body { expr, args: extras } =
        normalize(new, &op.epilogue, &[sum_elem(new.ty(args[0]).elem)], &args[2..]);
    let all: Vec<OpId> = args[..2].iter().copied().chain(extras).collect();
    new.emit(Conv { epilogue: expr, ..op.clone() }, &all)
}

fn matmul(new: &mut Rebuild, op: &MatMul, args: &[OpId]) -> OpId {
    let Body { expr, args: extras } =
        normalize(new, &op.epilogue, &[sum_elem(new.ty(args[0]).elem)], &args[2..]);
    let all: Vec<OpId> = args[..2].iter().copied().chain(extras).collect();
    new.emit(MatMul { epilogue: expr, ..op.clone() }, &all)
}

fn map(new: &mut Rebuild, body: &ScalarExpr, args: &[OpId]) -> OpId {
    let Body { expr, args: operands } = normalize(new, body, &[], args);
    let shape = new.ty(args[0]).shape.clone();
    match expr.nodes() {
        [ScalarNode::Param(p)] => return operands[*p as usize],
        [ScalarNode::Const(value)] => {
            let value = new.constant(Tensor::splat(&[], *value));
            return broadcast(new, &Broadcast::trailing(0, &shape), value);
        }
        _ => {}
    }
    if let Some(small) = common_broadcast(new, &operands) {
        let inner: Vec<OpId> = operands.iter().map(|&a| new.arg(a, 0)).collect();
        let y = map(new, &expr, &inner);
        return broadcast(new, &small, y);
    }
    new.emit(Map { body: expr }, &operands)
}

/// The broadcast that every operand is, when they all repeat values of one shape alike.
fn common_broadcast(new: &Rebuild, operands: &[OpId]) -> Option<Broadcast> {
    let view = |id: OpId| match new.op(id) {
        Op::Broadcast(op) => Some((op, &new.ty(new.arg(id, 0)).shape)),
        _ => None,
    };
    let first = view(*operands.first()?)?;
    operands.iter().all(|&a| view(a) == Some(first)).then(|| first.0.clone())
}

#[cfg(test)]
mod tests {
    use super::PASS;
    use crate::manager::{PassCx, PassOptions};
    use edgecc_ir::graph::build::GraphBuilder;
    use edgecc_ir::graph::ops::{Broadcast, Map, Op, Repeat, Reshape, Slice, Transpose};
    use edgecc_ir::graph::{Graph, OpId};
    use edgecc_ir::scalar::ScalarExpr;
    use edgecc_ir::scalar::func::ScalarFn;
    use edgecc_ir::target::{Arch, Target};
    use edgecc_ir::tensor::Tensor;
    use edgecc_ir::types::{ElemType, Shape, TensorType};

    fn check(build: impl FnOnce(&mut GraphBuilder, OpId) -> OpId, expected: &[&str]) -> Graph {
        let mut b = GraphBuilder::new("t");
        let x = b.input("x", TensorType::new(ElemType::F32, &[2, 3, 4]));
        let y = build(&mut b, x);
        b.output("y", y);
        let mut graph = b.finish();
        let (target, options) = (Target::default_for(Arch::X86_64), PassOptions::default());
        (PASS.run)(&mut graph, &PassCx::new(&target, &options));
        let ops: Vec<_> = graph.order.iter().map(|&id| graph.ops[id].op.tag().mnemonic()).collect();
        assert_eq!(ops, expected);
        graph
    }

    fn add(b: &mut GraphBuilder, op: impl Into<Op>, args: &[OpId]) -> OpId {
        b.add(op, args).expect("the test's op type-checks")
    }

    #[test]
    fn views_that_cancel_vanish() {
        check(
            |b, x| {
                let y = add(b, Transpose { perm: vec![2, 0, 1] }, &[x]);
                let y = add(b, Transpose { perm: vec![1, 2, 0] }, &[y]);
                let y = add(b, Reshape { shape: Shape::new(&[24]) }, &[y]);
                add(b, Reshape { shape: Shape::new(&[2, 3, 4]) }, &[y])
            },
            &["input"],
        );
    }

    #[test]
    fn slices_of_slices_compose() {
        let cut = |starts: [i64; 3], steps: [i64; 3], shape: [usize; 3]| Slice {
            starts: starts.to_vec(),
            steps: steps.to_vec(),
            shape: Shape::new(&shape),
        };
        let graph = check(
            |b, x| {
                let y = add(b, cut([0, 2, 1], [1, -1, 1], [2, 3, 3]), &[x]);
                add(b, cut([0, 1, 0], [1, 1, 2], [2, 2, 2]), &[y])
            },
            &["input", "slice"],
        );
        let last = *graph.order.last().expect("not empty");
        assert_eq!(graph.ops[last].op, Op::Slice(cut([0, 1, 1], [1, -1, 2], [2, 2, 2])));
    }

    /// Sums of the slices of `x` so far, from the first or the last one on.
    fn running_sums(b: &mut GraphBuilder, x: OpId, step: i32) -> OpId {
        let slice = TensorType::new(ElemType::F32, &[3, 4]);
        let mut body = GraphBuilder::new("body");
        let sum = body.input("sum", slice.clone());
        let term = body.input("term", slice.clone());
        let next = add(&mut body, Map { body: ScalarExpr::call(ScalarFn::Add) }, &[sum, term]);
        body.output("sum", next);
        body.output("sums", next);
        let start = b.constant(Tensor::zeros(slice));
        let op = Repeat {
            body: body.finish().into(),
            count: 2,
            carried: 1,
            scanned: vec![1],
            stacked: vec![step],
            conditional: false,
            result: 1,
        };
        add(b, op, &[start, x])
    }

    #[test]
    fn the_last_of_a_stack_is_the_carried_value() {
        for (step, start) in [(1, 1), (-1, 0)] {
            let graph = check(
                |b, x| {
                    let sums = running_sums(b, x, step);
                    let starts = vec![start, 1, 0];
                    let shape = Shape::new(&[1, 2, 4]);
                    add(b, Slice { starts, steps: vec![1; 3], shape }, &[sums])
                },
                &["input", "const", "repeat", "reshape", "slice"],
            );
            let ops = graph.order.iter().map(|&id| &graph.ops[id].op);
            let results = ops.filter_map(|op| op.shared().map(|shared| shared.1));
            assert!(results.eq([0]), "step {step}");
        }
    }

    #[test]
    fn other_slices_of_a_stack_stay() {
        check(
            |b, x| {
                let sums = running_sums(b, x, 1);
                let shape = Shape::new(&[1, 3, 4]);
                add(b, Slice { starts: vec![0; 3], steps: vec![1; 3], shape }, &[sums])
            },
            &["input", "const", "repeat", "slice"],
        );
    }

    #[test]
    fn uniform_operands_become_literals_and_neutral_ones_vanish() {
        check(
            |b, x| {
                let one = b.constant(Tensor::from_f32s(&[1], &[1.0]));
                let one = add(b, Broadcast::trailing(1, &Shape::new(&[2, 3, 4])), &[one]);
                add(b, Map { body: ScalarExpr::call(ScalarFn::Mul) }, &[x, one])
            },
            &["input"],
        );
    }

    #[test]
    fn equal_ops_are_one() {
        check(
            |b, x| {
                let exp = || Map { body: ScalarExpr::call(ScalarFn::Exp) };
                let (p, q) = (add(b, exp(), &[x]), add(b, exp(), &[x]));
                add(b, Map { body: ScalarExpr::call(ScalarFn::Add) }, &[p, q])
            },
            &["input", "map", "map"],
        );
    }
}
