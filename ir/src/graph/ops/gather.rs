//! `gather`: each dimension of the data is picked by a dimension of the result or by an index
//! operand over dimensions of the result.
//!
//! Gather, GatherElements, GatherND, sampling and resizing of ONNX are all of this form. An index
//! is clamped to its dimension; what negative indices mean is settled before.

use super::{TensorOp, TypeError, attrs, ensure};
use crate::affine::Affine;
use crate::index::for_each_index;
use crate::kernel::build::{KernelBuilder, access_axes};
use crate::kernel::{Access, Index, Kernel, Lookup, Outside, Unit};
use crate::scalar::ScalarExpr;
use crate::tensor::Tensor;
use crate::types::{ElemType, Shape, TensorType};

/// What picks the position along one dimension of the data.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Pick {
    /// The position along this dimension of the result, of equal extent.
    Dim(u32),
    /// The next index operand, whose n-th dimension is the n-th of these dimensions of the result.
    Index(Vec<u32>),
}

attrs! {
    /// Operands: the data, then one i32 or i64 tensor per `Pick::Index`, in order.
    pub struct Gather {
        /// One per dimension of the data.
        picks: Vec<Pick>,
        /// The result's extents; a dimension that picks nothing repeats.
        shape: Shape = |result| result.shape.clone(),
    }
}

impl Gather {
    /// Positions along one dimension, the others whole: ONNX's `Gather` with indices of this rank.
    #[must_use]
    pub fn along(dim: usize, data: &Shape, index: &Shape) -> Gather {
        let inserted = index.rank() as u32;
        let pick = |d: usize| match d {
            d if d < dim => Pick::Dim(d as u32),
            d if d == dim => Pick::Index((d as u32..d as u32 + inserted).collect()),
            d => Pick::Dim(d as u32 - 1 + inserted),
        };
        let shape = data[..dim].iter().chain(index.iter()).chain(&data[dim + 1..]).copied();
        Gather { picks: (0..data.rank()).map(pick).collect(), shape: shape.collect() }
    }

    /// The dimensions of the result that each index operand has, in operand order.
    pub fn index_dims(&self) -> impl Iterator<Item = &[u32]> {
        index_dims(&self.picks)
    }

    fn check_dims(
        &self,
        ty: &TensorType,
        extents: &[usize],
        dims: &[u32],
    ) -> Result<(), TypeError> {
        let result = |d: &u32| self.shape.get(*d as usize).copied();
        let equal = dims.iter().map(result).eq(extents.iter().map(|&e| Some(e)));
        ensure(equal, || format!("{ty} does not fit dimensions {dims:?} of {:?}", &*self.shape))
    }
}

impl TensorOp for Gather {
    const MNEMONIC: &'static str = "gather";

    fn infer(&self, args: &[&TensorType]) -> Result<TensorType, TypeError> {
        let (x, indices) = args.split_first().ok_or("gather needs data")?;
        ensure(x.shape.rank() == self.picks.len(), || {
            format!("{} picks do not fit {x}", self.picks.len())
        })?;
        ensure(self.index_dims().count() == indices.len(), || {
            format!("found {} index operands", indices.len())
        })?;
        for (index, dims) in indices.iter().zip(self.index_dims()) {
            ensure(matches!(index.elem, ElemType::I32 | ElemType::I64), || {
                format!("indices of type {}", index.elem)
            })?;
            self.check_dims(index, &index.shape, dims)?;
        }
        for (pick, &extent) in self.picks.iter().zip(x.shape.iter()) {
            match pick {
                Pick::Dim(d) => self.check_dims(x, &[extent], &[*d])?,
                Pick::Index(_) => ensure(extent > 0 || self.shape.numel() == 0, || {
                    format!("nothing can be picked from {x}")
                })?,
            }
        }
        Ok(x.with_shape(self.shape.clone()))
    }

    fn eval(&self, args: &[&Tensor]) -> Tensor {
        let ty = args[0].ty.with_shape(self.shape.clone());
        let (size, strides) = (ty.elem.bytes(), args[0].ty.shape.strides());
        let mut bytes = Vec::with_capacity(ty.bytes());
        for_each_index(&self.shape, |at| {
            let mut indices = args[1..].iter();
            let mut from = 0;
            for (d, pick) in self.picks.iter().enumerate() {
                from += strides[d]
                    * match pick {
                        Pick::Dim(axis) => at[*axis as usize],
                        Pick::Index(dims) => {
                            let index = indices.next().expect("G4: one operand per index");
                            look_up(index, dims, at, args[0].ty.shape[d])
                        }
                    };
            }
            bytes.extend_from_slice(&args[0].bytes()[from * size..(from + 1) * size]);
        });
        Tensor::from_bytes(ty, bytes)
    }

    fn kernel(&self, args: &[&TensorType]) -> Kernel {
        let ty = args[0].with_shape(self.shape.clone());
        let mut b = KernelBuilder::new("gather");
        let axes = b.parallel(&ty.shape);
        let operand = b.read(args[0]);
        let mut tables = args[1..].iter();
        let place = |d: &u32| Affine::var(axes[*d as usize]);
        let mut index = |pick: &Pick| match pick {
            Pick::Dim(d) => Index::Affine(place(d)),
            Pick::Index(dims) => {
                let operand = b.read(tables.next().expect("G4: one operand per index"));
                Index::Lookup(Lookup { operand, index: dims.iter().map(place).collect() })
            }
        };
        let index = self.picks.iter().map(&mut index).collect();
        let read = Access { operand, index, outside: Outside::Never, unit: Unit::Element };
        let write = access_axes(b.write(&ty), &axes);
        b.map_stage(axes, vec![read], ScalarExpr::identity(), write);
        b.finish()
    }
}

/// The dimensions over which each index operand is, in operand order.
pub(super) fn index_dims(picks: &[Pick]) -> impl Iterator<Item = &[u32]> {
    picks.iter().filter_map(|pick| match pick {
        Pick::Index(dims) => Some(dims.as_slice()),
        Pick::Dim(_) => None,
    })
}

/// The index for a position of the result, clamped to `0..extent`.
pub(super) fn look_up(index: &Tensor, dims: &[u32], at: &[usize], extent: usize) -> usize {
    let strides = index.ty.shape.strides();
    let flat = dims.iter().zip(strides).map(|(&d, stride)| at[d as usize] * stride).sum();
    index.get(flat).as_i64().clamp(0, extent as i64 - 1) as usize
}

#[cfg(test)]
mod tests {
    use super::{Gather, Pick, TensorOp};
    use crate::tensor::Tensor;
    use crate::types::{ElemType, Shape, TensorType};

    #[test]
    fn rows_are_picked_by_a_matrix_of_indices() {
        let x = Tensor::from_f32s(&[3, 2], &[0.0, 1.0, 10.0, 11.0, 20.0, 21.0]);
        let index = Tensor::from_i64s(&[2, 1], &[2, 0]);
        let op = Gather::along(0, &x.ty.shape, &index.ty.shape);
        assert_eq!(op.eval(&[&x, &index]), Tensor::from_f32s(&[2, 1, 2], &[20.0, 21.0, 0.0, 1.0]));
    }

    #[test]
    fn indices_are_clamped() {
        let x = Tensor::from_i64s(&[3], &[5, 6, 7]);
        let index = Tensor::from_i64s(&[2], &[-4, 9]);
        let op = Gather::along(0, &x.ty.shape, &index.ty.shape);
        assert_eq!(op.eval(&[&x, &index]).to_i64s(), [5, 7]);
    }

    #[test]
    fn two_indices_sample_an_image() {
        let x = Tensor::from_i64s(&[2, 2], &[0, 1, 10, 11]);
        let [rows, columns] = [[1, 0, 1], [0, 1, 1]].map(|i| Tensor::from_i64s(&[3], &i));
        let picks = vec![Pick::Index(vec![0]), Pick::Index(vec![0])];
        let op = Gather { picks, shape: Shape::new(&[3]) };
        assert_eq!(op.eval(&[&x, &rows, &columns]).to_i64s(), [10, 1, 11]);
    }

    #[test]
    fn only_integers_over_dimensions_of_the_result_pick() {
        let data = TensorType::new(ElemType::F32, &[4]);
        let op = Gather { picks: vec![Pick::Index(vec![0])], shape: Shape::new(&[3]) };
        let with = |index: TensorType| op.infer(&[&data, &index]);
        assert!(with(TensorType::new(ElemType::I32, &[3])).is_ok());
        assert!(with(TensorType::new(ElemType::F32, &[3])).is_err());
        assert!(with(TensorType::new(ElemType::I64, &[4])).is_err());
        assert!(op.infer(&[&data]).is_err());
    }
}
