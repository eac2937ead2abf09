//! Values as their bit patterns.

use super::Import::One;
use super::{OnnxOp, row};
use crate::code::Code;
use crate::context::{ImportCx, invalid};
use crate::emit::Emit;
use crate::format::HALF;
use crate::tensor::{DataType, data_type};
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::graph::OpId;
use edgecc_ir::scalar::func::ScalarFn as F;
use edgecc_ir::types::ElemType;

pub(super) const OPS: &[OnnxOp] = &[row("BitCast", 26, 1..=1, One(bit_cast))];

fn bit_cast(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let to = cx.int("to")?.ok_or_else(|| invalid("to", "is missing"))?;
    let to = data_type(i32::try_from(to).unwrap_or(0))?;
    let (x, from) = (cx.input(0)?, cx.data_type(0)?);
    if from.bits() != to.bits() {
        return Err(Code::BadAttribute.error(format!(
            "elements of {} bits are not elements of {} bits",
            from.bits(),
            to.bits()
        )));
    }
    cx.state_format(to.format);
    if from == to {
        return Ok(x);
    }
    let codes = codes(cx.emit, x, from)?;
    values(cx.emit, codes, to)
}

/// The bits as an integer of the same width.
fn codes(emit: &mut Emit, x: OpId, ty: DataType) -> Result<OpId, Diagnostic> {
    match (ty.format, ty.elem) {
        (Some(format), _) => format.encode(emit, x),
        (None, ElemType::F16) => {
            let wide = emit.cast(x, ElemType::F32)?;
            HALF.encode(emit, wide)
        }
        (None, ElemType::F32 | ElemType::F64) => emit.map(&[x], |b, p| b.f1(F::Bitcast, p[0])),
        (None, _) => Ok(x),
    }
}

/// The reverse of `codes`.
fn values(emit: &mut Emit, codes: OpId, ty: DataType) -> Result<OpId, Diagnostic> {
    let as_int = |emit: &mut Emit, elem| emit.cast(codes, elem);
    match (ty.format, ty.elem) {
        (Some(format), _) => {
            let codes = as_int(emit, format.storage)?;
            format.decode(emit, codes)
        }
        (None, ElemType::F16) => {
            let codes = as_int(emit, HALF.storage)?;
            let wide = HALF.decode(emit, codes)?;
            emit.cast(wide, ElemType::F16)
        }
        (None, ElemType::F32 | ElemType::F64) => {
            let int = if ty.elem == ElemType::F32 { ElemType::I32 } else { ElemType::I64 };
            let codes = as_int(emit, int)?;
            emit.map(&[codes], |b, p| b.f1(F::Bitcast, p[0]))
        }
        (None, elem) => as_int(emit, elem),
    }
}
