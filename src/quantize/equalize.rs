//! Which channels of values are made alike, and by how much: that with which layers lose least.

use super::calibrate::Calibration;
use super::runner::floats;
use super::{Case, Progress, ranges};
use crate::failure::Failure;
use edgecc_frontend::quantize::{FloatModel, Layer, Weights};
use edgecc_passes::quantize::equalize::{factors as factors_by, remaining_error, share};
use edgecc_passes::quantize::range::Method;
use std::collections::BTreeMap;

/// Factors of the channels of values.
type Factors = BTreeMap<String, Vec<f32>>;

/// It is tried where at most this part of the square of the error would be left if codes of weights
/// were exact.
const PROMISING: f64 = 0.9;

/// It is done where at most this part is left: it may take a multiplication, and examples are few.
const WORTHWHILE: f64 = 0.5;

/// Factors for the channels of layers' inputs with which the layers that read them have less error
/// of their own, measured with weights rounded to the nearest codes.
pub(super) fn factors(case: &Case<'_>, progress: &mut Progress<'_>) -> Result<Factors, Failure> {
    let mut factors = candidates(case, &peaks(case, progress)?);
    if factors.is_empty() {
        return Ok(factors);
    }
    let before = ranges::errors_by(case, Method::Mse)?;
    let after = errors_with(case, &factors, progress)?;
    factors.retain(|value, _| {
        let sum = |errors: &[f64]| readers(case, value).iter().map(|&n| errors[n]).sum::<f64>();
        sum(&after) < WORTHWHILE * sum(&before)
    });
    Ok(factors)
}

/// The squares of layers' own errors when channels have these factors.
fn errors_with(
    case: &Case<'_>,
    factors: &Factors,
    progress: &mut Progress<'_>,
) -> Result<Vec<f64>, Failure> {
    let model = case.model.scaled(factors);
    let calibration = Calibration::seen(&model, case.options, case.settings, case.data, progress)?;
    ranges::errors_by(&Case { model: &model, calibration: &calibration, ..*case }, Method::Mse)
}

/// The layers that read a value, by their place among those that can be quantised.
fn readers(case: &Case<'_>, value: &str) -> Vec<usize> {
    let layers = case.calibration.layers.iter().enumerate();
    layers.filter(|(_, n)| case.model.layers[**n].input == value).map(|(at, _)| at).collect()
}

/// What is worth a trial: values that only layers with constant weights read, all on codes.
fn candidates(case: &Case<'_>, peaks: &BTreeMap<String, Vec<f32>>) -> Factors {
    let candidate = |(value, peaks): (&String, &Vec<f32>)| {
        let layers = || case.model.layers.iter().filter(|layer| layer.input == *value);
        let all: Option<Vec<&Weights>> = layers().map(Layer::weights).collect();
        let is_usable = readers(case, value).len() == layers().count();
        let weights = all.filter(|_| is_usable && case.model.is_scalable(value))?;
        let (largest, squares) = columns(&weights, peaks.len())?;
        let read = weights.iter().map(|w| w.input_channels() / w.groups.max(1)).max()?;
        let factors = factors_by(peaks, &largest, share(read));
        let is_promising = remaining_error(peaks, &squares, &factors) < PROMISING;
        is_promising.then(|| (value.clone(), factors))
    };
    peaks.iter().filter_map(candidate).collect()
}

/// The largest magnitude in each channel of layers' inputs.
fn peaks(
    case: &Case<'_>,
    progress: &mut Progress<'_>,
) -> Result<BTreeMap<String, Vec<f32>>, Failure> {
    let layers = &case.model.layers;
    let mut peaks = empty_peaks(case.model);
    case.calibration.run(case.data, progress, &mut |_, ports, values| {
        for (port, value) in ports.iter().zip(&values) {
            let reader = layers.iter().find(|layer| layer.input == port.name);
            if let (Some(layer), Some(peaks)) = (reader, peaks.get_mut(&port.name)) {
                raise(peaks, layer, &value.ty.shape, &floats(value));
            }
        }
    })?;
    Ok(peaks)
}

/// A place for each channel of a layer's input.
fn empty_peaks(model: &FloatModel) -> BTreeMap<String, Vec<f32>> {
    let peaks = |layer: &Layer| {
        let channels = layer.weights()?.input_channels();
        Some((layer.input.clone(), vec![0.0; channels]))
    };
    model.layers.iter().filter_map(peaks).collect()
}

/// Raises the largest magnitude of each channel.
fn raise(peaks: &mut [f32], layer: &Layer, dims: &[usize], elements: &[f32]) {
    let axis = layer.channel_axis(dims.len());
    if dims.get(axis) != Some(&peaks.len()) {
        return;
    }
    let inner: usize = dims[axis + 1..].iter().product();
    for (n, run) in elements.chunks_exact(inner.max(1)).enumerate() {
        let peak = &mut peaks[n % dims[axis]];
        *peak = run.iter().fold(*peak, |peak, x| peak.max(x.abs()));
    }
}

/// The largest magnitude and the sum of squares of weights for each channel of the input; nothing
/// when layers see it differently.
fn columns(weights: &[&Weights], channels: usize) -> Option<(Vec<f32>, Vec<f64>)> {
    let (mut largest, mut squares) = (vec![0.0_f32; channels], vec![0.0; channels]);
    for weights in weights {
        if weights.input_channels() != channels {
            return None;
        }
        for (at, value) in floats(&weights.values).into_iter().enumerate() {
            let channel = weights.input_channel(at);
            largest[channel] = largest[channel].max(value.abs());
            squares[channel] += f64::from(value).powi(2);
        }
    }
    Some((largest, squares))
}
