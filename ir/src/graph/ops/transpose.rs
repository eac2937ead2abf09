//! `transpose`: result dimension `d` is operand dimension `perm[d]`.

use super::{TensorOp, TypeError, arity, attrs, ensure, gather};
use crate::index::Walk;
use crate::kernel::Kernel;
use crate::kernel::build::{KernelBuilder, access_axes};
use crate::scalar::ScalarExpr;
use crate::tensor::Tensor;
use crate::types::TensorType;

attrs! {
    /// Permutation of dimensions.
    pub struct Transpose {
        /// For each result dimension the operand dimension.
        perm: Vec<u32>,
    }
}

impl TensorOp for Transpose {
    const MNEMONIC: &'static str = "transpose";

    fn infer(&self, args: &[&TensorType]) -> Result<TensorType, TypeError> {
        let [x] = arity::<1>(args)?;
        let mut sorted = self.perm.clone();
        sorted.sort_unstable();
        ensure(sorted.iter().copied().eq(0..x.shape.rank() as u32), || {
            format!("{:?} is not a permutation of the dimensions of {x}", self.perm)
        })?;
        Ok(x.with_shape(self.perm.iter().map(|&p| x.shape[p as usize]).collect()))
    }

    fn eval(&self, args: &[&Tensor]) -> Tensor {
        let ty = self.infer(&[&args[0].ty]).expect("G4: the op type-checks");
        let strides = Walk::dense(&args[0].ty.shape).strides;
        let strides = self.perm.iter().map(|&p| strides[p as usize]).collect();
        gather(args[0], &Walk { offset: 0, strides }, ty)
    }

    fn kernel(&self, args: &[&TensorType]) -> Kernel {
        let ty = self.infer(args).expect("G4: the op type-checks");
        let mut b = KernelBuilder::new("transpose");
        let axes = b.parallel(&ty.shape);
        let mut source = axes.clone();
        for (d, &p) in self.perm.iter().enumerate() {
            source[p as usize] = axes[d];
        }
        let read = access_axes(b.read(args[0]), &source);
        let write = access_axes(b.write(&ty), &axes);
        b.map_stage(axes, vec![read], ScalarExpr::identity(), write);
        b.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::{TensorOp, Transpose};
    use crate::tensor::Tensor;

    #[test]
    fn dimensions_move_to_where_perm_names_them() {
        let x = Tensor::from_i64s(&[1, 2, 3], &[0, 1, 2, 3, 4, 5]);
        let y = Transpose { perm: vec![2, 0, 1] }.eval(&[&x]);
        assert_eq!(y, Tensor::from_i64s(&[3, 1, 2], &[0, 3, 1, 4, 2, 5]));
    }
}
