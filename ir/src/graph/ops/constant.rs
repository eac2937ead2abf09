//! `const`: a tensor of the graph's pool.

use super::{TensorOp, TypeError, arity, attrs};
use crate::kernel::{ConstId, Kernel};
use crate::tensor::Tensor;
use crate::types::TensorType;

attrs! {
    /// A constant; the bytes are in the pool of the graph.
    pub struct Const {
        /// Position in the pool.
        id: ConstId,
        /// Its type.
        ty: TensorType = |result| result.clone(),
    }
}

impl TensorOp for Const {
    const MNEMONIC: &'static str = "const";

    fn infer(&self, args: &[&TensorType]) -> Result<TensorType, TypeError> {
        arity::<0>(args)?;
        Ok(self.ty.clone())
    }

    fn eval(&self, _args: &[&Tensor]) -> Tensor {
        unreachable!("a constant's value is in the pool")
    }

    fn kernel(&self, _args: &[&TensorType]) -> Kernel {
        unreachable!("a constant is a buffer, not a computation")
    }
}
