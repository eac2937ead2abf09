//! Whether the machine gives as many processors as a measurement needs.
//!
//! The processors of a virtual machine share one core at times, for seconds. What is measured then
//! says nothing of two threads, so it is measured again.

use super::measure::Pace;
use super::scratch;
use crate::command::{capture, command, quiet};
use crate::models::oracle;
use crate::{Outcome, paths};
use std::path::PathBuf;

/// A program that prints how many processors' work it gets.
pub(super) struct Probe(PathBuf);

/// The least part of the processors that a measurement is good with.
const ENOUGH: f64 = 0.85;
/// Seconds of the probe's two halves.
const SECONDS: &str = "0.02";
/// How often something is measured at most.
const TIMES: usize = 6;

impl Probe {
    pub(super) fn new() -> Outcome<Probe> {
        let program = scratch("processors")?.join("processors");
        let source = paths::file("benches/processors.c");
        let words = ["-std=gnu11", "-O3", "-Wall", "-Wextra", "-Werror", "-pthread", "-o"];
        quiet(command("gcc", words).arg(&program).arg(source))?;
        Ok(Probe(program))
    }

    fn has_enough(&self, pace: &Pace, threads: usize) -> Outcome<bool> {
        let mut probe = pace.command(threads);
        let printed = capture(probe.arg(&self.0).arg(SECONDS))?;
        Ok(oracle::parse::<f64>(printed.trim())? >= ENOUGH * threads as f64)
    }

    /// What `measure` gives when all processors were there before and after; what it gives at last
    /// if they never were. Also how often they were not.
    pub(super) fn settled(
        &self,
        pace: &Pace,
        threads: usize,
        mut measure: impl FnMut() -> Outcome<f64>,
    ) -> Outcome<(f64, usize)> {
        for withheld in 0..TIMES - 1 {
            let before = threads == 1 || self.has_enough(pace, threads)?;
            let value = measure()?;
            if before && (threads == 1 || self.has_enough(pace, threads)?) {
                return Ok((value, withheld));
            }
        }
        Ok((measure()?, TIMES - 1))
    }
}
