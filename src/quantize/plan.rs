//! Scales and codes from what was seen.

use super::Settings;
use super::assess::Data;
use super::calibrate::Calibration;
use crate::failure::Failure;
use edgecc_frontend::quantize::{Affine, FloatModel, LayerCodes, Plan, Weights};
use edgecc_ir::types::ElemType;
use edgecc_passes::quantize::gram::Gram;
use edgecc_passes::quantize::range::{Grid, Method};
use edgecc_passes::quantize::reconstruct::Rounding;
use edgecc_passes::quantize::weights::{Rows, code, from_rows, scale};
use std::collections::BTreeMap;

/// The plan for all layers.
pub(super) fn plan(
    model: &FloatModel,
    settings: &Settings,
    method: Method,
    calibration: &Calibration,
    data: &Data,
) -> Result<Plan, Failure> {
    let grids = calibration.grids(method);
    let grams = match settings.reconstruct || settings.correct_bias {
        true => calibration.grams(model, &grids, data)?,
        false => BTreeMap::new(),
    };
    let values = grids.iter().map(|(name, grid)| (name.clone(), affine(grid))).collect();
    let layer = |n: usize| {
        let weights = model.layers[n].weights().filter(|_| calibration.layers.contains(&n))?;
        let unit = grids[&calibration.leaders[&model.layers[n].input]].scale;
        Some(layer_codes(weights, unit, grams.get(&n), settings))
    };
    let layers = (0..model.layers.len()).map(layer).collect();
    Ok(Plan { leaders: calibration.leaders.clone(), values, layers })
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
    let rows = Rows::of(&super::runner::floats(&weights.values), dims, weights.axis);
    let in_group = (weights.bias.len() / weights.groups).max(1);
    let mut channels = Channels { gram, settings, group: None, rounding: None };
    let (mut codes, mut scales, mut biases) = (Vec::new(), Vec::new(), Vec::new());
    for (c, (row, &bias)) in rows.iter().zip(&weights.bias).enumerate() {
        let (row_codes, scale, bias) = channels.channel(row, c / in_group, bias, unit);
        codes.extend(row_codes);
        scales.push(scale);
        biases.push(bias);
    }
    let codes = from_rows(&codes, dims, weights.axis);
    LayerCodes { dims: dims.to_vec(), codes, scales, axis: weights.axis, bias: biases }
}

/// Quantises channels in the order of groups.
struct Channels<'a> {
    gram: Option<&'a Gram>,
    settings: &'a Settings,
    group: Option<usize>,
    /// Of the current group.
    rounding: Option<Rounding>,
}

impl Channels<'_> {
    /// Codes, scale and bias.
    fn channel(&mut self, row: &[f32], group: usize, bias: f32, unit: f32) -> (Vec<i32>, f32, f32) {
        self.enter(group);
        let importance = |n: usize| self.gram.map_or(1.0, |gram| gram.importance(group, n));
        let scale = scale(row, importance, bias, unit);
        let codes: Vec<i32> = match &self.rounding {
            Some(rounding) => rounding.round(row, scale),
            None => row.iter().map(|&w| code(w, scale)).collect(),
        };
        let gram = self.gram.filter(|gram| self.settings.correct_bias && !gram.is_empty());
        let corrected = gram.map_or(bias, |gram| {
            let coded: Vec<f32> = codes.iter().map(|&c| c as f32 * scale).collect();
            bias + gram.correction(group, row, &coded) as f32
        });
        (codes, scale, corrected)
    }

    fn enter(&mut self, group: usize) {
        if self.group == Some(group) {
            return;
        }
        self.group = Some(group);
        let gram = self.gram.filter(|gram| self.settings.reconstruct && !gram.is_empty());
        self.rounding = gram.and_then(|gram| Rounding::new(gram.matrix(group)?, gram.len()));
    }
}
