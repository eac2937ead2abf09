//! Wide numbers: what sums of products are accumulated in (see `docs/numerics.md`).

use crate::tensor::{Scalar, Tensor};
use crate::types::{ElemType, TensorType};

/// `f64` for floats, so that the order of a sum does not show in its `f32` rounding; wrapping `i64`
/// for integers, which agrees with the element type's own wrapping.
pub(super) trait Wide: Copy {
    /// The empty sum.
    const ZERO: Self;

    /// `self + a·b`.
    fn plus_product(self, a: Self, b: Self) -> Self;

    /// All elements minus `zero`, widened.
    fn load(tensor: &Tensor, zero: i32) -> Vec<Self>;

    /// Rounds or wraps to the type's elements.
    fn store(ty: TensorType, values: &[Self]) -> Tensor;
}

impl Wide for f64 {
    const ZERO: f64 = 0.0;

    fn plus_product(self, a: f64, b: f64) -> f64 {
        self + a * b
    }

    fn load(tensor: &Tensor, zero: i32) -> Vec<f64> {
        match tensor.ty.elem {
            ElemType::F32 => floats(tensor).map(|v| f64::from(v) - f64::from(zero)).collect(),
            _ => tensor.iter().map(|v| v.as_f64() - f64::from(zero)).collect(),
        }
    }

    fn store(ty: TensorType, values: &[f64]) -> Tensor {
        match ty.elem {
            ElemType::F32 => from_floats(ty, values.iter().map(|&v| v as f32)),
            elem => Tensor::from_fn(ty, |i| Scalar::from_f64(elem, values[i])),
        }
    }
}

impl Wide for i64 {
    const ZERO: i64 = 0;

    fn plus_product(self, a: i64, b: i64) -> i64 {
        self.wrapping_add(a.wrapping_mul(b))
    }

    fn load(tensor: &Tensor, zero: i32) -> Vec<i64> {
        tensor.iter().map(|v| v.as_i64().wrapping_sub(i64::from(zero))).collect()
    }

    fn store(ty: TensorType, values: &[i64]) -> Tensor {
        let elem = ty.elem;
        Tensor::from_fn(ty, |i| Scalar::from_i64(elem, values[i]))
    }
}

/// The elements of an `f32` tensor.
pub(super) fn floats(tensor: &Tensor) -> impl Iterator<Item = f32> + '_ {
    tensor.bytes().as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b))
}

/// An `f32` tensor of these elements.
pub(super) fn from_floats(ty: TensorType, values: impl Iterator<Item = f32>) -> Tensor {
    let mut bytes = Vec::with_capacity(ty.bytes());
    values.for_each(|v| bytes.extend_from_slice(&v.to_le_bytes()));
    Tensor::from_bytes(ty, bytes)
}
