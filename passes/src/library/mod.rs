//! Routines as loops: one file per routine, which builds its function statement by statement.
//!
//! A function's parameters are the kernel's operands in order, then scratch memory, for which the
//! program gets arena buffers. Trip counts are constant: what depends on the data is which elements
//! are touched, through clamped indices, and whether they change.

mod non_zero;
mod overlap;
mod scatter;
mod suppression;
mod topk;

use edgecc_ir::affine::Affine;
use edgecc_ir::kernel::routine::Routine;
use edgecc_ir::kernel::{Kernel, Role};
use edgecc_ir::loops::build::LoopBuilder;
use edgecc_ir::loops::{Guard, IndexId, LoopFn, Param, ParamAccess, ParamId, VType, ValueId};
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::tensor::Scalar;
use edgecc_ir::types::{ElemType, TensorType};

/// The function of a kernel with a routine.
pub(crate) fn lower(name: &str, kernel: &Kernel, routine: &Routine) -> LoopFn {
    let mut b = LoopBuilder::new(name);
    match routine {
        Routine::NonMaxSuppression(op) => suppression::lower(&mut b, op, kernel),
        Routine::NonZero(_) => non_zero::lower(&mut b, kernel),
        Routine::Scatter(op) => scatter::lower(&mut b, op, kernel),
        Routine::TopK(op) => topk::lower(&mut b, op, kernel),
    }
    b.finish()
}

/// The types of the operands, reads before results.
fn types<const N: usize>(kernel: &Kernel) -> [TensorType; N] {
    let types: Vec<TensorType> = kernel.operands.values().map(|o| o.ty.clone()).collect();
    types.try_into().expect("K8: the operands are those of the routine")
}

/// One parameter per operand, under shapes of the same size.
fn params<const N: usize>(
    b: &mut LoopBuilder,
    kernel: &Kernel,
    types: [TensorType; N],
) -> [ParamId; N] {
    let mut roles = kernel.operands.values().map(|o| o.role);
    types.map(|ty| {
        let access = match roles.next() {
            Some(Role::Write) => ParamAccess::Write,
            _ => ParamAccess::Read,
        };
        b.param(Param { ty, access })
    })
}

/// Memory that the function alone uses.
fn scratch(b: &mut LoopBuilder, elem: ElemType, extent: usize) -> ParamId {
    let ty = TensorType::new(elem, &[extent]);
    b.param(Param { ty, access: ParamAccess::ReadWrite })
}

fn at(index: IndexId) -> Affine<IndexId> {
    Affine::var(index)
}

/// One element.
fn load(b: &mut LoopBuilder, param: ParamId, index: Vec<Affine<IndexId>>) -> ValueId {
    let elem = b.func().params[param].ty.elem;
    b.load(VType::scalar(elem), param, index, 1)
}

fn int(b: &mut LoopBuilder, value: i64) -> ValueId {
    b.constant(Scalar::from_i64(ElemType::I64, value), 1)
}

fn select(b: &mut LoopBuilder, condition: ValueId, then: ValueId, otherwise: ValueId) -> ValueId {
    b.apply(ScalarFn::Select, &[condition, then, otherwise])
}

/// What is inside all loops: from their indices and the carried values to the next ones.
type NestBody<'a> = dyn FnMut(&mut LoopBuilder, &[IndexId], &[ValueId]) -> Vec<ValueId> + 'a;

/// Loops around loops, outermost first, that carry the same values.
fn nest(
    b: &mut LoopBuilder,
    extents: &[usize],
    indices: &mut Vec<IndexId>,
    carried: &[ValueId],
    body: &mut NestBody<'_>,
) -> Vec<ValueId> {
    let Some((&extent, inner)) = extents.split_first() else {
        return body(b, indices, carried);
    };
    b.for_carried(extent, carried, |b, index, carried| {
        indices.push(index);
        let next = nest(b, inner, indices, carried, body);
        indices.pop();
        next
    })
}

/// Replaces values where a condition holds, by a branch: nothing else of `then` happens otherwise.
fn when(
    b: &mut LoopBuilder,
    condition: ValueId,
    otherwise: &[ValueId],
    then: impl FnOnce(&mut LoopBuilder) -> Vec<ValueId>,
) -> Vec<ValueId> {
    let holds = b.cast(ElemType::I32, condition);
    let holds = b.index(2, holds);
    b.guarded(vec![Guard { expr: at(holds).offset(-1), extent: 1 }], otherwise, then)
}

/// Stores zero in every element.
fn clear(b: &mut LoopBuilder, param: ParamId) {
    let ty = b.func().params[param].ty.clone();
    let zero = b.constant(Scalar::from_i64(ty.elem, 0), 1);
    nest(b, &ty.shape, &mut Vec::new(), &[], &mut |b, indices, _| {
        b.store(param, indices.iter().copied().map(at).collect(), zero, 1);
        Vec::new()
    });
}

#[cfg(test)]
mod testing;
