//! Stored tensors to typed ones: checks the claimed shape before any allocation.

use crate::code::Code;
use crate::external::{self, ExternalReader};
use crate::format::{self, Format};
use crate::model::{Payload, TensorData};
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::tensor::{Scalar, Tensor};
use edgecc_ir::types::{ElemType, MAX_RANK, Shape, TensorType};

/// The largest constant in bytes.
const MAX_CONST_BYTES: usize = 1 << 34;

/// The largest number of elements of any tensor (invariant G3).
const MAX_ELEMENTS: usize = 1 << 48;

/// Names of the other `TensorProto.DataType` codes that are not read.
const OTHER_TYPES: &[(i32, &str)] =
    &[(0, "undefined"), (8, "string"), (14, "complex64"), (15, "complex128")];

/// An ONNX element type, as the graph carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DataType {
    /// Type inside the graph.
    pub elem: ElemType,
    /// The narrow type whose numbers the values are, if it is one.
    pub format: Option<&'static Format>,
}

impl DataType {
    /// Bits of an element.
    pub(crate) fn bits(self) -> u32 {
        self.format.map_or(8 * self.elem.bytes() as u32, |f| f.bits)
    }

    /// The type of elements at inputs and outputs and in weights.
    pub(crate) fn storage(self) -> ElemType {
        self.format.map_or(self.elem, |f| f.storage)
    }
}

/// The type with a `TensorProto.DataType` code.
pub(crate) fn data_type(code: i32) -> Result<DataType, Diagnostic> {
    match format::from_code(code) {
        Some(format) => Ok(DataType { elem: format.carrier(), format: Some(format) }),
        None => Ok(DataType { elem: elem_type(code)?, format: None }),
    }
}

/// The element type of a `TensorProto.DataType` code, which must not be a narrow one.
pub(crate) fn elem_type(code: i32) -> Result<ElemType, Diagnostic> {
    let known = u32::try_from(code).ok().and_then(ElemType::from_onnx_code);
    known.ok_or_else(|| {
        let other = OTHER_TYPES.iter().find(|(c, _)| *c == code).map(|(_, name)| *name);
        let name = other.or_else(|| format::from_code(code).map(|f| f.name));
        let names: Vec<&str> = ElemType::ALL.iter().map(|e| e.name()).collect();
        Code::UnsupportedType
            .error(match name {
                Some(name) => format!("element type {name} is not supported"),
                None => format!("element type code {code} is not known"),
            })
            .note(format!("supported are {}", names.join(", ")))
    })
}

/// Checks rank and element count (invariant G3).
pub(crate) fn check_size(ty: &TensorType) -> Result<(), Diagnostic> {
    if ty.shape.rank() > MAX_RANK {
        return Err(Code::TooLarge
            .error(format!("{ty} has {} dimensions", ty.shape.rank()))
            .note(format!("at most {MAX_RANK} are supported")));
    }
    if ty.shape.numel() > MAX_ELEMENTS {
        return Err(Code::TooLarge.error(format!("{ty} has more than 2^48 elements")));
    }
    Ok(())
}

/// The typed tensor of a stored one; numbers of a narrow type are decoded.
pub(crate) fn decode(
    data: TensorData,
    reader: &ExternalReader<'_>,
) -> Result<(Tensor, DataType), Diagnostic> {
    let data_type = data_type(data.data_type)?;
    let ty = tensor_type(&data, data_type)?;
    let bits = data_type.bits() as usize;
    let size = if bits < 8 { ty.shape.numel().div_ceil(per_byte(bits)) } else { ty.bytes() };
    let bytes = match data.payload {
        Payload::Raw(bytes) => bytes,
        Payload::External(entries) => external::read(&entries, size, reader)?,
        Payload::F32(v) => pack(ty.elem, &v, |e, v| Scalar::from_f64(e, f64::from(v))),
        Payload::F64(v) => pack(ty.elem, &v, Scalar::from_f64),
        Payload::I64(v) => pack(ty.elem, &v, Scalar::from_i64),
        Payload::U64(v) => pack(ty.elem, &v, Scalar::from_bits),
        Payload::I32(v) if ty.elem == ElemType::F16 || data_type.format.is_some() => {
            pack(ty.elem, &v, |e, v| Scalar::from_bits(e, u64::from(v as u32)))
        }
        Payload::I32(v) => pack(ty.elem, &v, |e, v| Scalar::from_i64(e, i64::from(v))),
    };
    if bytes.len() != size {
        return Err(Code::InvalidModel
            .error(format!("a tensor {ty} needs {size} bytes, {} are stored", bytes.len())));
    }
    let bytes = if bits < 8 { unpack(&bytes, bits, &ty) } else { bytes };
    let tensor = Tensor::from_bytes(ty, bytes);
    match data_type.format {
        Some(format) => Ok((format.decode_tensor(tensor), data_type)),
        None => Ok((normalise_bools(tensor), data_type)),
    }
}

/// Codes of fewer than eight bits in a byte; six bits have a byte of their own.
fn per_byte(bits: usize) -> usize {
    8 / bits
}

/// One byte per code, sign-extended for signed types; the first code is in the low bits.
fn unpack(bytes: &[u8], bits: usize, ty: &TensorType) -> Vec<u8> {
    let unused = 8 - bits as u32;
    let code = |i: usize| bytes[i / per_byte(bits)] >> (i % per_byte(bits) * bits) << unused;
    let signed = ty.elem.is_signed_int();
    let wide = |c: u8| if signed { ((c as i8) >> unused) as u8 } else { c >> unused };
    (0..ty.shape.numel()).map(|i| wide(code(i))).collect()
}

fn tensor_type(data: &TensorData, data_type: DataType) -> Result<TensorType, Diagnostic> {
    let elem = data_type.storage();
    let dims: Option<Vec<usize>> = data.dims.iter().map(|&d| usize::try_from(d).ok()).collect();
    let dims = dims.ok_or_else(|| {
        Code::InvalidModel.error(format!("a tensor has the negative extents {:?}", data.dims))
    })?;
    let ty = TensorType { elem, shape: Shape::new(&dims) };
    check_size(&ty)?;
    if ty.bytes() > MAX_CONST_BYTES {
        return Err(Code::TooLarge
            .error(format!("a constant {ty} has {} bytes", ty.bytes()))
            .note("at most 2^34 bytes are supported"));
    }
    Ok(ty)
}

fn pack<T: Copy>(elem: ElemType, values: &[T], scalar: fn(ElemType, T) -> Scalar) -> Vec<u8> {
    let size = elem.bytes();
    let mut bytes = Vec::with_capacity(values.len() * size);
    for &v in values {
        bytes.extend_from_slice(&scalar(elem, v).bits().to_le_bytes()[..size]);
    }
    bytes
}

/// Any nonzero byte is true in a file; in a `Tensor` true is 1.
fn normalise_bools(tensor: Tensor) -> Tensor {
    if tensor.ty.elem != ElemType::Bool {
        return tensor;
    }
    let bytes = tensor.bytes().iter().map(|&b| u8::from(b != 0)).collect();
    Tensor::from_bytes(tensor.ty, bytes)
}

#[cfg(test)]
mod tests {
    use super::decode;
    use crate::external::no_external_data;
    use crate::model::{Payload, TensorData};

    fn data(dims: &[i64], data_type: i32, payload: Payload) -> TensorData {
        TensorData { name: String::new(), dims: dims.to_vec(), data_type, payload }
    }

    #[test]
    fn typed_fields_and_raw_bytes_give_the_same_tensor() {
        let typed = decode(data(&[2], 3, Payload::I32(vec![-1, 5])), &no_external_data);
        let raw = decode(data(&[2], 3, Payload::Raw(vec![255, 5])), &no_external_data);
        assert_eq!(typed.expect("typed"), raw.expect("raw"));
    }

    #[test]
    fn narrow_floats_in_int32_data_are_bit_patterns() {
        let half = decode(data(&[1], 10, Payload::I32(vec![0x3c00])), &no_external_data);
        assert_eq!(half.expect("f16").0.to_f32s(), [1.0]);
        let brain = decode(data(&[1], 16, Payload::I32(vec![0x4049])), &no_external_data);
        assert_eq!(brain.expect("bf16").0.to_f32s(), [3.140_625]);
    }

    #[test]
    fn small_integers_share_bytes() {
        let int4 = decode(data(&[3], 22, Payload::Raw(vec![0x8f, 0x07])), &no_external_data);
        assert_eq!(int4.expect("int4").0.to_i64s(), [-1, -8, 7]);
        let uint2 = decode(data(&[5], 25, Payload::I32(vec![0b11_10_01_00, 2])), &no_external_data);
        assert_eq!(uint2.expect("uint2").0.to_i64s(), [0, 1, 2, 3, 2]);
        let float4 = decode(data(&[2], 23, Payload::Raw(vec![0xa7])), &no_external_data);
        assert_eq!(float4.expect("float4e2m1").0.to_f32s(), [6.0, -1.0]);
    }

    #[test]
    fn a_claimed_size_is_refused_before_allocating() {
        let huge = decode(data(&[1 << 20, 1 << 20], 1, Payload::default()), &no_external_data);
        assert_eq!(huge.expect_err("2^40 elements").code, "too-large");
        let overflow = data(&[i64::MAX, i64::MAX], 1, Payload::default());
        assert_eq!(decode(overflow, &no_external_data).expect_err("overflow").code, "too-large");
        let short = decode(data(&[2], 1, Payload::Raw(vec![0; 4])), &no_external_data);
        assert_eq!(short.expect_err("short").code, "invalid-model");
    }
}
