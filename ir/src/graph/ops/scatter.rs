//! `scatter`: the data with updates written over it, or combined with it, where indices say.
//!
//! ScatterElements and ScatterND of ONNX are of this form. As in `gather` an index is clamped to
//! its dimension; what negative indices mean is settled before.

use super::gather::{Pick, index_dims, look_up};
use super::{TensorOp, TypeError, attrs, ensure};
use crate::index::for_each_index;
use crate::kernel::Kernel;
use crate::kernel::routine::Routine;
use crate::scalar::ScalarExpr;
use crate::scalar::eval::eval;
use crate::tensor::Tensor;
use crate::types::{ElemType, TensorType};

attrs! {
    /// Operands: the data, the updates, then one i32 or i64 tensor per `Pick::Index`, in order.
    pub struct Scatter {
        /// One per dimension of the data, over the dimensions of the updates.
        picks: Vec<Pick>,
        /// The new element from the old one and an update; updates come in row-major order.
        combine: ScalarExpr = |_| replace(),
    }
}

/// `(old, new) -> new`.
fn replace() -> ScalarExpr {
    ScalarExpr::build(2, |b| b.param(1))
}

impl Scatter {
    /// The last update wins.
    #[must_use]
    pub fn replacing(picks: Vec<Pick>) -> Scatter {
        Scatter { picks, combine: replace() }
    }

    /// The dimensions of the updates that each index operand has, in operand order.
    pub fn index_dims(&self) -> impl Iterator<Item = &[u32]> {
        index_dims(&self.picks)
    }
}

impl TensorOp for Scatter {
    const MNEMONIC: &'static str = "scatter";

    fn infer(&self, args: &[&TensorType]) -> Result<TensorType, TypeError> {
        let [data, updates, indices @ ..] = args else {
            return Err("scatter needs data and updates".into());
        };
        let elems = [data.elem, updates.elem];
        let fits = elems[0] == elems[1] && self.combine.infer(&elems) == Some(data.elem);
        ensure(fits && self.combine.params() == 2, || {
            format!("{updates} cannot be combined with {data}")
        })?;
        let counts = data.shape.rank() == self.picks.len();
        ensure(counts && self.index_dims().count() == indices.len(), || {
            format!("{} picks and {} indices do not fit {data}", self.picks.len(), indices.len())
        })?;
        let extent = |d: &u32| updates.shape.get(*d as usize).copied();
        for (index, dims) in indices.iter().zip(self.index_dims()) {
            let integer = matches!(index.elem, ElemType::I32 | ElemType::I64);
            let equal = dims.iter().map(extent).eq(index.shape.iter().map(|&e| Some(e)));
            ensure(integer && equal, || format!("{index} does not index {updates} by {dims:?}"))?;
        }
        for (pick, &room) in self.picks.iter().zip(data.shape.iter()) {
            let fits = match pick {
                Pick::Dim(d) => extent(d).is_some_and(|e| e <= room),
                Pick::Index(_) => room > 0 || updates.shape.numel() == 0,
            };
            ensure(fits, || format!("{updates} does not fit into {data}"))?;
        }
        Ok((*data).clone())
    }

    fn eval(&self, args: &[&Tensor]) -> Tensor {
        let (mut result, updates) = (args[0].clone(), args[1]);
        let shape = args[0].ty.shape.clone();
        let mut from = 0;
        for_each_index(&updates.ty.shape, |at| {
            let mut indices = args[2..].iter();
            let to = self.picks.iter().zip(shape.iter()).fold(0, |flat, (pick, &extent)| {
                flat * extent
                    + match pick {
                        Pick::Dim(axis) => at[*axis as usize],
                        Pick::Index(dims) => {
                            let index = indices.next().expect("G4: one operand per index");
                            look_up(index, dims, at, extent)
                        }
                    }
            });
            let value = eval(&self.combine, &[result.get(to), updates.get(from)]);
            result.set(to, value);
            from += 1;
        });
        result
    }

    fn kernel(&self, args: &[&TensorType]) -> Kernel {
        Routine::Scatter(self.clone()).kernel(args)
    }
}

#[cfg(test)]
mod tests {
    use super::{Pick, Scatter, TensorOp};
    use crate::scalar::ScalarExpr;
    use crate::scalar::func::ScalarFn;
    use crate::tensor::Tensor;

    #[test]
    fn the_last_of_several_updates_wins() {
        let data = Tensor::from_i64s(&[3], &[5, 6, 7]);
        let updates = Tensor::from_i64s(&[3], &[1, 2, 3]);
        let index = Tensor::from_i64s(&[3], &[2, 0, 2]);
        let op = Scatter::replacing(vec![Pick::Index(vec![0])]);
        assert_eq!(op.eval(&[&data, &updates, &index]).to_i64s(), [2, 6, 3]);
        let sum = Scatter { combine: ScalarExpr::call(ScalarFn::Add), ..op };
        assert_eq!(sum.eval(&[&data, &updates, &index]).to_i64s(), [7, 6, 11]);
    }

    #[test]
    fn rows_are_scattered_whole() {
        let data = Tensor::from_i64s(&[2, 2], &[0, 0, 0, 0]);
        let updates = Tensor::from_i64s(&[1, 2], &[1, 2]);
        let op = Scatter::replacing(vec![Pick::Index(vec![0]), Pick::Dim(1)]);
        let index = Tensor::from_i64s(&[1], &[9]);
        assert_eq!(op.eval(&[&data, &updates, &index]).to_i64s(), [0, 0, 1, 2]);
    }
}
