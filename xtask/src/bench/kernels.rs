//! Single kernels, one for each way to run them, beside the peak that the same process measures: that
//! of dot products for kernels on codes.

use super::measure::{Pace, median};
use super::rows::make;
use super::{Args, scratch};
use crate::build::release_compiler;
use crate::command::{capture, text};
use crate::models::line::{Line, parse};
use crate::models::oracle;
use crate::{Outcome, paths};
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// Lines whose arguments are a strategy and options of `edgecc bench`.
pub(super) const TABLE: &str = "benches/models/kernels.txt";

/// What `edgecc bench --profile --json` prints, as far as it is read here.
#[derive(Deserialize)]
struct Profiled {
    machine: Machine,
    layers: Vec<Layer>,
}

#[derive(Deserialize)]
struct Machine {
    peak_gflops: f64,
    /// Of dot products of codes.
    peak_dot_gops: Option<f64>,
    cache_gb_per_s: f64,
}

#[derive(Deserialize)]
struct Layer {
    strategy: String,
    seconds: f64,
    gflops: f64,
    gb_per_s: f64,
}

/// The rates of a kernel, and as parts of the peaks of its process.
#[derive(Clone, Copy, Serialize)]
struct Rates {
    seconds: f64,
    gflops: f64,
    of_peak: f64,
    gb_per_s: f64,
    /// Of copies in the second-level cache.
    of_copies: f64,
}

#[derive(Serialize)]
struct Row {
    kernel: String,
    strategy: String,
    #[serde(flatten)]
    rates: Rates,
}

/// The kernels whose names contain the filter, measured, as Markdown or JSON.
pub(super) fn measured(args: &Args) -> Outcome<String> {
    let table = fs::read_to_string(paths::file(TABLE)).map_err(|e| format!("{TABLE}: {e}"))?;
    let lines = parse(TABLE, &table)?;
    let (pace, folder) = (Pace::new(args)?, scratch("kernels")?);
    let edgecc = args.edgecc.clone().map_or_else(release_compiler, Ok)?;
    let mut rows = Vec::new();
    for line in lines.iter().filter(|line| line.name.contains(&args.models)) {
        let model = make(line, &folder)?;
        let once = |_| rates(&pace, args, &edgecc, line, &model);
        let samples = (0..pace.rounds).map(once).collect::<Outcome<Vec<Rates>>>()?;
        let rates = medians(&samples);
        rows.push(Row { kernel: line.name.to_owned(), strategy: line.args[0].clone(), rates });
    }
    match args.json {
        true => Ok(serde_json::to_string_pretty(&rows).expect("rows have string keys only")),
        false => Ok(markdown(&rows)),
    }
}

/// What the functions that make models on codes start with.
const CODES: &str = "codes";

/// The rates of the slowest layer that runs as the line says, in one process.
fn rates(pace: &Pace, args: &Args, edgecc: &Path, line: &Line<'_>, model: &Path) -> Outcome<Rates> {
    let [strategy, options @ ..] = line.args.as_slice() else {
        return Err(format!("{TABLE}: {} names no strategy", line.name));
    };
    let mut bench = pace.command(1);
    bench.arg(edgecc).args(["bench", text(model), "--cpu", &args.cpu, "--profile", "--json"]);
    bench.args(["--runs", &pace.runs.to_string()]).args(options);
    let found: Profiled = oracle::parse(&capture(&mut bench)?)?;
    let layers = found.layers.iter().filter(|layer| layer.strategy == *strategy);
    let layer = layers.max_by(|a, b| a.seconds.total_cmp(&b.seconds));
    let layer = layer.ok_or_else(|| format!("no kernel of {} runs as {strategy}", line.name))?;
    let on_codes = line.path.starts_with(CODES);
    let peak = found.machine.peak_dot_gops.filter(|_| on_codes);
    Ok(Rates {
        seconds: layer.seconds,
        gflops: layer.gflops,
        of_peak: layer.gflops / peak.unwrap_or(found.machine.peak_gflops),
        gb_per_s: layer.gb_per_s,
        of_copies: layer.gb_per_s / found.machine.cache_gb_per_s,
    })
}

fn medians(samples: &[Rates]) -> Rates {
    let of = |field: fn(&Rates) -> f64| median(samples.iter().map(field).collect());
    Rates {
        seconds: of(|r| r.seconds),
        gflops: of(|r| r.gflops),
        of_peak: of(|r| r.of_peak),
        gb_per_s: of(|r| r.gb_per_s),
        of_copies: of(|r| r.of_copies),
    }
}

const HEAD: &str = "\
| kernel | strategy | us | GFLOP/s | of peak | GB/s | of copies |
| :-- | :-- | --: | --: | --: | --: | --: |
";

/// What does not multiply has no share of the peak of multiply-adds.
fn markdown(rows: &[Row]) -> String {
    let mut text = HEAD.to_owned();
    for Row { kernel, strategy, rates } in rows {
        let share = |rate: f64, of: f64| match rate {
            0.0 => "- | -".to_owned(),
            _ => format!("{rate:.1} | {:.0} %", 100.0 * of),
        };
        let (flops, bytes) =
            (share(rates.gflops, rates.of_peak), share(rates.gb_per_s, rates.of_copies));
        let time = 1e6 * rates.seconds;
        let _ = writeln!(text, "| {kernel} | {strategy} | {time:.1} | {flops} | {bytes} |");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{HEAD, Rates, Row, markdown, medians};

    fn rates(seconds: f64, gflops: f64) -> Rates {
        Rates { seconds, gflops, of_peak: gflops / 100.0, gb_per_s: 5.0, of_copies: 0.1 }
    }

    #[test]
    fn what_does_not_multiply_has_bytes_only() {
        let row = |gflops| Row {
            kernel: "k".to_owned(),
            strategy: "s".to_owned(),
            rates: rates(2e-6, gflops),
        };
        let text = markdown(&[row(0.0), row(50.0)]);
        let lines: Vec<&str> = text.strip_prefix(HEAD).expect("a head").lines().collect();
        assert_eq!(
            lines,
            ["| k | s | 2.0 | - | - | 5.0 | 10 % |", "| k | s | 2.0 | 50.0 | 50 % | 5.0 | 10 % |"]
        );
    }

    #[test]
    fn each_rate_is_its_own_median() {
        let found = medians(&[rates(3.0, 1.0), rates(1.0, 9.0), rates(2.0, 5.0)]);
        assert_eq!((found.seconds, found.gflops), (2.0, 5.0));
    }
}
