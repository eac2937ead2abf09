//! Runs a program: the order of the steps, over any memory.

use super::{Call, Counters, Parallel, Place, Program, Step};

/// What a program runs on.
pub(crate) trait Machine<F> {
    /// The values of the counters.
    fn counters(&mut self) -> &mut Counters;
    /// Runs one call.
    fn call(&mut self, call: &Call<F>);
    /// The `bool` at a place.
    fn holds(&self, test: &Place) -> bool;
}

/// Runs all steps in order; before each iteration of a repetition its test is read. A call's last
/// part comes first, as their order means nothing.
pub(crate) fn run<F>(program: &Program<F>, machine: &mut impl Machine<F>) {
    block(program, &program.steps, machine);
}

fn block<F>(program: &Program<F>, steps: &[Step<F>], machine: &mut impl Machine<F>) {
    for step in steps {
        match step {
            Step::Call(call) => machine.call(call),
            Step::Parallel(Parallel { counter, call }) => {
                for n in (0..program.counters[*counter]).rev() {
                    machine.counters().set(*counter, n);
                    machine.call(call);
                }
            }
            Step::Repeat(repeat) => {
                for n in 0..program.counters[repeat.counter] {
                    machine.counters().set(repeat.counter, n);
                    if !repeat.test.as_ref().is_none_or(|test| machine.holds(test)) {
                        break;
                    }
                    block(program, &repeat.body, machine);
                }
            }
            Step::If(branch) => {
                let taken = machine.holds(&branch.test);
                block(program, if taken { &branch.then } else { &branch.otherwise }, machine);
            }
        }
    }
}
