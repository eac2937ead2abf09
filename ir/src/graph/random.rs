//! Random op instances for tests and fuzzing: small, well-typed, the same for the same seed.

use super::OpId;
use super::body::Body;
use super::build::GraphBuilder;
use super::ops::{
    Broadcast, Concat, Const, Conv, Dequantize, Gather, If, Input, Layout, Map, MatMul,
    NonMaxSuppression, NonZero, Op, OpTag, Pad, Pick, Pool, Quantize, Reduce, Repeat, Requantize,
    Reshape, Scatter, Slice, TopK, Transpose, Window, Zeros,
};
use crate::kernel::ConstId;
use crate::rng::Rng;
use crate::scalar::func::ScalarFn;
use crate::scalar::table::{Table, is_byte};
use crate::scalar::{ExprBuilder, NodeId, ScalarExpr};
use crate::tensor::{Scalar, Tensor};
use crate::types::{ElemType, Shape, TensorType};
use cranelift_entity::EntityRef;

/// Types that sums and products are defined on.
const NUMBERS: &[ElemType] =
    &[ElemType::F32, ElemType::F32, ElemType::F64, ElemType::I32, ElemType::I64, ElemType::U8];

/// Types of quantised codes.
const CODES: &[ElemType] = &[ElemType::I8, ElemType::U8, ElemType::I16, ElemType::U16];

/// An op of this kind and operands that it type-checks with; no extent is 0.
///
/// Floats are within ±2, codes and other integers take all values of their type. Inputs and
/// constants have no operands and refer to the first input or constant.
#[must_use]
pub fn op_instance(tag: OpTag, rng: &mut Rng) -> (Op, Vec<Tensor>) {
    match tag {
        OpTag::Input => (Input { index: 0, ty: any_type(rng) }.into(), vec![]),
        OpTag::Const => (Const { id: ConstId::new(0), ty: any_type(rng) }.into(), vec![]),
        OpTag::Broadcast => broadcast(rng),
        OpTag::Concat => concat(rng),
        OpTag::Conv => conv(rng),
        OpTag::Dequantize => dequantize(rng),
        OpTag::Gather => gather(rng),
        OpTag::If => choice(rng),
        OpTag::Map => map(rng),
        OpTag::MatMul => matmul(rng),
        OpTag::NonMaxSuppression => non_max_suppression(rng),
        OpTag::NonZero => non_zero(rng),
        OpTag::Pad => pad(rng),
        OpTag::Pool => pool(rng),
        OpTag::Quantize => quantize(rng),
        OpTag::Reduce => reduce(rng),
        OpTag::Repeat => repeat(rng),
        OpTag::Requantize => requantize(rng),
        OpTag::Reshape => reshape(rng),
        OpTag::Scatter => scatter(rng),
        OpTag::Slice => slice(rng),
        OpTag::TopK => topk(rng),
        OpTag::Transpose => transpose(rng),
    }
}

/// A value of this type: floats within ±2, integers over their whole range.
pub fn scalar(elem: ElemType, rng: &mut Rng) -> Scalar {
    match elem {
        ElemType::Bool => Scalar::bool(rng.flip()),
        e if e.is_float() => Scalar::from_f64(e, rng.real()),
        e => Scalar::from_bits(e, rng.bits()),
    }
}

/// A tensor of this type with values of `scalar`.
#[must_use]
pub fn tensor(ty: &TensorType, rng: &mut Rng) -> Tensor {
    Tensor::from_fn(ty.clone(), |_| scalar(ty.elem, rng))
}

/// A shape of this rank with extents 1 to 5.
pub fn shape(rank: usize, rng: &mut Rng) -> Shape {
    (0..rank).map(|_| rng.between(1, 5)).collect()
}

/// A well-typed expression of up to `size` calls over these parameter types.
#[must_use]
pub fn expr(params: &[ElemType], size: usize, rng: &mut Rng) -> ScalarExpr {
    ScalarExpr::build(params.len() as u32, |b| {
        let mut pool: Vec<(NodeId, ElemType)> = Vec::new();
        for (p, &elem) in params.iter().enumerate() {
            pool.push((b.param(p as u32), elem));
            let literal = scalar(elem, rng);
            pool.push((b.constant(literal), elem));
        }
        for _ in 0..size {
            grow(b, &mut pool, rng);
        }
        pool[pool.len() - 1].0
    })
}

/// Adds a call where the drawn operands fit, else a table of the first one's codes or a cast.
fn grow(b: &mut ExprBuilder, pool: &mut Vec<(NodeId, ElemType)>, rng: &mut Rng) {
    let func = rng.pick(ScalarFn::ALL);
    let args: Vec<(NodeId, ElemType)> = (0..func.info().arity).map(|_| rng.pick(pool)).collect();
    let (nodes, elems): (Vec<NodeId>, Vec<ElemType>) = args.into_iter().unzip();
    match func.infer(&elems) {
        Some(elem) => pool.push((b.call(func, &nodes), elem)),
        None if is_byte(elems[0]) && rng.below(2) == 0 => {
            let (elem, factor) = (rng.pick(&[ElemType::I8, ElemType::U8]), rng.below(256) as u8);
            let table = Table::new(elem, |bits| bits.wrapping_mul(factor) ^ bits >> 1);
            pool.push((b.lookup(table, nodes[0]), elem));
        }
        None => {
            let elem = rng.pick(ElemType::ALL);
            pool.push((b.cast(elem, nodes[0]), elem));
        }
    }
}

fn any_shape(rng: &mut Rng) -> Shape {
    let rank = rng.below(5);
    shape(rank, rng)
}

fn any_type(rng: &mut Rng) -> TensorType {
    TensorType { elem: rng.pick(ElemType::ALL), shape: any_shape(rng) }
}

/// Half of the time `usual`.
fn mostly(usual: ElemType, others: &[ElemType], rng: &mut Rng) -> ElemType {
    if rng.flip() { usual } else { rng.pick(others) }
}

fn any_tensor(rng: &mut Rng) -> Tensor {
    let ty = any_type(rng);
    tensor(&ty, rng)
}

fn permutation(rank: usize, rng: &mut Rng) -> Vec<u32> {
    let mut perm: Vec<u32> = (0..rank as u32).collect();
    for d in (1..rank).rev() {
        perm.swap(d, rng.below(d + 1));
    }
    perm
}

fn broadcast(rng: &mut Rng) -> (Op, Vec<Tensor>) {
    let result = any_shape(rng);
    let dims: Vec<u32> = (0..result.rank() as u32).filter(|_| rng.flip()).collect();
    let extent = |&d: &u32| if rng.flip() { 1 } else { result[d as usize] };
    let operand: Shape = dims.iter().map(extent).collect();
    let x = tensor(&TensorType { elem: rng.pick(ElemType::ALL), shape: operand }, rng);
    (Broadcast { dims, shape: result }.into(), vec![x])
}

fn concat(rng: &mut Rng) -> (Op, Vec<Tensor>) {
    let rank = rng.between(1, 4);
    let mut ty = TensorType { elem: rng.pick(ElemType::ALL), shape: shape(rank, rng) };
    let dim = rng.below(rank);
    let count = rng.between(1, 3);
    let mut part = || {
        ty.shape.dims_mut()[dim] = rng.between(1, 4);
        tensor(&ty, rng)
    };
    let parts = (0..count).map(|_| part()).collect();
    (Concat { dim: dim as u32 }.into(), parts)
}

fn slice(rng: &mut Rng) -> (Op, Vec<Tensor>) {
    let x = any_tensor(rng);
    let (mut starts, mut steps, mut extents) = (Vec::new(), Vec::new(), Vec::new());
    for &extent in x.ty.shape.iter() {
        let (step, start) = (rng.between(1, 2), rng.below(extent));
        let room = (extent - 1 - start) / step + 1;
        let taken = rng.between(1, room);
        let backwards = rng.flip();
        let first = if backwards { start + (taken - 1) * step } else { start };
        starts.push(first as i64);
        steps.push(if backwards { -(step as i64) } else { step as i64 });
        extents.push(taken);
    }
    (Slice { starts, steps, shape: Shape::new(&extents) }.into(), vec![x])
}

/// Every second index is within its dimension, the others may have to be clamped.
fn gather(rng: &mut Rng) -> (Op, Vec<Tensor>) {
    let result = any_shape(rng);
    let (mut picks, mut data, mut indices) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rng.below(4) {
        let dims: Vec<u32> = (0..result.rank() as u32).filter(|_| rng.flip()).collect();
        match dims.first() {
            Some(&d) if rng.flip() => {
                picks.push(Pick::Dim(d));
                data.push(result[d as usize]);
            }
            _ => {
                let extent = rng.between(1, 5);
                let shape = dims.iter().map(|&d| result[d as usize]).collect();
                let ty = TensorType { elem: rng.pick(&[ElemType::I32, ElemType::I64]), shape };
                indices.push(Tensor::from_fn(ty.clone(), |i| match i % 2 {
                    0 => Scalar::from_i64(ty.elem, rng.below(extent) as i64),
                    _ => scalar(ty.elem, rng),
                }));
                picks.push(Pick::Index(dims));
                data.push(extent);
            }
        }
    }
    let x = tensor(&TensorType::new(rng.pick(ElemType::ALL), &data), rng);
    let args = [x].into_iter().chain(indices).collect();
    (Gather { picks, shape: result }.into(), args)
}

/// The data and the result of a random `gather` with the result's elements as updates.
fn scatter(rng: &mut Rng) -> (Op, Vec<Tensor>) {
    let (op, mut args) = gather(rng);
    let Op::Gather(gather) = op else { unreachable!("made above") };
    let elem = rng.pick(NUMBERS);
    args[0] = tensor(&args[0].ty.with_elem(elem), rng);
    args.insert(1, tensor(&TensorType { elem, shape: gather.shape }, rng));
    let plain = Scatter::replacing(gather.picks);
    let combine = if rng.flip() { ScalarExpr::call(reducer(rng)) } else { plain.combine.clone() };
    (Scatter { combine, ..plain }.into(), args)
}

fn pad(rng: &mut Rng) -> (Op, Vec<Tensor>) {
    let x = any_tensor(rng);
    let mut sizes = || x.ty.shape.iter().map(|_| rng.below(3) as u32).collect();
    let (low, high) = (sizes(), sizes());
    (Pad { low, high, value: scalar(x.ty.elem, rng) }.into(), vec![x])
}

fn transpose(rng: &mut Rng) -> (Op, Vec<Tensor>) {
    let x = any_tensor(rng);
    (Transpose { perm: permutation(x.ty.shape.rank(), rng) }.into(), vec![x])
}

fn reshape(rng: &mut Rng) -> (Op, Vec<Tensor>) {
    let x = any_tensor(rng);
    let mut dims = x.ty.shape.to_vec();
    permutation(dims.len(), rng).iter().for_each(|&d| dims.swap(0, d as usize));
    if rng.flip() {
        dims = vec![1, dims.iter().product()];
    }
    (Reshape { shape: Shape::new(&dims) }.into(), vec![x])
}

fn map(rng: &mut Rng) -> (Op, Vec<Tensor>) {
    let shape = any_shape(rng);
    let count = rng.between(1, 3);
    let elem = mostly(ElemType::F32, ElemType::ALL, rng);
    let mut operand = || {
        let elem = mostly(elem, ElemType::ALL, rng);
        tensor(&TensorType { elem, shape: shape.clone() }, rng)
    };
    let args: Vec<Tensor> = (0..count).map(|_| operand()).collect();
    let elems: Vec<ElemType> = args.iter().map(|a| a.ty.elem).collect();
    let size = rng.between(1, 5);
    (Map { body: expr(&elems, size, rng) }.into(), args)
}

fn reduce(rng: &mut Rng) -> (Op, Vec<Tensor>) {
    let func = reducer(rng);
    let x = tensor(&TensorType { elem: rng.pick(NUMBERS), shape: any_shape(rng) }, rng);
    let dims = (0..x.ty.shape.rank() as u32).filter(|_| rng.flip()).collect();
    (Reduce { func, dims }.into(), vec![x])
}

fn reducer(rng: &mut Rng) -> ScalarFn {
    rng.pick(&[ScalarFn::Add, ScalarFn::Mul, ScalarFn::Max, ScalarFn::Min])
}

/// Window attributes, and input extents that the window fits, for these window extents.
fn window(kernel: &[usize], rng: &mut Rng) -> (Window, Vec<usize>) {
    let mut window = Window::unit(kernel.len());
    let mut input = Vec::new();
    for (d, &extent) in kernel.iter().enumerate() {
        window.strides[d] = rng.between(1, 3) as u32;
        window.dilations[d] = rng.between(1, 2) as u32;
        window.pads_begin[d] = rng.below(3) as u32;
        window.pads_end[d] = rng.below(3) as u32;
        let span = (extent - 1) * window.dilations[d] as usize + 1;
        let pads = (window.pads_begin[d] + window.pads_end[d]) as usize;
        input.push(span.saturating_sub(pads).max(1) + rng.below(4));
    }
    (window, input)
}

/// Types of two factors, and their zero points: numbers of one type, or codes.
fn factors(rng: &mut Rng) -> ([ElemType; 2], Zeros) {
    if rng.flip() {
        let elem = rng.pick(&[ElemType::F32, ElemType::F32, ElemType::F64, ElemType::I64]);
        return ([elem; 2], Zeros::default());
    }
    let elems = [rng.pick(CODES), rng.pick(CODES)];
    let [x, w] = elems.map(|elem| scalar(elem, rng).as_i64() as i32);
    (elems, Zeros { x, w })
}

fn conv(rng: &mut Rng) -> (Op, Vec<Tensor>) {
    let (elems, zeros) = factors(rng);
    let rank = rng.between(1, 2);
    let taps = (0..rank).map(|_| rng.between(1, 3)).collect::<Vec<_>>();
    let (window, input) = window(&taps, rng);
    let (n, groups) = (rng.between(1, 2), rng.between(1, 3));
    let (per_in, per_out) = (rng.between(1, 3), rng.between(1, 3));
    let layout = rng.pick(&[Layout::ChannelsFirst, Layout::ChannelsLast]);
    let image = layout.join(n, groups * per_in, &input);
    let filter = [&[groups * per_out, per_in], &taps[..]].concat();
    let types = [TensorType::new(elems[0], &image), TensorType::new(elems[1], &filter)];
    let operands = types.map(|ty| tensor(&ty, rng));
    let plain = Conv { zeros, ..Conv::plain(window, groups as u32, layout) };
    let (epilogue, args) = with_epilogue(&plain.clone().into(), operands.into(), rng);
    (Conv { epilogue, ..plain }.into(), args)
}

fn matmul(rng: &mut Rng) -> (Op, Vec<Tensor>) {
    let (elems, zeros) = factors(rng);
    let rank = rng.below(3);
    let batch = shape(rank, rng);
    let [m, n, k] = [(); 3].map(|()| rng.between(1, 6));
    let (transpose_a, transpose_b) = (rng.flip(), rng.flip());
    let a = if transpose_a { [k, m] } else { [m, k] };
    let b = if transpose_b { [n, k] } else { [k, n] };
    let operands = [(elems[0], a), (elems[1], b)].map(|(elem, tail)| {
        let dims = [&batch[..], &tail].concat();
        tensor(&TensorType::new(elem, &dims), rng)
    });
    let plain = MatMul { transpose_a, transpose_b, zeros, ..MatMul::plain() };
    let (epilogue, args) = with_epilogue(&plain.clone().into(), operands.into(), rng);
    (MatMul { epilogue, ..plain }.into(), args)
}

/// A continuous epilogue for `op` of `args`, so that rounding stays small, and all operands.
fn with_epilogue(op: &Op, mut args: Vec<Tensor>, rng: &mut Rng) -> (ScalarExpr, Vec<Tensor>) {
    let types: Vec<&TensorType> = args.iter().map(|a| &a.ty).collect();
    let ty = op.infer(&types).expect("a well-typed op");
    let extras = rng.below(3);
    let epilogue = ScalarExpr::build(1 + extras as u32, |b| {
        let mut value = b.param(0);
        for extra in 0..extras {
            let func = rng.pick(&[ScalarFn::Add, ScalarFn::Sub, ScalarFn::Max]);
            let operand = b.param(1 + extra as u32);
            value = b.call(func, &[value, operand]);
        }
        let zero = b.constant(Scalar::from_i64(ty.elem, 0));
        if rng.flip() { b.call(ScalarFn::Max, &[value, zero]) } else { value }
    });
    args.extend((0..extras).map(|_| tensor(&ty, rng)));
    (epilogue, args)
}

fn pool(rng: &mut Rng) -> (Op, Vec<Tensor>) {
    let rank = rng.between(1, 2);
    let kernel: Vec<usize> = (0..rank).map(|_| rng.between(1, 3)).collect();
    let (window, input) = window(&kernel, rng);
    let layout = rng.pick(&[Layout::ChannelsFirst, Layout::ChannelsLast]);
    let dims = layout.join(rng.between(1, 2), rng.between(1, 3), &input);
    let x = tensor(&TensorType::new(rng.pick(NUMBERS), &dims), rng);
    let kernel = kernel.iter().map(|&k| k as u32).collect();
    (Pool { func: reducer(rng), kernel, window, layout }.into(), vec![x])
}

/// Positive scales.
fn scales(shape: &Shape, rng: &mut Rng) -> Tensor {
    let ty = TensorType { elem: ElemType::F32, shape: shape.clone() };
    Tensor::from_fn(ty, |_| Scalar::f32(rng.real().abs() as f32 + 0.01))
}

fn encoding(rng: &mut Rng) -> Quantize {
    let to = rng.pick(CODES);
    let zero_point = scalar(to, rng).as_i64() as i32;
    let full = Quantize::full(to, zero_point);
    let lo = if rng.flip() { zero_point } else { full.lo };
    Quantize { lo, ..full }
}

fn quantize(rng: &mut Rng) -> (Op, Vec<Tensor>) {
    let shape = any_shape(rng);
    let x = tensor(&TensorType { elem: ElemType::F32, shape: shape.clone() }, rng);
    (encoding(rng).into(), vec![x, scales(&shape, rng)])
}

fn codes(rng: &mut Rng) -> (Tensor, i32) {
    let elem = mostly(ElemType::I32, CODES, rng);
    let q = tensor(&TensorType { elem, shape: any_shape(rng) }, rng);
    let zero_point = if elem == ElemType::I32 { 0 } else { scalar(elem, rng).as_i64() as i32 };
    (q, zero_point)
}

fn dequantize(rng: &mut Rng) -> (Op, Vec<Tensor>) {
    let (q, zero_point) = codes(rng);
    let scale = scales(&q.ty.shape, rng);
    (Dequantize { zero_point }.into(), vec![q, scale])
}

fn requantize(rng: &mut Rng) -> (Op, Vec<Tensor>) {
    let (q, from_zero_point) = codes(rng);
    let ratio = scales(&q.ty.shape, rng);
    (Requantize { from_zero_point, to: encoding(rng) }.into(), vec![q, ratio])
}

/// Few different values, so that some are equal.
fn topk(rng: &mut Rng) -> (Op, Vec<Tensor>) {
    let rank = rng.between(1, 3);
    let ty = TensorType { elem: rng.pick(NUMBERS), shape: shape(rank, rng) };
    let x = Tensor::from_fn(ty.clone(), |_| Scalar::from_i64(ty.elem, rng.below(5) as i64));
    let axis = rng.below(rank);
    let (k, result) = (rng.between(1, ty.shape[axis]) as u32, rng.below(2) as u32);
    (TopK { axis: axis as u32, k, largest: rng.flip(), result }.into(), vec![x])
}

fn non_zero(rng: &mut Rng) -> (Op, Vec<Tensor>) {
    let rank = rng.between(1, 4);
    let ty = TensorType { elem: rng.pick(ElemType::ALL), shape: shape(rank, rng) };
    let x = Tensor::from_fn(ty.clone(), |_| Scalar::from_i64(ty.elem, rng.below(2) as i64));
    (NonZero { result: rng.below(2) as u32 }.into(), vec![x])
}

fn non_max_suppression(rng: &mut Rng) -> (Op, Vec<Tensor>) {
    let [batches, classes, n] = [rng.between(1, 2), rng.between(1, 2), rng.between(1, 6)];
    let f32s = |dims: &[usize]| TensorType::new(ElemType::F32, dims);
    let boxes = tensor(&f32s(&[batches, n, 4]), rng);
    let scores = tensor(&f32s(&[batches, classes, n]), rng);
    let count = Tensor::from_i64s(&[1], &[rng.below(5) as i64]);
    let [overlap, score] = [rng.real() / 2.0, rng.real()].map(|v| v as f32);
    let limits = [overlap, score].map(|v| Tensor::from_f32s(&[1], &[v]));
    let (centred, per_class) = (rng.flip(), rng.between(1, n) as u32);
    let op = NonMaxSuppression { centred, per_class, result: rng.below(2) as u32 };
    (op.into(), [boxes, scores, count].into_iter().chain(limits).collect())
}

/// A body over these parameters: each result is a continuous function of all of them.
///
/// Sums of many iterations stay small since each result is half of an operand at most.
fn body(params: &[TensorType], results: usize, rng: &mut Rng) -> Body {
    let mut b = GraphBuilder::new("body");
    let args: Vec<OpId> =
        params.iter().enumerate().map(|(n, ty)| b.input(&format!("p{n}"), ty.clone())).collect();
    for n in 0..results {
        let func = rng.pick(&[ScalarFn::Max, ScalarFn::Min]);
        let body = ScalarExpr::build(args.len() as u32, |b| {
            let mut value = b.param(0);
            for p in 1..args.len() as u32 {
                let other = b.param(p);
                value = b.call(func, &[value, other]);
            }
            let factor = b.f32(rng.pick(&[-0.5, 0.5, 1.0]));
            b.call(ScalarFn::Mul, &[value, factor])
        });
        let value = b.add(Map { body }, &args).expect("a well-typed map");
        b.output(&format!("r{n}"), value);
    }
    b.finish().into()
}

fn repeat(rng: &mut Rng) -> (Op, Vec<Tensor>) {
    let count = rng.between(1, 4);
    let rank = rng.below(3);
    let slice = TensorType { elem: ElemType::F32, shape: shape(rank, rng) };
    let whole = TensorType::new(ElemType::F32, &[&[count], &slice.shape[..]].concat());
    let [carried, scanned, same, stacked] = [1, 0, 0, 0].map(|least| rng.between(least, 2));
    let mut steps = |n| (0..n).map(|_| rng.pick(&[1, -1])).collect::<Vec<i32>>();
    let (scanned, stacked) = (steps(scanned), steps(stacked));
    let types = [(carried, &slice), (scanned.len(), &whole), (same, &slice)];
    let mut args = Vec::new();
    for (n, ty) in types {
        args.extend((0..n).map(|_| tensor(ty, rng)));
    }
    let results = carried + stacked.len();
    let body = body(&vec![slice; args.len()], results, rng);
    let (result, count, carried) = (rng.below(results) as u32, count as u32, carried as u32);
    (Repeat { body, count, carried, scanned, stacked, conditional: false, result }.into(), args)
}

fn choice(rng: &mut Rng) -> (Op, Vec<Tensor>) {
    let ty = TensorType { elem: ElemType::F32, shape: any_shape(rng) };
    let types = vec![ty; rng.between(1, 2)];
    let results = rng.between(1, 2);
    let [then, otherwise] = [(); 2].map(|()| body(&types, results, rng));
    let mut args = vec![Tensor::splat(&[], Scalar::bool(rng.flip()))];
    args.extend(types.iter().map(|ty| tensor(ty, rng)));
    (If { then, otherwise, result: rng.below(results) as u32 }.into(), args)
}

#[cfg(test)]
mod tests {
    use super::op_instance;
    use crate::graph::ops::OpTag;
    use crate::rng::Rng;

    #[test]
    fn equal_seeds_give_equal_instances() {
        for &tag in OpTag::ALL {
            assert_eq!(op_instance(tag, &mut Rng::new(1)), op_instance(tag, &mut Rng::new(1)));
        }
    }
}
