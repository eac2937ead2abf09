//! `map`: `y[i] = body(x0[i], x1[i], …)`; all operands have the result's shape (G5).

use super::{TensorOp, TypeError, attrs, ensure};
use crate::kernel::Kernel;
use crate::kernel::build::{KernelBuilder, access_axes};
use crate::scalar::ScalarExpr;
use crate::scalar::eval::eval;
use crate::tensor::{Scalar, Tensor};
use crate::types::{ElemType, TensorType};

attrs! {
    /// Element-wise computation.
    pub struct Map {
        /// One parameter per operand.
        body: ScalarExpr,
    }
}

impl TensorOp for Map {
    const MNEMONIC: &'static str = "map";

    fn infer(&self, args: &[&TensorType]) -> Result<TensorType, TypeError> {
        let first = args.first().ok_or("a map needs an operand")?;
        for arg in args {
            ensure(arg.shape == first.shape, || {
                format!("operand {arg} differs in shape from {first}")
            })?;
        }
        let elems: Vec<ElemType> = args.iter().map(|a| a.elem).collect();
        let elem = self.body.infer(&elems).ok_or("the body does not type-check")?;
        Ok(first.with_elem(elem))
    }

    fn eval(&self, args: &[&Tensor]) -> Tensor {
        let types: Vec<&TensorType> = args.iter().map(|a| &a.ty).collect();
        let ty = self.infer(&types).expect("G4: the op type-checks");
        Tensor::from_fn(ty, |i| {
            let point: Vec<Scalar> = args.iter().map(|a| a.get(i)).collect();
            eval(&self.body, &point)
        })
    }

    fn kernel(&self, args: &[&TensorType]) -> Kernel {
        let ty = self.infer(args).expect("G4: the op type-checks");
        let mut b = KernelBuilder::new("map");
        let axes = b.parallel(&ty.shape);
        let reads = args.iter().map(|a| access_axes(b.read(a), &axes)).collect();
        let write = access_axes(b.write(&ty), &axes);
        b.map_stage(axes, reads, self.body.clone(), write);
        b.finish()
    }
}
