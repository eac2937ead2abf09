//! `topk`: the `k` largest or smallest elements along a dimension, in order, and their positions.

use super::{TensorOp, TypeError, arity, attrs, ensure};
use crate::index::for_each_index;
use crate::kernel::Kernel;
use crate::kernel::routine::Routine;
use crate::tensor::{Scalar, Tensor};
use crate::types::{ElemType, TensorType};
use std::cmp::Ordering;

attrs! {
    /// ONNX `TopK`, sorted. Of equal elements the one at the lower position comes first; a NaN
    /// counts as the element that comes last.
    pub struct TopK {
        /// The dimension that is searched.
        axis: u32,
        /// How many elements are kept.
        k: u32,
        /// Whether the largest come first.
        largest: bool = |_| true,
        /// 0 for the elements, 1 for their positions as `i64`.
        result: u32 = |_| 0,
    }
}

impl TopK {
    /// The rank of an element that is not NaN before others, and of a NaN.
    #[must_use]
    pub fn last_rank(&self, elem: ElemType) -> Scalar {
        let bits = 8 * elem.bytes() as u32;
        match (elem, self.largest) {
            (e, true) if e.is_float() => Scalar::from_f64(e, f64::NEG_INFINITY),
            (e, false) if e.is_float() => Scalar::from_f64(e, f64::INFINITY),
            (e, true) if e.is_signed_int() => Scalar::from_bits(e, 1 << (bits - 1)),
            (e, false) if e.is_signed_int() => Scalar::from_bits(e, (1 << (bits - 1)) - 1),
            (e, true) => Scalar::from_bits(e, 0),
            (e, false) => Scalar::from_bits(e, u64::MAX),
        }
    }

    fn order(&self, a: Scalar, b: Scalar) -> Ordering {
        let rank = |x: Scalar| if x.as_f64().is_nan() { self.last_rank(x.elem()) } else { x };
        let (a, b) = (rank(a), rank(b));
        let ascending = match a.elem() {
            e if e.is_float() => a.as_f64().partial_cmp(&b.as_f64()).expect("ranks are no NaN"),
            ElemType::U64 => a.bits().cmp(&b.bits()),
            _ => a.as_i64().cmp(&b.as_i64()),
        };
        if self.largest { ascending.reverse() } else { ascending }
    }
}

impl TensorOp for TopK {
    const MNEMONIC: &'static str = "topk";

    fn infer(&self, args: &[&TensorType]) -> Result<TensorType, TypeError> {
        let [x] = arity::<1>(args)?;
        let extent = x.shape.get(self.axis as usize).copied();
        ensure(extent.is_some_and(|e| self.k as usize <= e), || {
            format!("{x} has no {} elements along dimension {}", self.k, self.axis)
        })?;
        ensure(x.elem != ElemType::Bool && self.result < 2, || {
            format!("there is no result {} over {x}", self.result)
        })?;
        let mut ty = x.with_elem(if self.result == 0 { x.elem } else { ElemType::I64 });
        ty.shape.dims_mut()[self.axis as usize] = self.k as usize;
        Ok(ty)
    }

    fn eval(&self, args: &[&Tensor]) -> Tensor {
        let x = args[0];
        let ty = self.infer(&[&x.ty]).expect("G4: the op type-checks");
        let (axis, strides) = (self.axis as usize, x.ty.shape.strides());
        let to = ty.shape.strides();
        let mut outside = ty.shape.clone();
        outside.dims_mut()[axis] = 1;
        let mut result = Tensor::zeros(ty);
        for_each_index(&outside, |at| {
            let flat = |s: &[usize]| at.iter().zip(s).map(|(i, s)| i * s).sum::<usize>();
            let row: Vec<Scalar> =
                (0..x.ty.shape[axis]).map(|n| x.get(flat(&strides) + n * strides[axis])).collect();
            let mut places: Vec<usize> = (0..row.len()).collect();
            places.sort_by(|&a, &b| self.order(row[a], row[b]));
            for (n, &place) in places.iter().take(self.k as usize).enumerate() {
                let index = Scalar::from_i64(ElemType::I64, place as i64);
                let value = if self.result == 0 { row[place] } else { index };
                result.set(flat(&to) + n * to[axis], value);
            }
        });
        result
    }

    fn kernel(&self, args: &[&TensorType]) -> Kernel {
        Routine::TopK(TopK { result: 0, ..self.clone() }).kernel(args)
    }

    fn result(&self) -> usize {
        self.result as usize
    }
}

#[cfg(test)]
mod tests {
    use super::{TensorOp, TopK};
    use crate::tensor::Tensor;

    fn top(k: u32, largest: bool, x: &[f32]) -> (Vec<f32>, Vec<i64>) {
        let x = Tensor::from_f32s(&[x.len()], x);
        let [values, places] =
            [0, 1].map(|result| TopK { axis: 0, k, largest, result }.eval(&[&x]));
        (values.to_f32s(), places.to_i64s())
    }

    #[test]
    fn equal_elements_keep_their_order() {
        assert_eq!(top(3, true, &[1.0, 3.0, 2.0, 3.0]), (vec![3.0, 3.0, 2.0], vec![1, 3, 2]));
        assert_eq!(top(2, false, &[1.0, 0.0, 2.0, 0.0]), (vec![0.0, 0.0], vec![1, 3]));
    }

    #[test]
    fn nan_comes_last() {
        let (values, places) = top(3, true, &[f32::NAN, 1.0, f32::NEG_INFINITY]);
        assert_eq!((values[0], places), (1.0, vec![1, 0, 2]));
        assert!(values[1].is_nan());
    }
}
