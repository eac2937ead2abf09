//! Products of integers: codes of 8 bits minus their zero points, summed in `i32`.

use super::Import::One;
use super::conv::convolve;
use super::matmul::multiply;
use super::{OnnxOp, row};
use crate::context::ImportCx;
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::graph::OpId;
use edgecc_ir::graph::ops::Zeros;
use edgecc_ir::types::ElemType;

pub(super) const OPS: &[OnnxOp] = &[
    row("ConvInteger", 10, 2..=4, One(conv_integer)),
    row("MatMulInteger", 10, 2..=4, One(matmul_integer)),
];

fn conv_integer(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let (x, w) = (factor(cx, 0, 1)?, factor(cx, 1, 0)?);
    convolve(cx, x.codes, w.codes, Zeros { x: x.zero, w: w.zero })
}

fn matmul_integer(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let rank = |n| Ok(cx.ty(n)?.shape.rank());
    let (rows, columns) = (rank(0)?.saturating_sub(2), rank(1)?.saturating_sub(1));
    let (a, w) = (factor(cx, 0, rows)?, factor(cx, 1, columns)?);
    multiply(cx.emit, a.codes, w.codes, Zeros { x: a.zero, w: w.zero })
}

struct Factor {
    codes: OpId,
    zero: i32,
}

/// Operand `n` with the zero point of operand `n + 2`: a constant one becomes an attribute, others
/// (a vector belongs to dimension `dim`) are subtracted at once, in 16 bits.
fn factor(cx: &mut ImportCx<'_>, n: usize, dim: usize) -> Result<Factor, Diagnostic> {
    let codes = cx.input(n)?;
    let Some(zero) = cx.optional(n + 2) else { return Ok(Factor { codes, zero: 0 }) };
    if let Some(value) = cx.emit.const_tensor(zero).and_then(|t| t.uniform()) {
        return Ok(Factor { codes, zero: value.as_i64() as i32 });
    }
    let shape = cx.emit.shape(codes);
    let zero = match cx.emit.rank(zero) {
        1 if cx.emit.shape(zero).numel() > 1 => cx.emit.spread(zero, dim, &shape)?,
        _ => zero,
    };
    let centred = cx.emit.map_broadcast(&[codes, zero], |b, p| {
        let (code, zero) = (b.cast(ElemType::I32, p[0]), b.cast(ElemType::I32, p[1]));
        let centred = b.sub(code, zero);
        b.cast(ElemType::I16, centred)
    })?;
    Ok(Factor { codes: centred, zero: 0 })
}
