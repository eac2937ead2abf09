//! The layers of a report: what each kernel call computes, how, and how much it moves.

use edgecc_ir::kernel::{Access, Kernel, KernelId, Kernels, Operand, OperandId};
use edgecc_ir::loc::Loc;
use edgecc_ir::loops::{FuncId, Loops};
use edgecc_ir::program::Call;
use edgecc_ir::target::Target;
use edgecc_passes::eqsat::rule::Class;
use edgecc_passes::lower_to_loops::macs;
use edgecc_passes::schedule::{Strategy, strategy_for};
use serde::Serialize;

/// One kernel call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Layer {
    /// The kernel's word, e.g. `conv`.
    pub kernel: String,
    /// How it runs, e.g. `contraction`.
    pub strategy: &'static str,
    /// The last part of its function's symbol.
    pub function: String,
    /// The model's nodes that it computes.
    pub nodes: Vec<String>,
    /// Multiply-adds of one run, in all iterations.
    pub macs: u64,
    /// Bytes of tensors that one run reads and writes, each element once per call.
    pub bytes: u64,
}

/// What a kernel without stages runs as.
const ROUTINE: &str = "routine";

/// What a kernel runs as whose schedule was found by measuring.
const MEASURED: &str = "measured";

/// What moves the states of a model is no kernel.
const STATE: &str = "state";

/// The layers of a program, in the order of its calls; `strategies` are the kernels'.
#[must_use]
pub fn layers(kernels: &Kernels, strategies: &[&'static str], loops: &Loops) -> Vec<Layer> {
    let calls = loops.program.calls();
    calls.into_iter().map(|call| layer(kernels, strategies, loops, call)).collect()
}

/// The name of the way in which a kernel runs, given the strategy that planned it, if one did.
#[must_use]
pub fn strategy_name(kernel: &Kernel, strategy: Option<&Strategy>) -> &'static str {
    match strategy {
        Some(strategy) => strategy.name,
        None if kernel.routine.is_some() => ROUTINE,
        None => MEASURED,
    }
}

/// The name of the way in which a kernel runs.
#[must_use]
pub fn strategy(kernel: &Kernel, target: &Target, allowed: Class) -> &'static str {
    let planned = || strategy_for(kernel, target, allowed);
    strategy_name(kernel, kernel.routine.is_none().then(planned))
}

impl Layer {
    /// The nodes' names, or the kernel's word when they have none.
    #[must_use]
    pub fn title(&self) -> String {
        match self.nodes.as_slice() {
            [] => self.kernel.clone(),
            [first] => format!("{first} ({})", self.kernel),
            [first, rest @ ..] => format!("{first} and {} more ({})", rest.len(), self.kernel),
        }
    }
}

/// Relies on `lower` making one function per kernel, in their order. Functions beyond those copy
/// states.
fn layer(
    kernels: &Kernels,
    strategies: &[&'static str],
    loops: &Loops,
    (call, times): (&Call<FuncId>, u64),
) -> Layer {
    let kernel = kernels.kernels.get(KernelId::from_u32(call.callee.as_u32()));
    Layer {
        kernel: kernel.map_or(STATE, |kernel| &kernel.name).to_owned(),
        strategy: strategies.get(call.callee.as_u32() as usize).copied().unwrap_or(STATE),
        function: loops.funcs[call.callee].name.clone(),
        nodes: loops.locs[call.loc].sources(&loops.locs).into_iter().map(node_name).collect(),
        macs: kernel.map_or(0, macs).saturating_mul(times),
        bytes: kernel.map_or(0, bytes).saturating_mul(times),
    }
}

/// A node's name, or its kind and place when it has none.
fn node_name(loc: &Loc) -> String {
    match loc {
        Loc::Source { index, kind, name } if name.is_empty() => format!("{kind} #{index}"),
        Loc::Source { name, .. } => name.clone(),
        Loc::Unknown | Loc::Text { .. } | Loc::Fused(_) | Loc::Derived(..) => loc.to_string(),
    }
}

/// The elements of each operand of a call that its stages can touch, in bytes: never more than the
/// operand has, nor more than there are points. A routine touches everything.
fn bytes(kernel: &Kernel) -> u64 {
    let touched = |(id, operand): (OperandId, &Operand)| {
        let all = operand.ty.bytes() as u64;
        let points = accesses(kernel, id).map(|access| points(kernel, access)).sum::<u64>();
        let some = points.saturating_mul(operand.ty.elem.bytes() as u64);
        if kernel.routine.is_some() { all } else { all.min(some) }
    };
    kernel.bound().map(touched).sum()
}

/// Every access to an operand, besides those by lookups.
fn accesses(kernel: &Kernel, operand: OperandId) -> impl Iterator<Item = &Access> {
    let all = kernel.stages.iter().flat_map(|s| s.all_reads().chain([&s.write]));
    all.filter(move |access| access.operand == operand)
}

/// How many places an access may have: the points of the axes that it depends on.
fn points(kernel: &Kernel, access: &Access) -> u64 {
    let mut axes: Vec<_> = access.axes().collect();
    axes.sort_unstable();
    axes.dedup();
    axes.iter().map(|&axis| kernel.extent(axis) as u64).product()
}

#[cfg(test)]
mod tests {
    use super::bytes;
    use edgecc_ir::text::parse_kernels;

    #[test]
    fn a_slice_moves_what_it_takes() {
        let text = "kernels @m (\"x\": f32[100]) -> (\"y\": f32[2,4])
            kernel @slice \"copy\" (%x: f32[100]) -> (%y: f32[2,4]) {
              axes i:2 j:4
                %y[i, j] = (v = %x[i*50+j]) -> v
            }
            program {
              %x = input 0 : f32[100]
              %y = output 0 : f32[2,4]
              call @slice (%x) -> (%y)
            }";
        let kernels = parse_kernels(text).expect("well formed").ir;
        let kernel = kernels.kernels.values().next().expect("one kernel");
        assert_eq!(bytes(kernel), 2 * 4 * 8, "eight floats are read, eight written");
    }
}
