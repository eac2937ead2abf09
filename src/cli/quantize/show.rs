//! A report as text.

use edgecc::quantize::{LayerReport, Report, Summary};
use edgecc::report::count;

/// Layers that are listed.
const LISTED: usize = 12;

/// The result, and the layers that cost most.
pub(super) fn text(report: &Report) -> String {
    let float = report.layers.iter().filter(|layer| layer.float).count();
    let head = format!(
        "{} layers quantised, {float} in f32; {} examples, ranges by {}\n",
        report.layers.len() - float,
        report.examples,
        report.ranges
    );
    let labels = "own error  inherited      total      alone";
    let title = format!("{labels}  {:>10}  layer\n", "MACs");
    let rows: String = report.layers.iter().take(LISTED).map(row).collect();
    head + &quality(report) + &title + &rows + &rest(report.layers.len())
}

fn quality(report: &Report) -> String {
    let quality = &report.quality;
    let distance = format!("outputs differ by {}", percent(quality.distance));
    let changed = quality.decisions.map(|share| format!("{} of decisions change", percent(share)));
    let accuracy = quality
        .accuracy
        .map(|[float, now]| format!("accuracy {} of {} in f32", percent(now), percent(float)));
    let parts: Vec<String> = [Some(distance), changed, accuracy].into_iter().flatten().collect();
    parts.join("; ") + "\n"
}

fn row(layer: &LayerReport) -> String {
    let errors = [layer.errors.own, layer.errors.inherited, layer.errors.total, layer.alone];
    let cells: Vec<String> = errors.iter().map(|&e| format!("{:>9}", percent(e))).collect();
    let kept = if layer.float { " (f32)" } else { "" };
    format!(
        "{}  {:>10}  {} ({}){kept}\n",
        cells.join("  "),
        count(layer.macs),
        layer.name,
        layer.op
    )
}

fn rest(layers: usize) -> String {
    match layers.saturating_sub(LISTED) {
        0 => String::new(),
        more => format!("and {more} more\n"),
    }
}

/// What became of a model that was quantised without data.
pub(super) fn summary(summary: &Summary) -> String {
    let [before, after] = summary.bytes.map(|bytes| bytes as f64 / 1e6);
    format!(
        "weights of {} layers stored as codes, of {} in f32; they differ by {}\n\
         {before:.2} MB before, {after:.2} MB after\n",
        summary.layers,
        summary.float,
        percent(summary.error)
    )
}

/// A share as text.
pub(super) fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}
