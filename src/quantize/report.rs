//! What quantisation did to a model.

use super::assess::{Errors, Quality};
use super::calibrate::Calibration;
use super::ranges::Ranges;
use edgecc_frontend::quantize::{FloatModel, Plan};
use edgecc_passes::quantize::histogram::Histogram;
use serde::Serialize;

/// Bars of a histogram.
const BARS: usize = 64;

/// The result of a quantisation.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Examples that it was calibrated with.
    pub examples: usize,
    /// How ranges were chosen; several ways where values differ.
    pub ranges: String,
    /// The quality of the result.
    pub quality: Quality,
    /// The layers that can be quantised: those first whose quantisation costs most.
    pub layers: Vec<LayerReport>,
}

/// A layer.
#[derive(Clone, Debug, Serialize)]
pub struct LayerReport {
    /// Its node.
    pub name: String,
    /// Its operator.
    pub op: String,
    /// Multiply-adds of one run.
    pub macs: u64,
    /// Whether it stays in `f32`.
    pub float: bool,
    /// The errors of its results.
    #[serde(flatten)]
    pub errors: Errors,
    /// What the outputs differ by when it alone is quantised.
    pub alone: f64,
    /// How the range of its input was chosen.
    pub ranges: String,
    /// What its codes cover of its input.
    pub range: [f64; 2],
    /// What was seen of its input.
    pub seen: [f32; 2],
    /// How often elements of the input were in each part of `seen`, evenly divided.
    pub histogram: Vec<u64>,
}

/// What a report is made from.
pub(super) struct Facts<'a> {
    pub(super) model: &'a FloatModel,
    pub(super) plan: &'a Plan,
    pub(super) calibration: &'a Calibration,
    pub(super) ranges: &'a Ranges,
}

impl Facts<'_> {
    /// `errors` and `alone` are those of the layers that can be quantised, `float` those that are
    /// not.
    pub(super) fn report(
        &self,
        errors: &[Errors],
        alone: &[f64],
        float: &[usize],
        quality: Quality,
    ) -> Report {
        let rows = self.calibration.layers.iter().zip(errors).zip(alone);
        let mut layers: Vec<LayerReport> =
            rows.map(|((&n, &errors), &alone)| self.layer(n, errors, alone, float)).collect();
        layers.sort_by(|a, b| b.alone.total_cmp(&a.alone));
        let examples = self.calibration.outputs.len();
        Report { examples, ranges: self.ranges.names(), quality, layers }
    }

    fn layer(&self, n: usize, errors: Errors, alone: f64, float: &[usize]) -> LayerReport {
        let layer = &self.model.layers[n];
        let leader = &self.calibration.leaders[&layer.input];
        let (affine, seen) = (&self.plan.values[leader], &self.calibration.histograms[leader]);
        let (lo, hi) = affine.elem.int_range().expect("codes are integers");
        let end = |code: i64| (code - i64::from(affine.zero)) as f64 * f64::from(affine.scale);
        LayerReport {
            name: layer.name.clone(),
            op: layer.op.clone(),
            macs: self.calibration.macs(layer),
            float: float.contains(&n),
            errors,
            alone,
            ranges: self.ranges.methods[leader].to_owned(),
            range: [end(lo), end(hi)],
            seen: [seen.lo, seen.hi],
            histogram: bars(seen),
        }
    }
}

/// The counts in even parts of what was seen.
fn bars(seen: &Histogram) -> Vec<u64> {
    let (lo, hi) = (f64::from(seen.lo), f64::from(seen.hi));
    let place = |x: f64| {
        let part = (x - lo) / (hi - lo).max(f64::MIN_POSITIVE);
        ((part * BARS as f64) as usize).min(BARS - 1)
    };
    let mut bars = vec![0; BARS];
    bars[place(0.0)] += seen.zeros;
    seen.points().for_each(|(x, count)| bars[place(x)] += count);
    bars
}
