//! Work of neighbours done inside contractions and windows: fusion as an equality.

use crate::eqsat::body::{Source, compose, values};
use crate::eqsat::node::Node;
use crate::eqsat::rule::{Class, Rewriter, Rule};
use crate::eqsat::sample::Sample;
use edgecc_ir::graph::OpId;
use edgecc_ir::graph::ops::{Conv, Layout, MatMul, Op, OpTag, Pad, Pool, Window, sum_elem};
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::tensor::Scalar;
use egg::Id;

pub(crate) const RULES: &[Rule] = &[
    Rule {
        name: "map-of-conv",
        class: Class::Exact,
        doc: "map f (…, conv g (x, w, es), …) = conv (f ∘ g) (x, w, es, …)",
        root: OpTag::Map,
        apply: |rw, root| map_of(rw, root, OpTag::Conv),
        example: |s| {
            let x = s.input(&[1, 4, 3, 4]);
            let y = s.conv(x, 2);
            let dims = s.dims(y);
            let residual = s.input(&dims);
            s.call(ScalarFn::Add, &[residual, y])
        },
    },
    Rule {
        name: "map-of-matmul",
        class: Class::Exact,
        doc: "map f (…, matmul g (a, w, es), …) = matmul (f ∘ g) (a, w, es, …)",
        root: OpTag::Map,
        apply: |rw, root| map_of(rw, root, OpTag::MatMul),
        example: |s| {
            let (a, w) = (s.input(&[3, 5]), s.constant(&[5, 4]));
            let y = s.add(MatMul::plain(), &[a, w]);
            s.call_with(ScalarFn::Max, 0.0, y)
        },
    },
    Rule {
        name: "pad-into-conv",
        class: Class::Exact,
        doc: "conv (pad 0 x, w) = conv with larger pads (x, w)",
        root: OpTag::Conv,
        apply: pad_into_conv,
        example: |s| {
            let x = s.input(&[1, 4, 3, 2]);
            let x = s.add(spatial_pad(0.0), &[x]);
            s.conv(x, 1)
        },
    },
    Rule {
        name: "pad-into-pool",
        class: Class::Exact,
        doc: "pool f (pad (identity of f) x) = pool f with larger pads (x)",
        root: OpTag::Pool,
        apply: pad_into_pool,
        example: pad_into_pool_example,
    },
];

/// Tried on the first operand that is such a contraction, needed nowhere else in memory.
fn map_of(rw: &mut Rewriter<'_>, root: &Node, tag: OpTag) -> Option<Id> {
    let Op::Map(map) = &root.op else { return None };
    let inline = |&at: &usize| rw.is_inline(root.args[at]);
    let places: Vec<usize> = (0..root.args.len()).filter(inline).collect();
    let (at, inner) = places.into_iter().find_map(|at| Some((at, rw.node(root.args[at], tag)?)))?;
    let epilogue = match &inner.op {
        Op::Conv(conv) => &conv.epilogue,
        Op::MatMul(matmul) => &matmul.epilogue,
        _ => return None,
    };
    let acc = Source::Acc(sum_elem(rw.ty(inner.args[0]).elem));
    let fused = [acc].into_iter().chain(values(&inner.args[2..])).collect();
    let mut sources = values(&root.args);
    sources[at] = Source::Body(epilogue, fused);
    let (epilogue, extras) = compose(rw, &Source::Body(&map.body, sources));
    let args: Vec<Id> = inner.args[..2].iter().copied().chain(extras).collect();
    match inner.op {
        Op::Conv(conv) => Some(rw.add(Conv { epilogue, ..conv }, &args)),
        Op::MatMul(matmul) => Some(rw.add(MatMul { epilogue, ..matmul }, &args)),
        _ => None,
    }
}

fn pad_into_conv(rw: &mut Rewriter<'_>, root: &Node) -> Option<Id> {
    let Op::Conv(conv) = &root.op else { return None };
    let zero = Scalar::from_i64(rw.ty(root.args[0]).elem, i64::from(conv.zeros.x));
    let (x, window) = absorb_pad(rw, root.args[0], conv.layout, &conv.window, zero)?;
    let mut args = root.args.clone();
    args[0] = x;
    Some(rw.add(Conv { window, ..conv.clone() }, &args))
}

fn pad_into_pool(rw: &mut Rewriter<'_>, root: &Node) -> Option<Id> {
    let Op::Pool(pool) = &root.op else { return None };
    let neutral = pool.func.identity(rw.ty(root.args[0]).elem)?;
    let (x, window) = absorb_pad(rw, root.args[0], pool.layout, &pool.window, neutral)?;
    Some(rw.add(Pool { window, ..pool.clone() }, &[x]))
}

/// The operand of a pad with `value` along spatial dimensions, and the window with its pads.
fn absorb_pad(
    rw: &mut Rewriter<'_>,
    x: Id,
    layout: Layout,
    window: &Window,
    value: Scalar,
) -> Option<(Id, Window)> {
    let node = rw.node(x, OpTag::Pad)?;
    let Op::Pad(Pad { low, high, value: padded }) = &node.op else { return None };
    let channel = match layout {
        Layout::ChannelsFirst => 1,
        Layout::ChannelsLast => low.len() - 1,
    };
    let outer = [0, channel];
    if *padded != value || outer.iter().any(|&d| low[d] + high[d] > 0) {
        return None;
    }
    let spatial = |pads: &[u32], old: &[u32]| {
        let inner = (0..pads.len()).filter(|d| !outer.contains(d)).map(|d| pads[d]);
        inner.zip(old).map(|(a, b)| a + b).collect()
    };
    let window = Window {
        pads_begin: spatial(low, &window.pads_begin),
        pads_end: spatial(high, &window.pads_end),
        ..window.clone()
    };
    Some((node.args[0], window))
}

fn spatial_pad(value: f32) -> Pad {
    Pad { low: vec![0, 1, 0, 0], high: vec![0, 0, 2, 0], value: Scalar::f32(value) }
}

fn pad_into_pool_example(s: &mut Sample) -> OpId {
    let x = s.input(&[1, 4, 3, 2]);
    let x = s.add(spatial_pad(f32::NEG_INFINITY), &[x]);
    let pool = Pool {
        func: ScalarFn::Max,
        kernel: vec![2, 3],
        window: Window::unit(2),
        layout: Layout::ChannelsLast,
    };
    s.add(pool, &[x])
}
