//! What codes of zero contribute to sums of products of two values: kernels that sum one factor's
//! words, and the operands through which sums take these terms in.

use super::before::{Making, To};
use crate::new_operand::{add_read, begin_epilogue};
use edgecc_ir::affine::Affine;
use edgecc_ir::kernel::build::{KernelBuilder, access_axes};
use edgecc_ir::kernel::{Access, AxisId, AxisKind, Index, Kernel, OperandId, Reduce, Role};
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::scalar::{ExprBuilder, ScalarExpr};
use edgecc_ir::tensor::Scalar;
use edgecc_ir::types::{ElemType, TensorType};

/// A stage that sums dot products of words.
pub(super) struct Product {
    stage: usize,
    /// The reduce axis.
    steps: AxisId,
    dot: ScalarFn,
    /// Among the reads: the second factor of the dot products.
    second: usize,
}

/// `(sum + offset) · factor`.
#[derive(Clone, Copy)]
pub(super) struct Scale {
    pub(super) offset: i32,
    pub(super) factor: i32,
}

impl Product {
    pub(super) fn new(stage: usize, steps: AxisId, dot: ScalarFn, second: usize) -> Product {
        Product { stage, steps, dot, second }
    }

    /// Adds the scaled sums of the codes of a factor, a read and its operand, to the stage's sums;
    /// gives what makes them. `None` where they are all zero.
    pub(super) fn term_of(
        &self,
        kernel: &mut Kernel,
        (read, from): (usize, OperandId),
        scale: Scale,
    ) -> Option<Making> {
        if scale.factor == 0 {
            return None;
        }
        let stage = &kernel.stages[self.stage];
        let axes: Vec<AxisId> = kernel
            .parallel_axes(stage)
            .filter(|&a| stage.reads[read].axes().any(|used| used == a))
            .collect();
        let dims: Vec<usize> = axes.iter().map(|&a| kernel.extent(a)).collect();
        let ty = TensorType::new(ElemType::I32, &dims);
        let made = self.sums(kernel, read, &axes, scale, &ty);
        let operand = add_read(kernel, ty, Role::Read);
        let stage = &mut kernel.stages[self.stage];
        begin_epilogue(stage, ScalarFn::Add, access_axes(operand, &axes));
        Some(Making { from, to: To::New(operand), kernel: made })
    }

    /// The kernel that sums the codes of a factor at each point of these axes.
    fn sums(
        &self,
        kernel: &Kernel,
        read: usize,
        axes: &[AxisId],
        scale: Scale,
        ty: &TensorType,
    ) -> Kernel {
        let codes = &kernel.stages[self.stage].reads[read];
        let mut b = KernelBuilder::new("sums");
        let (source, result) = (b.read(&kernel.operands[codes.operand].ty), b.write(ty));
        let points = b.parallel(&ty.shape);
        let steps = b.axis(kernel.extent(self.steps), AxisKind::Reduce);
        let new = |a: AxisId| match axes.iter().position(|&known| known == a) {
            Some(at) => Affine::var(points[at]),
            None => Affine::var(steps),
        };
        let place = |i: &Index| Index::from(i.affine().expect("a known place").substitute(new));
        let index = codes.index.iter().map(place).collect();
        let reads = vec![Access { operand: source, index, ..codes.clone() }];
        let all = points.iter().copied().chain([steps]).collect();
        let zero = Scalar::from_i64(ElemType::I32, 0);
        let reduce = Reduce { func: ScalarFn::Add, init: zero };
        b.reduce_stage(all, reads, self.sum(read), reduce, access_axes(result, &points));
        b.with_epilogue(scaled(scale), Vec::new());
        b.finish()
    }

    /// `(word) -> dot(word, ones, 0)`, or the reverse for the second factor.
    fn sum(&self, read: usize) -> ScalarExpr {
        let literal =
            |b: &mut ExprBuilder, value| b.constant(Scalar::from_i64(ElemType::I32, value));
        ScalarExpr::build(1, |b| {
            let (word, ones, zero) = (b.param(0), literal(b, 0x0101_0101), literal(b, 0));
            let factors = if read == self.second { [ones, word] } else { [word, ones] };
            b.call(self.dot, &[factors[0], factors[1], zero])
        })
    }
}

fn scaled(scale: Scale) -> ScalarExpr {
    ScalarExpr::build(1, |b: &mut ExprBuilder| {
        let [offset, factor] = [scale.offset, scale.factor]
            .map(|value| b.constant(Scalar::from_i64(ElemType::I32, i64::from(value))));
        let sum = b.param(0);
        let moved = if scale.offset == 0 { sum } else { b.call(ScalarFn::Add, &[sum, offset]) };
        b.call(ScalarFn::Mul, &[moved, factor])
    })
}
