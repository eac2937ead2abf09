//! Post-training quantisation: a model in `f32` and examples of its inputs become a model that
//! computes with 8-bit codes.
//!
//! The model runs on the examples as compiled for this machine (`runner`), which gives the ranges
//! of values and the products of inputs (`calibrate`); from these come scales and codes (`plan`).
//! A model that computes each layer in both ways tells what each one costs in quality (`assess`).

mod assess;
mod calibrate;
mod patches;
mod plan;
mod report;
mod runner;

pub use assess::Data;
pub use report::{LayerReport, Report};
pub use runner::Arrays;

use crate::code::Code;
use crate::driver::{self, Source};
use crate::failure::Failure;
use crate::options::Options;
use assess::Probe;
use calibrate::Calibration;
use edgecc_frontend::quantize::{FloatModel, Plan};
use edgecc_passes::quantize::range::Method;
use edgecc_passes::quantize::select::select;

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
    /// The most that may be lost: of accuracy, where there are labels, otherwise of the outputs.
    pub max_drop: Option<f64>,
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
    let mut model = driver::prepare_quantisation(source, options)?;
    let mut calibration = Calibration::run(&model, options, settings, data, progress)?;
    let factors = calibration.factors(&model);
    if settings.equalize && !factors.is_empty() {
        model = model.scaled(&factors);
        calibration = Calibration::run(&model, options, settings, data, progress)?;
    }
    let (method, plan) = best_plan(&model, options, settings, data, (&calibration, progress))?;
    progress("measuring layers");
    let probe = Probe::new(&model, options, &plan, &calibration, data)?;
    let errors = probe.errors(options, progress)?;
    let gains = probe.gains(progress)?;
    let float = match settings.max_drop {
        None => Vec::new(),
        Some(budget) => {
            progress("choosing layers");
            let rows = calibration.candidates(&model, &gains);
            let chosen = select(&rows, budget, |kept| probe.loss(kept))?;
            chosen.into_iter().map(|n| calibration.layers[n]).collect()
        }
    };
    let is_quantised = |n: usize| calibration.layers.contains(&n) && !float.contains(&n);
    let bytes = model.quantised(&plan, is_quantised);
    let after = assess::evaluate(&bytes, options, (data, data.examples.len()), &calibration)?;
    let facts = report::Facts { model: &model, plan: &plan, calibration: &calibration, method };
    Ok(Quantised { model: bytes, report: facts.report(&errors, &gains, &float, after) })
}

/// The plan for the way to choose ranges that is asked for, or for that with the least loss. The
/// ways are compared with weights rounded to the nearest codes, which takes less time.
fn best_plan(
    model: &FloatModel,
    options: &Options,
    settings: &Settings,
    data: &Data,
    (calibration, progress): (&Calibration, &mut Progress<'_>),
) -> Result<(&'static str, Plan), Failure> {
    let quick = Settings { reconstruct: false, correct_bias: false, ..settings.clone() };
    let wanted = |method: Method| settings.ranges.is_none_or(|m| m == method);
    let mut best: Option<(f64, &'static str, Method)> = None;
    for &(name, method) in Method::ALL.iter().filter(|(_, method)| wanted(*method)) {
        progress(&format!("ranges by {name}"));
        let loss = match settings.ranges {
            Some(_) => 0.0,
            None => {
                let plan = plan::plan(model, &quick, method, calibration, data)?;
                let bytes = model.quantised(&plan, |n| calibration.layers.contains(&n));
                let tried = (data, assess::TRIED);
                assess::evaluate(&bytes, options, tried, calibration)?.distance
            }
        };
        if best.is_none_or(|(least, ..)| loss < least) {
            best = Some((loss, name, method));
        }
    }
    let (_, name, method) = best.expect("a method is one of the table");
    progress("choosing codes");
    Ok((name, plan::plan(model, settings, method, calibration, data)?))
}
