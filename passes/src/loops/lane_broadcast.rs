//! One vector load for four neighbouring scalars that are broadcast, on targets whose multiply-add
//! takes one lane of a vector as a factor. Words of codes that dot products multiply are such
//! scalars.
//!
//! Four scalar loads of a block at `c`, `c+w`, `c+2·w` and `c+3·w` in the last dimension, with `w`
//! the elements of each, splatted to four lanes, become one load of four lanes, and the splats
//! become lanes of it. The load is in bounds because the scalars are (L2).

use edgecc_ir::affine::Affine;
use edgecc_ir::loops::walk::{each_stmt, inner_block_mut};
use edgecc_ir::loops::{Block, Expr, IndexId, LoopFn, ParamId, Stmt, VType, ValueId};
use edgecc_ir::scalar::func::Class;
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

/// Scalars of one type whose indices differ by the last constant.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Walk {
    param: ParamId,
    /// With 0 for the last constant.
    index: Vec<Affine<IndexId>>,
    elem: ElemType,
    /// Elements of the parameter in each scalar.
    width: i64,
}

/// Positions in the block and values of splatted scalar loads, by their last constant.
type Loads = BTreeMap<i64, Vec<(usize, ValueId)>>;

fn block(func: &mut LoopFn, stmts: &mut Block) {
    stmts.iter_mut().filter_map(inner_block_mut).for_each(|inner| block(func, inner));
    let groups: Vec<Group> = splatted_loads(func, stmts)
        .into_iter()
        .flat_map(|(walk, loads)| {
            let starts = runs(&loads, walk.width).into_iter();
            starts.map(move |start| (walk.clone(), loads.clone(), start))
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
    fn new(func: &mut LoopFn, mut walk: Walk, loads: &Loads, start: i64) -> Group {
        let vector = func.values.push(VType { elem: walk.elem, lanes: LANES });
        if let Some(last) = walk.index.last_mut() {
            last.constant = start;
        }
        let member = |n: u8| &loads[&(start + i64::from(n) * walk.width)];
        let members = || (0..LANES).flat_map(|n| member(n).iter().map(move |l| (l, n)));
        let at = members().map(|(load, _)| load.0).min().expect("four loads");
        let lanes = members().map(|(load, lane)| (load.1, lane)).collect();
        Group { vector, walk, at, lanes }
    }

    fn load(&self) -> Stmt {
        let Walk { param, index, .. } = self.walk.clone();
        Stmt::Let { value: self.vector, expr: Expr::Load { param, index, lanes: LANES } }
    }
}

/// The scalar loads of a block that it splats to four lanes, from parameters that it does not write.
fn splatted_loads(func: &LoopFn, stmts: &Block) -> IndexMap<Walk, Loads> {
    let mut written: BTreeSet<ParamId> = BTreeSet::new();
    each_stmt(stmts, &mut |stmt| written.extend(stored(stmt)));
    let factors = factors_of_dots(stmts);
    let splatted: BTreeSet<ValueId> =
        stmts.iter().filter_map(|stmt| splat(func, &factors, stmt)).collect();
    let mut found: IndexMap<Walk, Loads> = IndexMap::new();
    for (at, stmt) in stmts.iter().enumerate() {
        let Stmt::Let { value, expr: Expr::Load { param, index, lanes: 1 } } = stmt else {
            continue;
        };
        let grouped = splatted.contains(value) && !written.contains(param);
        if let Some(last) = index.last().filter(|_| grouped) {
            let (mut index, constant) = (index.clone(), last.constant);
            index.last_mut().expect("has one").constant = 0;
            let width = func.width(*value, *param).into();
            let walk = Walk { param: *param, index, elem: func.values[*value].elem, width };
            let loads = found.entry(walk).or_default();
            loads.entry(constant).or_default().push((at, *value));
        }
    }
    found
}

/// The parameter that a statement itself writes.
fn stored(stmt: &Stmt) -> Option<ParamId> {
    match stmt {
        Stmt::Store { param, .. } => Some(*param),
        Stmt::Matrix(sum) => Some(sum.to.param),
        Stmt::Let { .. }
        | Stmt::Prefetch { .. }
        | Stmt::Index { .. }
        | Stmt::For { .. }
        | Stmt::If { .. } => None,
    }
}

/// What dot products in a block multiply.
fn factors_of_dots(stmts: &Block) -> BTreeSet<ValueId> {
    let mut factors = BTreeSet::new();
    each_stmt(stmts, &mut |stmt| {
        if let Stmt::Let { expr: Expr::Apply(func, args), .. } = stmt
            && func.info().class == Class::Dot
        {
            factors.extend(&args[..2]);
        }
    });
    factors
}

/// The scalar that a statement splats to four lanes: a number, or a word that is multiplied.
fn splat(func: &LoopFn, factors: &BTreeSet<ValueId>, stmt: &Stmt) -> Option<ValueId> {
    let Stmt::Let { value, expr: Expr::Splat(scalar) } = stmt else { return None };
    let VType { elem, lanes } = func.values[*value];
    let is_factor = elem == ElemType::F32 || factors.contains(value);
    (lanes == LANES && is_factor).then_some(*scalar)
}

/// The starts of disjoint runs of four neighbouring scalars of so many elements.
fn runs(loads: &Loads, width: i64) -> Vec<i64> {
    let mut starts: Vec<i64> = Vec::new();
    for &c in loads.keys() {
        let free = starts.last().is_none_or(|&last| c >= last + i64::from(LANES) * width);
        if free && (1..i64::from(LANES)).all(|n| loads.contains_key(&(c + n * width))) {
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
    use edgecc_ir::tensor::Scalar;
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

    /// The sum of dot products of words of codes at these places with the same vector.
    fn dots(places: &[i64]) -> LoopFn {
        let mut b = LoopBuilder::new("f");
        let param =
            |elem, len| Param { ty: TensorType::new(elem, &[len]), access: ParamAccess::ReadWrite };
        let [x, y] = [(ElemType::I8, 40), (ElemType::I32, 4)].map(|(e, n)| b.param(param(e, n)));
        let words =
            b.load(VType { elem: ElemType::I32, lanes: 4 }, x, vec![Affine::constant(0)], 4);
        let mut sum = b.constant(Scalar::from_i64(ElemType::I32, 0), 4);
        for &at in places {
            let word = b.load(VType::scalar(ElemType::I32), x, vec![Affine::constant(at)], 1);
            let word = b.splat(word, 4);
            sum = b.apply(ScalarFn::DotI8, &[word, words, sum]);
        }
        b.store(y, vec![Affine::constant(0)], sum, 4);
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
    fn words_of_codes_that_are_multiplied_become_lanes() {
        let target = Target::default_for(Arch::Aarch64);
        let lanes = |places| lanes_used(&check_pass(dots(places), &target, group_broadcasts));
        assert_eq!(lanes(&[8, 4, 16, 12, 24]), 4);
        assert_eq!(lanes(&[0, 1, 2, 3]), 0);
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
