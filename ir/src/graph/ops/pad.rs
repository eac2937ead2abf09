//! `pad`: surrounds the operand with a constant value.

use super::{TensorOp, TypeError, arity, attrs, ensure};
use crate::affine::Affine;
use crate::index::{Walk, copy_box};
use crate::kernel::build::{KernelBuilder, access, access_axes};
use crate::kernel::{Access, Kernel, Outside};
use crate::scalar::ScalarExpr;
use crate::tensor::{Scalar, Tensor};
use crate::types::TensorType;

attrs! {
    /// Constant padding, one entry per dimension.
    pub struct Pad {
        /// Elements added before.
        low: Vec<u32>,
        /// Elements added after.
        high: Vec<u32>,
        /// Their value.
        value: Scalar = |result| Scalar::from_i64(result.elem, 0),
    }
}

impl TensorOp for Pad {
    const MNEMONIC: &'static str = "pad";

    fn infer(&self, args: &[&TensorType]) -> Result<TensorType, TypeError> {
        let [x] = arity::<1>(args)?;
        let rank = x.shape.rank();
        ensure(self.low.len() == rank && self.high.len() == rank, || {
            format!("pads must have {rank} entries")
        })?;
        ensure(self.value.elem() == x.elem, || format!("the pad value's type differs from {x}"))?;
        let dim = |d: usize| x.shape[d] + self.low[d] as usize + self.high[d] as usize;
        Ok(x.with_shape((0..rank).map(dim).collect()))
    }

    fn eval(&self, args: &[&Tensor]) -> Tensor {
        let ty = self.infer(&[&args[0].ty]).expect("G4: the op type-checks");
        let (shape, size) = (&args[0].ty.shape, ty.elem.bytes());
        let mut to = Walk::dense(&ty.shape);
        to.offset = to.strides.iter().zip(&self.low).map(|(s, &low)| s * i64::from(low)).sum();
        let mut bytes = self.value.bits().to_le_bytes()[..size].repeat(ty.shape.numel());
        copy_box(shape, size, (args[0].bytes(), &Walk::dense(shape)), (&mut bytes, &to));
        Tensor::from_bytes(ty, bytes)
    }

    fn kernel(&self, args: &[&TensorType]) -> Kernel {
        let ty = self.infer(args).expect("G4: the op type-checks");
        let mut b = KernelBuilder::new("pad");
        let axes = b.parallel(&ty.shape);
        let index =
            axes.iter().zip(&self.low).map(|(&a, &low)| Affine::var(a).offset(-i64::from(low)));
        let index = index.collect();
        let outside = Outside::Pad(self.value);
        let read = Access { outside, ..access(b.read(args[0]), index) };
        let write = access_axes(b.write(&ty), &axes);
        b.map_stage(axes, vec![read], ScalarExpr::identity(), write);
        b.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::{Pad, TensorOp};
    use crate::tensor::{Scalar, Tensor};

    #[test]
    fn the_value_surrounds_the_operand() {
        let x = Tensor::from_f32s(&[1, 2], &[1.0, 2.0]);
        let pad = Pad { low: vec![0, 1], high: vec![1, 0], value: Scalar::f32(9.0) };
        let y = Tensor::from_f32s(&[2, 3], &[9.0, 1.0, 2.0, 9.0, 9.0, 9.0]);
        assert_eq!(pad.eval(&[&x]), y);
    }
}
