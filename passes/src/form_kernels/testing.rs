//! What the tests of joined kernels share: a graph's kernels, on all levels of which it means the
//! same.

use super::form_kernels;
use crate::eqsat::rule::Class;
use crate::lower_to_loops::lower;
use crate::schedule::schedule;
use edgecc_ir::graph::OpId;
use edgecc_ir::graph::build::GraphBuilder;
use edgecc_ir::graph::eval::eval;
use edgecc_ir::kernel::{self, Kernels, verify};
use edgecc_ir::loops::interp;
use edgecc_ir::target::{Arch, Target};
use edgecc_ir::tensor::{Scalar, Tensor};
use edgecc_ir::types::{ElemType, TensorType};

/// Small integers, whose sums are exact in any order.
pub(super) fn data(dims: &[usize]) -> Tensor {
    let ty = TensorType::new(ElemType::F32, dims);
    Tensor::from_fn(ty, |i| Scalar::f32((i * 31 % 23) as f32 - 11.0))
}

/// The kernels of a graph over one input, when all levels give the same.
pub(super) fn kernels(
    dims: &[usize],
    build: impl FnOnce(&mut GraphBuilder, OpId) -> OpId,
) -> Kernels {
    let mut b = GraphBuilder::new("m");
    let x = b.input("x", TensorType::new(ElemType::F32, dims));
    let y = build(&mut b, x);
    b.output("y", y);
    let (graph, inputs) = (b.finish(), [data(dims)]);
    let expected = eval(&graph, &inputs);
    let mut kernels = form_kernels(&graph);
    assert_eq!(verify::verify(&kernels), Ok(()));
    assert_eq!(kernel::eval::eval(&kernels, &inputs), expected);
    let target = Target::default_for(Arch::X86_64);
    schedule(&mut kernels, &target, Class::Exact);
    assert_eq!(interp::run(&lower(&kernels, &target), &inputs), expected);
    kernels
}
