//! What quantisation did to a model.

use super::assess::{Errors, Quality};
use super::calibrate::Calibration;
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
    /// How ranges were chosen.
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
    /// By how much the outputs come closer to those in `f32` when it alone is not quantised.
    pub gain: f64,
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
    pub(super) method: &'static str,
}

impl Facts<'_> {
    /// `errors` and `gains` are those of the layers that can be quantised, `float` those that are
    /// not.
    pub(super) fn report(
        &self,
        errors: &[Errors],
        gains: &[f64],
        float: &[usize],
        quality: Quality,
    ) -> Report {
        let rows = self.calibration.layers.iter().zip(errors).zip(gains);
        let mut layers: Vec<LayerReport> =
            rows.map(|((&n, &errors), &gain)| self.layer(n, errors, gain, float)).collect();
        layers.sort_by(|a, b| b.gain.total_cmp(&a.gain));
        let examples = self.calibration.outputs.len();
        Report { examples, ranges: self.method.to_owned(), quality, layers }
    }

    fn layer(&self, n: usize, errors: Errors, gain: f64, float: &[usize]) -> LayerReport {
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
            gain,
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
