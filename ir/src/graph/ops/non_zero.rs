//! `non_zero`: the positions of all elements that are not zero, and their number.

use super::{TensorOp, TypeError, arity, attrs, ensure};
use crate::index::for_each_index;
use crate::kernel::Kernel;
use crate::kernel::routine::Routine;
use crate::tensor::{Scalar, Tensor};
use crate::types::{ElemType, TensorType};

attrs! {
    /// ONNX `NonZero` of at least one dimension, with one column per element of the operand; those not needed are zero.
    pub struct NonZero {
        /// 0 for the positions, one row per dimension, 1 for the number of columns in use.
        result: u32 = |_| 0,
    }
}

impl TensorOp for NonZero {
    const MNEMONIC: &'static str = "non_zero";

    fn infer(&self, args: &[&TensorType]) -> Result<TensorType, TypeError> {
        let [x] = arity::<1>(args)?;
        ensure(self.result < 2 && x.shape.rank() > 0, || {
            format!("there is no result {} over {x}", self.result)
        })?;
        let dims = [x.shape.rank(), x.shape.numel()];
        let dims = if self.result == 0 { &dims[..] } else { &[] };
        Ok(TensorType::new(ElemType::I64, dims))
    }

    fn eval(&self, args: &[&Tensor]) -> Tensor {
        let x = args[0];
        let mut result = Tensor::zeros(self.infer(&[&x.ty]).expect("G4: the op type-checks"));
        let (mut flat, mut count) = (0, 0);
        for_each_index(&x.ty.shape, |at| {
            if x.get(flat).is_true() {
                for (d, &i) in at.iter().enumerate().filter(|_| self.result == 0) {
                    let value = Scalar::from_i64(ElemType::I64, i as i64);
                    result.set(d * x.numel() + count, value);
                }
                count += 1;
            }
            flat += 1;
        });
        if self.result == 1 {
            result.set(0, Scalar::from_i64(ElemType::I64, count as i64));
        }
        result
    }

    fn kernel(&self, args: &[&TensorType]) -> Kernel {
        Routine::NonZero(NonZero { result: 0 }).kernel(args)
    }

    fn result(&self) -> usize {
        self.result as usize
    }
}

#[cfg(test)]
mod tests {
    use super::{NonZero, TensorOp};
    use crate::tensor::Tensor;

    #[test]
    fn unused_columns_are_zero() {
        let x = Tensor::from_f32s(&[2, 2], &[0.0, 1.0, f32::NAN, -0.0]);
        let places = NonZero { result: 0 }.eval(&[&x]);
        assert_eq!(places, Tensor::from_i64s(&[2, 4], &[0, 1, 0, 0, 1, 0, 0, 0]));
        assert_eq!(NonZero { result: 1 }.eval(&[&x]), Tensor::from_i64s(&[], &[2]));
    }
}
