//! Compares the functions of routines with the evaluator.

use crate::form_kernels::form_kernels;
use crate::lower_to_loops::lower;
use edgecc_ir::graph::build::GraphBuilder;
use edgecc_ir::graph::eval::eval;
use edgecc_ir::graph::ops::{Op, OpTag};
use edgecc_ir::graph::random::op_instance;
use edgecc_ir::loops::{interp, verify};
use edgecc_ir::rng::Rng;
use edgecc_ir::target::{Arch, Target};
use edgecc_ir::tensor::Tensor;

/// Random instances of an op give, lowered and interpreted, what the evaluator gives.
pub(super) fn check(tag: OpTag, cases: u64) {
    for seed in 0..cases {
        let (op, args) = op_instance(tag, &mut Rng::new(seed));
        check_op(&op, &args);
    }
}

/// One op over inputs gives, lowered and interpreted, what the evaluator gives.
pub(super) fn check_op(op: &Op, args: &[Tensor]) {
    let mut b = GraphBuilder::new("m");
    let inputs: Vec<_> =
        args.iter().enumerate().map(|(n, t)| b.input(&format!("x{n}"), t.ty.clone())).collect();
    let result = b.add(op.clone(), &inputs).expect("a well-typed op");
    b.output("y", result);
    let graph = b.finish();
    let target = Target::default_for(Arch::X86_64);
    let loops = lower(&form_kernels(&graph), &target);
    assert_eq!(verify::verify(&loops, Some(&target)), Ok(()), "{op:?}");
    let (expected, found) = (eval(&graph, args), interp::run(&loops, args));
    assert_eq!(found[0].bytes(), expected[0].bytes(), "{op:?} of {args:?}");
}
