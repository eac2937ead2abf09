//! Routines: computations whose accesses depend on the data, as kernels without stages.

use super::Kernel;
use super::build::KernelBuilder;
use crate::graph::ops::{NonMaxSuppression, NonZero, Op, Scatter, TopK, TypeError};
use crate::tensor::Tensor;
use crate::types::TensorType;

/// What a kernel without stages computes: all results of a graph op, from that op's operands.
///
/// The attribute `result` of the op is 0.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Routine {
    /// Boxes that overlap no better one, and their number.
    NonMaxSuppression(NonMaxSuppression),
    /// Positions of elements that are not zero, and their number.
    NonZero(NonZero),
    /// Data with updates where indices say.
    Scatter(Scatter),
    /// The largest or smallest elements in order, and their positions.
    TopK(TopK),
}

impl Routine {
    /// The routine of which an op is one result.
    #[must_use]
    pub fn of(op: &Op) -> Option<Routine> {
        match op {
            Op::NonMaxSuppression(op) => {
                Some(Routine::NonMaxSuppression(NonMaxSuppression { result: 0, ..op.clone() }))
            }
            Op::NonZero(_) => Some(Routine::NonZero(NonZero { result: 0 })),
            Op::Scatter(op) => Some(Routine::Scatter(op.clone())),
            Op::TopK(op) => Some(Routine::TopK(TopK { result: 0, ..op.clone() })),
            Op::Broadcast(_)
            | Op::Concat(_)
            | Op::Const(_)
            | Op::Conv(_)
            | Op::Dequantize(_)
            | Op::Gather(_)
            | Op::If(_)
            | Op::Input(_)
            | Op::Map(_)
            | Op::MatMul(_)
            | Op::Pad(_)
            | Op::Pool(_)
            | Op::Quantize(_)
            | Op::Reduce(_)
            | Op::Repeat(_)
            | Op::Requantize(_)
            | Op::Reshape(_)
            | Op::Slice(_)
            | Op::Transpose(_) => None,
        }
    }

    /// The op that is the n-th result; `None` when there are fewer.
    #[must_use]
    pub fn result(&self, n: u32) -> Option<Op> {
        if n >= self.count() {
            return None;
        }
        Some(match self.clone() {
            Routine::NonMaxSuppression(op) => NonMaxSuppression { result: n, ..op }.into(),
            Routine::NonZero(_) => NonZero { result: n }.into(),
            Routine::Scatter(op) => op.into(),
            Routine::TopK(op) => TopK { result: n, ..op }.into(),
        })
    }

    fn count(&self) -> u32 {
        match self {
            Routine::Scatter(_) => 1,
            Routine::NonMaxSuppression(_) | Routine::NonZero(_) | Routine::TopK(_) => 2,
        }
    }

    /// The ops that are its results, in order.
    pub fn results(&self) -> impl Iterator<Item = Op> + '_ {
        (0..).map_while(|n| self.result(n))
    }

    /// The types of its results.
    pub fn infer(&self, args: &[&TensorType]) -> Result<Vec<TensorType>, TypeError> {
        self.results().map(|op| op.infer(args)).collect()
    }

    /// Its results.
    #[must_use]
    pub fn eval(&self, args: &[&Tensor]) -> Vec<Tensor> {
        self.results().map(|op| op.eval(args)).collect()
    }

    /// The kernel of an op that is one of its results.
    ///
    /// # Panics
    /// When the operands do not type-check.
    #[must_use]
    pub fn kernel(self, args: &[&TensorType]) -> Kernel {
        let op = self.result(0).expect("a routine has a result");
        let mut b = KernelBuilder::new(op.tag().mnemonic());
        args.iter().for_each(|ty| {
            b.read(ty);
        });
        for ty in self.infer(args).expect("G4: the op type-checks") {
            b.write(&ty);
        }
        b.routine(self);
        b.finish()
    }
}
