//! `input`: the n-th tensor given by the caller.

use super::{TensorOp, TypeError, arity, attrs};
use crate::kernel::Kernel;
use crate::tensor::Tensor;
use crate::types::TensorType;

attrs! {
    /// The caller's n-th input.
    pub struct Input {
        /// Position among the graph's inputs.
        index: u32,
        /// Its type.
        ty: TensorType = |result| result.clone(),
    }
}

impl TensorOp for Input {
    const MNEMONIC: &'static str = "input";

    fn infer(&self, args: &[&TensorType]) -> Result<TensorType, TypeError> {
        arity::<0>(args)?;
        Ok(self.ty.clone())
    }

    fn eval(&self, _args: &[&Tensor]) -> Tensor {
        unreachable!("an input's value comes from the caller")
    }

    fn kernel(&self, _args: &[&TensorType]) -> Kernel {
        unreachable!("an input is a buffer, not a computation")
    }
}
