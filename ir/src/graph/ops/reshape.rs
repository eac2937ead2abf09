//! `reshape`: the same elements in row-major order under another shape.

use super::{TensorOp, TypeError, arity, attrs, ensure};
use crate::kernel::Kernel;
use crate::kernel::build::{KernelBuilder, access_axes};
use crate::scalar::ScalarExpr;
use crate::tensor::Tensor;
use crate::types::{Shape, TensorType};

attrs! {
    /// A new shape with the same number of elements.
    pub struct Reshape {
        /// The result's extents.
        shape: Shape = |result| result.shape.clone(),
    }
}

impl TensorOp for Reshape {
    const MNEMONIC: &'static str = "reshape";

    fn infer(&self, args: &[&TensorType]) -> Result<TensorType, TypeError> {
        let [x] = arity::<1>(args)?;
        let ty = x.with_shape(self.shape.clone());
        ensure(ty.shape.numel() == x.shape.numel(), || {
            format!("{x} and {ty} differ in element count")
        })?;
        Ok(ty)
    }

    fn eval(&self, args: &[&Tensor]) -> Tensor {
        args[0].clone().reshaped(&self.shape)
    }

    fn kernel(&self, args: &[&TensorType]) -> Kernel {
        let flat = TensorType::new(args[0].elem, &[args[0].shape.numel()]);
        let mut b = KernelBuilder::new("copy");
        let axes = b.parallel(&flat.shape);
        let read = access_axes(b.read(&flat), &axes);
        let write = access_axes(b.write(&flat), &axes);
        b.map_stage(axes, vec![read], ScalarExpr::identity(), write);
        b.finish()
    }
}
