//! Runs a model on examples: how large values are, what layers' inputs are like.

use super::assess::{Data, Measure};
use super::runner::{Program, Session, floats};
use super::samples::Samples;
use super::tally::decisions;
use super::{Progress, Settings, ValueCodes};
use crate::code::Code;
use crate::failure::Failure;
use crate::options::Options;
use edgecc_frontend::quantize::{FloatModel, Layer};
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::kernel::Port;
use edgecc_ir::suggest;
use edgecc_ir::tensor::Tensor;
use edgecc_ir::types::{ElemType, TensorType};
use edgecc_passes::quantize::histogram::Histogram;
use edgecc_passes::quantize::range::{Codes, Grid, Method, choose};
use edgecc_passes::quantize::select::Candidate;
use std::collections::BTreeMap;

/// What was seen.
pub(super) struct Calibration {
    /// The layers that can be quantised.
    pub(super) layers: Vec<usize>,
    /// Each value that is quantised, and the representative of those that share its scale.
    pub(super) leaders: BTreeMap<String, String>,
    /// By representative.
    pub(super) histograms: BTreeMap<String, Histogram>,
    /// The types of values.
    pub(super) types: BTreeMap<String, TensorType>,
    /// The model's outputs in `f32`, for each example.
    pub(super) outputs: Vec<Vec<Tensor>>,
    /// What the inputs of layers with weights are like.
    pub(super) samples: Samples,
    codes: Codes,
    program: Program,
}

/// Told of an example's number, the names of values and the values.
pub(super) type Visit<'a> = dyn FnMut(usize, &[Port], Vec<Tensor>) + 'a;

impl Calibration {
    /// What is seen when a model runs on all examples.
    pub(super) fn seen(
        model: &FloatModel,
        options: &Options,
        settings: &Settings,
        data: &Data,
        progress: &mut Progress<'_>,
    ) -> Result<Calibration, Failure> {
        let mut calibration = Calibration::new(model, options, settings, progress)?;
        calibration.see(model, data, progress)?;
        Ok(calibration)
    }

    /// Nothing is seen yet.
    fn new(
        model: &FloatModel,
        options: &Options,
        settings: &Settings,
        progress: &mut Progress<'_>,
    ) -> Result<Calibration, Failure> {
        check_names(model, &settings.keep)?;
        progress("compiling the model in f32");
        let mut names: Vec<String> = model.views(|_| true).into_keys().collect();
        names.extend(model.layers.iter().map(|layer| layer.output.clone()));
        let program = Program::new(&model.with_outputs(&names), options)?;
        let ports = program.outputs().iter();
        let types: BTreeMap<String, TensorType> =
            ports.map(|port| (port.name.clone(), port.ty.clone())).collect();
        let layers = usable(model, settings, &types);
        if layers.is_empty() {
            return Err(Code::NothingToQuantize.error("no layer can be quantised").into());
        }
        let leaders = model.views(|n| layers.contains(&n));
        let samples = Samples::new(model, &layers);
        Ok(Calibration {
            layers,
            leaders,
            histograms: BTreeMap::new(),
            types,
            outputs: Vec::new(),
            samples,
            codes: codes(settings.codes),
            program,
        })
    }

    /// Runs of the model in `f32`; the results of layers are among its outputs.
    pub(super) fn session(&self) -> Session<'_> {
        self.program.session()
    }

    /// Runs the model on all examples.
    pub(super) fn run(
        &self,
        data: &Data,
        progress: &mut Progress<'_>,
        visit: &mut Visit<'_>,
    ) -> Result<(), Failure> {
        let mut session = self.session();
        for (n, example) in data.examples.iter().enumerate() {
            progress(&format!("example {} of {}", n + 1, data.examples.len()));
            let values = session.run(example, |_| false)?;
            visit(n, self.program.outputs(), values);
        }
        Ok(())
    }

    /// Counts the elements of all values and keeps samples of layers' inputs.
    fn see(
        &mut self,
        model: &FloatModel,
        data: &Data,
        progress: &mut Progress<'_>,
    ) -> Result<(), Failure> {
        let mut histograms: BTreeMap<String, Histogram> = BTreeMap::new();
        let (mut samples, mut outputs) = (self.samples.clone(), Vec::new());
        let examples = data.examples.len();
        self.run(data, progress, &mut |n, ports, mut values| {
            for (port, value) in ports.iter().zip(&values) {
                let Some(leader) = self.leaders.get(&port.name) else { continue };
                let elements = floats(value);
                histograms.entry(leader.clone()).or_default().add(&elements);
                samples.add(model, &port.name, (&value.ty.shape, &elements), (n, examples));
            }
            values.truncate(model.output_count());
            outputs.push(values);
        })?;
        (self.histograms, self.samples, self.outputs) = (histograms, samples, outputs);
        Ok(())
    }

    /// Fails where there are no decisions to count.
    pub(super) fn check_measure(&self, measure: Measure) -> Result<(), Failure> {
        let output = self.outputs.first().and_then(|outputs| outputs.first());
        if measure == Measure::Decisions && output.is_none_or(|output| decisions(output) == 0) {
            let message = "the first output has no decisions: its last dimension has one element";
            let help = "leave out --measure, so that the distance of outputs counts";
            return Err(Code::NoDecisions.error(message).help(help).into());
        }
        Ok(())
    }

    /// The grid of each group of values.
    pub(super) fn grids(&self, method: Method) -> BTreeMap<String, Grid> {
        let grid =
            |(name, seen): (&String, &Histogram)| (name.clone(), choose(seen, method, self.codes));
        self.histograms.iter().map(grid).collect()
    }

    /// The candidates of a choice of layers, with what outputs differ by when each alone is
    /// quantised. The squares of errors of different layers add up.
    pub(super) fn candidates(&self, model: &FloatModel, alone: &[f64]) -> Vec<Candidate> {
        let candidate = |(&n, &alone): (&usize, &f64)| Candidate {
            gain: alone * alone,
            cost: self.macs(&model.layers[n]) as f64,
        };
        self.layers.iter().zip(alone).map(candidate).collect()
    }

    /// Multiply-adds of a layer.
    pub(super) fn macs(&self, layer: &Layer) -> u64 {
        let size = |name: &str| self.types.get(name).map_or(0, |ty| ty.shape.numel() as u64);
        let terms = match layer.weights() {
            Some(w) => (w.values.numel() / w.bias.len().max(1)) as u64,
            None => {
                self.types.get(&layer.input).and_then(|ty| ty.shape.last().copied()).unwrap_or(1)
                    as u64
            }
        };
        size(&layer.output) * terms
    }
}

/// Fails for names of layers that the model does not have.
pub(super) fn check_names(model: &FloatModel, keep: &[String]) -> Result<(), Failure> {
    let known = || model.layers.iter().map(|layer| layer.name.as_str());
    let unknown = keep.iter().filter(|name| !known().any(|k| k == *name));
    let problem = |name: &String| {
        let message = format!("the model has no layer {name:?}");
        Code::UnknownLayer.error(message).help(suggest::help("layers", name, known()))
    };
    let problems: Vec<Diagnostic> = unknown.map(problem).collect();
    if problems.is_empty() { Ok(()) } else { Err(problems.into()) }
}

/// The layers that compute in `f32` and are not to stay so.
fn usable(
    model: &FloatModel,
    settings: &Settings,
    types: &BTreeMap<String, TensorType>,
) -> Vec<usize> {
    let is_float = |name: &str| types.get(name).is_some_and(|ty| ty.elem == ElemType::F32);
    let usable =
        |layer: &Layer| layer.values().all(is_float) && !settings.keep.contains(&layer.name);
    (0..model.layers.len()).filter(|&n| usable(&model.layers[n])).collect()
}

fn codes(codes: ValueCodes) -> Codes {
    match codes {
        ValueCodes::U8 => Codes { lo: 0, hi: 255, symmetric: false },
        ValueCodes::I8 => Codes { lo: -128, hi: 127, symmetric: false },
        ValueCodes::Symmetric => Codes { lo: -128, hi: 127, symmetric: true },
    }
}
