//! How much quality a quantised model loses, and which layers lose it.

use super::Progress;
use super::calibrate::Calibration;
use super::runner::{Arrays, Program, floats};
use crate::failure::Failure;
use crate::options::Options;
use edgecc_frontend::quantize::{FloatModel, Plan, code_result, float_result, switch};
use edgecc_ir::tensor::{Scalar, Tensor};
use serde::Serialize;

/// Examples of a model's inputs.
#[derive(Clone, Debug, Default)]
pub struct Data {
    /// The inputs of each example.
    pub examples: Vec<Arrays>,
    /// The right class of each example: the place of the largest element of the first output.
    pub labels: Option<Vec<i64>>,
}

/// The quality of a quantised model beside the one in `f32`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Quality {
    /// The norm of what the outputs differ by, as a part of their norm.
    pub distance: f64,
    /// The share of labelled examples that are classified rightly, in `f32` and quantised.
    pub accuracy: Option<[f64; 2]>,
}

/// The errors of a layer's results, as parts of their norm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Errors {
    /// When it alone is quantised.
    pub own: f64,
    /// When all layers before it are, and it is not.
    pub inherited: f64,
    /// When all are quantised.
    pub total: f64,
}

/// Examples on which layers and ways to choose ranges are compared.
pub(super) const TRIED: usize = 32;

/// Runs for all layers together, each of which is tried in `f32` alone.
const RUNS: usize = 768;

/// A model that computes each layer in both ways.
pub(super) struct Probe<'a> {
    model: &'a FloatModel,
    plan: &'a Plan,
    calibration: &'a Calibration,
    data: &'a Data,
    program: Program,
}

impl Quality {
    /// What must stay below a budget.
    #[must_use]
    pub fn loss(&self) -> f64 {
        self.accuracy.map_or(self.distance, |[float, quantised]| float - quantised)
    }
}

/// The quality of a model with the same inputs and outputs, on the first `count` examples.
pub(super) fn evaluate(
    bytes: &[u8],
    options: &Options,
    (data, count): (&Data, usize),
    calibration: &Calibration,
) -> Result<Quality, Failure> {
    let program = Program::new(bytes, options)?;
    let outputs = run_all(&program, data, count, |_| false)?;
    Ok(quality(&calibration.outputs, &outputs, data.labels.as_deref()))
}

fn run_all(
    program: &Program,
    data: &Data,
    count: usize,
    switch: impl Fn(&str) -> bool,
) -> Result<Vec<Vec<Tensor>>, Failure> {
    let mut session = program.session();
    data.examples.iter().take(count).map(|example| session.run(example, &switch)).collect()
}

impl<'a> Probe<'a> {
    pub(super) fn new(
        model: &'a FloatModel,
        options: &Options,
        plan: &'a Plan,
        calibration: &'a Calibration,
        data: &'a Data,
    ) -> Result<Probe<'a>, Failure> {
        let bytes = model.switchable(plan, |n| calibration.layers.contains(&n), &[]);
        let program = Program::new(&bytes, options)?;
        Ok(Probe { model, plan, calibration, data, program })
    }

    /// The loss when some of the layers that can be quantised are not.
    pub(super) fn loss(&self, float: &[usize]) -> Result<f64, Failure> {
        Ok(self.quality(float, self.data.examples.len())?.loss())
    }

    fn quality(&self, float: &[usize], count: usize) -> Result<Quality, Failure> {
        let name = |&n: &usize| switch(&self.model.layers[self.calibration.layers[n]].name);
        let names: Vec<String> = float.iter().map(name).collect();
        let outputs = run_all(&self.program, self.data, count, |s| names.iter().any(|n| n == s))?;
        Ok(quality(&self.calibration.outputs, &outputs, self.data.labels.as_deref()))
    }

    /// For each layer, by how much the distance of outputs falls when it alone is in `f32`.
    pub(super) fn gains(&self, progress: &mut Progress<'_>) -> Result<Vec<f64>, Failure> {
        let layers = self.calibration.layers.len();
        let count = (RUNS / layers).clamp(4, TRIED).min(self.data.examples.len());
        let all = self.quality(&[], count)?.distance;
        let gain = |n: usize| {
            progress(&format!("layer {} of {layers}", n + 1));
            Ok(all - self.quality(&[n], count)?.distance)
        };
        (0..layers).map(gain).collect()
    }

    /// The errors of each layer.
    pub(super) fn errors(
        &self,
        options: &Options,
        progress: &mut Progress<'_>,
    ) -> Result<Vec<Errors>, Failure> {
        let layers = self.calibration.layers.iter().map(|&n| &self.model.layers[n].name);
        let names: Vec<String> =
            layers.flat_map(|name| [float_result(name), code_result(name)]).collect();
        let bytes =
            self.model.switchable(self.plan, |n| self.calibration.layers.contains(&n), &names);
        let program = Program::new(&bytes, options)?;
        let first = program.outputs().len() - names.len();
        let (mut float, mut coded) = (program.session(), program.session());
        let mut sums = vec![Sums::default(); names.len() / 2];
        for (n, example) in self.data.examples.iter().take(TRIED).enumerate() {
            progress(&format!("measuring layers, example {}", n + 1));
            let (float, coded) = (float.run(example, |_| true)?, coded.run(example, |_| false)?);
            let pairs = float[first..].chunks_exact(2).zip(coded[first..].chunks_exact(2));
            sums.iter_mut().zip(pairs).for_each(|(sums, (f, c))| sums.add(f, c));
        }
        Ok(sums.iter().map(Sums::errors).collect())
    }
}

/// Sums of squares over a layer's results.
#[derive(Clone, Copy, Default)]
struct Sums {
    signal: f64,
    own: f64,
    inherited: f64,
    total: f64,
}

impl Sums {
    /// Each pair is the layer's result in `f32` and on codes, with all layers in `f32` and with all
    /// quantised.
    fn add(&mut self, float: &[Tensor], coded: &[Tensor]) {
        let truth = floats(&float[0]);
        let difference = |other: &Tensor| -> f64 {
            truth.iter().zip(floats(other)).map(|(&a, b)| f64::from(a - b).powi(2)).sum()
        };
        self.signal += truth.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>();
        self.own += difference(&float[1]);
        self.inherited += difference(&coded[0]);
        self.total += difference(&coded[1]);
    }

    fn errors(&self) -> Errors {
        let part = |sum: f64| (sum / self.signal.max(f64::MIN_POSITIVE)).sqrt();
        Errors { own: part(self.own), inherited: part(self.inherited), total: part(self.total) }
    }
}

/// Compares the outputs of some examples with those in `f32`.
fn quality(float: &[Vec<Tensor>], found: &[Vec<Tensor>], labels: Option<&[i64]>) -> Quality {
    let outputs = found.first().map_or(0, Vec::len);
    let distances = (0..outputs).map(|n| distance(float, found, n));
    let distance = distances.sum::<f64>() / outputs.max(1) as f64;
    let right = |outputs: &[Vec<Tensor>], labels: &[i64]| {
        let pairs = outputs.iter().take(found.len()).zip(labels);
        pairs.filter(|(outputs, label)| largest(&outputs[0]) == **label).count() as f64
            / found.len().max(1) as f64
    };
    let accuracy = labels.map(|labels| [right(float, labels), right(found, labels)]);
    Quality { distance, accuracy }
}

/// How far one output is from that in `f32`, over all examples; for integers the share of elements
/// that differ.
fn distance(float: &[Vec<Tensor>], found: &[Vec<Tensor>], output: usize) -> f64 {
    let (mut error, mut signal) = (0.0, 0.0);
    for (float, found) in float.iter().zip(found) {
        let (float, found) = (&float[output], &found[output]);
        for (a, b) in float.iter().zip(found.iter()) {
            let (e, s) = match float.ty.elem.is_float() {
                true => ((a.as_f64() - b.as_f64()).powi(2), a.as_f64().powi(2)),
                false => (f64::from(u8::from(a != b)), 1.0),
            };
            error += e;
            signal += s;
        }
    }
    if error == 0.0 { 0.0 } else { (error / signal.max(f64::MIN_POSITIVE)).sqrt() }
}

/// The place of the largest element.
fn largest(tensor: &Tensor) -> i64 {
    let values = tensor.iter().map(Scalar::as_f64).enumerate();
    values
        .fold((0, f64::NEG_INFINITY), |best, (n, v)| if v > best.1 { (n as i64, v) } else { best })
        .0
}
