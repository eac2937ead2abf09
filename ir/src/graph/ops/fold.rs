//! Reference reductions by a scalar function, shared by `reduce` and `pool`.

use crate::index::Row;
use crate::scalar::eval::{apply, cast};
use crate::scalar::func::ScalarFn;
use crate::tensor::{Scalar, Tensor};
use crate::types::{ElemType, TensorType};

/// A reduction in progress: floats are held as `f64` (see `docs/numerics.md`).
pub(super) struct Fold {
    func: ScalarFn,
    ty: TensorType,
    source: Vec<Scalar>,
    acc: Vec<Scalar>,
}

impl Fold {
    /// Starts at the neutral element for each element of `ty`, which `x` is reduced to.
    pub(super) fn new(func: ScalarFn, x: &Tensor, ty: TensorType) -> Fold {
        let wide = if ty.elem.is_float() { ElemType::F64 } else { ty.elem };
        let init = func.identity(ty.elem).expect("G4: the op type-checks");
        Fold {
            func,
            source: x.iter().map(|v| cast(wide, v)).collect(),
            acc: vec![cast(wide, init); ty.shape.numel()],
            ty,
        }
    }

    /// Combines the elements of `x` at a row's first walk into the results at its second.
    pub(super) fn row(&mut self, row: Row) {
        for (from, to) in row.points() {
            self.acc[to] = apply(self.func, &[self.acc[to], self.source[from]]);
        }
    }

    /// The results, rounded to the element type.
    pub(super) fn finish(self) -> Tensor {
        let elem = self.ty.elem;
        Tensor::from_fn(self.ty, |i| cast(elem, self.acc[i]))
    }
}
