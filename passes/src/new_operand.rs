//! Operands that a kernel gets after it was formed, and terms and factors of its results.

use cranelift_entity::EntityRef;
use edgecc_ir::kernel::{Access, Index, Kernel, Operand, OperandId, Role, Stage};
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::types::TensorType;

/// A new operand that is read, the last of those; a call gets an argument at its number.
pub(crate) fn add_read(kernel: &mut Kernel, ty: TensorType, role: Role) -> OperandId {
    let is_read = |operand: &&Operand| matches!(operand.role, Role::Read | Role::Const);
    let at = kernel.operands.values().filter(is_read).count();
    let (before, after) = kernel.operands.as_values_slice().split_at(at);
    let new = Operand { ty, role };
    kernel.operands = before.iter().cloned().chain([new]).chain(after.iter().cloned()).collect();
    let moved = |id: OperandId| if id.index() < at { id } else { OperandId::new(id.index() + 1) };
    for stage in &mut kernel.stages {
        let reads = stage.reads.iter_mut().chain(&mut stage.epilogue_reads);
        for access in reads.chain([&mut stage.write]) {
            access.operand = moved(access.operand);
            for index in &mut access.index {
                if let Index::Lookup(lookup) = index {
                    lookup.operand = moved(lookup.operand);
                }
            }
        }
    }
    OperandId::new(at)
}

/// Lets a stage's epilogue begin with a function of the reduced value and what an access reads.
pub(crate) fn begin_epilogue(stage: &mut Stage, func: ScalarFn, read: Access) {
    stage.epilogue_reads.push(read);
    let count = stage.epilogue_reads.len() as u32;
    stage.epilogue = stage.epilogue.substitute(count + 1, |b, p| {
        let value = b.param(p);
        let read = b.param(count);
        if p == 0 { b.call(func, &[value, read]) } else { value }
    });
}
