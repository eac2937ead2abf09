//! Typed host tensors (constants and reference values) and single scalars.

use crate::types::{ElemType, TensorType};
use std::fmt;

/// One typed number. Compares and hashes by bits, so NaN and −0 are ordinary values.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scalar {
    elem: ElemType,
    bits: u64,
}

impl Scalar {
    /// A scalar from its little-endian bit pattern; bits above the type's width are dropped.
    #[must_use]
    pub fn from_bits(elem: ElemType, bits: u64) -> Scalar {
        let width = 8 * elem.bytes() as u32;
        Scalar { elem, bits: bits & (u64::MAX >> (64 - width)) }
    }

    /// An `f32`.
    #[must_use]
    pub fn f32(value: f32) -> Scalar {
        Scalar::from_bits(ElemType::F32, u64::from(value.to_bits()))
    }

    /// A boolean.
    #[must_use]
    pub fn bool(value: bool) -> Scalar {
        Scalar::from_bits(ElemType::Bool, u64::from(value))
    }

    /// `value` rounded to a float type, or truncated and wrapped to an integer type.
    #[must_use]
    pub fn from_f64(elem: ElemType, value: f64) -> Scalar {
        match elem {
            ElemType::F64 => Scalar::from_bits(elem, value.to_bits()),
            ElemType::F32 => Scalar::f32(value as f32),
            ElemType::F16 => Scalar::from_bits(elem, u64::from(f64_to_f16(value))),
            ElemType::Bool => Scalar::bool(value != 0.0),
            _ => Scalar::from_i64(elem, value as i64),
        }
    }

    /// `value` rounded to a float type, or wrapped to an integer type.
    #[must_use]
    pub fn from_i64(elem: ElemType, value: i64) -> Scalar {
        match elem {
            ElemType::F32 => Scalar::f32(value as f32),
            ElemType::F64 | ElemType::F16 => Scalar::from_f64(elem, value as f64),
            ElemType::Bool => Scalar::bool(value != 0),
            _ => Scalar::from_bits(elem, value as u64),
        }
    }

    /// The type.
    #[must_use]
    pub fn elem(self) -> ElemType {
        self.elem
    }

    /// The bit pattern.
    #[must_use]
    pub fn bits(self) -> u64 {
        self.bits
    }

    /// The value as `f64`; exact for all types but 64-bit integers.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        match self.elem {
            ElemType::F64 => f64::from_bits(self.bits),
            ElemType::F32 => f64::from(f32::from_bits(self.bits as u32)),
            ElemType::F16 => f16_to_f64(self.bits as u16),
            ElemType::U64 => self.bits as f64,
            _ => self.as_i64() as f64,
        }
    }

    /// The value as `f32`.
    #[must_use]
    pub fn as_f32(self) -> f32 {
        match self.elem {
            ElemType::F32 => f32::from_bits(self.bits as u32),
            _ => self.as_f64() as f32,
        }
    }

    /// The value as `i64`: sign- or zero-extended integers, truncated floats.
    #[must_use]
    pub fn as_i64(self) -> i64 {
        if self.elem.is_float() {
            return self.as_f64() as i64;
        }
        let unused = 64 - 8 * self.elem.bytes() as u32;
        match self.elem.is_signed_int() {
            true => ((self.bits << unused) as i64) >> unused,
            false => self.bits as i64,
        }
    }

    /// Whether the value is not zero.
    #[must_use]
    pub fn is_true(self) -> bool {
        if self.elem.is_float() { self.as_f64() != 0.0 } else { self.bits != 0 }
    }
}

impl fmt::Debug for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.elem {
            e if e.is_float() => write!(f, "{:?}{e}", self.as_f64()),
            e => write!(f, "{}{e}", self.as_i64()),
        }
    }
}

fn f16_to_f64(half: u16) -> f64 {
    let sign = if half >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, mantissa) = (i32::from(half >> 10 & 31), f64::from(half & 1023));
    match exponent {
        0 => sign * mantissa * 2f64.powi(-24),
        31 if mantissa == 0.0 => sign * f64::INFINITY,
        31 => f64::NAN,
        e => sign * (1.0 + mantissa / 1024.0) * 2f64.powi(e - 15),
    }
}

/// Rounds to nearest, ties to even (IEEE 754-2008 binary16).
fn f64_to_f16(value: f64) -> u16 {
    let sign = (value.is_sign_negative() as u16) << 15;
    let magnitude = value.abs();
    if value.is_nan() {
        return sign | 0x7e00;
    }
    if magnitude >= 65520.0 {
        return sign | 0x7c00;
    }
    let exponent = (magnitude.log2().floor() as i32).max(-14);
    let exponent = if magnitude >= 2f64.powi(exponent + 1) { exponent + 1 } else { exponent };
    let units = (magnitude * 2f64.powi(10 - exponent)).round_ties_even() as u16;
    sign | (((exponent + 14) as u16) << 10).wrapping_add(units)
}

/// A dense row-major tensor in host memory, elements little-endian.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Tensor {
    /// Type and shape.
    pub ty: TensorType,
    bytes: Vec<u8>,
}

impl Tensor {
    /// A tensor from its bytes.
    ///
    /// # Panics
    /// When the length is not the type's size.
    #[must_use]
    pub fn from_bytes(ty: TensorType, bytes: Vec<u8>) -> Tensor {
        assert_eq!(bytes.len(), ty.bytes(), "bytes of {ty}");
        Tensor { ty, bytes }
    }

    /// A tensor of zeros.
    #[must_use]
    pub fn zeros(ty: TensorType) -> Tensor {
        let bytes = vec![0; ty.bytes()];
        Tensor { ty, bytes }
    }

    /// A tensor with every element equal.
    #[must_use]
    pub fn splat(dims: &[usize], value: Scalar) -> Tensor {
        Tensor::from_fn(TensorType::new(value.elem(), dims), |_| value)
    }

    /// A tensor whose element at flat row-major position `i` is `value(i)`.
    #[must_use]
    pub fn from_fn(ty: TensorType, mut value: impl FnMut(usize) -> Scalar) -> Tensor {
        let mut tensor = Tensor::zeros(ty);
        for i in 0..tensor.numel() {
            tensor.set(i, value(i));
        }
        tensor
    }

    /// An `f32` tensor.
    #[must_use]
    pub fn from_f32s(dims: &[usize], values: &[f32]) -> Tensor {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Tensor::from_bytes(TensorType::new(ElemType::F32, dims), bytes)
    }

    /// An `i64` tensor.
    #[must_use]
    pub fn from_i64s(dims: &[usize], values: &[i64]) -> Tensor {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Tensor::from_bytes(TensorType::new(ElemType::I64, dims), bytes)
    }

    /// Number of elements.
    #[must_use]
    pub fn numel(&self) -> usize {
        self.ty.shape.numel()
    }

    /// The elements' bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The elements' bytes, as a vector.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The element at a flat row-major position.
    #[must_use]
    pub fn get(&self, at: usize) -> Scalar {
        let size = self.ty.elem.bytes();
        let mut word = [0; 8];
        word[..size].copy_from_slice(&self.bytes[at * size..(at + 1) * size]);
        Scalar::from_bits(self.ty.elem, u64::from_le_bytes(word))
    }

    /// The `i32` of the integers of 8 or 16 bits from an element on, the lowest first.
    ///
    /// # Panics
    /// When the tensor ends before.
    #[must_use]
    pub fn word(&self, at: usize) -> Scalar {
        let bytes = &self.bytes[at * self.ty.elem.bytes()..][..4];
        let word = i32::from_le_bytes(bytes.try_into().expect("four bytes"));
        Scalar::from_i64(ElemType::I32, i64::from(word))
    }

    /// Stores an element of the tensor's type.
    pub fn set(&mut self, at: usize, value: Scalar) {
        debug_assert_eq!(value.elem(), self.ty.elem);
        let size = self.ty.elem.bytes();
        self.bytes[at * size..(at + 1) * size].copy_from_slice(&value.bits().to_le_bytes()[..size]);
    }

    /// All elements in row-major order.
    pub fn iter(&self) -> impl Iterator<Item = Scalar> + '_ {
        (0..self.numel()).map(|i| self.get(i))
    }

    /// All elements as integers.
    #[must_use]
    pub fn to_i64s(&self) -> Vec<i64> {
        self.iter().map(Scalar::as_i64).collect()
    }

    /// All elements as `f32`.
    #[must_use]
    pub fn to_f32s(&self) -> Vec<f32> {
        self.iter().map(Scalar::as_f32).collect()
    }

    /// The single value of all elements, when they are bitwise equal.
    #[must_use]
    pub fn uniform(&self) -> Option<Scalar> {
        let size = self.ty.elem.bytes();
        let first = self.bytes.get(..size)?;
        self.bytes.chunks_exact(size).all(|e| e == first).then(|| self.get(0))
    }

    /// The same elements under another shape of equal size.
    #[must_use]
    pub fn reshaped(mut self, dims: &[usize]) -> Tensor {
        self.ty = TensorType::new(self.ty.elem, dims);
        assert_eq!(self.ty.bytes(), self.bytes.len(), "reshape keeps the element count");
        self
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor({}, {:?}…)", self.ty, self.iter().take(8).collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::Scalar;
    use crate::types::ElemType;

    #[test]
    fn half_floats_round_trip_through_f64() {
        for bits in (0..=u16::MAX).filter(|b| b & 0x7fff <= 0x7c00) {
            let half = Scalar::from_bits(ElemType::F16, u64::from(bits));
            assert_eq!(Scalar::from_f64(ElemType::F16, half.as_f64()), half, "{bits:#x}");
        }
    }

    #[test]
    fn integers_extend_by_their_sign() {
        assert_eq!(Scalar::from_bits(ElemType::I8, 0xff).as_i64(), -1);
        assert_eq!(Scalar::from_bits(ElemType::U8, 0xff).as_i64(), 255);
        assert_eq!(Scalar::from_i64(ElemType::U8, -1).as_i64(), 255);
    }
}
