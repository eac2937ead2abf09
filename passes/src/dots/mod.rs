//! Sums of products of codes, several products at once: as dot products of words.
//!
//! Purpose   lets a sum's steps be the words of four codes that one instruction multiplies and adds.
//! In → Out  Kernels → Kernels of the same results, bit for bit, with weights in words.
//! Owns      which sums are computed so, and the order of the weights' codes in words.
//! Never     asks what a kernel is called; changes kernels that have schedules.
//! Tests     `mod tests`; `tests/passes/dots`.
//!
//! Needs: interned kernels without schedules, codes that are not centred while they are summed.

mod site;

use crate::rebind::rebind_constants;
use cranelift_entity::{EntityRef, SecondaryMap};
use edgecc_ir::kernel::{KernelId, Kernels, OperandId};
use edgecc_ir::target::Target;
use site::Words;

/// Rewrites each sum for which the target has an instruction.
pub fn use_dots(kernels: &mut Kernels, target: &Target) {
    let mut words: SecondaryMap<KernelId, Vec<(OperandId, Words)>> = SecondaryMap::new();
    for (id, kernel) in kernels.kernels.iter_mut().filter(|(_, k)| k.schedule.is_none()) {
        for number in 0..kernel.stages.len() {
            if let Some(site) = site::Site::of(kernel, number, target) {
                words[id].push((
                    kernel.stages[number].reads[site.weights].operand,
                    site.rewrite(kernel),
                ));
            }
        }
    }
    rebind_constants(kernels, |kernel, operand, tensor| {
        let found = words[kernel].iter().find(|(id, _)| id.index() == operand);
        found.map(|(_, words)| words.of(tensor))
    });
}
