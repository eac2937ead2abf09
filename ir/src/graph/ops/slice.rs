//! `slice`: `y[i] = x[start + step·i]` along every dimension; steps may be negative.

use super::{TensorOp, TypeError, arity, attrs, ensure, gather};
use crate::affine::{Affine, Interval};
use crate::index::Walk;
use crate::kernel::Kernel;
use crate::kernel::build::{KernelBuilder, access, access_axes};
use crate::scalar::ScalarExpr;
use crate::tensor::Tensor;
use crate::types::{Shape, TensorType};

attrs! {
    /// A strided box, one entry per dimension.
    pub struct Slice {
        /// First position.
        starts: Vec<i64>,
        /// Step, not zero.
        steps: Vec<i64> = |result| vec![1; result.shape.rank()],
        /// The result's extents.
        shape: Shape = |result| result.shape.clone(),
    }
}

impl TensorOp for Slice {
    const MNEMONIC: &'static str = "slice";

    fn infer(&self, args: &[&TensorType]) -> Result<TensorType, TypeError> {
        let [x] = arity::<1>(args)?;
        let rank = x.shape.rank();
        let fits =
            self.starts.len() == rank && self.steps.len() == rank && self.shape.rank() == rank;
        ensure(fits, || format!("slice attributes must have {rank} entries"))?;
        for d in 0..rank {
            let last = self.starts[d] + self.steps[d] * (self.shape[d] as i64 - 1);
            let (lo, hi) = (self.starts[d].min(last), self.starts[d].max(last));
            let inside = self.shape[d] == 0 || Interval { lo, hi }.within(x.shape[d]);
            ensure(inside && self.steps[d] != 0, || {
                format!("dimension {d} of the slice leaves {x}")
            })?;
        }
        Ok(x.with_shape(self.shape.clone()))
    }

    fn eval(&self, args: &[&Tensor]) -> Tensor {
        let ty = args[0].ty.with_shape(self.shape.clone());
        let mut from = Walk::dense(&args[0].ty.shape);
        for (d, stride) in from.strides.iter_mut().enumerate() {
            from.offset += self.starts[d] * *stride;
            *stride *= self.steps[d];
        }
        gather(args[0], &from, ty)
    }

    fn kernel(&self, args: &[&TensorType]) -> Kernel {
        let ty = args[0].with_shape(self.shape.clone());
        let mut b = KernelBuilder::new("slice");
        let axes = b.parallel(&ty.shape);
        let position = |d: usize| Affine::scaled(axes[d], self.steps[d]).offset(self.starts[d]);
        let read = access(b.read(args[0]), (0..axes.len()).map(position).collect());
        let write = access_axes(b.write(&ty), &axes);
        b.map_stage(axes, vec![read], ScalarExpr::identity(), write);
        b.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::{Slice, TensorOp};
    use crate::tensor::Tensor;
    use crate::types::Shape;

    #[test]
    fn negative_steps_walk_backwards() {
        let x = Tensor::from_i64s(&[2, 4], &[0, 1, 2, 3, 4, 5, 6, 7]);
        let slice = Slice { starts: vec![1, 3], steps: vec![-1, -2], shape: Shape::new(&[2, 2]) };
        assert_eq!(slice.eval(&[&x]), Tensor::from_i64s(&[2, 2], &[7, 5, 3, 1]));
    }

    #[test]
    fn an_empty_box_has_no_elements() {
        let x = Tensor::from_i64s(&[2], &[1, 2]);
        let slice = Slice { starts: vec![2], steps: vec![1], shape: Shape::new(&[0]) };
        assert_eq!(slice.eval(&[&x]), Tensor::from_i64s(&[0], &[]));
    }
}
