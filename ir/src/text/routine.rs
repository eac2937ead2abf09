//! The text form of routines: `routine topk {axis = 1, k = 3}` in a kernel without stages.

use super::PrintOptions;
use super::attrs::AttrCx;
use super::cursor::{Cursor, Parse};
use crate::graph::ops::OpTag;
use crate::kernel::routine::Routine;
use crate::kernel::{Kernel, Operand, OperandId, Role};
use crate::types::{ElemType, TensorType};
use cranelift_entity::PrimaryMap;
use std::fmt::{self, Write};

/// The op that stands for a routine: its first result.
pub(super) fn write_routine(out: &mut String, kernel: &Kernel) -> fmt::Result {
    let Some(op) = kernel.routine.as_ref().and_then(|routine| routine.result(0)) else {
        return Ok(());
    };
    write!(out, "  routine {} ", op.tag().mnemonic())?;
    let result = result_type(&kernel.operands);
    op.write(out, AttrCx { result: &result, options: &PrintOptions::exact() })?;
    out.write_char('\n')
}

/// The counterpart of `write_routine`, after its first word.
pub(super) fn parse_routine(
    c: &mut Cursor<'_>,
    operands: &PrimaryMap<OperandId, Operand>,
) -> Parse<Routine> {
    let token = c.peek();
    let tag = c.word_as("a routine", OpTag::from_mnemonic)?;
    let op = tag.parse(c, &result_type(operands))?;
    Routine::of(&op).ok_or_else(|| token.error("the op is not a routine"))
}

/// The type of the first result, from which attributes take their defaults.
fn result_type(operands: &PrimaryMap<OperandId, Operand>) -> TensorType {
    let written = operands.values().find(|o| o.role == Role::Write);
    written.map_or_else(|| TensorType::new(ElemType::F32, &[]), |o| o.ty.clone())
}

#[cfg(test)]
mod tests {
    use crate::graph::ops::{TensorOp, TopK};
    use crate::kernel::KernelId;
    use crate::text::kernel::{parse_kernels, print_kernel};
    use crate::types::{ElemType, TensorType};
    use cranelift_entity::EntityRef;

    const HEAD: &str = "kernels @m () -> ()\n\n";
    const TAIL: &str = "\nprogram {\n}\n";

    #[test]
    fn routines_round_trip() {
        let topk = TopK { axis: 1, k: 3, largest: false, result: 1 };
        let kernel = topk.kernel(&[&TensorType::new(ElemType::F32, &[2, 8])]);
        let text = print_kernel(KernelId::new(0), &kernel);
        let head = "(%p0: f32[2,8]) -> (%p1: f32[2,3], %p2: i64[2,3])";
        assert!(text.contains(head), "{text}");
        assert!(text.contains("  routine topk {axis = 1, k = 3, largest = false}\n}"), "{text}");
        let parsed = parse_kernels(&format!("{HEAD}{text}{TAIL}")).expect("what was printed");
        assert_eq!(parsed.ir.kernels.values().collect::<Vec<_>>(), [&kernel]);
    }

    #[test]
    fn other_ops_are_no_routines() {
        let text = "kernel @k (%x: f32[2]) -> (%y: f32[2]) {\n  routine reshape {}\n}\n";
        let text = text.replace("@k ", "@k \"k\" ");
        let error = parse_kernels(&format!("{HEAD}{text}{TAIL}")).expect_err("no routine");
        assert_eq!(error.to_string(), "4:11: the op is not a routine");
    }
}
