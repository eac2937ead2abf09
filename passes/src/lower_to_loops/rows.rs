//! The loops over the row axes, with all stages inside. A local of one element is an SSA value that
//! one stage defines and later stages of the same point use; other locals are scratch memory.

use super::copies::{self, PackedCopy};
use super::nest::{Env, lower_stages};
use super::parts::Part;
use super::{Cx, together};
use cranelift_entity::SecondaryMap;
use edgecc_ir::affine::Affine;
use edgecc_ir::kernel::{AxisId, Kernel, Operand, OperandId, Role, Stage};
use edgecc_ir::loops::build::LoopBuilder;
use edgecc_ir::loops::{IndexId, ValueId};

/// Whether an operand is an SSA value rather than memory.
pub(super) fn is_value(operand: &Operand) -> bool {
    operand.role == Role::Local && operand.ty.shape.numel() == 1
}

/// Emits all stages of a kernel.
pub(super) fn lower<'k>(
    b: &mut LoopBuilder,
    kernel: &'k Kernel,
    (copies, part): (&[PackedCopy<'_>], Option<Part>),
    cx: impl Fn(&'k Stage) -> Cx<'k>,
) {
    let env = Env::new();
    copies::make_at_row(b, copies, &env, None);
    let body = |b: &mut LoopBuilder, env: &Env| stages(b, kernel, env, &cx);
    rows(b, (kernel, copies, part), &env, &kernel.rows, &body);
}

fn rows(
    b: &mut LoopBuilder,
    whole: (&Kernel, &[PackedCopy<'_>], Option<Part>),
    env: &Env,
    axes: &[AxisId],
    body: &dyn Fn(&mut LoopBuilder, &Env),
) {
    let Some((&axis, rest)) = axes.split_first() else { return body(b, env) };
    let (kernel, copies, part) = whole;
    let row = |b: &mut LoopBuilder, row: Affine<IndexId>| {
        let env = env.bind(axis, row, 1);
        copies::make_at_row(b, copies, &env, Some(axis));
        rows(b, whole, &env, rest, body);
    };
    match part.filter(|_| kernel.schedule.as_ref().is_some_and(|s| s.divides(axis))) {
        Some(part) => part.each(b, kernel.extent(axis), row),
        None => b.for_each(kernel.extent(axis), |b, index| row(b, Affine::var(index))),
    }
}

fn stages<'k>(
    b: &mut LoopBuilder,
    kernel: &'k Kernel,
    env: &Env,
    cx: &impl Fn(&'k Stage) -> Cx<'k>,
) {
    let mut values: SecondaryMap<OperandId, Option<ValueId>> = SecondaryMap::new();
    let mut rest = kernel.stages.as_slice();
    while let Some(first) = rest.first() {
        let (now, later) = rest.split_at(together::run(kernel, rest));
        let cx = |stage| Cx { values: values.clone(), ..cx(stage) };
        if let Some(value) = lower_stages(b, &now.iter().map(cx).collect::<Vec<_>>(), env) {
            values[first.write.operand] = Some(value);
        }
        rest = later;
    }
}
