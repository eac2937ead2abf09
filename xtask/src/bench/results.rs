//! What was measured.

use super::environment::Environment;
use super::subject::{OURS, OURS_IN_F32};
use crate::Outcome;
use serde::Serialize;

/// Everything that one call of the task found out.
#[derive(Serialize)]
pub(super) struct Results {
    pub(super) environment: Environment,
    pub(super) speed: Vec<Speed>,
    pub(super) start: Vec<Start>,
}

/// A model on a number of threads.
#[derive(Serialize)]
pub(super) struct Speed {
    pub(super) model: String,
    pub(super) threads: usize,
    /// Multiply-adds of one run.
    pub(super) macs: u64,
    pub(super) compile_seconds: f64,
    /// How often the machine had fewer processors at the time than threads.
    pub(super) withheld: usize,
    /// Of the compiled model first.
    pub(super) entries: Vec<Entry>,
}

/// How fast someone computes a model: the median, or why there is none.
#[derive(Serialize)]
pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) seconds: Option<f64>,
    /// The largest error as a part of the largest expected value.
    pub(super) error: Option<f64>,
    pub(super) why: Option<String>,
}

/// The first outputs of new processes.
#[derive(Serialize)]
pub(super) struct Start {
    pub(super) model: String,
    /// Machine code of the compiled model.
    pub(super) code_bytes: u64,
    /// Weights and arena: what the compiled model says that it needs, besides inputs and outputs.
    pub(super) planned_bytes: u64,
    pub(super) entries: Vec<Footprint>,
}

/// A new process until its first output, less one that does nothing.
#[derive(Serialize)]
pub(super) struct Footprint {
    pub(super) name: &'static str,
    pub(super) seconds: Option<f64>,
    pub(super) bytes: Option<f64>,
}

impl Results {
    pub(super) fn new(environment: Environment) -> Results {
        Results { environment, speed: Vec::new(), start: Vec::new() }
    }
}

impl Entry {
    /// From seconds and error.
    pub(super) fn new(name: &'static str, outcome: Outcome<(f64, f64)>) -> Entry {
        match outcome {
            Ok((seconds, error)) => {
                Entry { name, seconds: Some(seconds), error: Some(error), why: None }
            }
            Err(why) => Entry { name, seconds: None, error: None, why: Some(why) },
        }
    }
}

impl Speed {
    /// Seconds of a contender.
    pub(super) fn seconds(&self, name: &str) -> Option<f64> {
        self.entries.iter().find(|entry| entry.name == name)?.seconds
    }

    /// The fastest peer, and how many times as long as the compiled model it takes.
    pub(super) fn best_peer(&self) -> Option<(&'static str, f64)> {
        let ours = self.seconds(OURS)?;
        let peers = self.entries.iter().filter(|entry| is_peer(entry.name));
        let times = peers.filter_map(|entry| Some((entry.name, entry.seconds? / ours)));
        times.min_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// The compiled model's part of the peak of so many cores, which is that of codes where the
    /// model computes with them.
    pub(super) fn share_of_peak(&self, peak_gflops: f64) -> Option<f64> {
        let rate = 2e-9 * self.macs as f64 / self.seconds(OURS)?;
        let each = if self.is_on_codes() { CODES_PER_F32 } else { 1.0 };
        Some(rate / (each * peak_gflops * self.threads as f64))
    }

    /// How many times as long as the compiled model on codes its compiled twin in f32 takes.
    pub(super) fn gain_of_codes(&self) -> Option<f64> {
        Some(self.seconds(OURS_IN_F32)? / self.seconds(OURS)?)
    }

    pub(super) fn is_on_codes(&self) -> bool {
        self.entries.iter().any(|entry| entry.name == OURS_IN_F32)
    }
}

/// Whether a contender is neither the compiled model nor its twin.
pub(super) fn is_peer(name: &str) -> bool {
    ![OURS, OURS_IN_F32].contains(&name)
}

/// Multiply-adds of 8-bit codes that one lane of an instruction for dot products does.
const CODES_PER_F32: f64 = 4.0;

#[cfg(test)]
pub(super) fn example() -> Speed {
    let entries = vec![
        Entry::new(OURS, Ok((0.002, 0.0))),
        Entry::new("onnxruntime", Ok((0.004, 1e-6))),
        Entry::new("litert", Ok((0.003, 1e-6))),
        Entry::new("ncnn", Err("no such layer".to_owned())),
    ];
    Speed {
        model: "m".to_owned(),
        threads: 1,
        macs: 50_000_000,
        compile_seconds: 0.5,
        withheld: 0,
        entries,
    }
}

#[cfg(test)]
mod tests {
    use super::{Entry, OURS, OURS_IN_F32, example};

    #[test]
    fn ratios_are_to_the_fastest_peer_with_a_result() {
        assert_eq!(example().best_peer(), Some(("litert", 1.5)));
        assert_eq!(example().share_of_peak(100.0), Some(0.5));
        let mut alone = example();
        alone.entries = vec![Entry::new(OURS, Ok((1.0, 0.0)))];
        assert_eq!(alone.best_peer(), None);
    }

    #[test]
    fn the_twin_in_f32_is_no_peer_and_the_peak_is_that_of_codes() {
        let mut codes = example();
        codes.entries.push(Entry::new(OURS_IN_F32, Ok((0.001, 0.0))));
        assert_eq!(codes.best_peer(), Some(("litert", 1.5)));
        assert_eq!(codes.gain_of_codes(), Some(0.5));
        assert_eq!(codes.share_of_peak(100.0), Some(0.125));
        assert_eq!(example().gain_of_codes(), None);
    }
}
