//! Quantisation without data: weights that are stored as codes, and products whose inputs get
//! their scales in each run.

use super::calibrate::check_names;
use super::runner::floats;
use crate::code::Code;
use crate::driver::{self, Source};
use crate::failure::Failure;
use crate::options::Options;
use edgecc_frontend::quantize::{FloatModel, LayerCodes, StoredCodes, Weights};
use edgecc_passes::quantize::blocks::{Coded, Sharing, encode};
use edgecc_passes::quantize::width::Width;
use serde::Serialize;

/// What is quantised without data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Weights are stored as codes and computed with in `f32`.
    Weights {
        /// How wide codes are.
        width: Width,
        /// Weights that share a scale along the dimension that results are summed over; all of a
        /// channel when absent.
        block: Option<usize>,
    },
    /// Products of matrices compute with codes of 8 bits, whose scales for values are found in each
    /// run.
    Dynamic,
}

/// What became of a model.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Layers whose weights are codes.
    pub layers: usize,
    /// Layers with weights that stay in `f32`.
    pub float: usize,
    /// Bytes of the model before and after.
    pub bytes: [usize; 2],
    /// The norm of what weights differ by, as a part of their norm.
    pub error: f64,
}

/// Quantises a model without data; layers named by `keep` stay in `f32`.
///
/// # Errors
/// When the model or the options do not fit, or no layer can be quantised.
pub fn quantize_plain(
    source: &Source<'_>,
    options: &Options,
    scheme: Scheme,
    keep: &[String],
) -> Result<(Vec<u8>, Summary), Failure> {
    let model = driver::prepare_quantisation(source, options)?;
    check_names(&model, keep)?;
    let coded: Vec<Option<Layer<'_>>> =
        model.layers.iter().map(|layer| coded(layer, scheme, keep)).collect();
    if coded.iter().all(Option::is_none) {
        return Err(Code::NothingToQuantize.error("no layer can be quantised").into());
    }
    let bytes = match scheme {
        Scheme::Dynamic => model.dynamic(&all(&coded, |layer| layer.codes())),
        Scheme::Weights { .. } => model.with_stored_codes(&all(&coded, |layer| layer.stored()))?,
    };
    let summary = summary(&model, &coded, [source.bytes.len(), bytes.len()]);
    Ok((bytes, summary))
}

/// A layer's weights with their codes.
struct Layer<'a> {
    weights: &'a Weights,
    width: Width,
    sharing: Sharing,
    coded: Coded,
}

fn all<T>(layers: &[Option<Layer<'_>>], part: impl Fn(&Layer<'_>) -> T) -> Vec<Option<T>> {
    layers.iter().map(|layer| layer.as_ref().map(&part)).collect()
}

fn coded<'a>(
    layer: &'a edgecc_frontend::quantize::Layer,
    scheme: Scheme,
    keep: &[String],
) -> Option<Layer<'a>> {
    let weights = layer.weights().filter(|_| !keep.contains(&layer.name))?;
    let (width, sharing) = match scheme {
        Scheme::Dynamic if !layer.can_be_dynamic() => return None,
        Scheme::Dynamic => (Width::Int8, Sharing::Channel(weights.axis)),
        Scheme::Weights { width, block } => form(weights, width, block),
    };
    let coded = encode(&floats(&weights.values), &weights.values.ty.shape, width, sharing);
    Some(Layer { weights, width, sharing, coded })
}

/// How weights are stored. Where there is not one whole block, scales would take as much memory as
/// codes, and weights have 8 bits with a scale for each channel.
fn form(weights: &Weights, width: Width, block: Option<usize>) -> (Width, Sharing) {
    let axis = weights.summed_axis();
    match block {
        None => (width, Sharing::Channel(weights.axis)),
        Some(size) if weights.values.ty.shape[axis] >= size => {
            (width, Sharing::Block { axis, size })
        }
        Some(_) => (Width::Int8, Sharing::Channel(weights.axis)),
    }
}

impl Layer<'_> {
    fn stored(&self) -> StoredCodes {
        let (axis, block) = match self.sharing {
            Sharing::Channel(axis) => (axis, None),
            Sharing::Block { axis, size } => (axis, Some(size)),
        };
        StoredCodes {
            bits: if self.width == Width::Int4 { 4 } else { 8 },
            codes: self.coded.codes.clone(),
            scales: self.coded.scales.clone(),
            scale_dims: self.coded.scale_dims.clone(),
            axis,
            block,
        }
    }

    fn codes(&self) -> LayerCodes {
        LayerCodes {
            dims: self.weights.values.ty.shape.to_vec(),
            codes: self.coded.codes.clone(),
            scales: self.coded.scales.clone(),
            axis: self.weights.axis,
            bias: self.weights.bias.clone(),
        }
    }
}

fn summary(model: &FloatModel, coded: &[Option<Layer<'_>>], bytes: [usize; 2]) -> Summary {
    let layers = coded.iter().flatten().count();
    let all = model.layers.iter().filter(|layer| layer.weights().is_some()).count();
    let sums = coded.iter().flatten().map(|layer| {
        let values = floats(&layer.weights.values);
        let signal: f64 = values.iter().map(|&w| f64::from(w).powi(2)).sum();
        (layer.coded.error, signal)
    });
    let (error, signal) = sums.fold((0.0, 0.0), |(e, s), (error, signal)| (e + error, s + signal));
    Summary {
        layers,
        float: all - layers,
        bytes,
        error: (error / signal.max(f64::MIN_POSITIVE)).sqrt(),
    }
}
