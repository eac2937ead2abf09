//! Scales and codes from what was seen.

use super::Settings;
use super::calibrate::Calibration;
use super::runner::floats;
use super::samples::Detail;
use edgecc_frontend::quantize::{Affine, FloatModel, LayerCodes, Plan, Weights};
use edgecc_ir::types::ElemType;
use edgecc_passes::quantize::gram::Gram;
use edgecc_passes::quantize::range::Grid;
use edgecc_passes::quantize::reconstruct::Rounding;
use edgecc_passes::quantize::weights::{Rows, from_rows, scale};
use edgecc_passes::quantize::width::Width;
use std::collections::BTreeMap;

/// The plan for all layers when groups of values have these grids.
pub(super) fn plan(
    model: &FloatModel,
    settings: &Settings,
    grids: &BTreeMap<String, Grid>,
    calibration: &Calibration,
) -> Plan {
    let grid = |n: usize| &grids[&calibration.leaders[&model.layers[n].input]];
    let samples = &calibration.samples;
    let grams = match (settings.reconstruct, settings.correct_bias) {
        (true, _) => samples.grams(Detail::Products, grid),
        (false, true) => samples.grams(Detail::Sums, grid),
        (false, false) => BTreeMap::new(),
    };
    let layer = |n: usize| {
        let weights = model.layers[n].weights().filter(|_| calibration.layers.contains(&n))?;
        let gram = samples.first(n).and_then(|first| grams.get(&first));
        Some(layer_codes(weights, grid(n).scale, gram, settings))
    };
    let layers = (0..model.layers.len()).map(layer).collect();
    let values = grids.iter().map(|(name, grid)| (name.clone(), affine(grid))).collect();
    Plan { leaders: calibration.leaders.clone(), values, layers, shifts: BTreeMap::new() }
}

fn affine(grid: &Grid) -> Affine {
    let elem = if grid.codes.lo < 0 { ElemType::I8 } else { ElemType::U8 };
    Affine { elem, scale: grid.scale, zero: grid.zero }
}

/// The codes of a layer whose input has the scale `unit`.
fn layer_codes(
    weights: &Weights,
    unit: f32,
    gram: Option<&Gram>,
    settings: &Settings,
) -> LayerCodes {
    let dims = &weights.values.ty.shape;
    let rows = Rows::of(&floats(&weights.values), dims, weights.axis);
    let in_group = (weights.bias.len() / weights.groups).max(1);
    let gram = gram.filter(|gram| !gram.is_empty());
    let groups = rows.values.chunks(in_group * rows.len).zip(weights.bias.chunks(in_group));
    let (mut codes, mut scales, mut bias) = (Vec::new(), Vec::new(), Vec::new());
    for (group, (values, biases)) in groups.enumerate() {
        let group = Group { values, len: rows.len, biases, gram, group };
        let own_scales = group.scales(unit);
        let own_codes = group.codes(&own_scales, settings);
        bias.extend(group.corrected(&own_scales, &own_codes, settings));
        codes.extend(own_codes);
        scales.extend(own_scales);
    }
    let codes = from_rows(&codes, dims, weights.axis);
    LayerCodes { dims: dims.to_vec(), codes, scales, axis: weights.axis, bias }
}

/// The channels of a layer that are applied to the same part of its input.
struct Group<'a> {
    /// Their weights, `len` for each.
    values: &'a [f32],
    len: usize,
    biases: &'a [f32],
    /// What is known of the layer's input.
    gram: Option<&'a Gram>,
    group: usize,
}

impl Group<'_> {
    fn scales(&self, unit: f32) -> Vec<f32> {
        let importance =
            self.gram.map_or_else(|| vec![1.0; self.len], |gram| gram.importance(self.group));
        let rows = self.values.chunks(self.len.max(1)).zip(self.biases);
        rows.map(|(row, &bias)| scale(row, &importance, bias, unit)).collect()
    }

    fn codes(&self, scales: &[f32], settings: &Settings) -> Vec<i32> {
        let gram = self.gram.filter(|_| settings.reconstruct);
        let products = gram.and_then(|gram| gram.matrix(self.group));
        match products.and_then(|products| Rounding::new(&products, self.len)) {
            Some(rounding) => rounding.round(self.values, scales),
            None => {
                let nearest =
                    |(n, &w): (usize, &f32)| Width::Int8.code(w, scales[n / self.len]) as i32;
                self.values.iter().enumerate().map(nearest).collect()
            }
        }
    }

    /// The biases that keep the means of results.
    fn corrected(&self, scales: &[f32], codes: &[i32], settings: &Settings) -> Vec<f32> {
        let Some(gram) = self.gram.filter(|_| settings.correct_bias) else {
            return self.biases.to_vec();
        };
        let len = self.len.max(1);
        let channel = |(n, (row, codes)): (usize, (&[f32], &[i32]))| {
            let coded: Vec<f32> = codes.iter().map(|&c| c as f32 * scales[n]).collect();
            self.biases[n] + gram.correction(self.group, row, &coded) as f32
        };
        self.values.chunks(len).zip(codes.chunks(len)).enumerate().map(channel).collect()
    }
}
