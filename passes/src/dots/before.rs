//! Values that kernels of their own make of a kernel's arguments, before each of its calls.

use cranelift_entity::{EntityRef, SecondaryMap};
use edgecc_ir::kernel::{Buffer, Home, Kernel, KernelId, Kernels, OperandId, Role};
use edgecc_ir::program::{Call, expand_calls};
use indexmap::IndexMap;
use std::mem::take;

/// A kernel of one operand that makes a value of an argument.
#[derive(Clone)]
pub(super) struct Making {
    /// The argument that it reads.
    pub(super) from: OperandId,
    /// The argument that its result becomes.
    pub(super) to: To,
    pub(super) kernel: Kernel,
}

/// Which argument of a call a value becomes.
#[derive(Clone, Copy)]
pub(super) enum To {
    /// The one that it is made from.
    Same,
    /// A new one, for an operand that the kernel got.
    New(OperandId),
}

/// The values for each kernel, in the order in which they are made: later ones read what earlier
/// ones replaced.
pub(super) type Makings = SecondaryMap<KernelId, Vec<Making>>;

/// Lets calls make these values and read them.
pub(super) fn make_before(kernels: &mut Kernels, makings: &Makings) {
    let steps = take(&mut kernels.program.steps);
    let mut known = IndexMap::new();
    let steps =
        expand_calls(steps, &mut |call| made(kernels, &mut known, &makings[call.callee], call));
    kernels.program.steps = steps;
}

/// The calls that make a call's values, then the call that reads them.
fn made(
    kernels: &mut Kernels,
    known: &mut IndexMap<Kernel, KernelId>,
    makings: &[Making],
    mut call: Call<KernelId>,
) -> Vec<Call<KernelId>> {
    let mut calls = Vec::new();
    for Making { from, to, kernel } in makings {
        let pool = &mut kernels.kernels;
        let callee = *known.entry(kernel.clone()).or_insert_with_key(|k| pool.push(k.clone()));
        let written = kernel.operands.values().find(|o| o.role == Role::Write);
        let ty = written.expect("what makes a value writes").ty.clone();
        let buffer = kernels.buffers.push(Buffer { ty, home: Home::Arena });
        let source = call.args[from.index()].clone();
        calls.push(Call { callee, args: vec![source, buffer.into()], loc: call.loc });
        match to {
            To::Same => call.args[from.index()] = buffer.into(),
            To::New(operand) => call.args.insert(operand.index(), buffer.into()),
        }
    }
    calls.push(call);
    calls
}
