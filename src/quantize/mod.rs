//! Post-training quantisation: a model in `f32` and examples of its inputs become a model that
//! computes with 8-bit codes.
//!
//! The model runs on the examples as compiled for this machine (`runner`), which gives the ranges
//! of values (`calibrate`) and what layers see of them (`samples`); from these come scales (`ranges`)
//! and codes (`plan`).
//! A model that computes each layer in both ways tells what each one costs in quality (`assess`), and
//! by how much biases must make up for the layers before (`shifts`).

mod assess;
mod calibrate;
mod equalize;
mod patches;
mod plain;
mod plan;
mod ranges;
mod report;
mod runner;
mod samples;
mod shifts;
mod tally;

pub use assess::{Data, Measure};
pub use plain::{Scheme, Summary, quantize_plain};
pub use report::{LayerReport, Report};
pub use runner::Arrays;

use crate::code::Code;
use crate::driver::{self, Source};
use crate::failure::Failure;
use crate::options::Options;
use assess::Probe;
use calibrate::Calibration;
use edgecc_frontend::quantize::FloatModel;
use edgecc_passes::quantize::range::Method;

/// How to quantise.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// How ranges are chosen; the best of all methods when absent.
    pub ranges: Option<Method>,
    /// The codes of values between layers.
    pub codes: ValueCodes,
    /// Whether weights are rounded so that results change least.
    pub reconstruct: bool,
    /// Whether channels of values are made alike where that lowers the error.
    pub equalize: bool,
    /// Whether biases make up for the mean error.
    pub correct_bias: bool,
    /// The most that may be lost.
    pub max_drop: Option<f64>,
    /// Of what.
    pub measure: Measure,
    /// Names of layers that stay in `f32`.
    pub keep: Vec<String>,
}

/// The codes of values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ValueCodes {
    /// `u8`, with a code of zero for each value.
    #[default]
    U8,
    /// `i8`, with a code of zero for each value.
    I8,
    /// `i8`, where the code of zero is 0.
    Symmetric,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            ranges: None,
            codes: ValueCodes::U8,
            reconstruct: true,
            equalize: true,
            correct_bias: true,
            max_drop: None,
            measure: Measure::Outputs,
            keep: Vec::new(),
        }
    }
}

/// A quantised model.
#[derive(Clone, Debug)]
pub struct Quantised {
    /// The ONNX model.
    pub model: Vec<u8>,
    /// What happened to it.
    pub report: Report,
}

/// Told what is being done.
pub type Progress<'a> = dyn FnMut(&str) + 'a;

/// Quantises a model.
///
/// # Errors
/// When the model, the options or the examples do not fit each other, when no layer can be
/// quantised, or when no choice of layers keeps the loss below `max_drop`.
pub fn quantize(
    source: &Source<'_>,
    options: &Options,
    settings: &Settings,
    data: &Data,
    progress: &mut Progress<'_>,
) -> Result<Quantised, Failure> {
    if data.examples.is_empty() {
        return Err(Code::BadArrays.error("there is no example to calibrate with").into());
    }
    let model = driver::prepare_quantisation(source, options)?;
    let (model, calibration) = calibrate(model, options, settings, data, progress)?;
    calibration.check_measure(settings.measure)?;
    let case = Case { model: &model, options, settings, data, calibration: &calibration };
    let ranges = ranges::choose(&case, progress)?;
    progress("choosing codes");
    let plan = plan::plan(&model, settings, &ranges.grids, &calibration);
    progress("measuring layers");
    let probe = Probe::new(case, &plan)?;
    let errors = probe.errors(progress)?;
    let alone = probe.alone(progress)?;
    let (float, bytes, after) = probe.chosen(&alone, progress)?;
    let facts =
        report::Facts { model: &model, plan: &plan, calibration: &calibration, ranges: &ranges };
    Ok(Quantised { model: bytes, report: facts.report(&errors, &alone, &float, after) })
}

/// What the steps after calibration work on.
#[derive(Clone, Copy)]
struct Case<'a> {
    model: &'a FloatModel,
    options: &'a Options,
    settings: &'a Settings,
    data: &'a Data,
    calibration: &'a Calibration,
}

/// The model with channels made alike where that is worth it, and what was seen of it.
fn calibrate(
    model: FloatModel,
    options: &Options,
    settings: &Settings,
    data: &Data,
    progress: &mut Progress<'_>,
) -> Result<(FloatModel, Calibration), Failure> {
    let calibration = Calibration::seen(&model, options, settings, data, progress)?;
    if !settings.equalize {
        return Ok((model, calibration));
    }
    let case = Case { model: &model, options, settings, data, calibration: &calibration };
    let factors = equalize::factors(&case, progress)?;
    if factors.is_empty() {
        return Ok((model, calibration));
    }
    let model = model.scaled(&factors);
    let calibration = Calibration::seen(&model, options, settings, data, progress)?;
    Ok((model, calibration))
}
