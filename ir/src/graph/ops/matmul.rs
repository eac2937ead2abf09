//! `matmul`: `y[b…,m,n] = epilogue(Σ_k a[b…,m,k] · w[b…,k,n], extra[b…,m,n]…)`.

use super::product::sum;
use super::wide::Wide;
use super::{Map, TensorOp, Transpose, TypeError, Zeros, attrs, ensure};
use crate::kernel::build::{KernelBuilder, access_axes};
use crate::kernel::{AxisKind, Kernel};
use crate::scalar::ScalarExpr;
use crate::tensor::Tensor;
use crate::types::{ElemType, Shape, TensorType};

attrs! {
    /// Batched matrix product; batch dimensions are equal on both sides.
    pub struct MatMul {
        /// The first operand is stored as `[b…,k,m]`.
        transpose_a: bool = |_| false,
        /// The second operand is stored as `[b…,n,k]`.
        transpose_b: bool = |_| false,
        /// Codes of zero of the two operands.
        zeros: Zeros = |_| Zeros::default(),
        /// Applied to each sum; its parameters are the sum, then the extra operands.
        epilogue: ScalarExpr = |_| ScalarExpr::identity(),
    }
}

/// The result type after an epilogue; the extras have the result's shape (G5).
pub(super) fn infer_epilogue(
    acc: &TensorType,
    epilogue: &ScalarExpr,
    extras: &[&TensorType],
) -> Result<TensorType, TypeError> {
    for extra in extras {
        ensure(extra.shape == acc.shape, || {
            format!("epilogue operand {extra} differs in shape from {acc}")
        })?;
    }
    let elems: Vec<ElemType> =
        std::iter::once(acc.elem).chain(extras.iter().map(|e| e.elem)).collect();
    let elem = epilogue.infer(&elems).ok_or("the epilogue does not type-check")?;
    Ok(acc.with_elem(elem))
}

/// Applies an epilogue to the sums.
pub(super) fn eval_epilogue(sums: Tensor, epilogue: &ScalarExpr, extras: &[&Tensor]) -> Tensor {
    if epilogue.is_identity() {
        return sums;
    }
    let operands: Vec<&Tensor> = std::iter::once(&sums).chain(extras.iter().copied()).collect();
    Map { body: epilogue.clone() }.eval(&operands)
}

struct Extents {
    batch: Vec<usize>,
    m: usize,
    n: usize,
    k: usize,
}

impl MatMul {
    /// Of numbers, without transposes or epilogue.
    #[must_use]
    pub fn plain() -> MatMul {
        MatMul {
            transpose_a: false,
            transpose_b: false,
            zeros: Zeros::default(),
            epilogue: ScalarExpr::identity(),
        }
    }

    fn extents(&self, args: &[&TensorType]) -> Result<Extents, TypeError> {
        let [a, w, ..] = args else { return Err("a matmul needs two operands".into()) };
        ensure(a.shape.rank() >= 2 && a.shape.rank() == w.shape.rank(), || {
            format!("{a} and {w} are not matrices of equal rank")
        })?;
        let r = a.shape.rank() - 2;
        ensure(a.shape[..r] == w.shape[..r], || format!("batch dimensions of {a} and {w} differ"))?;
        let (m, ka) = if self.transpose_a {
            (a.shape[r + 1], a.shape[r])
        } else {
            (a.shape[r], a.shape[r + 1])
        };
        let (kb, n) = if self.transpose_b {
            (w.shape[r + 1], w.shape[r])
        } else {
            (w.shape[r], w.shape[r + 1])
        };
        ensure(ka == kb, || format!("inner dimensions of {a} and {w} differ"))?;
        Ok(Extents { batch: a.shape[..r].to_vec(), m, n, k: ka })
    }

    fn acc_type(&self, args: &[&TensorType]) -> Result<TensorType, TypeError> {
        let e = self.extents(args)?;
        let elem = self.zeros.check(args[0], args[1])?;
        let shape: Shape = e.batch.iter().copied().chain([e.m, e.n]).collect();
        Ok(TensorType { elem, shape })
    }
}

fn sums<W: Wide>(e: &Extents, zeros: Zeros, a: &Tensor, w: &Tensor) -> Vec<W> {
    let (a, w) = (W::load(a, zeros.x), W::load(w, zeros.w));
    let rows = e.batch.iter().product::<usize>() * e.m;
    let mut sums = vec![W::ZERO; rows * e.n];
    for row in 0..rows {
        let acc = &mut sums[row * e.n..(row + 1) * e.n];
        for k in 0..e.k {
            let from = (row / e.m * e.k + k) * e.n;
            let factor = a[row * e.k + k];
            for (sum, &x) in acc.iter_mut().zip(&w[from..from + e.n]) {
                *sum = sum.plus_product(factor, x);
            }
        }
    }
    sums
}

fn swap_last(x: &Tensor) -> Tensor {
    let rank = x.ty.shape.rank() as u32;
    let perm = (0..rank - 2).chain([rank - 1, rank - 2]).collect();
    Transpose { perm }.eval(&[x])
}

impl TensorOp for MatMul {
    const MNEMONIC: &'static str = "matmul";

    fn infer(&self, args: &[&TensorType]) -> Result<TensorType, TypeError> {
        infer_epilogue(&self.acc_type(args)?, &self.epilogue, &args[2..])
    }

    fn eval(&self, args: &[&Tensor]) -> Tensor {
        let types: Vec<&TensorType> = args.iter().map(|a| &a.ty).collect();
        let e = self.extents(&types).expect("G4: the op type-checks");
        let ty = self.acc_type(&types).expect("G4: the op type-checks");
        let a = if self.transpose_a { &swap_last(args[0]) } else { args[0] };
        let w = if self.transpose_b { &swap_last(args[1]) } else { args[1] };
        let products = if ty.elem.is_float() {
            f64::store(ty, &sums::<f64>(&e, self.zeros, a, w))
        } else {
            i64::store(ty, &sums::<i64>(&e, self.zeros, a, w))
        };
        eval_epilogue(products, &self.epilogue, &args[2..])
    }

    fn kernel(&self, args: &[&TensorType]) -> Kernel {
        let e = self.extents(args).expect("G4: the op type-checks");
        let ty = self.infer(args).expect("G4: the op type-checks");
        let mut b = KernelBuilder::new("matmul");
        let batch = b.parallel(&e.batch.iter().copied().collect());
        let (m, n) = (b.axis(e.m, AxisKind::Parallel), b.axis(e.n, AxisKind::Parallel));
        let k = b.axis(e.k, AxisKind::Reduce);
        let with = |tail: [_; 2]| batch.iter().copied().chain(tail).collect::<Vec<_>>();
        let a = access_axes(b.read(args[0]), &with(if self.transpose_a { [k, m] } else { [m, k] }));
        let w = access_axes(b.read(args[1]), &with(if self.transpose_b { [n, k] } else { [k, n] }));
        let extras = args[2..].iter().map(|x| access_axes(b.read(x), &with([m, n]))).collect();
        let write = access_axes(b.write(&ty), &with([m, n]));
        let axes = batch.iter().copied().chain([m, n, k]).collect();
        let product = self.zeros.product(args[0].elem, args[1].elem);
        b.reduce_stage(axes, vec![a, w], product, sum(args[0].elem), write);
        b.with_epilogue(self.epilogue.clone(), extras);
        b.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::{MatMul, TensorOp};
    use crate::scalar::ScalarExpr;
    use crate::scalar::func::ScalarFn;
    use crate::tensor::Tensor;

    #[test]
    fn operands_may_be_stored_transposed() {
        let a = Tensor::from_f32s(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let mul = MatMul { transpose_b: true, ..MatMul::plain() };
        assert_eq!(mul.eval(&[&a, &a]), Tensor::from_f32s(&[2, 2], &[14.0, 32.0, 32.0, 77.0]));
    }

    #[test]
    fn the_epilogue_sees_the_sum_first() {
        let one = Tensor::from_f32s(&[1, 1], &[1.0]);
        let extra = Tensor::from_f32s(&[1, 1], &[5.0]);
        let mul = MatMul { epilogue: ScalarExpr::call(ScalarFn::Sub), ..MatMul::plain() };
        assert_eq!(mul.eval(&[&one, &one, &extra]), Tensor::from_f32s(&[1, 1], &[-4.0]));
    }

    #[test]
    fn an_empty_sum_is_zero() {
        let (a, b) = (Tensor::from_f32s(&[1, 0], &[]), Tensor::from_f32s(&[0, 2], &[]));
        assert_eq!(MatMul::plain().eval(&[&a, &b]), Tensor::from_f32s(&[1, 2], &[0.0; 2]));
    }
}
