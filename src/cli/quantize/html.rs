//! A report as a page: a table of layers, a picture of their errors, the ranges of their inputs.

use super::show::percent;
use crate::cli::plot::escape;
use edgecc::quantize::{LayerReport, Report};
use edgecc::report::count;
use std::fmt::Write;

const STYLE: &str = "body{font:14px sans-serif;margin:2em}table{border-collapse:collapse}\
    td,th{padding:2px 10px;text-align:right;border-bottom:1px solid #ddd}\
    td:first-child,th:first-child{text-align:left}tr.float{background:#fdf3d8}";

/// The width of bars and of histograms, in the pictures' units.
const WIDTH: f64 = 420.0;
const SMALL: f64 = 192.0;
const TALL: f64 = 40.0;

/// A page without parts elsewhere.
pub(super) fn page(name: &str, report: &Report) -> String {
    let name = escape(name);
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{name}</title>\
         <style>{STYLE}</style></head><body>\n<h1>{name}, quantised</h1>\n"
    );
    summary(&mut page, report);
    page += "<h2>Errors of layers</h2>\n<p>The norm of what results differ by, as a part of their norm: \
             in orange the layer's own error, in blue what it inherits from layers before it. Layers \
             whose quantisation costs most come first.</p>\n";
    page += &errors(&report.layers);
    page += "<h2>Layers</h2>\n<p>The column `alone` is what the outputs differ by when this \
             layer alone is quantised. The picture shows how often elements of the layer's \
             input have which size, on a logarithmic scale; the part in grey has no codes of its own. \
             Coloured rows stay in f32.</p>\n";
    table(&mut page, &report.layers);
    page + "</body></html>\n"
}

fn summary(page: &mut String, report: &Report) {
    let quality = &report.quality;
    let _ = write!(
        page,
        "<p>{} examples, ranges by {}. The outputs differ from those in f32 by {}.",
        report.examples,
        escape(&report.ranges),
        percent(quality.distance)
    );
    if let Some(share) = quality.decisions {
        let _ = write!(page, " Decisions that change: {}.", percent(share));
    }
    if let Some([float, now]) = quality.accuracy {
        let _ = write!(page, " Accuracy: {}, in f32 {}.", percent(now), percent(float));
    }
    *page += "</p>\n";
}

/// A pair of bars for each layer.
fn errors(layers: &[LayerReport]) -> String {
    let largest = layers.iter().map(|l| l.errors.own.max(l.errors.inherited)).fold(1e-9, f64::max);
    let height = 18.0 * layers.len() as f64 + 10.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"900\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n"
    );
    for (n, layer) in layers.iter().enumerate() {
        let top = 18.0 * n as f64;
        let name = escape(
            &layer
                .name
                .chars()
                .rev()
                .take(55)
                .collect::<Vec<_>>()
                .into_iter()
                .rev()
                .collect::<String>(),
        );
        let _ =
            writeln!(svg, "<text x=\"380\" y=\"{}\" text-anchor=\"end\">{name}</text>", top + 12.0);
        let bars = [(layer.errors.own, "#e69f00", 1.0), (layer.errors.inherited, "#56b4e9", 8.0)];
        for (error, fill, down) in bars {
            let width = WIDTH * error / largest;
            let _ = writeln!(
                svg,
                "<rect x=\"390\" y=\"{}\" width=\"{width:.1}\" height=\"6\" fill=\"{fill}\">\
                 <title>{}</title></rect>",
                top + down,
                percent(error)
            );
        }
    }
    svg + "</svg>\n"
}

fn table(page: &mut String, layers: &[LayerReport]) {
    *page += "<table><tr><th>layer</th><th>operator</th><th>MACs</th><th>own error</th>\
              <th>inherited</th><th>total</th><th>alone</th><th>input</th><th>codes</th><th></th></tr>\n";
    for layer in layers {
        let class = if layer.float { " class=\"float\"" } else { "" };
        let errors = [layer.errors.own, layer.errors.inherited, layer.errors.total, layer.alone];
        let cells: String = errors.iter().map(|&e| format!("<td>{}</td>", percent(e))).collect();
        let _ = writeln!(
            page,
            "<tr{class}><td>{}</td><td>{}</td><td>{}</td>{cells}<td>{:.3} … {:.3}</td>\
             <td>{:.3} … {:.3}</td><td>{}</td></tr>",
            escape(&layer.name),
            escape(&layer.op),
            count(layer.macs),
            layer.seen[0],
            layer.seen[1],
            layer.range[0],
            layer.range[1],
            histogram(layer)
        );
    }
    *page += "</table>\n";
}

/// Bars for the counts, grey beyond the range of codes.
fn histogram(layer: &LayerReport) -> String {
    let mut svg = format!("<svg width=\"{SMALL}\" height=\"{TALL}\">");
    let bars = layer.histogram.len().max(1) as f64;
    let most = layer.histogram.iter().copied().max().unwrap_or(1) as f64;
    let (lo, hi) = (f64::from(layer.seen[0]), f64::from(layer.seen[1]));
    for (n, &bar) in layer.histogram.iter().enumerate().filter(|(_, bar)| **bar > 0) {
        let middle = lo + (n as f64 + 0.5) / bars * (hi - lo);
        let is_inside = (layer.range[0]..=layer.range[1]).contains(&middle);
        let fill = if is_inside { "#009e73" } else { "#bbbbbb" };
        let height = (TALL - 2.0) * (bar as f64).ln_1p() / most.ln_1p() + 1.0;
        let (x, y, width) = (SMALL * n as f64 / bars, TALL - height, SMALL / bars);
        let _ = write!(
            svg,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{fill}\"/>"
        );
    }
    svg + "</svg>"
}
