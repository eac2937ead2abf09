//! One vector load for four neighbouring scalars that are broadcast, on targets whose multiply-add
//! takes one lane of a vector as a factor.
//!
//! Four scalar loads of a block at `c`, `c+1`, `c+2` and `c+3` in the last dimension, each splatted
//! to four lanes, become one load of four lanes, and the splats become lanes of it. The load is in
//! bounds because the scalars are (L2).

use edgecc_ir::affine::Affine;
use edgecc_ir::loops::walk::{each_stmt, inner_block_mut};
use edgecc_ir::loops::{Block, Expr, IndexId, LoopFn, ParamId, Stmt, VType, ValueId};
use edgecc_ir::target::Target;
use edgecc_ir::types::ElemType;
use indexmap::IndexMap;
use std::collections::{BTreeMap, BTreeSet};

/// Lanes of the vector that replaces scalars.
const LANES: u8 = 4;

/// The same function with grouped broadcasts; unused scalar loads stay for `simplify`.
#[must_use]
pub fn group_broadcasts(mut func: LoopFn, target: &Target) -> LoopFn {
    if target.fma_by_lane {
        let mut body = std::mem::take(&mut func.body);
        block(&mut func, &mut body);
        func.body = body;
    }
    func
}

/// A parameter, and an index whose last constant is 0.
type Walk = (ParamId, Vec<Affine<IndexId>>);

/// Positions in the block and values of splatted scalar loads, by their last constant.
type Loads = BTreeMap<i64, Vec<(usize, ValueId)>>;

fn block(func: &mut LoopFn, stmts: &mut Block) {
    stmts.iter_mut().filter_map(inner_block_mut).for_each(|inner| block(func, inner));
    let groups: Vec<Group> = splatted_loads(func, stmts)
        .into_iter()
        .flat_map(|(walk, loads)| {
            runs(&loads).into_iter().map(move |start| (walk.clone(), loads.clone(), start))
        })
        .map(|(walk, loads, start)| Group::new(func, walk, &loads, start))
        .collect();
    for (at, mut stmt) in std::mem::take(stmts).into_iter().enumerate() {
        stmts.extend(groups.iter().filter(|g| g.at == at).map(Group::load));
        use_lanes(&groups, &mut stmt);
        stmts.push(stmt);
    }
}

/// Four neighbouring scalars that become a vector.
struct Group {
    vector: ValueId,
    walk: Walk,
    /// The position of the first of the scalar loads.
    at: usize,
    lanes: BTreeMap<ValueId, u8>,
}

impl Group {
    fn new(func: &mut LoopFn, (param, mut index): Walk, loads: &Loads, start: i64) -> Group {
        let vector = func.values.push(VType { elem: ElemType::F32, lanes: LANES });
        if let Some(last) = index.last_mut() {
            last.constant = start;
        }
        let members =
            || (0..LANES).flat_map(|n| loads[&(start + i64::from(n))].iter().map(move |l| (l, n)));
        let at = members().map(|(load, _)| load.0).min().expect("four loads");
        let lanes = members().map(|(load, lane)| (load.1, lane)).collect();
        Group { vector, walk: (param, index), at, lanes }
    }

    fn load(&self) -> Stmt {
        let (param, index) = self.walk.clone();
        Stmt::Let { value: self.vector, expr: Expr::Load { param, index, lanes: LANES } }
    }
}

/// The scalar loads of a block that it splats to four lanes, from parameters that it does not write.
fn splatted_loads(func: &LoopFn, stmts: &Block) -> IndexMap<Walk, Loads> {
    let mut written: BTreeSet<ParamId> = BTreeSet::new();
    each_stmt(stmts, &mut |stmt| written.extend(stored(stmt)));
    let splatted: BTreeSet<ValueId> = stmts.iter().filter_map(|stmt| splat(func, stmt)).collect();
    let mut found: IndexMap<Walk, Loads> = IndexMap::new();
    for (at, stmt) in stmts.iter().enumerate() {
        let Stmt::Let { value, expr: Expr::Load { param, index, lanes: 1 } } = stmt else {
            continue;
        };
        let grouped = splatted.contains(value) && !written.contains(param);
        if let Some(last) = index.last().filter(|_| grouped) {
            let mut walk = index.clone();
            walk[index.len() - 1] = last.clone().offset(-last.constant);
            let loads = found.entry((*param, walk)).or_default();
            loads.entry(last.constant).or_default().push((at, *value));
        }
    }
    found
}

/// The parameter that a statement itself writes.
fn stored(stmt: &Stmt) -> Option<ParamId> {
    match stmt {
        Stmt::Store { param, .. } => Some(*param),
        Stmt::Let { .. }
        | Stmt::Prefetch { .. }
        | Stmt::Index { .. }
        | Stmt::For { .. }
        | Stmt::If { .. } => None,
    }
}

/// The scalar that a statement splats to four `f32` lanes.
fn splat(func: &LoopFn, stmt: &Stmt) -> Option<ValueId> {
    let Stmt::Let { value, expr: Expr::Splat(scalar) } = stmt else { return None };
    (func.values[*value] == VType { elem: ElemType::F32, lanes: LANES }).then_some(*scalar)
}

/// The starts of disjoint runs of four neighbouring constants.
fn runs(loads: &Loads) -> Vec<i64> {
    let mut starts: Vec<i64> = Vec::new();
    for &c in loads.keys() {
        let free = starts.last().is_none_or(|&last| c >= last + i64::from(LANES));
        if free && (1..i64::from(LANES)).all(|n| loads.contains_key(&(c + n))) {
            starts.push(c);
        }
    }
    starts
}

fn use_lanes(groups: &[Group], stmt: &mut Stmt) {
    let Stmt::Let { expr, .. } = stmt else { return };
    let Expr::Splat(scalar) = expr else { return };
    let lane = groups.iter().find_map(|g| Some((g.vector, *g.lanes.get(scalar)?)));
    if let Some((vector, lane)) = lane {
        *expr = Expr::SplatLane(vector, lane);
    }
}

#[cfg(test)]
mod tests {
    use super::group_broadcasts;
    use crate::loops::testing::{check_pass, random_function};
    use edgecc_ir::affine::Affine;
    use edgecc_ir::loops::build::LoopBuilder;
    use edgecc_ir::loops::walk::each_stmt;
    use edgecc_ir::loops::{Expr, LoopFn, Param, ParamAccess, ParamId, Stmt, VType};
    use edgecc_ir::scalar::func::ScalarFn;
    use edgecc_ir::target::{Arch, Target};
    use edgecc_ir::types::{ElemType, TensorType};

    /// `y[0..4] = Σ splat(x[2·i + c])` over the constants, in a loop over `i`.
    fn broadcasts(constants: &[i64]) -> LoopFn {
        sums(constants, |_, y| y)
    }

    /// The same, stored to one of `x` and `y`.
    fn sums(constants: &[i64], stored: impl Fn(ParamId, ParamId) -> ParamId) -> LoopFn {
        let mut b = LoopBuilder::new("f");
        let ty = TensorType::new(ElemType::F32, &[16]);
        let [x, y] =
            [0, 1].map(|_| b.param(Param { ty: ty.clone(), access: ParamAccess::ReadWrite }));
        b.for_each(3, |b, i| {
            let splats: Vec<_> = constants
                .iter()
                .map(|&c| {
                    let at = vec![Affine::scaled(i, 2).offset(c)];
                    let scalar = b.load(VType::scalar(ElemType::F32), x, at, 1);
                    b.splat(scalar, 4)
                })
                .collect();
            let sum = splats.into_iter().reduce(|s, v| b.apply(ScalarFn::Sub, &[v, s]));
            b.store(stored(x, y), vec![Affine::scaled(i, 4)], sum.expect("a constant"), 4);
        });
        b.finish()
    }

    fn lanes_used(func: &LoopFn) -> usize {
        let mut n = 0;
        each_stmt(&func.body, &mut |stmt| {
            n += usize::from(matches!(stmt, Stmt::Let { expr: Expr::SplatLane(..), .. }));
        });
        n
    }

    fn grouped(arch: Arch, constants: &[i64]) -> usize {
        let target = Target::default_for(arch);
        lanes_used(&check_pass(broadcasts(constants), &target, group_broadcasts))
    }

    #[test]
    fn four_neighbours_in_any_order_become_lanes() {
        assert_eq!(grouped(Arch::Aarch64, &[4, 2, 5, 3]), 4);
        assert_eq!(grouped(Arch::Aarch64, &[1, 2, 2, 3, 4, 9]), 5);
    }

    #[test]
    fn fewer_than_four_stay_scalars() {
        assert_eq!(grouped(Arch::Aarch64, &[1, 2, 3, 5, 6]), 0);
    }

    #[test]
    fn what_the_block_writes_stays_scalar() {
        let target = Target::default_for(Arch::Aarch64);
        let func = sums(&[1, 2, 3, 4], |x, _| x);
        assert_eq!(lanes_used(&check_pass(func, &target, group_broadcasts)), 0);
    }

    #[test]
    fn targets_without_by_lane_arithmetic_keep_scalars() {
        assert_eq!(grouped(Arch::X86_64, &[1, 2, 3, 4]), 0);
    }

    #[test]
    fn random_functions_keep_their_meaning() {
        for seed in 0..200 {
            let target = Target::default_for(Arch::Aarch64);
            check_pass(random_function(seed), &target, group_broadcasts);
        }
    }
}
