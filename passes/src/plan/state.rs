//! Lets the output of a state lie over its input.
//!
//! That is safe when the output is written only after the last read of the input, or over it in
//! place by the step that reads it last. Where it is not, the output is computed in the arena and a
//! last step copies it.

use super::alias::fits;
use super::line::{line_of, uses_of};
use edgecc_ir::affine::Affine;
use edgecc_ir::diag::Violation;
use edgecc_ir::kernel::{Buffer, BufferId, Home};
use edgecc_ir::loc::Loc;
use edgecc_ir::loops::build::LoopBuilder;
use edgecc_ir::loops::{FuncId, LoopFn, Loops, Param, ParamAccess, ParamId, VType};
use edgecc_ir::program::{Call, Place, Step};
use edgecc_ir::state::State;
use edgecc_ir::types::{ElemType, TensorType};

/// Adds a copy for each state that needs one. Call it when the order of the steps is final and
/// before planning.
pub fn bind(loops: &mut Loops, states: &[State]) {
    for state in states {
        if early_write(loops, state).is_some() {
            copy_last(loops, state.output);
        }
    }
}

/// Checks P3: no output of a state is written while its input is still read.
///
/// # Errors
/// Every state that breaks it.
pub fn check(loops: &Loops, states: &[State]) -> Result<(), Vec<Violation>> {
    let broken = |state: &State| {
        let step = early_write(loops, state)?;
        let message = format!("output {} overwrites input {}", state.output, state.input);
        Some(Violation::new("P3", format!("step {step}"), message))
    };
    let found: Vec<Violation> = states.iter().filter_map(broken).collect();
    if found.is_empty() { Ok(()) } else { Err(found) }
}

/// The first step that writes the output before the input was read for the last time.
fn early_write(loops: &Loops, state: &State) -> Option<usize> {
    let steps = &loops.program.steps;
    let homes = (Home::Input(state.input), Home::Output(state.output));
    let last_read = steps.iter().rposition(|step| {
        uses_of(loops, step).iter().any(|used| has(loops, used.buffer, homes.0))
    })?;
    let writes = |step| {
        uses_of(loops, step).iter().any(|u| u.access.writes() && has(loops, u.buffer, homes.1))
    };
    let is_early = |n: usize| n < last_read || !runs_in_place(loops, &steps[n], homes);
    (0..=last_read).find(|&n| writes(&steps[n]) && is_early(n))
}

fn has(loops: &Loops, buffer: BufferId, home: Home) -> bool {
    loops.buffers[buffer].home == home
}

/// Whether a step is a call that gives the same result with what it reads from one home and writes
/// to the other in the same memory.
fn runs_in_place(loops: &Loops, step: &Step<FuncId>, (input, output): (Home, Home)) -> bool {
    let line = line_of(loops, step);
    let (Some(_), [site]) = (step.call(), line.sites.as_slice()) else { return false };
    let of = |home| site.uses.iter().map(|u| u.buffer).filter(move |&b| has(loops, b, home));
    of(output).all(|new| of(input).all(|old| fits(loops, site, old, new)))
}

/// Moves an output's buffer to the arena and appends a step that copies it to the output.
fn copy_last(loops: &mut Loops, output: u32) {
    let buffers: Vec<BufferId> =
        loops.buffers.keys().filter(|&b| has(loops, b, Home::Output(output))).collect();
    for from in buffers {
        loops.buffers[from].home = Home::Arena;
        let ty = loops.buffers[from].ty.clone();
        let func = loops.funcs.push(copy(&format!("s{output}_copy"), &ty));
        let to = loops.buffers.push(Buffer { ty, home: Home::Output(output) });
        let args = [from, to].into_iter().map(Place::from).collect();
        let loc = loops.locs.push(Loc::Unknown);
        loops.program.steps.push(Step::Call(Call { callee: func, args, loc }));
    }
}

/// Bytes that a copy moves at once: every target has vectors of this size.
const VECTOR: usize = 16;

/// Copies a tensor as it lies in memory.
fn copy(name: &str, ty: &TensorType) -> LoopFn {
    let mut b = LoopBuilder::new(name);
    let flat = TensorType::new(ty.elem, &[ty.shape.numel()]);
    let [from, to] = [ParamAccess::Read, ParamAccess::Write]
        .map(|access| b.param(Param { ty: flat.clone(), access }));
    let count = ty.shape.numel();
    let lanes = if ty.elem == ElemType::Bool { 1 } else { VECTOR / ty.elem.bytes() };
    let whole = count / lanes;
    move_each(&mut b, (from, to), ty.elem, (0, whole, lanes));
    move_each(&mut b, (from, to), ty.elem, (whole * lanes, count - whole * lanes, 1));
    b.finish()
}

/// Moves `count` vectors of `lanes` elements from the element `start` on.
fn move_each(
    b: &mut LoopBuilder,
    (from, to): (ParamId, ParamId),
    elem: ElemType,
    (start, count, lanes): (usize, usize, usize),
) {
    if count == 0 {
        return;
    }
    let ty = VType { elem, lanes: lanes as u8 };
    b.for_each(count, |b, i| {
        let at = vec![Affine::scaled(i, lanes as i64).offset(start as i64)];
        let value = b.load(ty, from, at.clone(), ty.lanes);
        b.store(to, at, value, ty.lanes);
    });
}

#[cfg(test)]
mod tests {
    use super::{bind, check};
    use crate::plan::testing::chain;
    use crate::plan::{ALIGN, plan};
    use edgecc_ir::kernel::Home;
    use edgecc_ir::loops::Loops;
    use edgecc_ir::loops::interp::run;
    use edgecc_ir::loops::verify::verify;
    use edgecc_ir::state::State;
    use edgecc_ir::tensor::Tensor;

    const STATE: [State; 1] = [State { input: 0, output: 0, initial: None }];

    /// How many steps binding adds, and the bound program.
    fn bound(mut loops: Loops) -> (usize, Loops) {
        let before = loops.program.steps.len();
        bind(&mut loops, &STATE);
        loops.plan = Some(plan(&loops, ALIGN));
        assert_eq!((check(&loops, &STATE), verify(&loops, None)), (Ok(()), Ok(())));
        (loops.program.steps.len() - before, loops)
    }

    #[test]
    fn a_late_output_is_written_directly() {
        let loops = chain(&[7, 7, 7], &[&[0, 1], &[1, 2]]);
        assert_eq!(bound(loops).0, 0);
    }

    #[test]
    fn an_element_wise_last_step_runs_in_place() {
        let loops = chain(&[7, 7, 7], &[&[0, 1], &[0, 1, 2]]);
        assert_eq!(bound(loops).0, 0);
    }

    #[test]
    fn an_early_output_is_copied_at_the_end() {
        let loops = chain(&[7, 1, 7], &[&[0, 2], &[0, 1]]);
        let input = [Tensor::from_f32s(&[7], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0])];
        let want = run(&loops, &input);
        assert!(check(&loops, &STATE).is_err());
        let (copies, loops) = bound(loops);
        assert_eq!((copies, run(&loops, &input)), (1, want));
        let last = loops.buffers.values().last().expect("the copy's target");
        assert_eq!(last.home, Home::Output(0));
    }

    #[test]
    fn a_step_that_changes_the_size_is_not_run_in_place() {
        assert_eq!(bound(chain(&[7, 8], &[&[0, 1]])).0, 1);
    }
}
