//! `reduce`: combines all elements along some dimensions, which stay with extent 1.

use super::fold::Fold;
use super::{TensorOp, TypeError, arity, attrs, ensure};
use crate::affine::Affine;
use crate::index::{Walk, for_each_row};
use crate::kernel::build::{KernelBuilder, access, access_axes};
use crate::kernel::{AxisKind, Kernel};
use crate::scalar::ScalarExpr;
use crate::scalar::func::ScalarFn;
use crate::tensor::Tensor;
use crate::types::{ElemType, TensorType};

attrs! {
    /// Reduction over whole dimensions.
    pub struct Reduce {
        /// `add`, `max`, `min` or `mul`.
        func: ScalarFn,
        /// The reduced dimensions, ascending.
        dims: Vec<u32>,
    }
}

impl TensorOp for Reduce {
    const MNEMONIC: &'static str = "reduce";

    fn infer(&self, args: &[&TensorType]) -> Result<TensorType, TypeError> {
        let [x] = arity::<1>(args)?;
        let known = self.func.identity(x.elem).is_some() && x.elem != ElemType::Bool;
        ensure(known, || format!("{} cannot reduce {x}", self.func.info().mnemonic))?;
        ensure(self.dims.is_sorted_by(|a, b| a < b), || "reduced dimensions must ascend".into())?;
        let mut ty = (*x).clone();
        for &d in &self.dims {
            ensure((d as usize) < x.shape.rank(), || format!("{x} has no dimension {d}"))?;
            ty.shape.dims_mut()[d as usize] = 1;
        }
        Ok(ty)
    }

    fn eval(&self, args: &[&Tensor]) -> Tensor {
        let ty = self.infer(&[&args[0].ty]).expect("G4: the op type-checks");
        let mut to = Walk::dense(&ty.shape);
        for &d in &self.dims {
            to.strides[d as usize] = 0;
        }
        let mut fold = Fold::new(self.func, args[0], ty);
        let shape = &args[0].ty.shape;
        for_each_row(shape, &Walk::dense(shape), &to, |row| fold.row(row));
        fold.finish()
    }

    fn kernel(&self, args: &[&TensorType]) -> Kernel {
        let ty = self.infer(args).expect("G4: the op type-checks");
        let mut b = KernelBuilder::new("reduce");
        let is_reduced = |d: usize| self.dims.contains(&(d as u32));
        let kind = |d| if is_reduced(d) { AxisKind::Reduce } else { AxisKind::Parallel };
        let all: Vec<_> =
            args[0].shape.iter().enumerate().map(|(d, &e)| b.axis(e, kind(d))).collect();
        let x = access_axes(b.read(args[0]), &all);
        let zeroed = |d| if is_reduced(d) { Affine::constant(0) } else { Affine::var(all[d]) };
        let write = access(b.write(&ty), (0..all.len()).map(zeroed).collect());
        let (reduced, kept): (Vec<usize>, Vec<usize>) =
            (0..all.len()).partition(|&d| is_reduced(d));
        let axes = kept.into_iter().chain(reduced).map(|d| all[d]).collect();
        let init = self.func.identity(ty.elem).expect("G4: the op type-checks");
        let reduce = crate::kernel::Reduce { func: self.func, init };
        b.reduce_stage(axes, vec![x], ScalarExpr::identity(), reduce, write);
        b.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::{Reduce, TensorOp};
    use crate::scalar::func::ScalarFn;
    use crate::tensor::Tensor;

    #[test]
    fn reduced_dimensions_stay_with_extent_one() {
        let x = Tensor::from_f32s(&[2, 2], &[1.0, 2.0, 3.0, 4.0]);
        let y = Reduce { func: ScalarFn::Add, dims: vec![0] }.eval(&[&x]);
        assert_eq!(y, Tensor::from_f32s(&[1, 2], &[4.0, 6.0]));
    }

    #[test]
    fn no_elements_reduce_to_the_neutral_one() {
        let x = Tensor::from_f32s(&[2, 0], &[]);
        let y = Reduce { func: ScalarFn::Max, dims: vec![1] }.eval(&[&x]);
        assert_eq!(y, Tensor::from_f32s(&[2, 1], &[f32::NEG_INFINITY; 2]));
    }
}
