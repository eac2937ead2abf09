//! Ops that only move elements: against each other, and into ops that can read any order.

use super::quant::one_scale;
use crate::eqsat::node::Node;
use crate::eqsat::rule::{Class, Rewriter, Rule};
use crate::eqsat::sample::Sample;
use crate::graph::perm;
use edgecc_ir::graph::OpId;
use edgecc_ir::graph::ops::{
    Broadcast, Dequantize, Gather, MatMul, Op, OpTag, Reshape, Slice, Transpose,
};
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::types::{ElemType, Shape};
use egg::Id;

pub(crate) const RULES: &[Rule] = &[
    Rule {
        name: "reshape-of-reshape",
        class: Class::Exact,
        doc: "reshape s (reshape t x) = reshape s x, x itself if it has shape s",
        root: OpTag::Reshape,
        apply: reshape_of_reshape,
        example: |s| {
            let x = s.input(&[4, 6]);
            let y = s.reshape(x, &[24]);
            s.reshape(y, &[2, 12])
        },
    },
    Rule {
        name: "map-of-reshape",
        class: Class::Exact,
        doc: "map f (reshape s x, y, …) = reshape s (map f (x, reshape y, …))",
        root: OpTag::Map,
        apply: elementwise_of_reshape,
        example: |s| {
            let x = s.input(&[4, 6]);
            let y = s.reshape(x, &[2, 2, 6]);
            let bias = s.constant(&[6]);
            let bias = s.spread(bias, &[2], &[2, 2, 6]);
            s.call(ScalarFn::Add, &[y, bias])
        },
    },
    Rule {
        name: "dequantize-of-reshape",
        class: Class::Exact,
        doc: "dequantize (reshape s q, t) = reshape s (dequantize (q, reshape t))",
        root: OpTag::Dequantize,
        apply: elementwise_of_reshape,
        example: |s| {
            let q = s.typed_input(ElemType::I8, &[4, 6]);
            let q = s.reshape(q, &[24]);
            let scale = s.scale(&[24]);
            s.add(Dequantize { zero_point: 3 }, &[q, scale])
        },
    },
    Rule {
        name: "reshape-of-dequantize",
        class: Class::Exact,
        doc: "reshape s (dequantize (q, t)) = dequantize (reshape s q, reshape s t)",
        root: OpTag::Reshape,
        apply: view_of_dequantize,
        example: |s| {
            let (q, scale) = (s.typed_input(ElemType::I8, &[4, 6]), s.scale(&[4, 6]));
            let x = s.add(Dequantize { zero_point: 3 }, &[q, scale]);
            s.reshape(x, &[24])
        },
    },
    Rule {
        name: "transpose-of-dequantize",
        class: Class::Exact,
        doc: "transpose p (dequantize (q, t)) = dequantize (transpose p q, transpose p t)",
        root: OpTag::Transpose,
        apply: view_of_dequantize,
        example: |s| {
            let (q, scale) = (s.typed_input(ElemType::I8, &[4, 6]), s.scale(&[4, 6]));
            let x = s.add(Dequantize { zero_point: 3 }, &[q, scale]);
            s.add(Transpose { perm: vec![1, 0] }, &[x])
        },
    },
    Rule {
        name: "slice-of-dequantize",
        class: Class::Exact,
        doc: "slice (dequantize (q, t)) = dequantize (slice q, slice t)",
        root: OpTag::Slice,
        apply: view_of_dequantize,
        example: |s| {
            let (q, scale) = (s.typed_input(ElemType::I8, &[4, 6]), s.scale(&[4, 6]));
            let x = s.add(Dequantize { zero_point: 3 }, &[q, scale]);
            let (starts, steps) = (vec![1, 0], vec![1, 2]);
            s.add(Slice { starts, steps, shape: Shape::new(&[2, 3]) }, &[x])
        },
    },
    Rule {
        name: "gather-of-dequantize",
        class: Class::Exact,
        doc: "gather (dequantize (q, t), i, …) = dequantize (gather (q, i, …), gather (t, i, …))",
        root: OpTag::Gather,
        apply: view_of_dequantize,
        example: |s| {
            let (q, scale) = (s.typed_constant(ElemType::I8, &[6, 4]), s.scale(&[6, 4]));
            let x = s.add(Dequantize { zero_point: 3 }, &[q, scale]);
            let index = s.typed_input(ElemType::I64, &[5]);
            s.add(Gather::along(0, &Shape::new(&[6, 4]), &Shape::new(&[5])), &[x, index])
        },
    },
    Rule {
        name: "quantize-of-reshape",
        class: Class::Exact,
        doc: "quantize (reshape s x, t) = reshape s (quantize (x, reshape t))",
        root: OpTag::Quantize,
        apply: elementwise_of_reshape,
        example: |s| {
            let x = s.input(&[4, 6]);
            let x = s.reshape(x, &[24]);
            let scale = s.scale(&[24]);
            s.quantize(x, scale, -2)
        },
    },
    Rule {
        name: "reshape-of-broadcast",
        class: Class::Exact,
        doc: "reshape s (broadcast x) = broadcast x, where the reshape splits or joins only repeated dimensions",
        root: OpTag::Reshape,
        apply: reshape_of_broadcast,
        example: |s| {
            let x = s.input(&[6]);
            let y = s.spread(x, &[2], &[2, 3, 6]);
            s.reshape(y, &[6, 1, 6])
        },
    },
    Rule {
        name: "matmul-of-transpose",
        class: Class::Exact,
        doc: "matmul (transpose of the last two dimensions of a, w) = matmul with a's flag flipped (a, w); so for w",
        root: OpTag::MatMul,
        apply: matmul_of_transpose,
        example: |s| {
            let (a, w) = (s.input(&[5, 3]), s.input(&[5, 4]));
            let a = s.add(Transpose { perm: vec![1, 0] }, &[a]);
            s.add(MatMul::plain(), &[a, w])
        },
    },
    Rule {
        name: "matmul-of-flattened-transpose",
        class: Class::Reassoc,
        doc: "matmul (reshape (transpose p x), w) = matmul (reshape x, rows of w permuted by p)",
        root: OpTag::MatMul,
        apply: matmul_of_flattened,
        example: matmul_of_flattened_example,
    },
];

/// Every reshape of the operand tells of an equal value; one that was told before is passed over.
fn reshape_of_reshape(rw: &mut Rewriter<'_>, root: &Node) -> Option<Id> {
    let Op::Reshape(outer) = &root.op else { return None };
    if rw.ty(root.args[0]).shape == outer.shape {
        return Some(root.args[0]);
    }
    let own = rw.add(outer.clone(), &root.args);
    let inner = rw.nodes(root.args[0], OpTag::Reshape);
    let whole = inner.iter().map(|node| node.args[0]);
    let mut equal = whole.filter(|&x| rw.ty(x).shape == outer.shape && !rw.same(x, own));
    if let Some(x) = equal.next() {
        return Some(x);
    }
    let first = inner.first().filter(|node| rw.ty(node.args[0]).shape != outer.shape)?;
    Some(rw.add(outer.clone(), &first.args))
}

/// Moves codes, which are smaller than numbers, by the same further operands. A scale that is the
/// same everywhere stays a broadcast.
fn view_of_dequantize(rw: &mut Rewriter<'_>, root: &Node) -> Option<Id> {
    let inner = rw.node(root.args[0], OpTag::Dequantize)?;
    let moved = |of: Id| [&[of], &root.args[1..]].concat();
    let codes = rw.add(root.op.clone(), &moved(inner.args[0]));
    let shape = rw.ty(codes).shape.clone();
    let scale = match one_scale(rw, inner.args[1], &shape) {
        Some(scale) => scale,
        None => rw.add(root.op.clone(), &moved(inner.args[1])),
    };
    Some(rw.add(inner.op, &[codes, scale]))
}

/// The reshape goes below the op, so that the op meets what made the operand.
fn elementwise_of_reshape(rw: &mut Rewriter<'_>, root: &Node) -> Option<Id> {
    let shape = rw.ty(root.args[0]).shape.clone();
    let variable = root.args.iter().copied().filter(|&a| !rw.is_constant(a)).collect::<Vec<_>>();
    let reshaped = variable.iter().find_map(|&a| rw.node(a, OpTag::Reshape))?;
    let inner = rw.ty(reshaped.args[0]).shape.clone();
    let mut args = root.args.clone();
    for arg in &mut args {
        *arg = match rw.node(*arg, OpTag::Reshape) {
            Some(node) if rw.ty(node.args[0]).shape == inner => node.args[0],
            _ => reshape_view(rw, *arg, &inner)?,
        };
    }
    let result = rw.add(root.op.clone(), &args);
    Some(rw.add(Reshape { shape }, &[result]))
}

/// A reshape that costs nothing after fusion: of a constant or of a broadcast.
pub(super) fn reshape_view(rw: &mut Rewriter<'_>, x: Id, shape: &Shape) -> Option<Id> {
    if let Some(node) = rw.node(x, OpTag::Broadcast)
        && let Op::Broadcast(op) = &node.op
        && let Some(dims) = moved_dims(op, shape)
    {
        return Some(rw.add(Broadcast { dims, shape: shape.clone() }, &node.args));
    }
    rw.is_constant(x).then(|| rw.add(Reshape { shape: shape.clone() }, &[x]))
}

fn reshape_of_broadcast(rw: &mut Rewriter<'_>, root: &Node) -> Option<Id> {
    let Op::Reshape(Reshape { shape }) = &root.op else { return None };
    let node = rw.node(root.args[0], OpTag::Broadcast)?;
    let Op::Broadcast(op) = &node.op else { return None };
    let dims = moved_dims(op, shape)?;
    Some(rw.add(Broadcast { dims, shape: shape.clone() }, &node.args))
}

/// The dimensions of `shape` that hold the broadcast operand's dimensions, when each is whole: a
/// dimension of equal extent with as many elements behind it.
fn moved_dims(op: &Broadcast, shape: &Shape) -> Option<Vec<u32>> {
    let behind = |shape: &Shape, d: usize| shape[d + 1..].iter().product::<usize>();
    let place = |&d: &u32| {
        let (extent, after) = (op.shape[d as usize], behind(&op.shape, d as usize));
        let fits = |&e: &usize| shape[e] == extent && behind(shape, e) == after;
        (0..shape.rank()).find(fits).map(|e| e as u32)
    };
    let dims: Vec<u32> = op.dims.iter().map(place).collect::<Option<_>>()?;
    dims.is_sorted_by(|a, b| a < b).then_some(dims)
}

fn matmul_of_transpose(rw: &mut Rewriter<'_>, root: &Node) -> Option<Id> {
    let Op::MatMul(op) = &root.op else { return None };
    let (mut op, mut args) = (op.clone(), root.args.clone());
    let a = swapped_operand(rw, args[0]);
    let b = swapped_operand(rw, args[1]);
    op.transpose_a ^= a.is_some();
    op.transpose_b ^= b.is_some();
    (args[0], args[1]) = (a.unwrap_or(args[0]), b.unwrap_or(args[1]));
    (a.is_some() || b.is_some()).then(|| rw.add(op, &args))
}

fn swapped_operand(rw: &mut Rewriter<'_>, x: Id) -> Option<Id> {
    let node = rw.node(x, OpTag::Transpose)?;
    let Op::Transpose(Transpose { perm }) = &node.op else { return None };
    let mut swap = perm::identity(perm.len());
    let rank = swap.len();
    swap.swap(rank - 2, rank - 1);
    (*perm == swap).then(|| node.args[0])
}

fn matmul_of_flattened(rw: &mut Rewriter<'_>, root: &Node) -> Option<Id> {
    let Op::MatMul(op) = &root.op else { return None };
    let (a, w) = (root.args[0], root.args[1]);
    if !rw.is_constant(w) || op.transpose_a || rw.ty(a).shape.rank() != 2 {
        return None;
    }
    let flat = rw.node(a, OpTag::Reshape)?;
    let moved = rw.node(flat.args[0], OpTag::Transpose)?;
    let Op::Transpose(Transpose { perm }) = &moved.op else { return None };
    let image = rw.ty(flat.args[0]).shape.clone();
    if perm[0] != 0 || image[0] != rw.ty(a).shape[0] {
        return None;
    }
    let shape = rw.ty(a).shape.clone();
    let unmoved = rw.add(Reshape { shape }, &[moved.args[0]]);
    let weights = permute_rows(rw, w, &image[1..], &perm[1..], op.transpose_b);
    let mut args = root.args.clone();
    (args[0], args[1]) = (unmoved, weights);
    Some(rw.add(op.clone(), &args))
}

/// Splits the inner dimension of the weights into `rows` and undoes the order `moved` (from 1 on).
fn permute_rows(rw: &mut Rewriter<'_>, w: Id, rows: &[usize], moved: &[u32], last: bool) -> Id {
    let whole = rw.ty(w).shape.clone();
    let order = perm::inverse(&moved.iter().map(|&d| d - 1).collect::<Vec<_>>());
    let n = order.len() as u32;
    let (split, perm): (Shape, Vec<u32>) = if last {
        let shape = [whole[0]].into_iter().chain(rows.iter().copied()).collect();
        (shape, [0].into_iter().chain(order.iter().map(|&d| d + 1)).collect())
    } else {
        let shape = rows.iter().copied().chain([whole[1]]).collect();
        (shape, order.iter().copied().chain([n]).collect())
    };
    let split = rw.add(Reshape { shape: split }, &[w]);
    let moved = rw.add(Transpose { perm }, &[split]);
    rw.add(Reshape { shape: whole }, &[moved])
}

fn matmul_of_flattened_example(s: &mut Sample) -> OpId {
    let (h, c) = (s.extent(), s.extent());
    let x = s.input(&[3, h, 2, c]);
    let x = s.add(Transpose { perm: vec![0, 3, 1, 2] }, &[x]);
    let x = s.reshape(x, &[3, h * 2 * c]);
    let transpose_b = s.below(2) == 0;
    let w = s.constant(&if transpose_b { [4, h * 2 * c] } else { [h * 2 * c, 4] });
    s.add(MatMul { transpose_b, ..MatMul::plain() }, &[x, w])
}
