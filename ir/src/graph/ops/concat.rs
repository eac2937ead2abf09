//! `concat`: operands one after the other along a dimension.

use super::{TensorOp, TypeError, attrs, ensure};
use crate::affine::Affine;
use crate::index::{Walk, copy_box};
use crate::kernel::Kernel;
use crate::kernel::build::{KernelBuilder, access, access_axes};
use crate::scalar::ScalarExpr;
use crate::tensor::Tensor;
use crate::types::TensorType;

attrs! {
    /// Concatenation.
    pub struct Concat {
        /// The joined dimension.
        dim: u32,
    }
}

impl TensorOp for Concat {
    const MNEMONIC: &'static str = "concat";

    fn infer(&self, args: &[&TensorType]) -> Result<TensorType, TypeError> {
        let first = *args.first().ok_or("a concat needs an operand")?;
        let dim = self.dim as usize;
        ensure(dim < first.shape.rank(), || format!("{first} has no dimension {dim}"))?;
        let mut ty = first.clone();
        ty.shape.dims_mut()[dim] = 0;
        for arg in args {
            let mut other = (*arg).clone();
            ensure(other.shape.rank() == ty.shape.rank(), || {
                format!("{arg} differs in rank from {first}")
            })?;
            let extent = std::mem::replace(&mut other.shape.dims_mut()[dim], ty.shape[dim]);
            ensure(other == ty, || format!("{arg} does not join {first} along dimension {dim}"))?;
            ty.shape.dims_mut()[dim] += extent;
        }
        Ok(ty)
    }

    fn eval(&self, args: &[&Tensor]) -> Tensor {
        let types: Vec<&TensorType> = args.iter().map(|a| &a.ty).collect();
        let ty = self.infer(&types).expect("G4: the op type-checks");
        let mut to = Walk::dense(&ty.shape);
        let mut bytes = vec![0; ty.bytes()];
        for arg in args {
            let shape = &arg.ty.shape;
            let source = (arg.bytes(), &Walk::dense(shape));
            copy_box(shape, ty.elem.bytes(), source, (&mut bytes, &to));
            to.offset += shape[self.dim as usize] as i64 * to.strides[self.dim as usize];
        }
        Tensor::from_bytes(ty, bytes)
    }

    fn kernel(&self, args: &[&TensorType]) -> Kernel {
        let ty = self.infer(args).expect("G4: the op type-checks");
        let mut b = KernelBuilder::new("concat");
        let reads: Vec<_> = args.iter().map(|a| b.read(a)).collect();
        let out = b.write(&ty);
        let mut offset = 0;
        for (arg, &operand) in args.iter().zip(&reads).filter(|(a, _)| a.shape.numel() > 0) {
            let axes = b.parallel(&arg.shape);
            let mut index: Vec<_> = axes.iter().map(|&a| Affine::var(a)).collect();
            index[self.dim as usize].constant = offset;
            offset += arg.shape[self.dim as usize] as i64;
            let read = access_axes(operand, &axes);
            b.map_stage(axes, vec![read], ScalarExpr::identity(), access(out, index));
        }
        b.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::{Concat, TensorOp};
    use crate::tensor::Tensor;

    #[test]
    fn operands_alternate_along_an_inner_dimension() {
        let a = Tensor::from_i64s(&[2, 1], &[1, 2]);
        let empty = Tensor::from_i64s(&[2, 0], &[]);
        let b = Tensor::from_i64s(&[2, 2], &[3, 4, 5, 6]);
        let y = Concat { dim: 1 }.eval(&[&a, &empty, &b]);
        assert_eq!(y, Tensor::from_i64s(&[2, 3], &[1, 3, 4, 2, 5, 6]));
    }
}
