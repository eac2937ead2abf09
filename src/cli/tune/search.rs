//! Which schedules are measured, and which of them are kept.
//!
//! A round gives every kernel another schedule at once, compiles the model and lets it take turns
//! with the program at the start; the profile says for each kernel alone what its schedule is worth.
//! The first pass measures other plans, each later pass the neighbours of the schedules that were
//! the best, until none is better or the time is over. What is kept is faster in two further
//! comparisons.

use super::trial::{Program, Schedules, Setup, compare, compare_whole};
use crate::cli::bench::clock::seconds_of;
use edgecc::Failure;
use edgecc_ir::kernel::Kernel;
use edgecc_ir::kernel::schedule::Schedule;
use edgecc_ir::tensor::Tensor;
use edgecc_passes::schedule::choices::{neighbours, plans};

/// Seconds of the runs of one program in a round.
const ROUND: f64 = 0.05;
const FEWEST_RUNS: u32 = 5;
const MOST_RUNS: u32 = 300;
/// How many times the runs of a round a comparison of what is kept has.
const CAREFUL: u32 = 4;
/// The part of its time that a kernel has to gain.
const LEAST_GAIN: f64 = 0.03;
/// Comparisons that a schedule has to win at last.
const CONFIRMATIONS: usize = 2;

/// The result of a search.
pub(super) struct Found {
    /// Of all kernels, changed or not.
    pub(super) schedules: Schedules,
    /// Kernels that changed.
    pub(super) gains: Vec<Gain>,
    /// Seconds of a whole run before and after.
    pub(super) whole: [f64; 2],
    /// Schedules that were measured.
    pub(super) tried: usize,
    /// The program at the start.
    pub(super) base: Program,
}

/// A kernel with another schedule.
pub(super) struct Gain {
    pub(super) kernel: usize,
    /// Seconds in all calls before and after.
    pub(super) seconds: [f64; 2],
}

/// The state of a search.
struct Search<'a> {
    setup: &'a Setup,
    base: &'a Program,
    inputs: &'a [Tensor],
    expected: &'a [Tensor],
    runs: u32,
    /// The best so far, and its part of the time at the start.
    best: Vec<(Option<Schedule>, f64)>,
    /// Everything that was measured or stood in line for it, by kernel.
    known: Vec<Vec<Schedule>>,
}

/// A schedule for one kernel.
type Change = (usize, Schedule);

/// Searches for so many seconds, and then confirms what was found.
pub(super) fn search(
    setup: &Setup,
    start: &Schedules,
    seconds: f64,
    progress: &dyn Fn(&str),
) -> Result<Found, Failure> {
    let base = setup.program(start)?;
    let inputs = base.inputs()?;
    let expected = base.outputs(&inputs)?;
    let mut search = Search {
        setup,
        base: &base,
        inputs: &inputs,
        expected: &expected,
        runs: runs(&base, &inputs)?,
        best: start.iter().map(|s| (s.clone(), 1.0)).collect(),
        known: start.iter().map(|s| s.iter().cloned().collect()).collect(),
    };
    search.passes(seconds, progress)?;
    let best = search.best.iter().map(|b| b.0.clone()).collect();
    let (schedules, gains) = search.confirm(start, best)?;
    let program = setup.program(&schedules)?;
    let whole = compare_whole([&base, &program], &inputs, CAREFUL * search.runs)?;
    let tried = search.known.iter().map(|known| known.len().saturating_sub(1)).sum();
    Ok(Found { schedules, gains, whole, tried, base })
}

/// How often a program runs in a round.
fn runs(base: &Program, inputs: &[Tensor]) -> Result<u32, Failure> {
    let mut subject = base.subject(inputs)?;
    subject.warm_up(2)?;
    let seconds = subject.whole_runs(3)?[1];
    Ok(((ROUND / seconds) as u32).clamp(FEWEST_RUNS, MOST_RUNS))
}

impl Search<'_> {
    /// Passes until none finds anything or the time is over.
    fn passes(&mut self, seconds: f64, progress: &dyn Fn(&str)) -> Result<(), Failure> {
        let (mut spent, mut pass) = (0.0, 0);
        let mut queues =
            self.queues(|kernel, _, setup| plans(kernel, &setup.target, setup.allowed()));
        while pass < 2 || queues.iter().any(|queue| !queue.is_empty()) {
            let before: Schedules = self.best.iter().map(|b| b.0.clone()).collect();
            let rounds = queues.iter().map(Vec::len).max().unwrap_or(0);
            for round in 0..rounds {
                if spent > seconds {
                    return Ok(());
                }
                progress(&format!(
                    "pass {}, round {} of {rounds}: {}",
                    pass + 1,
                    round + 1,
                    self.state()
                ));
                let nth = |(kernel, queue): (usize, &Vec<Schedule>)| {
                    Some((kernel, queue.get(round)?.clone()))
                };
                let changes: Vec<Change> = queues.iter().enumerate().filter_map(nth).collect();
                spent += seconds_of(|| self.round(&changes))?;
            }
            let is_new = |at: usize, best: &Option<Schedule>| pass == 0 || before[at] != *best;
            queues = self.near(is_new);
            pass += 1;
        }
        Ok(())
    }

    /// Neighbours of the best schedules of some kernels.
    fn near(&mut self, wanted: impl Fn(usize, &Option<Schedule>) -> bool) -> Vec<Vec<Schedule>> {
        let best: Schedules = self.best.iter().map(|b| b.0.clone()).collect();
        self.queues(|kernel, at, setup| match &best[at] {
            Some(schedule) if wanted(at, &best[at]) => {
                neighbours(kernel, schedule, &setup.target, setup.allowed())
            }
            _ => Vec::new(),
        })
    }

    /// For each kernel the schedules that were not known.
    fn queues(
        &mut self,
        make: impl Fn(&Kernel, usize, &Setup) -> Vec<Schedule>,
    ) -> Vec<Vec<Schedule>> {
        let mut queues = Vec::new();
        for (at, kernel) in self.setup.kernels.kernels.values().enumerate() {
            let known = &mut self.known[at];
            let mut queue =
                if kernel.stages.is_empty() { Vec::new() } else { make(kernel, at, self.setup) };
            queue.retain(|schedule| !known.contains(schedule));
            known.extend(queue.iter().cloned());
            queues.push(queue);
        }
        queues
    }

    fn state(&self) -> String {
        let better = self.best.iter().filter(|b| b.1 < 1.0 - LEAST_GAIN).count();
        format!("{better} of {} kernels are faster so far", self.best.len())
    }

    /// Measures changes together. Where code cannot be made of them or is wrong, each half is
    /// measured alone, down to the change that is to blame, which is left out.
    fn round(&mut self, changes: &[Change]) -> Result<(), Failure> {
        let Some(middle) = changes.len().checked_sub(1).map(|last| last.div_ceil(2)) else {
            return Ok(());
        };
        let mut schedules: Schedules = self.best.iter().map(|b| b.0.clone()).collect();
        for (kernel, schedule) in changes {
            schedules[*kernel] = Some(schedule.clone());
        }
        let program = self.setup.program(&schedules);
        let usable = program.and_then(|p| p.check(self.inputs, self.expected).map(|()| p));
        let Ok(program) = usable else {
            let (one, other) = changes.split_at(middle);
            return if middle == 0 {
                Ok(())
            } else {
                self.round(one).and_then(|()| self.round(other))
            };
        };
        let ratios = self.ratios(&program, self.runs)?;
        for (kernel, schedule) in changes {
            if ratios[*kernel].0 < self.best[*kernel].1 {
                self.best[*kernel] = (Some(schedule.clone()), ratios[*kernel].0);
            }
        }
        Ok(())
    }

    /// For each kernel its time as a part of that at the start, and both times.
    fn ratios(&self, program: &Program, runs: u32) -> Result<Vec<(f64, [f64; 2])>, Failure> {
        let [before, after] = compare(self.setup, [self.base, program], self.inputs, runs)?;
        let ratio = |(&before, &after): (&f64, &f64)| {
            let ratio = if before > 0.0 { after / before } else { 1.0 };
            (ratio, [before, after])
        };
        Ok(before.iter().zip(&after).map(ratio).collect())
    }

    /// The schedules that are faster in each of several comparisons; others are those at the start.
    fn confirm(
        &self,
        start: &Schedules,
        mut schedules: Schedules,
    ) -> Result<(Schedules, Vec<Gain>), Failure> {
        let mut gains = Vec::new();
        for _ in 0..CONFIRMATIONS {
            let program = self.setup.program(&schedules)?;
            program.check(self.inputs, self.expected)?;
            let ratios = self.ratios(&program, CAREFUL * self.runs)?;
            gains.clear();
            for (kernel, (ratio, seconds)) in ratios.into_iter().enumerate() {
                let differs = schedules[kernel] != start[kernel];
                if differs && ratio < 1.0 - LEAST_GAIN {
                    gains.push(Gain { kernel, seconds });
                } else {
                    schedules[kernel].clone_from(&start[kernel]);
                }
            }
        }
        Ok((schedules, gains))
    }
}
