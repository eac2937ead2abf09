//! What a search has found, as text and JSON.

use super::search::Found;
use super::trial::Setup;
use crate::cli::bench::show::seconds;
use edgecc_ir::text::print_schedule;
use serde::Serialize;

/// The result, times in seconds.
#[derive(Serialize)]
pub(super) struct Report {
    name: String,
    cpu: String,
    /// A whole run.
    before: f64,
    after: f64,
    /// Schedules that were measured.
    tried: usize,
    /// How many kernels there are.
    all_kernels: usize,
    /// The kernels that are faster, in the order of the program.
    kernels: Vec<Row>,
}

/// A kernel in all its calls.
#[derive(Serialize)]
struct Row {
    function: String,
    nodes: Vec<String>,
    before: f64,
    after: f64,
    schedule: String,
}

impl Report {
    pub(super) fn new(setup: &Setup, found: &Found) -> Report {
        let (report, loops) = (&found.base.compiled.report, &found.base.compiled.loops);
        let calls = loops.program.calls();
        let row = |gain: &super::search::Gain| {
            let is_of = |at: &usize| calls[*at].0.callee.as_u32() as usize == gain.kernel;
            let layers: Vec<_> =
                (0..calls.len()).filter(is_of).filter_map(|at| report.layers.get(at)).collect();
            let [before, after] = gain.seconds;
            Row {
                function: layers.first().map(|layer| layer.function.clone()).unwrap_or_default(),
                nodes: layers.iter().flat_map(|layer| layer.nodes.clone()).collect(),
                before,
                after,
                schedule: found.schedules[gain.kernel]
                    .as_ref()
                    .map(print_schedule)
                    .unwrap_or_default(),
            }
        };
        let [before, after] = found.whole;
        Report {
            name: report.name.clone(),
            cpu: report.cpu.clone(),
            before,
            after,
            tried: found.tried,
            all_kernels: setup.kernels.kernels.len(),
            kernels: found.gains.iter().map(row).collect(),
        }
    }

    pub(super) fn text(&self) -> String {
        let head = if self.kernels.is_empty() { "" } else { HEAD };
        let rows: String = self.kernels.iter().map(Row::text).collect();
        let Report { name, cpu, tried, all_kernels, .. } = self;
        let (count, change) = (self.kernels.len(), -gain(self.before, self.after));
        let (before, after) = (seconds(self.before), seconds(self.after));
        format!(
            "{head}{rows}{name} on {cpu}: {before} before, {after} after ({change:+.1} %); \
             {count} of {all_kernels} kernels are faster, {tried} schedules measured\n"
        )
    }
}

const HEAD: &str = "    before      after    less  function: nodes\n";

impl Row {
    fn text(&self) -> String {
        let (before, after) = (seconds(self.before), seconds(self.after));
        let less = gain(self.before, self.after);
        let nodes = match self.nodes.as_slice() {
            [] => String::new(),
            [node] => format!(": {node}"),
            [node, rest @ ..] => format!(": {node} and {} more", rest.len()),
        };
        format!("{before:>10} {after:>10} {less:>5.1} %  {}{nodes}\n", self.function)
    }
}

/// Percent of the time before.
fn gain(before: f64, after: f64) -> f64 {
    100.0 * (1.0 - after / before.max(f64::MIN_POSITIVE))
}

#[cfg(test)]
mod tests {
    use super::{HEAD, Report, Row};

    #[test]
    fn columns_stand_below_their_heads() {
        let row = Row {
            function: "k0_conv".to_owned(),
            nodes: vec!["/conv".to_owned()],
            before: 4e-6,
            after: 3e-6,
            schedule: String::new(),
        };
        assert_eq!(row.text().find("k0_conv:"), HEAD.find("function:"), "{}", row.text());
        let report = Report {
            name: "m".to_owned(),
            cpu: "native".to_owned(),
            before: 4e-3,
            after: 3e-3,
            tried: 10,
            all_kernels: 2,
            kernels: vec![row],
        };
        let last = "m on native: 4.00 ms before, 3.00 ms after (-25.0 %); 1 of 2 kernels are \
                    faster, 10 schedules measured";
        assert_eq!(report.text().lines().last(), Some(last));
    }
}
