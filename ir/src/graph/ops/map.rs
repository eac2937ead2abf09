//! `map`: `y[i] = body(x0[i], x1[i], …)`; all operands have the result's shape (G5).

use super::wide::{floats, from_floats};
use super::{TensorOp, TypeError, attrs, ensure};
use crate::kernel::Kernel;
use crate::kernel::build::{KernelBuilder, access_axes};
use crate::scalar::eval::{apply_f32, eval};
use crate::scalar::{ScalarExpr, ScalarNode};
use crate::tensor::Tensor;
use crate::types::{ElemType, TensorType};
use smallvec::SmallVec;

attrs! {
    /// Element-wise computation.
    pub struct Map {
        /// One parameter per operand.
        body: ScalarExpr,
    }
}

/// Elements evaluated together by `eval_f32`: a few of them fit the first-level cache.
const BLOCK: usize = 1024;

/// A body whose nodes are all `f32`, evaluated node by node over blocks of elements, because weights
/// of millions of elements are folded this way.
fn eval_f32(body: &ScalarExpr, args: &[&Tensor]) -> Vec<f32> {
    let args: Vec<Vec<f32>> = args.iter().map(|a| floats(a).collect()).collect();
    let numel = args[0].len();
    let mut result = Vec::with_capacity(numel);
    let mut values = vec![[0.0; BLOCK]; body.nodes().len()];
    for start in (0..numel).step_by(BLOCK) {
        let len = BLOCK.min(numel - start);
        for (id, node) in body.nodes().iter().enumerate() {
            let (before, rest) = values.split_at_mut(id);
            eval_block(node, before, &args, start, &mut rest[0][..len]);
        }
        result.extend_from_slice(&values[body.root() as usize][..len]);
    }
    result
}

fn eval_block(
    node: &ScalarNode,
    before: &[[f32; BLOCK]],
    args: &[Vec<f32>],
    start: usize,
    out: &mut [f32],
) {
    match node {
        ScalarNode::Param(p) => {
            out.copy_from_slice(&args[*p as usize][start..start + out.len()]);
        }
        ScalarNode::Const(c) => out.fill(c.as_f32()),
        ScalarNode::Cast(_, a) => out.copy_from_slice(&before[*a as usize][..out.len()]),
        ScalarNode::Lookup(..) => unreachable!("codes are not `f32`"),
        ScalarNode::Call(func, operands) => {
            for (i, out) in out.iter_mut().enumerate() {
                let operands: SmallVec<[f32; 3]> =
                    operands.iter().map(|&a| before[a as usize][i]).collect();
                *out = apply_f32(*func, &operands);
            }
        }
    }
}

impl TensorOp for Map {
    const MNEMONIC: &'static str = "map";

    fn infer(&self, args: &[&TensorType]) -> Result<TensorType, TypeError> {
        let first = args.first().ok_or("a map needs an operand")?;
        for arg in args {
            ensure(arg.shape == first.shape, || {
                format!("operand {arg} differs in shape from {first}")
            })?;
        }
        let elems: Vec<ElemType> = args.iter().map(|a| a.elem).collect();
        let elem = self.body.infer(&elems).ok_or("the body does not type-check")?;
        Ok(first.with_elem(elem))
    }

    fn eval(&self, args: &[&Tensor]) -> Tensor {
        let types: Vec<&TensorType> = args.iter().map(|a| &a.ty).collect();
        let ty = self.infer(&types).expect("G4: the op type-checks");
        let elems: Vec<ElemType> = args.iter().map(|a| a.ty.elem).collect();
        let nodes = self.body.infer_all(&elems).expect("G4: the op type-checks");
        if elems.iter().chain(&nodes).all(|&e| e == ElemType::F32) {
            return from_floats(ty, eval_f32(&self.body, args).into_iter());
        }
        let mut point = Vec::with_capacity(args.len());
        Tensor::from_fn(ty, |i| {
            point.clear();
            point.extend(args.iter().map(|a| a.get(i)));
            eval(&self.body, &point)
        })
    }

    fn kernel(&self, args: &[&TensorType]) -> Kernel {
        let ty = self.infer(args).expect("G4: the op type-checks");
        let mut b = KernelBuilder::new("map");
        let axes = b.parallel(&ty.shape);
        let reads = args.iter().map(|a| access_axes(b.read(a), &axes)).collect();
        let write = access_axes(b.write(&ty), &axes);
        b.map_stage(axes, reads, self.body.clone(), write);
        b.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::{BLOCK, Map, TensorOp};
    use crate::scalar::ScalarExpr;
    use crate::scalar::func::ScalarFn;
    use crate::tensor::{Scalar, Tensor};
    use crate::types::{ElemType, TensorType};

    #[test]
    fn blocks_of_floats_cover_every_element() {
        let ty = TensorType::new(ElemType::F32, &[2 * BLOCK + 1]);
        let x = Tensor::from_fn(ty.clone(), |i| Scalar::f32(i as f32));
        let twice = Map { body: ScalarExpr::call(ScalarFn::Add) }.eval(&[&x, &x]);
        assert_eq!(twice, Tensor::from_fn(ty, |i| Scalar::f32(2.0 * i as f32)));
    }

    #[test]
    fn an_unused_operand_may_have_any_type() {
        let flags = Tensor::splat(&[3], Scalar::bool(true));
        let seven = ScalarExpr::build(1, |b| b.f32(7.0));
        assert_eq!(Map { body: seven }.eval(&[&flags]), Tensor::splat(&[3], Scalar::f32(7.0)));
    }
}
