//! How IR types appear in CLIF.

use cranelift_codegen::ir::types::{
    F32, F32X4, F64, F64X2, I8, I8X16, I16, I16X8, I32, I32X4, I64, I64X2, Type,
};
use edgecc_ir::types::ElemType;

/// The type of a scalar in a register.
pub(super) fn scalar(elem: ElemType) -> Type {
    match elem {
        ElemType::F32 => F32,
        ElemType::F64 => F64,
        ElemType::I8 | ElemType::U8 | ElemType::Bool => I8,
        ElemType::I16 | ElemType::U16 | ElemType::F16 => I16,
        ElemType::I32 | ElemType::U32 => I32,
        ElemType::I64 | ElemType::U64 => I64,
    }
}

/// The 128-bit type whose low lanes hold a vector of this element type; for `bool` the bytes as
/// they are in memory.
pub(super) fn vector(elem: ElemType) -> Type {
    match elem {
        ElemType::F32 => F32X4,
        ElemType::F64 => F64X2,
        ElemType::I8 | ElemType::U8 | ElemType::Bool => I8X16,
        ElemType::I16 | ElemType::U16 | ElemType::F16 => I16X8,
        ElemType::I32 | ElemType::U32 => I32X4,
        ElemType::I64 | ElemType::U64 => I64X2,
    }
}

/// The 128-bit integer vector with lanes of this many bits.
pub(super) fn int_vector(lane_bits: u32) -> Type {
    match lane_bits {
        8 => I8X16,
        16 => I16X8,
        32 => I32X4,
        _ => I64X2,
    }
}
