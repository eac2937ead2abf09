//! Profiles as text.

use super::profile::{LayerTime, Profile};
use edgecc::report::size;

/// The slowest layers that are printed; JSON has all.
const SHOWN_LAYERS: usize = 40;

/// The machine's limits, the times of kinds of kernels, the slowest layers.
pub(super) fn profile(profile: &Profile) -> String {
    let machine = &profile.machine;
    let dots = machine.peak_dot_gops.map(|peak| format!(", {peak:.1} GOP/s of dot products"));
    let mut text = format!(
        "peak {:.1} GFLOP/s of multiply-adds in registers{}; copies {:.1} GB/s in the second-level \
         cache, {:.1} GB/s in memory\n\n{KINDS}",
        machine.peak_gflops,
        dots.unwrap_or_default(),
        machine.cache_gb_per_s,
        machine.memory_gb_per_s
    );
    kinds(&profile.layers).iter().for_each(|kind| text += &kind.text(machine.peak_gflops));
    text += &format!("\n{LAYERS}");
    let mut rows: Vec<&LayerTime> = profile.layers.iter().collect();
    rows.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    rows.iter().take(SHOWN_LAYERS).for_each(|row| text += &layer(row));
    match rows.len().saturating_sub(SHOWN_LAYERS) {
        0 => text,
        more => text + &format!("and {more} faster ones; --json has all\n"),
    }
}

const KINDS: &str = "      time   share  GFLOP/s  of peak  layers  kernel, strategy\n";
const LAYERS: &str =
    "      time   share  GFLOP/s  of peak        moved    GB/s  kernel, strategy: nodes\n";

/// All layers of one kernel word and strategy.
struct Kind<'a> {
    kernel: &'a str,
    strategy: &'static str,
    layers: usize,
    seconds: f64,
    share: f64,
    flops: f64,
}

/// Slowest first.
fn kinds(rows: &[LayerTime]) -> Vec<Kind<'_>> {
    let mut kinds: Vec<Kind<'_>> = Vec::new();
    for row in rows {
        let (kernel, strategy) = (row.kernel.as_str(), row.strategy);
        let known = kinds.iter().position(|k| (k.kernel, k.strategy) == (kernel, strategy));
        let place = known.unwrap_or(kinds.len());
        if known.is_none() {
            kinds.push(Kind { kernel, strategy, layers: 0, seconds: 0.0, share: 0.0, flops: 0.0 });
        }
        let kind = &mut kinds[place];
        kind.layers += 1;
        kind.seconds += row.seconds;
        kind.share += row.share;
        kind.flops += row.flops();
    }
    kinds.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    kinds
}

impl Kind<'_> {
    fn text(&self, peak: f64) -> String {
        let Kind { kernel, strategy, layers, .. } = self;
        let rate = 1e-9 * self.flops / self.seconds.max(f64::MIN_POSITIVE);
        let head = head(self.seconds, self.share, rate, rate / peak);
        format!("{head}  {layers:>6}  {kernel}, {strategy}\n")
    }
}

fn layer(row: &LayerTime) -> String {
    let head = head(row.seconds, row.share, row.gflops, row.share_of_peak);
    let (moved, rate) = (size(row.bytes), row.gb_per_s);
    let (kernel, strategy, nodes) = (&row.kernel, row.strategy, row.nodes.join(", "));
    format!("{head}  {moved:>11}  {rate:>6.1}  {kernel}, {strategy}: {nodes}\n")
}

/// What does not multiply has no rate.
fn head(time: f64, share: f64, rate: f64, of_peak: f64) -> String {
    let (time, share) = (seconds(time), 100.0 * share);
    match rate {
        0.0 => format!("{time:>10} {share:>5.1} %        -        -"),
        rate => format!("{time:>10} {share:>5.1} % {rate:>8.1} {:>6.1} %", 100.0 * of_peak),
    }
}

impl LayerTime {
    /// The numbers beside a bar.
    pub(in crate::cli) fn label(&self) -> String {
        match self.flops() {
            0.0 => format!("{}, {:.1} GB/s", seconds(self.seconds), self.gb_per_s),
            _ => format!("{}, {:.0} % of peak", seconds(self.seconds), 100.0 * self.share_of_peak),
        }
    }

    /// Everything in one line.
    pub(in crate::cli) fn tip(&self) -> String {
        let (moved, nodes) = (size(self.bytes), self.nodes.join(", "));
        format!("{} {}: {}; {moved} moved; {nodes}", self.kernel, self.strategy, self.label())
    }
}

/// A time with its unit.
pub(in crate::cli) fn seconds(s: f64) -> String {
    match s {
        s if s < 1e-3 => format!("{:.1} us", s * 1e6),
        s if s < 1.0 => format!("{:.2} ms", s * 1e3),
        s => format!("{s:.2} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::{KINDS, LAYERS, kinds, layer, seconds};
    use crate::cli::bench::profile::LayerTime;

    #[test]
    fn times_have_units() {
        let texts = [2e-6, 3e-3, 4.0].map(seconds);
        assert_eq!(texts, ["2.0 us", "3.00 ms", "4.00 s"]);
    }

    #[test]
    fn columns_stand_below_their_heads() {
        let rows = [LayerTime::example("conv", 1000), LayerTime::example("copy", 0)];
        for row in &rows {
            let kernel = row.title()[1..].to_owned() + ", scalar";
            assert_eq!(layer(row).find(&kernel), LAYERS.find("kernel,"), "{}", layer(row));
        }
        let kinds = kinds(&rows);
        assert_eq!(kinds.len(), 2);
        assert_eq!(kinds[0].text(100.0).find("conv,"), KINDS.find("kernel,"));
    }
}
