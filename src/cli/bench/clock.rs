//! Times runs and steps of a model. The only file that reads the clock for that.

#![allow(clippy::disallowed_types, reason = "measuring time is this command's purpose")]

use edgecc::Failure;
use edgecc::host::{Buffers, Host};
use edgecc_rt::abi::Event;
use edgecc_rt::hooks::Hooks;
use edgecc_rt::load::LoadedModel;
use std::cell::{Cell, RefCell};
use std::time::Instant;

/// A model ready to run.
pub(in crate::cli) struct Subject<'a> {
    pub(in crate::cli) host: &'a Host,
    pub(in crate::cli) model: LoadedModel<'a>,
    pub(in crate::cli) buffers: Buffers,
    /// Services besides the profile.
    pub(in crate::cli) hooks: Hooks<'a>,
}

impl Subject<'_> {
    /// Runs without measuring.
    pub(in crate::cli) fn warm_up(&mut self, runs: u32) -> Result<(), Failure> {
        (0..runs).try_for_each(|_| self.host.run_with(&self.model, &self.hooks, &mut self.buffers))
    }

    /// Sorted seconds of single runs.
    pub(in crate::cli) fn whole_runs(&mut self, runs: u32) -> Result<Vec<f64>, Failure> {
        let mut times = Vec::new();
        for _ in 0..runs {
            times.push(seconds_of(|| {
                self.host.run_with(&self.model, &self.hooks, &mut self.buffers)
            })?);
        }
        times.sort_by(f64::total_cmp);
        Ok(times)
    }

    /// The median seconds of each step that ran; a repeated step counts with all its iterations.
    pub(in crate::cli) fn step_times(&mut self, runs: u32) -> Result<Vec<f64>, Failure> {
        let mut samples: Vec<Vec<f64>> = Vec::new();
        for _ in 0..runs {
            for (step, seconds) in self.steps_once()?.into_iter().enumerate() {
                if samples.len() <= step {
                    samples.push(Vec::new());
                }
                samples[step].push(seconds);
            }
        }
        Ok(samples.into_iter().map(median).collect())
    }

    /// The seconds of each step of one run.
    pub(in crate::cli) fn steps_once(&mut self) -> Result<Vec<f64>, Failure> {
        let totals = RefCell::new(Vec::new());
        let start = Cell::new(Instant::now());
        let sink = |step: u32, event: Event| match event {
            Event::Begin => start.set(Instant::now()),
            Event::End => {
                let time = start.get().elapsed().as_secs_f64();
                add(&mut totals.borrow_mut(), step as usize, time);
            }
        };
        self.host.run_with(&self.model, &self.hooks.with_profile(&sink), &mut self.buffers)?;
        Ok(totals.into_inner())
    }
}

/// The seconds that something takes.
pub(in crate::cli) fn seconds_of<E>(run: impl FnOnce() -> Result<(), E>) -> Result<f64, E> {
    let start = Instant::now();
    run()?;
    Ok(start.elapsed().as_secs_f64())
}

fn add(totals: &mut Vec<f64>, step: usize, seconds: f64) {
    if totals.len() <= step {
        totals.resize(step + 1, 0.0);
    }
    totals[step] += seconds;
}

/// The middle one of some values.
pub(in crate::cli) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::{add, median};

    #[test]
    fn iterations_of_a_step_add_up() {
        let mut totals = Vec::new();
        for (step, seconds) in [(1, 0.5), (1, 0.25), (0, 1.0)] {
            add(&mut totals, step, seconds);
        }
        assert_eq!(totals, [1.0, 0.75]);
    }

    #[test]
    fn a_disturbed_run_does_not_count() {
        assert_eq!(median(vec![9.0, 1.0, 2.0]), 2.0);
    }
}
