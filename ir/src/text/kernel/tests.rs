//! Kernels that are printed and read again, and texts that are none.

use super::{parse_kernels, print_kernel, print_kernels};
use crate::affine::Affine;
use crate::graph::ops::{Concat, Conv, Layout, Pad, Pool, Reduce as ReduceOp, TensorOp, Window};
use crate::kernel::build::{KernelBuilder, access, access_axes};
use crate::kernel::schedule::{Pack, Schedule};
use crate::kernel::{
    AxisId, AxisKind, Buffer, BufferId, ConstId, Home, Kernel, KernelId, Kernels, OperandId, Port,
    Reduce, Role,
};
use crate::loc::{Loc, LocTable};
use crate::program::{Call, Place, Program, Step};
use crate::scalar::ScalarExpr;
use crate::scalar::func::ScalarFn;
use crate::tensor::{Scalar, Tensor};
use crate::text::PrintOptions;
use crate::types::{ElemType, TensorType};
use cranelift_entity::{EntityRef, PrimaryMap};

fn f32s(dims: &[usize]) -> TensorType {
    TensorType::new(ElemType::F32, dims)
}

fn empty(name: &str) -> Kernels {
    Kernels {
        name: name.to_owned(),
        kernels: PrimaryMap::new(),
        buffers: PrimaryMap::new(),
        consts: PrimaryMap::new(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        program: Program::default(),
        locs: LocTable::new(),
    }
}

fn check(kernels: &Kernels) -> String {
    let text = print_kernels(kernels, &PrintOptions::exact());
    let parsed = parse_kernels(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    assert_eq!(&parsed.ir, kernels, "{text}");
    text
}

fn check_kernel(kernel: Kernel) -> String {
    let text = print_kernel(KernelId::new(0), &kernel);
    let mut all = empty("m");
    all.kernels.push(kernel);
    assert!(check(&all).contains(&text));
    text
}

/// Row sums, then their products with 0.5, packed and scheduled in every way.
fn row_sums() -> Kernel {
    let mut b = KernelBuilder::new("rows");
    let (x, w) = (b.read(&f32s(&[4, 8])), b.read(&f32s(&[8])));
    let y = b.write(&f32s(&[4]));
    let (row, column) = (b.axis(4, AxisKind::Parallel), b.axis(8, AxisKind::Reduce));
    let reads = vec![access_axes(x, &[row, column]), access_axes(w, &[column])];
    let reduce = Reduce { func: ScalarFn::Add, init: Scalar::f32(0.0) };
    let mul = ScalarExpr::call(ScalarFn::Mul);
    b.reduce_stage(vec![row, column], reads, mul.clone(), reduce, access_axes(y, &[row]));
    let constant = access(w, vec![Affine::constant(0)]);
    b.with_epilogue(mul, vec![constant]);
    let mut kernel = b.finish();
    kernel.operands[w].role = Role::Const;
    kernel.schedule = Some(Schedule {
        order: vec![row],
        tile: vec![(row, 2)],
        vector: vec![(row, 2)],
        unroll: vec![(column, 8)],
        peel: vec![row],
        matrix: vec![(row, 1)],
        pack: vec![Pack { operand: w, axis: row, block: 2 }],
        parts: vec![(row, 2)],
    });
    kernel
}

#[test]
fn a_scheduled_kernel_prints_every_part() {
    assert_eq!(
        check_kernel(row_sums()),
        "kernel @k0 \"rows\" (%p0: f32[4,8], const %p1: f32[8]) -> (%p2: f32[4]) {\n\
         \x20 axes a0:4 | a1:8\n\
         \x20   %p2[a0] = reduce add from 0 of (x0 = %p0[a0, a1], x1 = %p1[a1]) -> mul(x0, x1)\n\
         \x20     then (acc, x0 = %p1[0]) -> mul(acc, x0)\n\
         \x20 schedule order(a0) tile(a0:2) vector(a0:2) unroll(a1:8) peel(a0) matrix(a0:1) pack(%p1 by a0:2) parts(a0:2)\n}\n"
    );
    let mut unscheduled = row_sums();
    unscheduled.schedule = Some(Schedule::default());
    assert!(check_kernel(unscheduled).ends_with("  schedule\n}\n"));
}

#[test]
fn the_kernels_of_ops_round_trip() {
    let window = Window { pads_begin: vec![1, 1], strides: vec![2, 2], ..Window::unit(2) };
    let pool = Pool {
        func: ScalarFn::Max,
        kernel: vec![3, 3],
        window: window.clone(),
        layout: Layout::ChannelsLast,
    };
    let image = f32s(&[1, 6, 6, 4]);
    let text = check_kernel(pool.kernel(&[&image]));
    assert!(text.contains("a1*2+a4-1, a2*2+a5-1, a3] else 0xff800000"), "{text}");
    let conv = Conv::plain(window, 2, Layout::ChannelsLast);
    check_kernel(conv.kernel(&[&image, &f32s(&[6, 2, 3, 3])]));
    let (one, two) = (f32s(&[2, 3]), f32s(&[2, 1]));
    check_kernel(Concat { dim: 1 }.kernel(&[&one, &two]));
    let value = Scalar::from_i64(ElemType::I8, -3);
    let pad = Pad { low: vec![1], high: vec![0], value };
    let text = check_kernel(pad.kernel(&[&TensorType::new(ElemType::I8, &[4])]));
    assert!(text.contains("%p0[a0-1] else -3:i8"), "{text}");
}

#[test]
fn axes_in_another_order_are_declared() {
    let reduce = ReduceOp { func: ScalarFn::Add, dims: vec![0] };
    let text = check_kernel(reduce.kernel(&[&f32s(&[2, 3])]));
    assert!(text.contains("  declare reduce a0:2 parallel a1:3\n  axes a1:3 | a0:2\n"), "{text}");
    let mut unused = row_sums();
    unused.axes.push(unused.axes[AxisId::new(0)]);
    check_kernel(unused);
}

#[test]
fn operands_in_another_order_keep_their_roles() {
    let mut kernel = row_sums();
    kernel.operands.push(kernel.operands[OperandId::new(0)].clone());
    assert!(check_kernel(kernel).contains(") -> (%p2: f32[4], read %p3: f32[4,8]) {"));
}

#[test]
fn row_kernels_round_trip() {
    let mut b = KernelBuilder::new("double");
    let (x, y, t) = (b.read(&f32s(&[4])), b.write(&f32s(&[4])), b.local(&f32s(&[])));
    let row = b.axis(4, AxisKind::Parallel);
    b.rows(vec![row]);
    let (here, double) = (access_axes(x, &[row]), ScalarExpr::call(ScalarFn::Add));
    b.map_stage(vec![row], vec![here.clone(), here], double, access(t, vec![]));
    let copy = ScalarExpr::identity();
    b.map_stage(vec![row], vec![access(t, vec![])], copy, access_axes(y, &[row]));
    let text = check_kernel(b.finish());
    assert!(text.contains("-> (%p1: f32[4], local %p2: f32[]) {\n  rows a0:4\n"), "{text}");
}

#[test]
fn programs_round_trip() {
    let mut all = empty("a b");
    let port = |name: &str, dims: &[usize]| Port { name: name.to_owned(), ty: f32s(dims) };
    (all.inputs, all.outputs) = (vec![port("x", &[4, 8])], vec![port("y\"", &[4])]);
    let kernel = all.kernels.push(row_sums());
    all.consts.push(Tensor::from_f32s(&[8], &[0.5; 8]));
    all.consts.push(Tensor::from_f32s(&[17], &[f32::NAN; 17]));
    let homes = [Home::Input(0), Home::Const(ConstId::new(0)), Home::Output(0), Home::Arena];
    let mut args = Vec::new();
    for (home, dims) in homes.into_iter().zip([&[4, 8][..], &[8], &[4], &[4]]) {
        args.push(Place::from(all.buffers.push(Buffer { ty: f32s(dims), home })));
    }
    all.buffers.push(Buffer { ty: f32s(&[17]), home: Home::Const(ConstId::new(1)) });
    args.truncate(3);
    let loc = all.locs.push(Loc::Unknown);
    let call = |args| Step::Call(Call { callee: kernel, args, loc });
    all.program.steps = vec![call(args), call(vec![BufferId::new(0).into()])];
    let text = check(&all);
    assert!(text.contains("call @k0 (%b0, %b1) -> (%b2) loc0\n  call @k0 (%b0) -> () loc0\n"));
}

#[test]
fn ill_formed_kernels_are_errors() {
    let kernel = |body: &str| {
        let head = "kernels @m () -> () kernel @k0 \"k\" (%x: f32[2]) -> (%y: f32[2])";
        parse_kernels(&format!("{head} {{\n{body}\n}} program {{}}"))
    };
    assert!(kernel("axes n:2 %y[n] = (v = %x[n]) -> v").is_ok());
    for (bad, message) in [
        ("axes n:0 %y[n] = (v = %x[n]) -> v", "2:6: an extent is at least 1"),
        ("axes n:2 %y[m] = (v = %x[n]) -> v", "2:13: `m` is not defined"),
        ("axes n:2 %z[n] = (v = %x[n]) -> v", "2:10: `%z` is not defined"),
        (
            "axes n:2 | n:2 %y[n] = (v = %x[n]) -> v",
            "2:12: the axis had another extent or kind before",
        ),
        (
            "axes n:2 %y[n] = (v = %x[n]) -> v then () -> 0",
            "2:43: the epilogue's first parameter is the accumulator",
        ),
        ("schedule fuse(n)", "2:10: no clause is called `fuse`"),
    ] {
        assert_eq!(kernel(bad).expect_err(bad).to_string(), message);
    }
}
