//! Stored tensors to typed ones: checks the claimed shape before any allocation.

use crate::code::Code;
use crate::external::{self, ExternalReader};
use crate::model::{Payload, TensorData};
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::tensor::{Scalar, Tensor};
use edgecc_ir::types::{ElemType, MAX_RANK, Shape, TensorType};

/// The largest constant in bytes.
const MAX_CONST_BYTES: usize = 1 << 34;

/// The largest number of elements of any tensor (invariant G3).
const MAX_ELEMENTS: usize = 1 << 48;

/// Names of `TensorProto.DataType` codes without an `ElemType`.
const OTHER_TYPES: &[(i32, &str)] = &[
    (0, "undefined"),
    (8, "string"),
    (14, "complex64"),
    (15, "complex128"),
    (16, "bfloat16"),
    (17, "float8e4m3fn"),
    (18, "float8e4m3fnuz"),
    (19, "float8e5m2"),
    (20, "float8e5m2fnuz"),
    (21, "uint4"),
    (22, "int4"),
    (23, "float4e2m1"),
    (24, "float8e8m0"),
    (25, "uint2"),
    (26, "int2"),
];

/// The element type of a `TensorProto.DataType` code.
pub(crate) fn elem_type(code: i32) -> Result<ElemType, Diagnostic> {
    let known = u32::try_from(code).ok().and_then(ElemType::from_onnx_code);
    known.ok_or_else(|| {
        let name = OTHER_TYPES.iter().find(|(c, _)| *c == code).map(|(_, name)| *name);
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

/// The typed tensor of a stored one.
pub(crate) fn decode(data: TensorData, reader: &ExternalReader<'_>) -> Result<Tensor, Diagnostic> {
    let ty = tensor_type(&data)?;
    let bytes = match data.payload {
        Payload::Raw(bytes) => bytes,
        Payload::External(entries) => external::read(&entries, ty.bytes(), reader)?,
        Payload::F32(v) => pack(ty.elem, &v, |e, v| Scalar::from_f64(e, f64::from(v))),
        Payload::F64(v) => pack(ty.elem, &v, Scalar::from_f64),
        Payload::I64(v) => pack(ty.elem, &v, Scalar::from_i64),
        Payload::U64(v) => pack(ty.elem, &v, Scalar::from_bits),
        Payload::I32(v) if ty.elem == ElemType::F16 => {
            pack(ty.elem, &v, |e, v| Scalar::from_bits(e, u64::from(v as u16)))
        }
        Payload::I32(v) => pack(ty.elem, &v, |e, v| Scalar::from_i64(e, i64::from(v))),
    };
    if bytes.len() != ty.bytes() {
        return Err(Code::InvalidModel.error(format!(
            "a tensor {ty} needs {} bytes, {} are stored",
            ty.bytes(),
            bytes.len()
        )));
    }
    Ok(normalise_bools(Tensor::from_bytes(ty, bytes)))
}

fn tensor_type(data: &TensorData) -> Result<TensorType, Diagnostic> {
    let elem = elem_type(data.data_type)?;
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
    fn half_floats_in_int32_data_are_bit_patterns() {
        let half = decode(data(&[1], 10, Payload::I32(vec![0x3c00])), &no_external_data);
        assert_eq!(half.expect("f16").to_f32s(), [1.0]);
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
