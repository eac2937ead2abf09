//! Less work for the same stores: invariant values leave loops, equal values of a block become one,
//! dead values disappear.

mod cse;
mod dead;
mod hoist;

use super::pressure;
use edgecc_ir::loops::{LoopFn, Stmt};
use edgecc_ir::target::Target;
use std::collections::BTreeSet;

/// Where operands may be memory, invariant values may take one in so many registers.
const HOISTED_SHARE: usize = 4;
/// Registers that nothing invariant takes, and those for what is loaded ahead where that is done.
const SPARE: usize = 1;
const SPARE_AHEAD: usize = 3;

/// The simplified function; its values are numbered in the order of their definitions.
#[must_use]
pub fn simplify(mut func: LoopFn, target: &Target) -> LoopFn {
    cse::share_equal_values(&mut func, target);
    match target.fma_by_lane {
        true => hoist_everywhere(&mut func, target),
        false => {
            let limit = target.registers(func.vector_bits()) as usize / HOISTED_SHARE;
            // In front of outer loops values would occupy registers during the inner ones.
            let innermost = |_: &LoopFn, s: &Stmt| if hoist::height(s) == 1 { limit } else { 0 };
            hoist::hoist(&mut func, innermost);
            cse::share_equal_values(&mut func, target);
        }
    }
    dead::remove_dead_values(&mut func);
    func
}

/// Moves values out of the innermost loops, then out of those around them, while registers are free.
fn hoist_everywhere(func: &mut LoopFn, target: &Target) {
    let heights = func.body.iter().map(hoist::height).max().unwrap_or(0);
    let spare = SPARE + if target.runs_in_order() { SPARE_AHEAD } else { 0 };
    for height in 1..=heights {
        let free = |func: &LoopFn, stmt: &Stmt| {
            let moving = hoist::invariants(func, stmt);
            let one = std::slice::from_ref(stmt);
            let others = pressure::peak(func, one, &moving, &mut BTreeSet::new());
            (target.vector_regs as usize).saturating_sub(others + spare)
        };
        hoist::hoist(func, |f, s| if hoist::height(s) == height { free(f, s) } else { 0 });
        cse::share_equal_values(func, target);
    }
}

#[cfg(test)]
mod tests {
    use super::simplify;
    use crate::loops::testing::{check_pass, random_function};
    use edgecc_ir::affine::Affine;
    use edgecc_ir::loops::build::LoopBuilder;
    use edgecc_ir::loops::walk::each_stmt;
    use edgecc_ir::loops::{Expr, LoopFn, Param, ParamAccess, ParamId, Stmt, VType};
    use edgecc_ir::scalar::func::ScalarFn;
    use edgecc_ir::target::{Arch, Target};
    use edgecc_ir::tensor::Scalar;
    use edgecc_ir::types::{ElemType, TensorType};

    const F32: VType = VType { elem: ElemType::F32, lanes: 1 };

    fn simplified(arch: Arch, build: impl FnOnce(&mut LoopBuilder, ParamId, ParamId)) -> LoopFn {
        let mut b = LoopBuilder::new("f");
        let ty = TensorType::new(ElemType::F32, &[8]);
        let x = b.param(Param { ty: ty.clone(), access: ParamAccess::Read });
        let y = b.param(Param { ty, access: ParamAccess::Write });
        build(&mut b, x, y);
        check_pass(b.finish(), &Target::default_for(arch), simplify)
    }

    fn count(func: &LoopFn, wanted: impl Fn(&Stmt) -> bool) -> usize {
        let mut n = 0;
        each_stmt(&func.body, &mut |stmt| n += usize::from(wanted(stmt)));
        n
    }

    #[test]
    fn random_functions_keep_their_meaning() {
        for seed in 0..400 {
            for arch in [Arch::X86_64, Arch::Aarch64] {
                check_pass(random_function(seed), &Target::default_for(arch), simplify);
            }
        }
    }

    /// `y[j] = 1 + x[i]` for each `i` and `j`.
    fn nested(arch: Arch) -> LoopFn {
        simplified(arch, |b, x, y| {
            b.for_each(8, |b, i| {
                b.for_each(8, |b, j| {
                    let one = b.constant(Scalar::f32(1.0), 1);
                    let v = b.load(F32, x, vec![Affine::var(i)], 1);
                    let sum = b.apply(ScalarFn::Add, &[one, v]);
                    b.store(y, vec![Affine::var(j)], sum, 1);
                });
            });
        })
    }

    #[test]
    fn constants_and_invariant_loads_leave_the_innermost_loop() {
        let func = nested(Arch::X86_64);
        let [Stmt::For { body, .. }] = func.body.as_slice() else { panic!("one loop: {func:?}") };
        assert_eq!(body.len(), 4, "{body:?}");
    }

    #[test]
    fn by_lane_constants_leave_all_loops() {
        let func = nested(Arch::Aarch64);
        let [Stmt::Let { .. }, Stmt::For { body, .. }] = func.body.as_slice() else {
            panic!("a constant, a loop: {func:?}")
        };
        assert_eq!(body.len(), 3, "{body:?}");
    }

    #[test]
    fn equal_values_of_a_block_are_shared() {
        let func = simplified(Arch::Aarch64, |b, x, y| {
            let [p, q] = [0, 0].map(|at| b.load(F32, x, vec![Affine::constant(at)], 1));
            let (s, t) = (b.apply(ScalarFn::Mul, &[p, q]), b.apply(ScalarFn::Mul, &[q, p]));
            let sum = b.apply(ScalarFn::Add, &[s, t]);
            b.store(y, vec![Affine::constant(0)], sum, 1);
        });
        assert_eq!(func.values.len(), 3);
    }

    #[test]
    fn broadcasts_that_fold_into_arithmetic_stay_private() {
        for (arch, loads) in [(Arch::X86_64, 2), (Arch::Aarch64, 1)] {
            let func = simplified(arch, |b, x, y| {
                let [p, q] = [0, 0].map(|at| {
                    let scalar = b.load(F32, x, vec![Affine::constant(at)], 1);
                    b.splat(scalar, 4)
                });
                let sum = b.apply(ScalarFn::Add, &[p, q]);
                b.store(y, vec![Affine::constant(0)], sum, 4);
            });
            let is_load = |s: &Stmt| matches!(s, Stmt::Let { expr: Expr::Load { .. }, .. });
            assert_eq!(count(&func, is_load), loads, "{arch:?}");
        }
    }

    #[test]
    fn unused_carried_values_and_empty_loops_disappear() {
        let func = simplified(Arch::Aarch64, |b, x, y| {
            let zero = b.constant(Scalar::f32(0.0), 1);
            b.for_carried(8, &[zero], |b, i, sum| {
                let v = b.load(F32, x, vec![Affine::var(i)], 1);
                vec![b.apply(ScalarFn::Add, &[sum[0], v])]
            });
            b.store(y, vec![Affine::constant(0)], zero, 1);
        });
        assert_eq!(count(&func, |s| matches!(s, Stmt::For { .. })), 0);
    }
}
