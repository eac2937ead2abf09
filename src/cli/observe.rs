//! What happens after each pass besides the next one: dumps to files, timings.

use super::args::Effort;
use super::files::cannot_write;
use super::ui::Ui;
use edgecc::driver::Ir;
use edgecc::{Diagnostic, Failure};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;
#[allow(
    clippy::disallowed_types,
    reason = "timings are for the user; no result depends on them"
)]
use std::time::Instant;

/// Sees the IR after every pass.
#[allow(clippy::disallowed_types, reason = "timings are for the user; no result depends on them")]
pub(super) struct Observer {
    folder: Option<PathBuf>,
    time: bool,
    since: Instant,
    times: Vec<(String, Duration)>,
    count: usize,
    problem: Option<Diagnostic>,
}

impl Observer {
    /// Prepares what `--dump-ir` and `--time-passes` ask for.
    #[allow(clippy::disallowed_types, reason = "see above")]
    pub(super) fn new(effort: &Effort) -> Result<Observer, Failure> {
        if let Some(folder) = &effort.dump_ir {
            fs::create_dir_all(folder).map_err(|e| cannot_write(folder, &e))?;
        }
        Ok(Observer {
            folder: effort.dump_ir.clone(),
            time: effort.time_passes,
            since: Instant::now(),
            times: Vec::new(),
            count: 0,
            problem: None,
        })
    }

    /// Called after each pass.
    #[allow(clippy::disallowed_types, reason = "see above")]
    pub(super) fn see(&mut self, pass: &str, ir: Ir<'_>) {
        self.times.push((pass.to_owned(), self.since.elapsed()));
        if let Some(folder) = &self.folder {
            let path = folder.join(format!("{:02}-{pass}.eir", self.count));
            if let Err(e) = fs::write(&path, ir.to_string()) {
                self.problem.get_or_insert(cannot_write(&path, &e));
            }
        }
        self.count += 1;
        self.since = Instant::now();
    }

    /// Prints the timings; fails when a dump could not be written.
    pub(super) fn finish(mut self, ui: &Ui) -> Result<(), Failure> {
        if self.time {
            self.times.push(("emit".to_owned(), self.since.elapsed()));
            ui.note(&table(&self.times));
        }
        self.problem.map_or(Ok(()), |problem| Err(problem.into()))
    }
}

fn table(times: &[(String, Duration)]) -> String {
    let total: Duration = times.iter().map(|(_, t)| *t).sum();
    let row = |name: &str, time: Duration| {
        let share = 100.0 * time.as_secs_f64() / total.as_secs_f64().max(f64::MIN_POSITIVE);
        format!("{:>10.3} ms {share:>5.1} %  {name}\n", 1e3 * time.as_secs_f64())
    };
    let rows: String = times.iter().map(|(name, time)| row(name, *time)).collect();
    rows + &row("total", total)
}
