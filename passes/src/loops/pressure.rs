//! How many vector registers a block needs, estimated from the lifetimes of its values.

use edgecc_ir::loops::walk::{each_stmt, inner_block, operands};
use edgecc_ir::loops::{Block, Carried, LoopFn, Stmt, ValueId};
use std::collections::BTreeSet;

/// The most values that live at once in a block, without those of `ignored`. `live` are the values
/// that are used behind the block, then those that are used in it or behind it.
pub(super) fn peak(
    func: &LoopFn,
    block: &[Stmt],
    ignored: &BTreeSet<ValueId>,
    live: &mut BTreeSet<ValueId>,
) -> usize {
    let counts = |v| (occupies_vector(func, v) && !ignored.contains(&v)).then_some(v);
    let mut most = live.len();
    for stmt in block.iter().rev() {
        let mut inside = step(stmt, live, &counts);
        let inner = inner_block(stmt).map_or(0, |block| peak(func, block, ignored, &mut inside));
        most = most.max(inner).max(live.len());
    }
    most
}

/// Turns the values that live behind a statement into those that live before it. Returns those that
/// live at the end of its block. `holder` gives the value whose register holds another one.
pub(super) fn step(
    stmt: &Stmt,
    live: &mut BTreeSet<ValueId>,
    holder: &impl Fn(ValueId) -> Option<ValueId>,
) -> BTreeSet<ValueId> {
    let held = |values: BTreeSet<ValueId>| values.into_iter().filter_map(holder);
    match stmt {
        Stmt::Let { value, expr } => {
            live.remove(value);
            live.extend(operands(expr).into_iter().filter_map(holder));
        }
        Stmt::Store { value, .. } | Stmt::Index { value, .. } => live.extend(holder(*value)),
        Stmt::Prefetch { .. } | Stmt::Matrix(_) => {}
        Stmt::For { carried, body, .. } => {
            carried.iter().for_each(|c| _ = live.remove(&c.result));
            // What the body uses of the outside lives through all iterations.
            live.extend(held(from_outside(carried, body)));
            let next = carried.iter().filter_map(|c| holder(c.next));
            let inside = live.iter().copied().chain(next).collect();
            live.extend(carried.iter().filter_map(|c| holder(c.init)));
            return inside;
        }
        Stmt::If { then, results, .. } => {
            results.iter().for_each(|r| _ = live.remove(&r.result));
            live.extend(results.iter().filter_map(|r| holder(r.otherwise)));
            let results = results.iter().filter_map(|r| holder(r.then));
            let inside = live.iter().copied().chain(results).collect();
            live.extend(held(from_outside(&[], then)));
            return inside;
        }
    }
    BTreeSet::new()
}

/// The values that a block uses and neither defines nor carries.
fn from_outside(carried: &[Carried], body: &Block) -> BTreeSet<ValueId> {
    let mut used: BTreeSet<ValueId> = carried.iter().map(|c| c.next).collect();
    let mut defined: BTreeSet<ValueId> = carried.iter().map(|c| c.inner).collect();
    each_stmt(body, &mut |stmt| match stmt {
        Stmt::Let { value, expr } => {
            defined.insert(*value);
            used.extend(operands(expr));
        }
        Stmt::Store { value, .. } | Stmt::Index { value, .. } => _ = used.insert(*value),
        Stmt::Prefetch { .. } | Stmt::Matrix(_) => {}
        Stmt::For { carried, .. } => {
            defined.extend(carried.iter().flat_map(|c| [c.inner, c.result]));
            used.extend(carried.iter().flat_map(|c| [c.init, c.next]));
        }
        Stmt::If { results, .. } => {
            defined.extend(results.iter().map(|r| r.result));
            used.extend(results.iter().flat_map(|r| [r.then, r.otherwise]));
        }
    });
    used.retain(|v| !defined.contains(v));
    used
}

/// Whether a value lives in a vector register: vectors, and floats.
pub(super) fn occupies_vector(func: &LoopFn, value: ValueId) -> bool {
    let ty = func.values[value];
    ty.lanes > 1 || ty.elem.is_float()
}

#[cfg(test)]
mod tests {
    use super::peak;
    use edgecc_ir::affine::Affine;
    use edgecc_ir::loops::build::LoopBuilder;
    use edgecc_ir::loops::{Param, ParamAccess, VType};
    use edgecc_ir::scalar::func::ScalarFn;
    use edgecc_ir::types::{ElemType, TensorType};
    use std::collections::BTreeSet;

    #[test]
    fn values_of_the_outside_live_through_a_loop() {
        let mut b = LoopBuilder::new("f");
        let ty = TensorType::new(ElemType::F32, &[8]);
        let x = b.param(Param { ty: ty.clone(), access: ParamAccess::Read });
        let y = b.param(Param { ty, access: ParamAccess::Write });
        let scalar = VType::scalar(ElemType::F32);
        let outside = b.load(scalar, x, vec![Affine::constant(0)], 1);
        let sum = b.for_carried(4, &[outside], |b, i, sum| {
            let first = b.apply(ScalarFn::Add, &[sum[0], outside]);
            let next = b.load(scalar, x, vec![Affine::var(i)], 1);
            vec![b.apply(ScalarFn::Mul, &[first, next])]
        });
        b.store(y, vec![Affine::constant(0)], sum[0], 1);
        let func = b.finish();
        let at_once = |ignored| peak(&func, &func.body, &ignored, &mut BTreeSet::new());
        assert_eq!(at_once(BTreeSet::new()), 3);
        assert_eq!(at_once(BTreeSet::from([outside])), 2);
    }
}
