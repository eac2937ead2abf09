//! The profile of a run as a picture: a bar for the time of each layer, then all layers under the
//! roofline of the machine.
//!
//! The roofline (Williams, Waterman, Patterson, 2009) bounds the rate of a layer by the machine's
//! peak and by the bytes that the layer moves, from the second-level cache or from memory; a point
//! far below its roof has time to gain.

use super::{COLOURS, LETTER, LINE, escape, open};
use crate::cli::bench::profile::{LayerTime, Machine};
use crate::cli::bench::show::seconds;
use std::fmt::Write;

/// The width of the bars and of the roofline, in the picture's units.
const WIDTH: f64 = 800.0;

/// The height of a bar with the space below it.
const BAR: f64 = 15.0;

/// Space at the left, for the layers' names or for the numbers of an axis, and above.
const LEFT: f64 = 330.0;
const TOP: f64 = 40.0;

/// The roofline's height, and the space for its title.
const ROOF: f64 = 420.0;
const GAP: f64 = 50.0;

/// The picture of layers in the order of steps.
pub(in crate::cli) fn svg(name: &str, machine: &Machine, rows: &[LayerTime]) -> String {
    let all: f64 = rows.iter().map(|row| row.seconds).sum();
    let bars = TOP + BAR * rows.len() as f64;
    let height = bars + GAP + ROOF + GAP;
    let mut svg =
        open(&format!("{name}: {} in layers", seconds(all)), (LEFT + WIDTH + 40.0, height));
    let kinds = kinds(rows);
    let longest = rows.iter().map(|row| row.seconds).fold(f64::MIN_POSITIVE, f64::max);
    for (n, row) in rows.iter().enumerate() {
        bar(&mut svg, row, TOP + BAR * n as f64, WIDTH * row.seconds / longest, &kinds);
    }
    let roofline = Roofline::of(machine, rows, bars + GAP);
    roofline.axes(&mut svg);
    let ways = [("cache", machine.cache_gb_per_s), ("memory", machine.memory_gb_per_s)];
    ways.iter().for_each(|&(name, rate)| roofline.slope(&mut svg, machine.peak_gflops, name, rate));
    roofline.ceiling(&mut svg, machine);
    rows.iter().for_each(|row| roofline.point(&mut svg, row, &kinds));
    legend(&mut svg, &kinds, bars + GAP);
    svg + "</svg>\n"
}

/// The strategies that occur, each once; their places are their colours.
fn kinds(rows: &[LayerTime]) -> Vec<&'static str> {
    let mut kinds = Vec::new();
    for row in rows {
        if !kinds.contains(&row.strategy) {
            kinds.push(row.strategy);
        }
    }
    kinds
}

fn colour(kinds: &[&str], kind: &str) -> &'static str {
    let place = kinds.iter().position(|k| *k == kind).unwrap_or_default();
    COLOURS[place % COLOURS.len()]
}

/// A layer's name at the left, its time as a bar, its numbers at the bar's end.
fn bar(svg: &mut String, row: &LayerTime, top: f64, length: f64, kinds: &[&str]) {
    let fill = colour(kinds, row.strategy);
    let letters = (LEFT / LETTER) as usize - 2;
    let name: String = row.title().chars().take(letters).collect();
    let (x, y) = (LEFT - 5.0, top + LINE - 3.0);
    let _ = writeln!(
        svg,
        "<text x=\"{x}\" y=\"{y:.1}\" text-anchor=\"end\">{}</text>\n\
         <rect x=\"{LEFT}\" y=\"{top:.1}\" width=\"{length:.1}\" height=\"{LINE}\" \
         fill=\"{fill}\"><title>{}</title></rect>",
        escape(&name),
        escape(&row.tip()),
    );
    let label = escape(&row.label());
    let is_long = length > WIDTH / 2.0;
    let (anchor, x) =
        if is_long { ("end", LEFT + length - 4.0) } else { ("start", LEFT + length + 4.0) };
    let _ =
        writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{label}</text>");
}

fn legend(svg: &mut String, kinds: &[&str], top: f64) {
    for (n, kind) in kinds.iter().enumerate() {
        let (y, fill) = (top + 20.0 + LINE * n as f64, colour(kinds, kind));
        let _ = writeln!(
            svg,
            "<circle cx=\"20\" cy=\"{:.1}\" r=\"5\" fill=\"{fill}\"/>\n\
             <text x=\"32\" y=\"{y:.1}\">{kind}</text>",
            y - 4.0
        );
    }
}

/// From operations per byte and GFLOP/s to places, both axes logarithmic.
struct Roofline {
    top: f64,
    /// Decades of operations per byte: the first and how many.
    intensity: (f64, f64),
    /// Decades of GFLOP/s.
    rate: (f64, f64),
}

impl Roofline {
    /// Axes of whole decades that hold the machine and every layer with multiply-adds.
    fn of(machine: &Machine, rows: &[LayerTime], top: f64) -> Roofline {
        let with_work = || rows.iter().filter(|row| row.flops() > 0.0);
        let ridge = machine.peak_gflops / machine.memory_gb_per_s;
        let intensities = with_work().map(LayerTime::intensity).chain([ridge, 0.1]);
        let rates = with_work().map(|row| row.gflops).chain([machine.peak_gflops, 1.0]);
        Roofline { top, intensity: decades(intensities), rate: decades(rates) }
    }

    fn x(&self, intensity: f64) -> f64 {
        LEFT + WIDTH * ((intensity.log10() - self.intensity.0) / self.intensity.1).clamp(0.0, 1.0)
    }

    fn y(&self, rate: f64) -> f64 {
        self.top + ROOF * (1.0 - ((rate.log10() - self.rate.0) / self.rate.1).clamp(0.0, 1.0))
    }

    fn axes(&self, svg: &mut String) {
        let (top, bottom) = (self.top, self.top + ROOF);
        let _ = writeln!(
            svg,
            "<rect x=\"{LEFT}\" y=\"{top}\" width=\"{WIDTH}\" height=\"{ROOF}\" fill=\"none\" \
             stroke=\"black\"/>\n\
             <text x=\"{LEFT}\" y=\"{:.1}\">operations per byte</text>\n\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">GFLOP/s</text>",
            bottom + 32.0,
            LEFT - 50.0,
            top + 10.0,
        );
        for decade in 0..=self.intensity.1 as i32 {
            let value = 10f64.powf(self.intensity.0 + f64::from(decade));
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{value}</text>",
                self.x(value),
                bottom + 16.0
            );
        }
        for decade in 0..=self.rate.1 as i32 {
            let value = 10f64.powf(self.rate.0 + f64::from(decade));
            let (x, y) = (LEFT - 6.0, self.y(value) + 4.0);
            let _ =
                writeln!(svg, "<text x=\"{x}\" y=\"{y:.1}\" text-anchor=\"end\">{value}</text>");
        }
    }

    /// The roof that moving bytes from somewhere makes.
    fn slope(&self, svg: &mut String, peak: f64, name: &str, gb_per_s: f64) {
        let lowest = 10f64.powf(self.rate.0) / gb_per_s;
        let first = lowest.max(10f64.powf(self.intensity.0));
        let (left, right) = (self.x(first), self.x(peak / gb_per_s));
        let (bottom, top) = (self.y(first * gb_per_s), self.y(peak));
        let _ = writeln!(
            svg,
            "<line x1=\"{left:.1}\" y1=\"{bottom:.1}\" x2=\"{right:.1}\" y2=\"{top:.1}\" \
             stroke=\"black\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\">{name} {gb_per_s:.1} GB/s</text>",
            left + 12.0,
            bottom - 3.0,
        );
    }

    /// The roof that the multiply-adds make, from where the cache can feed them.
    fn ceiling(&self, svg: &mut String, machine: &Machine) {
        let (left, right) = (self.x(machine.peak_gflops / machine.cache_gb_per_s), LEFT + WIDTH);
        let y = self.y(machine.peak_gflops);
        let _ = writeln!(
            svg,
            "<line x1=\"{left:.1}\" y1=\"{y:.1}\" x2=\"{right:.1}\" y2=\"{y:.1}\" \
             stroke=\"black\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{:.0} GFLOP/s</text>",
            right - 6.0,
            y - 5.0,
            machine.peak_gflops,
        );
    }

    /// A layer; what does not multiply has no place here.
    fn point(&self, svg: &mut String, row: &LayerTime, kinds: &[&str]) {
        if row.flops() == 0.0 {
            return;
        }
        let (x, y) = (self.x(row.intensity()), self.y(row.gflops));
        let radius = 3.0 + 12.0 * row.share.sqrt();
        let _ = writeln!(
            svg,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius:.1}\" fill=\"{}\" \
             fill-opacity=\"0.7\" stroke=\"black\" stroke-width=\"0.5\"><title>{}</title></circle>",
            colour(kinds, row.strategy),
            escape(&row.tip()),
        );
    }
}

/// The whole decades that hold some positive values: the first and how many.
fn decades(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) =
        values.fold((f64::MAX, f64::MIN_POSITIVE), |(low, high), v| (low.min(v), high.max(v)));
    let (low, high) = (low.log10().floor(), high.log10().ceil());
    (low, (high - low).max(1.0))
}

#[cfg(test)]
mod tests {
    use super::{decades, svg};
    use crate::cli::bench::profile::{LayerTime, Machine};

    #[test]
    fn decades_hold_all_values() {
        assert_eq!(decades([0.5, 20.0].into_iter()), (-1.0, 3.0));
    }

    #[test]
    fn each_layer_is_a_bar_and_each_product_a_point() {
        let machine = Machine {
            peak_gflops: 100.0,
            peak_dot_gops: None,
            cache_gb_per_s: 50.0,
            memory_gb_per_s: 10.0,
        };
        let rows = [LayerTime::example("conv", 1000), LayerTime::example("copy", 0)];
        let text = svg("m", &machine, &rows);
        assert_eq!(text.matches("<title>").count(), 3, "{text}");
        for roof in ["100 GFLOP/s", "cache 50.0 GB/s", "memory 10.0 GB/s"] {
            assert!(text.contains(roof), "{text}");
        }
    }
}
