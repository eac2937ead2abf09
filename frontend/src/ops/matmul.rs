//! Matrix products.

use super::Import::One;
use super::{OnnxOp, row};
use crate::code::Code;
use crate::context::ImportCx;
use crate::emit::{Emit, broadcast_all};
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::graph::OpId;
use edgecc_ir::graph::ops::{MatMul, Zeros};
use edgecc_ir::types::Shape;

pub(super) const OPS: &[OnnxOp] =
    &[row("Gemm", 7, 2..=3, One(gemm)), row("MatMul", 1, 2..=2, One(matmul))];

/// `alpha · A · B + beta · C`.
fn gemm(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let (a, w) = (cx.input(0)?, cx.input(1)?);
    let (alpha, beta) = (cx.float("alpha", 1.0)?, cx.float("beta", 1.0)?);
    let op = MatMul {
        transpose_a: cx.flag("transA", false)?,
        transpose_b: cx.flag("transB", false)?,
        ..MatMul::plain()
    };
    if cx.emit.rank(a) != 2 || cx.emit.rank(w) != 2 {
        return Err(Code::ShapeMismatch.error(format!(
            "Gemm multiplies matrices, found {} and {}",
            cx.emit.ty(a),
            cx.emit.ty(w)
        )));
    }
    let product = cx.emit.op(op, &[a, w])?;
    let scaled = scale(cx.emit, product, alpha)?;
    let Some(c) = cx.optional(2) else { return Ok(scaled) };
    let c = scale(cx.emit, c, beta)?;
    let shape = cx.emit.shape(scaled);
    let c = cx.emit.broadcast(c, &shape)?;
    cx.emit.map(&[scaled, c], |b, p| b.sum(p[0], p[1]))
}

fn scale(emit: &mut Emit, x: OpId, factor: f32) -> Result<OpId, Diagnostic> {
    if factor == 1.0 {
        return Ok(x);
    }
    emit.map(&[x], |b, p| {
        let factor = b.num(f64::from(factor));
        b.mul(factor, p[0])
    })
}

fn matmul(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let (a, w) = (cx.input(0)?, cx.input(1)?);
    multiply(cx.emit, a, w, Zeros::default())
}

/// NumPy's product: vectors become matrices, batch dimensions broadcast.
pub(super) fn multiply(
    emit: &mut Emit,
    a: OpId,
    w: OpId,
    zeros: Zeros,
) -> Result<OpId, Diagnostic> {
    let (sa, sw) = (emit.shape(a), emit.shape(w));
    if sa.rank() == 0 || sw.rank() == 0 {
        return Err(Code::ShapeMismatch.error("MatMul does not multiply scalars"));
    }
    let left = if sa.rank() == 1 { emit.reshape(a, &[1, sa[0]])? } else { a };
    let right = if sw.rank() == 1 { emit.reshape(w, &[sw[0], 1])? } else { w };
    let op = MatMul { zeros, ..MatMul::plain() };
    let product = multiply_matrices(emit, &op, left, right)?;
    let mut dims = emit.shape(product).to_vec();
    let rank = dims.len();
    let vectors = [(sw.rank() == 1, rank - 1), (sa.rank() == 1, rank - 2)];
    for (_, d) in vectors.into_iter().filter(|(is_vector, _)| *is_vector) {
        dims.remove(d);
    }
    emit.reshape(product, &dims)
}

fn multiply_matrices(emit: &mut Emit, op: &MatMul, a: OpId, w: OpId) -> Result<OpId, Diagnostic> {
    let (sa, sw) = (emit.shape(a), emit.shape(w));
    if sw.rank() == 2 && sa.rank() > 2 {
        return multiply_rows(emit, op, a, w);
    }
    let (ra, rw) = (sa.rank() - 2, sw.rank() - 2);
    let batch = broadcast_all(&[Shape::new(&sa[..ra]), Shape::new(&sw[..rw])])?;
    let full = |matrix: &[usize]| batch.iter().chain(matrix).copied().collect::<Shape>();
    let a = emit.broadcast(a, &full(&sa[ra..]))?;
    let w = emit.broadcast(w, &full(&sw[rw..]))?;
    emit.op(op.clone(), &[a, w])
}

/// A stack of matrices times one matrix is one product of all rows.
fn multiply_rows(emit: &mut Emit, op: &MatMul, a: OpId, w: OpId) -> Result<OpId, Diagnostic> {
    let shape = emit.shape(a);
    let last = shape.rank() - 1;
    let rows = shape[..last].iter().product();
    let flat = emit.reshape(a, &[rows, shape[last]])?;
    let product = emit.op(op.clone(), &[flat, w])?;
    let columns = emit.shape(product)[1];
    let dims: Vec<usize> = shape[..last].iter().copied().chain([columns]).collect();
    emit.reshape(product, &dims)
}
