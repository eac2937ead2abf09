//! Sums that start at a term of the epilogue instead of at zero: the bias of a convolution costs
//! nothing then. Like contraction, this changes the order of a sum.

use super::Cx;
use super::reduce::reduction;
use edgecc_ir::kernel::{Access, Outside};
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::scalar::{NodeId, ScalarExpr};
use edgecc_ir::types::ElemType;

/// The first term of a sum, and the epilogue without it.
pub(super) struct Seed<'k> {
    /// What is read.
    pub(super) read: &'k Access,
    /// The rest of the epilogue, of the same parameters.
    pub(super) epilogue: ScalarExpr,
}

/// The seed of a stage that may have one: a sum to which the epilogue adds a read first.
pub(super) fn seed<'k>(cx: &Cx<'k>) -> Option<Seed<'k>> {
    let (reduce, stage) = (reduction(cx), cx.stage);
    let sums = reduce.init.elem();
    let starts_at_zero = ScalarFn::Add.identity(sums) == Some(reduce.init);
    let any_order = sums == ElemType::I32 || (sums == ElemType::F32 && cx.target.fma);
    if !any_order || reduce.func != ScalarFn::Add || !starts_at_zero {
        return None;
    }
    let (sum, param) = stage.epilogue.addend()?;
    let read = stage.epilogue_reads.get(param.checked_sub(1)? as usize)?;
    let elem = cx.kernel.operands[read.operand].ty.elem;
    let epilogue = without(&stage.epilogue, sum);
    let fits = elem == sums && read.outside == Outside::Never;
    fits.then_some(Seed { read, epilogue })
}

/// The expression with parameter 0 instead of a node.
fn without(expr: &ScalarExpr, replaced: NodeId) -> ScalarExpr {
    ScalarExpr::build(expr.params(), |b| {
        let mut ids: Vec<NodeId> = Vec::new();
        for (at, node) in expr.nodes().iter().enumerate() {
            let id = if at as NodeId == replaced { b.param(0) } else { b.copy(node, &ids) };
            ids.push(id);
        }
        ids[expr.root() as usize]
    })
}

#[cfg(test)]
mod tests {
    use super::without;
    use edgecc_ir::scalar::ScalarExpr;
    use edgecc_ir::scalar::func::ScalarFn;

    #[test]
    fn the_first_addend_leaves_the_epilogue() {
        let biased = ScalarExpr::build(3, |b| {
            let [acc, bias, residual] = [0, 1, 2].map(|p| b.param(p));
            let sum = b.call(ScalarFn::Add, &[acc, bias]);
            b.call(ScalarFn::Add, &[sum, residual])
        });
        let (sum, param) = biased.addend().expect("a bias");
        let rest = ScalarExpr::build(3, |b| {
            let [acc, residual] = [0, 2].map(|p| b.param(p));
            b.call(ScalarFn::Add, &[acc, residual])
        });
        assert_eq!((param, without(&biased, sum)), (1, rest));
    }

    #[test]
    fn sums_with_other_uses_start_at_zero() {
        let twice = ScalarExpr::build(2, |b| {
            let [acc, bias] = [0, 1].map(|p| b.param(p));
            let sum = b.call(ScalarFn::Add, &[acc, bias]);
            b.call(ScalarFn::Mul, &[sum, acc])
        });
        assert_eq!(twice.addend(), None);
        assert_eq!(ScalarExpr::call(ScalarFn::Mul).addend(), None);
        assert_eq!(ScalarExpr::identity().addend(), None);
    }
}
