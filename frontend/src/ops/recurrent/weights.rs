//! Weights of a recurrent operator: one row per gate and unit, or quantised with one column each.

use super::part;
use crate::emit::Emit;
use crate::ops::quant::quantize_dynamically;
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::graph::OpId;
use edgecc_ir::graph::ops::MatMul;
use edgecc_ir::types::ElemType;

/// A matrix that rows of values are multiplied by.
pub(super) enum Weights {
    /// One row per result.
    Rows(OpId),
    /// One column per result.
    Quantized {
        /// Integers relative to the zero points, as `i32`.
        codes: OpId,
        /// One scale per column.
        scale: OpId,
    },
}

impl Weights {
    /// The weights of direction `d`.
    pub(super) fn rows(emit: &mut Emit, all: OpId, d: usize) -> Result<Weights, Diagnostic> {
        part(emit, all, d).map(Weights::Rows)
    }

    /// The codes of direction `d` with their scales and zero points: one, or one per column.
    pub(super) fn quantized(
        emit: &mut Emit,
        all: OpId,
        (scale, zero): (OpId, OpId),
        d: usize,
    ) -> Result<Weights, Diagnostic> {
        let codes = part(emit, all, d)?;
        let (shape, columns) = (emit.shape(codes), emit.shape(codes)[1]);
        let (scale, zero) = (part(emit, scale, d)?, part(emit, zero, d)?);
        let zero = emit.spread(zero, 1, &shape)?;
        let codes = emit.map(&[codes, zero], |b, p| {
            let [code, zero] = [p[0], p[1]].map(|n| b.cast(ElemType::I32, n));
            b.sub(code, zero)
        })?;
        let scale = emit.spread(scale, 0, &[columns].into_iter().collect())?;
        Ok(Weights::Quantized { codes, scale })
    }

    /// The same weights in a body.
    pub(super) fn brought(
        &self,
        inner: &mut Emit,
        bring: &mut impl FnMut(&mut Emit, OpId) -> OpId,
    ) -> Weights {
        match self {
            Weights::Rows(w) => Weights::Rows(bring(inner, *w)),
            Weights::Quantized { codes, scale } => {
                Weights::Quantized { codes: bring(inner, *codes), scale: bring(inner, *scale) }
            }
        }
    }

    /// The weights of some results.
    pub(super) fn some_rows(
        &self,
        emit: &mut Emit,
        first: usize,
        count: usize,
    ) -> Result<Weights, Diagnostic> {
        let range = (first as i64, 1);
        Ok(match self {
            Weights::Rows(w) => Weights::Rows(emit.slice(*w, 0, range, count)?),
            Weights::Quantized { codes, scale } => Weights::Quantized {
                codes: emit.slice(*codes, 1, range, count)?,
                scale: emit.slice(*scale, 0, range, count)?,
            },
        })
    }

    /// The products of each row of `x`.
    pub(super) fn multiply(&self, emit: &mut Emit, x: OpId) -> Result<OpId, Diagnostic> {
        match self {
            Weights::Rows(w) => emit.op(MatMul { transpose_b: true, ..MatMul::plain() }, &[x, *w]),
            Weights::Quantized { codes, scale } => {
                let (x, x_scale, x_zero) = quantize_dynamically(emit, x)?;
                let shape = emit.shape(x);
                let zero = emit.broadcast(x_zero, &shape)?;
                let x = emit.map(&[x, zero], |b, p| {
                    let [code, zero] = [p[0], p[1]].map(|n| b.cast(ElemType::I32, n));
                    b.sub(code, zero)
                })?;
                let sums = emit.op(MatMul::plain(), &[x, *codes])?;
                let shape = emit.shape(sums);
                let x_scale = emit.broadcast(x_scale, &shape)?;
                let scale = emit.broadcast_at(*scale, vec![1], &shape)?;
                emit.map(&[sums, x_scale, scale], |b, p| {
                    let (sum, scale) = (b.cast(ElemType::F32, p[0]), b.mul(p[1], p[2]));
                    b.mul(sum, scale)
                })
            }
        }
    }
}
