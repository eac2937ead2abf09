//! K8: a routine stands alone, and its operands and results are the kernel's operands.

use crate::diag::Violation;
use crate::kernel::routine::Routine;
use crate::kernel::{Kernel, Operand, Role};
use crate::types::TensorType;

pub(super) fn violations(kernel: &Kernel, routine: &Routine) -> Vec<Violation> {
    let found = check(kernel, routine).err();
    found.map(|message| Violation::new("K8", "routine", message)).into_iter().collect()
}

fn check(kernel: &Kernel, routine: &Routine) -> Result<(), String> {
    let structured = !kernel.stages.is_empty() || !kernel.axes.is_empty();
    if structured || kernel.schedule.is_some() {
        return Err("a kernel with a routine has stages, axes or a schedule".into());
    }
    let operands: Vec<&Operand> = kernel.operands.values().collect();
    if operands.iter().any(|o| o.role == Role::Local) {
        return Err("a kernel with a routine has locals".into());
    }
    let (writes, reads): (Vec<&Operand>, Vec<&Operand>) =
        operands.iter().partition(|o| o.role == Role::Write);
    let args: Vec<&TensorType> = reads.iter().map(|o| &o.ty).collect();
    let results = routine.infer(&args)?;
    let fits = results.iter().eq(writes.iter().map(|o| &o.ty));
    let sorted = operands.is_sorted_by_key(|o| o.role == Role::Write);
    if fits && sorted { Ok(()) } else { Err("the written operands are not the results".into()) }
}

#[cfg(test)]
mod tests {
    use crate::graph::ops::{TensorOp, TopK};
    use crate::kernel::schedule::Schedule;
    use crate::kernel::verify::verify_kernel;
    use crate::kernel::{Kernel, OperandId, Role};
    use crate::types::{ElemType, TensorType};
    use cranelift_entity::EntityRef;

    fn sound() -> Kernel {
        let x = TensorType::new(ElemType::F32, &[4]);
        TopK { axis: 0, k: 2, largest: true, result: 1 }.kernel(&[&x])
    }

    #[track_caller]
    fn check_broken(damage: impl FnOnce(&mut Kernel)) {
        let mut kernel = sound();
        assert_eq!(verify_kernel(&kernel), Ok(()));
        damage(&mut kernel);
        let found = verify_kernel(&kernel).expect_err("the kernel is broken");
        assert!(found.iter().all(|v| v.invariant == "K8"), "{found:?}");
    }

    #[test]
    fn k8_wants_all_results_as_operands() {
        check_broken(|k| k.operands[OperandId::new(2)].ty.elem = ElemType::I32);
        check_broken(|k| k.operands[OperandId::new(2)].role = Role::Read);
    }

    #[test]
    fn k8_wants_neither_stages_nor_schedules() {
        check_broken(|k| k.schedule = Some(Schedule::default()));
    }
}
