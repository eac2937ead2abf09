//! `scatter`: a copy of the data, then the updates one after the other.

use super::{at, load, nest};
use crate::lower_to_loops::expr;
use edgecc_ir::graph::ops::{Pick, Scatter};
use edgecc_ir::kernel::{Kernel, Role};
use edgecc_ir::loops::build::LoopBuilder;
use edgecc_ir::loops::{IndexId, Param, ParamAccess, ParamId};

pub(super) fn lower(b: &mut LoopBuilder, op: &Scatter, kernel: &Kernel) {
    let mut params = Vec::new();
    for operand in kernel.operands.values() {
        let written = operand.role == Role::Write;
        let access = if written { ParamAccess::ReadWrite } else { ParamAccess::Read };
        params.push(b.param(Param { ty: operand.ty.clone(), access }));
    }
    let [data, updates, indices @ .., result] = params.as_slice() else {
        panic!("K8: scatter has data, updates and a result");
    };
    copy(b, *data, *result);
    let extents = b.func().params[*updates].ty.shape.to_vec();
    nest(b, &extents, &mut Vec::new(), &[], &mut |b, point, _| {
        let to = target(b, op, *result, indices, point);
        let to: Vec<_> = to.into_iter().map(at).collect();
        let update = load(b, *updates, point.iter().copied().map(at).collect());
        let old = load(b, *result, to.clone());
        let new = expr::emit(b, &op.combine, &[old, update], 1);
        b.store(*result, to, new, 1);
        Vec::new()
    });
}

fn copy(b: &mut LoopBuilder, from: ParamId, to: ParamId) {
    let extents = b.func().params[from].ty.shape.to_vec();
    nest(b, &extents, &mut Vec::new(), &[], &mut |b, point, _| {
        let point: Vec<_> = point.iter().copied().map(at).collect();
        let value = load(b, from, point.clone());
        b.store(to, point, value, 1);
        Vec::new()
    });
}

/// Where an update goes.
fn target(
    b: &mut LoopBuilder,
    op: &Scatter,
    result: ParamId,
    indices: &[ParamId],
    point: &[IndexId],
) -> Vec<IndexId> {
    let shape = b.func().params[result].ty.shape.clone();
    let mut indices = indices.iter();
    let mut place = |(pick, &extent): (&Pick, &usize)| match pick {
        Pick::Dim(d) => point[*d as usize],
        Pick::Index(dims) => {
            let index = *indices.next().expect("G4: one operand per index");
            let value = load(b, index, dims.iter().map(|&d| at(point[d as usize])).collect());
            b.index(extent, value)
        }
    };
    op.picks.iter().zip(shape.iter()).map(&mut place).collect()
}

#[cfg(test)]
mod tests {
    use crate::library::testing::check;
    use edgecc_ir::graph::ops::OpTag;

    #[test]
    fn updates_go_where_the_evaluator_puts_them() {
        check(OpTag::Scatter, 200);
    }
}
