//! Factors per input channel that are known at run time only: the weights of a product of matrices
//! are often smaller than the image that meets them (squeeze-and-excitation, Hu et al. 2018).

use super::layout::reshape_view;
use crate::eqsat::node::Node;
use crate::eqsat::rule::{Class, Rewriter, Rule};
use crate::eqsat::sample::Sample;
use edgecc_ir::graph::OpId;
use edgecc_ir::graph::ops::{
    Broadcast, Conv, Layout, Map, MatMul, Op, OpTag, Reshape, Transpose, Window, Zeros,
};
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::scalar::{ScalarExpr, ScalarNode};
use edgecc_ir::types::{ElemType, Shape};
use egg::Id;

pub(crate) const RULES: &[Rule] = &[
    Rule {
        name: "gate-of-conv",
        class: Class::Reassoc,
        doc: "conv 1×1 (map mul (x, s), w) = matmul (x, map mul (wᵀ, s)), s per input channel",
        root: OpTag::Conv,
        apply: gate_of_conv,
        example: gate_of_conv_example,
    },
    Rule {
        name: "gate-of-matmul",
        class: Class::Reassoc,
        doc: "matmul (map mul (a, s), w) = matmul (a, map mul (w, s)), s per column of a",
        root: OpTag::MatMul,
        apply: gate_of_matmul,
        example: gate_of_matmul_example,
    },
];

fn gate_of_conv(rw: &mut Rewriter<'_>, root: &Node) -> Option<Id> {
    let Op::Conv(conv) = &root.op else { return None };
    let (image, taps) = (rw.ty(root.args[0]).shape.clone(), rw.ty(root.args[1]).shape.clone());
    let plain = Conv {
        epilogue: conv.epilogue.clone(),
        ..Conv::plain(Window::unit(image.rank() - 2), 1, Layout::ChannelsLast)
    };
    let pointwise = *conv == plain && taps[2..].iter().all(|&t| t == 1);
    if !pointwise || !is_f32_constant(rw, root.args[1]) {
        return None;
    }
    let (x, gate) = gated(rw, root.args[0])?;
    let (channels, outputs) = (taps[1], taps[0]);
    let rows = image.numel() / channels.max(1);
    let x = rw.add(Reshape { shape: Shape::new(&[rows, channels]) }, &[x]);
    let w = rw.add(Reshape { shape: Shape::new(&[outputs, channels]) }, &[root.args[1]]);
    let w = rw.add(Transpose { perm: vec![1, 0] }, &[w]);
    let mut args = vec![x, gated_rows(rw, w, gate)];
    let flat = Shape::new(&[rows, outputs]);
    for &extra in &root.args[2..] {
        let view = reshape_view(rw, extra, &flat);
        args.push(view.unwrap_or_else(|| rw.add(Reshape { shape: flat.clone() }, &[extra])));
    }
    let product = MatMul { epilogue: conv.epilogue.clone(), ..MatMul::plain() };
    let product = rw.add(product, &args);
    let result: Shape = image[..image.rank() - 1].iter().copied().chain([outputs]).collect();
    Some(rw.add(Reshape { shape: result }, &[product]))
}

fn gate_of_matmul(rw: &mut Rewriter<'_>, root: &Node) -> Option<Id> {
    let Op::MatMul(op) = &root.op else { return None };
    let plain = rw.ty(root.args[0]).shape.rank() == 2 && op.zeros == Zeros::default();
    if !plain || op.transpose_a || !is_f32_constant(rw, root.args[1]) {
        return None;
    }
    let (a, gate) = gated(rw, root.args[0])?;
    let w = match op.transpose_b {
        true => rw.add(Transpose { perm: vec![1, 0] }, &[root.args[1]]),
        false => root.args[1],
    };
    let mut args = root.args.clone();
    (args[0], args[1]) = (a, gated_rows(rw, w, gate));
    Some(rw.add(MatMul { transpose_b: false, ..op.clone() }, &args))
}

fn is_f32_constant(rw: &Rewriter<'_>, id: Id) -> bool {
    rw.ty(id).elem == ElemType::F32 && rw.is_constant(id)
}

/// The factors of a product of a value with one number per element of its last dimension, which is
/// not constant.
fn gated(rw: &mut Rewriter<'_>, id: Id) -> Option<(Id, Id)> {
    let last = rw.ty(id).shape.rank() as u32 - 1;
    let map = rw.node(id, OpTag::Map)?;
    let Op::Map(Map { body }) = &map.op else { return None };
    let [ScalarNode::Param(_), ScalarNode::Param(_), ScalarNode::Call(ScalarFn::Mul, _)] =
        body.nodes()
    else {
        return None;
    };
    let &[a, b] = map.args.as_slice() else { return None };
    [(a, b), (b, a)].into_iter().find_map(|(x, s)| {
        let spread = rw.node(s, OpTag::Broadcast).filter(|_| !rw.is_constant(s))?;
        let Op::Broadcast(op) = &spread.op else { return None };
        (op.dims == [last]).then_some((x, spread.args[0]))
    })
}

/// A matrix with each row times its number.
fn gated_rows(rw: &mut Rewriter<'_>, w: Id, gate: Id) -> Id {
    let shape = rw.ty(w).shape.clone();
    let spread = rw.add(Broadcast { dims: vec![0], shape }, &[gate]);
    rw.add(Map { body: ScalarExpr::call(ScalarFn::Mul) }, &[w, spread])
}

fn gate_of_conv_example(s: &mut Sample) -> OpId {
    let (channels, outputs) = (s.extent(), s.extent());
    let x = gated_input(s, &[1, 5, 4, channels]);
    let (w, bias) = (s.constant(&[outputs, channels, 1, 1]), s.constant(&[outputs]));
    let dims = [1, 5, 4, outputs];
    let extras = [s.spread(bias, &[3], &dims), s.input(&dims)];
    let epilogue = ScalarExpr::build(3, |b| {
        let [acc, bias, residual] = [0, 1, 2].map(|p| b.param(p));
        let sum = b.call(ScalarFn::Add, &[acc, bias]);
        b.call(ScalarFn::Add, &[sum, residual])
    });
    let conv = Conv { epilogue, ..Conv::plain(Window::unit(2), 1, Layout::ChannelsLast) };
    s.add(conv, &[x, w, extras[0], extras[1]])
}

fn gate_of_matmul_example(s: &mut Sample) -> OpId {
    let a = gated_input(s, &[7, 3]);
    let transpose_b = s.below(2) == 0;
    let w = s.constant(if transpose_b { &[2, 3] } else { &[3, 2] });
    s.add(MatMul { transpose_b, ..MatMul::plain() }, &[a, w])
}

/// An input times another one per element of its last dimension.
fn gated_input(s: &mut Sample, dims: &[usize]) -> OpId {
    let last = dims.len() - 1;
    let (x, gate) = (s.input(dims), s.input(&dims[last..]));
    let gate = s.spread(gate, &[last as u32], dims);
    s.call(ScalarFn::Mul, &[x, gate])
}
