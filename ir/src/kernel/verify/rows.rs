//! K7: each stage iterates the row axes first; a local belongs to one of their points and is
//! written before it is read. Relies on K1 and K3.

use crate::diag::Violation;
use crate::kernel::{Access, AxisKind, Kernel, Role, Stage};
use cranelift_entity::EntitySet;

pub(super) fn check(kernel: &Kernel, found: &mut Vec<Violation>) {
    let parallel = |&a| kernel.axes.get(a).is_some_and(|a| a.kind == AxisKind::Parallel);
    if !kernel.rows.iter().all(parallel) {
        let message = "a row axis is not a parallel axis of the kernel";
        return found.push(Violation::new("K7", "rows", message));
    }
    let mut read = EntitySet::new();
    for (number, stage) in kernel.stages.iter().enumerate() {
        let mut report =
            |message: String| found.push(Violation::new("K7", format!("stage {number}"), message));
        if !stage.axes.starts_with(&kernel.rows) {
            report("the stage does not iterate the row axes first".into());
        }
        for access in locals(kernel, stage).filter(|a| uses_rows(kernel, a)) {
            report(format!("the access to local {} uses a row axis", access.operand));
        }
        read.extend(stage.all_reads().map(|a| a.operand));
        if read.contains(stage.write.operand) {
            report(format!("{} is written after it is read", stage.write.operand));
        }
    }
}

fn locals<'k>(kernel: &'k Kernel, stage: &'k Stage) -> impl Iterator<Item = &'k Access> {
    let is_local = |a: &&Access| kernel.operands[a.operand].role == Role::Local;
    stage.all_reads().chain([&stage.write]).filter(is_local)
}

fn uses_rows(kernel: &Kernel, access: &Access) -> bool {
    access.axes().any(|axis| kernel.rows.contains(&axis))
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::affine::Affine;
    use crate::kernel::build::{KernelBuilder, access, access_axes};
    use crate::kernel::{AxisKind, Kernel, Operand, Reduce, Role};
    use crate::scalar::ScalarExpr;
    use crate::scalar::func::ScalarFn;
    use crate::tensor::Scalar;
    use crate::types::{ElemType, TensorType};

    /// Each row over its sum, which is local.
    fn shares() -> Kernel {
        let ty = |dims: &[usize]| TensorType::new(ElemType::F32, dims);
        let mut b = KernelBuilder::new("shares");
        let (x, y) = (b.read(&ty(&[3, 4])), b.write(&ty(&[3, 4])));
        let sum = b.local(&ty(&[]));
        let row = b.axis(3, AxisKind::Parallel);
        let (k, n) = (b.axis(4, AxisKind::Reduce), b.axis(4, AxisKind::Parallel));
        b.rows(vec![row]);
        let reduce = Reduce { func: ScalarFn::Add, init: Scalar::f32(0.0) };
        let all = vec![access_axes(x, &[row, k])];
        b.reduce_stage(vec![row, k], all, ScalarExpr::identity(), reduce, access(sum, vec![]));
        let reads = vec![access_axes(x, &[row, n]), access(sum, vec![])];
        let div = ScalarExpr::call(ScalarFn::Div);
        b.map_stage(vec![row, n], reads, div, access_axes(y, &[row, n]));
        b.finish()
    }

    #[track_caller]
    fn check_broken(damage: impl FnOnce(&mut Kernel)) {
        let mut kernel = shares();
        damage(&mut kernel);
        let mut found = Vec::new();
        check(&kernel, &mut found);
        assert!(found.iter().any(|v| v.invariant == "K7"), "{found:?}");
    }

    #[test]
    fn a_sound_kernel_verifies() {
        assert_eq!(crate::kernel::verify::verify_kernel(&shares()), Ok(()));
    }

    #[test]
    fn k7_wants_row_axes_first() {
        check_broken(|k| k.stages[0].axes.rotate_left(1));
        check_broken(|k| k.rows = vec![k.stages[0].axes[1]]);
    }

    #[test]
    fn k7_wants_locals_of_one_point() {
        check_broken(|k| {
            let (row, ty) = (k.rows[0], TensorType::new(ElemType::F32, &[3]));
            let sum = k.stages[0].write.operand;
            k.operands[sum] = Operand { ty, role: Role::Local };
            k.stages[0].write.index = vec![Affine::var(row).into()];
        });
    }

    #[test]
    fn k7_wants_writes_before_reads() {
        check_broken(|k| k.stages.swap(0, 1));
    }
}
