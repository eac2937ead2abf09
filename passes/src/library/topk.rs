//! `topk`: by repeated selection for a few elements, by a sorting network for more.
//!
//! Elements are compared by rank, which a NaN shares with the last of all elements, and then by
//! position, so that the order is total and does not depend on the method.

mod network;
mod selection;

use super::{at, load, params, select, types};
use edgecc_ir::affine::Affine;
use edgecc_ir::graph::ops::TopK;
use edgecc_ir::kernel::Kernel;
use edgecc_ir::loops::build::LoopBuilder;
use edgecc_ir::loops::{IndexId, ParamId, ValueId};
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::tensor::Scalar;
use edgecc_ir::types::{ElemType, TensorType};

/// Up to this many elements are selected one after the other.
const FEW: usize = 4;

pub(super) fn lower(b: &mut LoopBuilder, op: &TopK, kernel: &Kernel) {
    let types = types::<3>(kernel);
    let [x, values, places] = params(b, kernel, types.map(|ty| rows(&ty, op.axis as usize)));
    let ty = b.func().params[x].ty.clone();
    let (outer, extent, inner) = (ty.shape[0], ty.shape[1], ty.shape[2]);
    let rows = Rows { op, extent, elem: ty.elem, x, values, places };
    let network = (op.k as usize > FEW).then(|| network::Network::new(b, &rows));
    b.for_each(outer, |b, o| {
        b.for_each(inner, |b, i| match &network {
            Some(network) => network.row(b, &rows, [o, i]),
            None => selection::row(b, &rows, [o, i]),
        });
    });
}

/// A shape in three parts: before, along and after a dimension.
fn rows(ty: &TensorType, axis: usize) -> TensorType {
    let size = |dims: &[usize]| dims.iter().product();
    let shape = [size(&ty.shape[..axis]), ty.shape[axis], size(&ty.shape[axis + 1..])];
    TensorType::new(ty.elem, &shape)
}

/// What is searched and where the results go.
struct Rows<'a> {
    op: &'a TopK,
    /// Number of elements of a row.
    extent: usize,
    elem: ElemType,
    x: ParamId,
    values: ParamId,
    places: ParamId,
}

/// An element as it is compared.
#[derive(Clone, Copy)]
struct Ranked {
    rank: ValueId,
    place: ValueId,
}

impl Rows<'_> {
    /// The type of ranks; half floats are compared as what they are computed in.
    fn rank_type(&self) -> ElemType {
        if self.elem == ElemType::F16 { ElemType::F32 } else { self.elem }
    }

    /// The rank of what comes last.
    fn last_rank(&self) -> Scalar {
        self.op.last_rank(self.rank_type())
    }

    /// The rank of what comes first.
    fn first_rank(&self) -> Scalar {
        TopK { largest: !self.op.largest, ..self.op.clone() }.last_rank(self.rank_type())
    }

    /// The rank of an element of the row.
    fn rank(&self, b: &mut LoopBuilder, [o, i]: [IndexId; 2], j: IndexId) -> ValueId {
        let value = load(b, self.x, vec![at(o), at(j), at(i)]);
        let value = b.cast(self.rank_type(), value);
        if !self.elem.is_float() {
            return value;
        }
        let number = b.apply(ScalarFn::Eq, &[value, value]);
        let last = b.constant(self.last_rank(), 1);
        select(b, number, value, last)
    }

    /// Whether `first` comes before `second`.
    fn precedes(&self, b: &mut LoopBuilder, first: Ranked, second: Ranked) -> ValueId {
        let (low, high) =
            if self.op.largest { (second.rank, first.rank) } else { (first.rank, second.rank) };
        let before = b.apply(ScalarFn::Lt, &[low, high]);
        let equal = b.apply(ScalarFn::Eq, &[low, high]);
        let earlier = b.apply(ScalarFn::Lt, &[first.place, second.place]);
        let tie = b.apply(ScalarFn::And, &[equal, earlier]);
        b.apply(ScalarFn::Or, &[before, tie])
    }

    /// Stores the n-th result of a row: the position, and the element with all its bits.
    fn store(&self, b: &mut LoopBuilder, [o, i]: [IndexId; 2], n: IndexId, place: ValueId) {
        let to: Vec<Affine<IndexId>> = vec![at(o), at(n), at(i)];
        let index = b.index(self.extent, place);
        let value = load(b, self.x, vec![at(o), at(index), at(i)]);
        let place = b.cast(ElemType::I64, place);
        b.store(self.values, to.clone(), value, 1);
        b.store(self.places, to, place, 1);
    }
}

#[cfg(test)]
mod tests {
    use crate::library::testing::{check, check_op};
    use edgecc_ir::graph::ops::{OpTag, TopK};
    use edgecc_ir::tensor::{Scalar, Tensor};
    use edgecc_ir::types::{ElemType, TensorType};

    #[test]
    fn results_are_those_of_the_evaluator() {
        check(OpTag::TopK, 100);
    }

    #[test]
    fn networks_sort_rows_of_any_length() {
        let ty = |n| TensorType::new(ElemType::F32, &[2, n]);
        let mixed = |i: usize| match (i * 7919) % 31 {
            0 => Scalar::f32(f32::NAN),
            r => Scalar::f32(r as f32 - 15.0),
        };
        for (n, k) in [(5, 5), (8, 8), (33, 7), (64, 5), (100, 9), (37, 37)] {
            for largest in [true, false] {
                let x = Tensor::from_fn(ty(n), mixed);
                check_op(&TopK { axis: 1, k, largest, result: 1 }.into(), &[x]);
            }
        }
    }
}
