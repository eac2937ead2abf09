//! Constants that are stored in another form, made once at compile time, and what calls bind.

use cranelift_entity::EntityRef;
use edgecc_ir::kernel::{Buffer, BufferId, ConstId, Home, KernelId, Kernels, OperandId};
use edgecc_ir::program::{Call, Place, map_steps};
use edgecc_ir::tensor::Tensor;
use indexmap::IndexMap;

/// The constants that the calls of a kernel bind to an operand; `None` where one binds something else.
pub(crate) fn bound_constants(
    kernels: &Kernels,
    kernel: KernelId,
    operand: OperandId,
) -> Option<Vec<&Tensor>> {
    let calls = kernels.program.calls().into_iter().map(|(call, _)| call);
    let constant =
        |call: &Call<KernelId>| match kernels.buffers[call.args[operand.index()].buffer].home {
            Home::Const(id) => Some(&kernels.consts[id]),
            Home::Input(_) | Home::Output(_) | Home::Arena => None,
        };
    calls.filter(|call| call.callee == kernel).map(constant).collect()
}

/// Binds `made(kernel, argument, constant)` to the argument of each call of the kernel, where that
/// is one; equal calls share it.
pub(crate) fn rebind_constants(
    kernels: &mut Kernels,
    made: impl Fn(KernelId, usize, &Tensor) -> Option<Tensor>,
) {
    let steps = std::mem::take(&mut kernels.program.steps);
    let mut constants = Constants { kernels, known: IndexMap::new() };
    let call = |constants: &mut Constants<'_>, call: &Call<KernelId>| {
        let rebound = |argument: usize| {
            let place = &call.args[argument];
            let new = constants.rebound(call.callee, argument, place.buffer, &made);
            new.map_or_else(|| place.clone(), Place::from)
        };
        Call { args: (0..call.args.len()).map(rebound).collect(), ..call.clone() }
    };
    let place = |_: &mut Constants<'_>, place: &Place| place.clone();
    let steps = map_steps(&steps, &mut constants, &call, &place);
    kernels.program.steps = steps;
}

/// The constants made so far.
struct Constants<'k> {
    kernels: &'k mut Kernels,
    known: IndexMap<(ConstId, KernelId, usize), Option<BufferId>>,
}

impl Constants<'_> {
    /// The buffer of the new constant for an argument, if it is one and has one.
    fn rebound(
        &mut self,
        kernel: KernelId,
        argument: usize,
        buffer: BufferId,
        made: impl Fn(KernelId, usize, &Tensor) -> Option<Tensor>,
    ) -> Option<BufferId> {
        let Home::Const(id) = self.kernels.buffers[buffer].home else { return None };
        let kernels = &mut *self.kernels;
        *self.known.entry((id, kernel, argument)).or_insert_with(|| {
            let tensor = made(kernel, argument, &kernels.consts[id])?;
            let ty = tensor.ty.clone();
            let home = Home::Const(kernels.consts.push(tensor));
            Some(kernels.buffers.push(Buffer { ty, home }))
        })
    }
}
