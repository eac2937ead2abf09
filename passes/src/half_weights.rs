//! Constant factors of sums in `f16`: half the memory, read back as `f32` where they are multiplied.
//!
//! Purpose   rounds weights to `f16` when the caller wants a smaller program.
//! In → Out  Kernels → Kernels whose constant factors of 32-bit floats are stored in 16 bits.
//! Owns      which constants that are: factors of sums of products, all of whose numbers are in the
//!           range of `f16`.
//! Never     rounds anything else; changes kernels that have schedules.
//! Tests     `mod tests`; `tests/models` runs the bundled model.
//!
//! Needs: interned kernels without schedules. Each number becomes the nearest one of `f16`, which is
//! the same number where the model had it in `f16`.

use crate::rebind::{bound_constants, rebind_constants};
use cranelift_entity::{EntityRef, SecondaryMap};
use edgecc_ir::kernel::{Kernel, KernelId, Kernels, OperandId, Role};
use edgecc_ir::scalar::ScalarExpr;
use edgecc_ir::scalar::eval::cast_tensor;
use edgecc_ir::tensor::Tensor;
use edgecc_ir::types::ElemType;

/// The largest number that is rounded to a finite one.
const LARGEST: f32 = 65_519.0;

/// Stores the constant factors of every kernel in 16 bits.
pub fn use_halves(kernels: &mut Kernels) {
    let mut stored: SecondaryMap<KernelId, Vec<OperandId>> = SecondaryMap::new();
    let plain = kernels.kernels.iter().filter(|(_, kernel)| kernel.schedule.is_none());
    let ids: Vec<KernelId> = plain.map(|(id, _)| id).collect();
    for id in ids {
        for number in 0..kernels.kernels[id].stages.len() {
            let found = weights(&kernels.kernels[id], number);
            if let Some((read, operand)) = found.filter(|found| fits(kernels, id, found.1)) {
                let kernel = &mut kernels.kernels[id];
                kernel.operands[operand].ty.elem = ElemType::F16;
                let body = &mut kernel.stages[number].body;
                *body = widened(body, read as u32);
                stored[id].push(operand);
            }
        }
    }
    rebind_constants(kernels, |kernel, operand, tensor| {
        stored[kernel]
            .iter()
            .any(|id| id.index() == operand)
            .then(|| cast_tensor(ElemType::F16, tensor))
    });
}

/// The read of a stage that is a constant factor in `f32`, and its operand.
fn weights(kernel: &Kernel, number: usize) -> Option<(usize, OperandId)> {
    let stage = &kernel.stages[number];
    let factors = stage.factors()?;
    (0..factors.len()).find_map(|n| {
        let id = stage.reads.get(n)?.operand;
        let operand = &kernel.operands[id];
        let is_plain = factors[n].is_identity() && operand.ty.elem == ElemType::F32;
        (is_plain && kernel.is_read_once(id) && operand.role == Role::Const).then_some((n, id))
    })
}

/// Whether all constants that calls bind to an operand keep finite numbers.
fn fits(kernels: &Kernels, kernel: KernelId, operand: OperandId) -> bool {
    let is_finite = |tensor: &Tensor| tensor.to_f32s().iter().all(|w| w.abs() <= LARGEST);
    bound_constants(kernels, kernel, operand).is_some_and(|all| all.into_iter().all(is_finite))
}

/// The same function of a parameter that is read in `f16`.
fn widened(body: &ScalarExpr, param: u32) -> ScalarExpr {
    body.substitute(body.params(), |b, p| {
        let read = b.param(p);
        if p == param { b.cast(ElemType::F32, read) } else { read }
    })
}

#[cfg(test)]
mod tests {
    use super::use_halves;
    use crate::eqsat::rule::Class;
    use crate::form_kernels::form_kernels;
    use crate::lower_to_loops::lower;
    use crate::schedule::schedule;
    use edgecc_ir::graph::build::GraphBuilder;
    use edgecc_ir::graph::eval::eval;
    use edgecc_ir::graph::ops::MatMul;
    use edgecc_ir::kernel::{self, Kernels};
    use edgecc_ir::loops::interp;
    use edgecc_ir::target::CPUS;
    use edgecc_ir::tensor::{Scalar, Tensor};
    use edgecc_ir::types::{ElemType, TensorType};

    /// Bytes of constants after the pass, whose results are those of weights that `f16` has.
    fn bytes(scale: f32) -> usize {
        let number = |i: usize| Scalar::f32(((i * 29) % 41) as f32 / 8.0 - 2.0);
        let x = Tensor::from_fn(TensorType::new(ElemType::F32, &[5, 24]), number);
        let of = |i: usize| Scalar::f32(number(i).as_f32() * scale);
        let w = Tensor::from_fn(TensorType::new(ElemType::F32, &[24, 33]), of);
        let mut b = GraphBuilder::new("m");
        let (input, w) = (b.input("x", x.ty.clone()), b.constant(w));
        let y = b.add(MatMul::plain(), &[input, w]).expect("a product");
        b.output("y", y);
        let graph = b.finish();
        let inputs = std::slice::from_ref(&x);
        let mut kernels = form_kernels(&graph);
        use_halves(&mut kernels);
        assert_eq!(kernel::verify::verify(&kernels), Ok(()));
        assert_eq!(kernel::eval::eval(&kernels, inputs), eval(&graph, inputs));
        for cpu in CPUS {
            let target = cpu.target();
            let mut planned = kernels.clone();
            schedule(&mut planned, &target, Class::Reassoc);
            let loops = lower(&planned, &target);
            assert_eq!(interp::run(&loops, inputs), eval(&graph, inputs), "{}", cpu.name);
        }
        bound(&kernels)
    }

    /// Bytes of the constants that calls read.
    fn bound(kernels: &Kernels) -> usize {
        let calls = kernels.program.calls();
        let places = calls.iter().flat_map(|(call, _)| &call.args);
        let consts = places.filter_map(|place| match kernels.buffers[place.buffer].home {
            kernel::Home::Const(id) => Some(kernels.consts[id].bytes().len()),
            _ => None,
        });
        consts.sum()
    }

    #[test]
    fn weights_take_half_the_memory() {
        assert_eq!(bytes(1.0), 2 * 24 * 33);
    }

    #[test]
    fn numbers_beyond_the_range_stay() {
        assert_eq!(bytes(65536.0), 4 * 24 * 33);
    }
}
