//! `broadcast`: operand dimension `d` becomes result dimension `dims[d]`; extent 1 and missing
//! dimensions are repeated.

use super::{TensorOp, TypeError, arity, attrs, ensure, gather};
use crate::affine::Affine;
use crate::index::Walk;
use crate::kernel::Kernel;
use crate::kernel::build::{KernelBuilder, access, access_axes};
use crate::scalar::ScalarExpr;
use crate::tensor::Tensor;
use crate::types::{Shape, TensorType};
use smallvec::smallvec;

attrs! {
    /// Repetition along dimensions.
    pub struct Broadcast {
        /// For each operand dimension the result dimension, ascending.
        dims: Vec<u32>,
        /// The result's extents.
        shape: Shape = |result| result.shape.clone(),
    }
}

impl Broadcast {
    /// NumPy's rule: the operand's dimensions are the result's last ones.
    #[must_use]
    pub fn trailing(rank: usize, shape: &Shape) -> Broadcast {
        let first = shape.rank().saturating_sub(rank) as u32;
        Broadcast { dims: (first..first + rank as u32).collect(), shape: shape.clone() }
    }
}

impl TensorOp for Broadcast {
    const MNEMONIC: &'static str = "broadcast";

    fn infer(&self, args: &[&TensorType]) -> Result<TensorType, TypeError> {
        let [x] = arity::<1>(args)?;
        let ascending = self.dims.is_sorted_by(|a, b| a < b);
        ensure(ascending && self.dims.len() == x.shape.rank(), || {
            format!("dims must ascend and have one entry per dimension of {x}")
        })?;
        for (&d, &extent) in self.dims.iter().zip(x.shape.iter()) {
            let target = self.shape.get(d as usize);
            ensure(target.is_some_and(|&t| t == extent || extent == 1), || {
                format!("{x} does not broadcast to dimension {d} of {:?}", &*self.shape)
            })?;
        }
        Ok(x.with_shape(self.shape.clone()))
    }

    fn eval(&self, args: &[&Tensor]) -> Tensor {
        let ty = args[0].ty.with_shape(self.shape.clone());
        let mut from = Walk { offset: 0, strides: smallvec![0; self.shape.rank()] };
        let strides = Walk::dense(&args[0].ty.shape).strides;
        for (d, &stride) in strides.iter().enumerate().filter(|&(d, _)| args[0].ty.shape[d] != 1) {
            from.strides[self.dims[d] as usize] = stride;
        }
        gather(args[0], &from, ty)
    }

    fn kernel(&self, args: &[&TensorType]) -> Kernel {
        let ty = args[0].with_shape(self.shape.clone());
        let mut b = KernelBuilder::new("broadcast");
        let axes = b.parallel(&ty.shape);
        let index = self.dims.iter().zip(args[0].shape.iter()).map(|(&d, &extent)| {
            if extent == 1 { Affine::constant(0) } else { Affine::var(axes[d as usize]) }
        });
        let read = access(b.read(args[0]), index.collect());
        let write = access_axes(b.write(&ty), &axes);
        b.map_stage(axes, vec![read], ScalarExpr::identity(), write);
        b.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::{Broadcast, TensorOp};
    use crate::tensor::Tensor;
    use crate::types::Shape;

    #[test]
    fn extent_one_and_missing_dimensions_repeat() {
        let x = Tensor::from_f32s(&[2, 1], &[1.0, 2.0]);
        let y = Broadcast { dims: vec![1, 2], shape: Shape::new(&[2, 2, 3]) }.eval(&[&x]);
        let plane = [1.0, 1.0, 1.0, 2.0, 2.0, 2.0];
        assert_eq!(y, Tensor::from_f32s(&[2, 2, 3], &[plane, plane].concat()));
    }
}
