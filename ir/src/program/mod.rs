//! Programs: structured steps that call functions on places of buffers. Kernels and Loops share
//! this form; `F` is what a call runs.
//!
//! A program has no other control flow than counted repetition, which a test may end early, the
//! choice between two blocks, and calls in parts that may run at the same time.

pub(crate) mod run;
pub mod verify;

use crate::affine::{Affine, Interval};
use crate::kernel::BufferId;
use crate::loc::LocId;
use cranelift_entity::{PrimaryMap, SecondaryMap, entity_impl};

/// The counter of a `Repeat` or a `Parallel`: the number of the iteration or part.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CounterId(u32);
entity_impl!(CounterId, "n");

/// Steps in execution order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program<F> {
    /// Extents of all counters; each belongs to one `Repeat` or `Parallel`.
    pub counters: PrimaryMap<CounterId, usize>,
    /// What runs.
    pub steps: Vec<Step<F>>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<F> {
    /// Runs a function.
    Call(Call<F>),
    /// Runs a block several times.
    Repeat(Repeat<F>),
    /// Runs one of two blocks.
    If(Branch<F>),
    /// Runs a function once for each of its parts.
    Parallel(Parallel<F>),
}

/// One execution of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call<F> {
    /// What runs.
    pub callee: F,
    /// One place per operand, in operand order.
    pub args: Vec<Place>,
    /// Where it comes from.
    pub loc: LocId,
}

/// A block that runs for each value `0..extent` of its counter, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repeat<F> {
    /// The number of the iteration.
    pub counter: CounterId,
    /// A `bool` that is read before each iteration, the first one included; at `false` the
    /// repetition ends.
    pub test: Option<Place>,
    /// What is repeated.
    pub body: Vec<Step<F>>,
}

/// A choice between two blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch<F> {
    /// A `bool`.
    pub test: Place,
    /// Runs at `true`.
    pub then: Vec<Step<F>>,
    /// Runs at `false`.
    pub otherwise: Vec<Step<F>>,
}

/// A call that runs for each value `0..extent` of its counter, in any order or at the same time.
///
/// The function does a part of the work each time, which one of its operands tells it. No part
/// reads what another one writes, and none writes what another one writes, so that the result has
/// the same bits whoever runs them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parallel<F> {
    /// The number of the part.
    pub counter: CounterId,
    /// One part.
    pub call: Call<F>,
}

/// Consecutive elements of a buffer; their number is the operand's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The buffer.
    pub buffer: BufferId,
    /// The first element, by the counters of the enclosing repetitions.
    pub offset: Affine<CounterId>,
}

impl From<BufferId> for Place {
    /// A buffer from its first element on.
    fn from(buffer: BufferId) -> Place {
        Place { buffer, offset: Affine::constant(0) }
    }
}

impl Place {
    /// The same place `elements` further on.
    #[must_use]
    pub fn shifted(&self, elements: &Affine<CounterId>) -> Place {
        Place { buffer: self.buffer, offset: self.offset.add_scaled(elements, 1) }
    }

    /// Whether it is the buffer's start, whatever the counters.
    #[must_use]
    pub fn is_start(&self) -> bool {
        self.offset.terms().is_empty() && self.offset.constant == 0
    }
}

impl<F> Default for Program<F> {
    fn default() -> Program<F> {
        Program { counters: PrimaryMap::new(), steps: Vec::new() }
    }
}

impl<F> Program<F> {
    /// All calls in the order of the text, each with how often it runs; a repetition that a test may
    /// end counts once, and so do the parts of a call together. A call's position in this list is its number in profiles and reports.
    #[must_use]
    pub fn calls(&self) -> Vec<(&Call<F>, u64)> {
        let mut calls = Vec::new();
        self.collect(&self.steps, 1, &mut calls);
        calls
    }

    fn collect<'p>(&self, steps: &'p [Step<F>], times: u64, calls: &mut Vec<(&'p Call<F>, u64)>) {
        for step in steps {
            match step {
                Step::Call(call) | Step::Parallel(Parallel { call, .. }) => {
                    calls.push((call, times));
                }
                Step::Repeat(repeat) => {
                    let iterations = match repeat.test {
                        None => self.counters[repeat.counter] as u64,
                        Some(_) => 1,
                    };
                    let times = times.saturating_mul(iterations);
                    self.collect(&repeat.body, times, calls);
                }
                Step::If(branch) => {
                    self.collect(&branch.then, times, calls);
                    self.collect(&branch.otherwise, times, calls);
                }
            }
        }
    }

    /// The first elements that a place takes, over all values of all counters.
    #[must_use]
    pub fn range(&self, place: &Place) -> Interval {
        place.offset.interval(|counter| Interval::below(self.counters[counter]))
    }
}

impl<F> Step<F> {
    /// The places that the step itself tests.
    #[must_use]
    pub fn test(&self) -> Option<&Place> {
        match self {
            Step::Call(_) | Step::Parallel(_) => None,
            Step::Repeat(repeat) => repeat.test.as_ref(),
            Step::If(branch) => Some(&branch.test),
        }
    }

    /// The call that the step is, whole or in parts.
    #[must_use]
    pub fn call(&self) -> Option<&Call<F>> {
        match self {
            Step::Call(call) | Step::Parallel(Parallel { call, .. }) => Some(call),
            Step::Repeat(_) | Step::If(_) => None,
        }
    }

    /// The step's blocks.
    pub fn blocks(&self) -> impl Iterator<Item = &[Step<F>]> {
        let blocks: [&[Step<F>]; 2] = match self {
            Step::Call(_) | Step::Parallel(_) => [&[], &[]],
            Step::Repeat(repeat) => [&repeat.body, &[]],
            Step::If(branch) => [&branch.then, &branch.otherwise],
        };
        blocks.into_iter()
    }
}

/// The same steps over other functions and places, in the order of the text; `cx` is for both
/// functions.
#[must_use]
pub fn map_steps<F, G, C>(
    steps: &[Step<F>],
    cx: &mut C,
    call: &impl Fn(&mut C, &Call<F>) -> Call<G>,
    place: &impl Fn(&mut C, &Place) -> Place,
) -> Vec<Step<G>> {
    let mut one = |step: &Step<F>| match step {
        Step::Call(c) => Step::Call(call(cx, c)),
        Step::Parallel(Parallel { counter, call: c }) => {
            Step::Parallel(Parallel { counter: *counter, call: call(cx, c) })
        }
        Step::Repeat(repeat) => Step::Repeat(Repeat {
            counter: repeat.counter,
            test: repeat.test.as_ref().map(|test| place(cx, test)),
            body: map_steps(&repeat.body, cx, call, place),
        }),
        Step::If(branch) => Step::If(Branch {
            test: place(cx, &branch.test),
            then: map_steps(&branch.then, cx, call, place),
            otherwise: map_steps(&branch.otherwise, cx, call, place),
        }),
    };
    steps.iter().map(&mut one).collect()
}

/// The same steps with several calls for each; calls in parts stay.
#[must_use]
pub fn expand_calls<F>(
    steps: Vec<Step<F>>,
    calls: &mut impl FnMut(Call<F>) -> Vec<Call<F>>,
) -> Vec<Step<F>> {
    let mut expanded = Vec::new();
    for step in steps {
        match step {
            Step::Call(call) => expanded.extend(calls(call).into_iter().map(Step::Call)),
            Step::Parallel(parallel) => expanded.push(Step::Parallel(parallel)),
            Step::Repeat(repeat) => {
                let body = expand_calls(repeat.body, calls);
                expanded.push(Step::Repeat(Repeat { body, ..repeat }));
            }
            Step::If(Branch { test, then, otherwise }) => {
                let then = expand_calls(then, calls);
                let otherwise = expand_calls(otherwise, calls);
                expanded.push(Step::If(Branch { test, then, otherwise }));
            }
        }
    }
    expanded
}

/// The values of the counters while a program runs.
#[derive(Clone, Debug, Default)]
pub struct Counters(SecondaryMap<CounterId, i64>);

impl Counters {
    /// Sets a counter.
    pub fn set(&mut self, counter: CounterId, value: usize) {
        self.0[counter] = value as i64;
    }

    /// The first element of a place now.
    ///
    /// # Panics
    /// When it is before the buffer (relies on K6 or L5).
    #[must_use]
    pub fn element(&self, place: &Place) -> usize {
        let at = place.offset.eval(|counter| self.0[counter]);
        usize::try_from(at).unwrap_or_else(|_| panic!("{} at element {at}", place.buffer))
    }
}

#[cfg(test)]
mod tests {
    use super::{Call, Place, Program, Repeat, Step};
    use crate::affine::Affine;
    use crate::kernel::BufferId;
    use crate::loc::LocId;
    use cranelift_entity::EntityRef;

    #[test]
    fn calls_are_counted_through_repetitions() {
        let mut program = Program::default();
        let [outer, inner] = [3, 4].map(|extent| program.counters.push(extent));
        let offset = Affine::scaled(outer, 8).plus(inner, 2);
        let place = Place { buffer: BufferId::new(0), offset };
        let args = vec![place.clone()];
        let call = Step::Call(Call { callee: 'f', args, loc: LocId::new(0) });
        let body = vec![Step::Repeat(Repeat { counter: inner, test: None, body: vec![call] })];
        program.steps = vec![Step::Repeat(Repeat { counter: outer, test: None, body })];
        let calls = program.calls();
        assert_eq!((calls.len(), calls[0].1), (1, 12));
        assert_eq!(program.range(&place).hi, 2 * 8 + 3 * 2);
    }
}
