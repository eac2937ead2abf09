//! How much quality a quantised model loses, and which layers lose it.

use super::runner::{Arrays, Program, floats};
use super::shifts::shifts;
use super::tally::{Tally, difference, signal};
use super::{Case, Progress};
use crate::failure::Failure;
use edgecc_frontend::quantize::{Flow, Plan, Reach, switch};
use edgecc_ir::tensor::Tensor;
use edgecc_passes::quantize::select::select;
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
    /// The share of decisions that are others than in `f32`: places of the largest element along the
    /// last dimension of the first output, if that has several elements.
    pub decisions: Option<f64>,
}

/// What may be lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Measure {
    /// Accuracy where there are labels, otherwise the distance of outputs.
    #[default]
    Outputs,
    /// Decisions that are others than in `f32`.
    Decisions,
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

/// Examples on which ways to choose ranges are compared.
pub(super) const TRIED: usize = 32;

/// Examples on which the errors of layers are measured.
const MEASURED: usize = 16;

/// Examples on which choices of layers are compared by distance. What is counted needs all.
const CHOSEN: usize = 16;

/// The part of its lead that an element keeps in a decision which counts as the same while layers
/// are chosen. Errors are as large in inputs that are not among the examples, but leads may be
/// smaller: as if there were four times as many examples.
const LEAD: f64 = 0.75;

/// How often layers are chosen.
const ROUNDS: usize = 5;

/// The part of the budget below which more layers are tried.
const SPARE: f64 = 0.8;

/// Runs for all layers together, each of which is quantised alone.
const RUNS: usize = 512;

/// A model in which each layer computes in either way.
pub(super) struct Probe<'a> {
    case: Case<'a>,
    plan: &'a Plan,
    program: Program,
}

/// The layers that stay in `f32`, the model, and its quality.
type Choice = (Vec<usize>, Vec<u8>, Quality);

/// When a choice of layers is good enough.
#[derive(Clone, Copy)]
struct Demand {
    measure: Measure,
    /// The most that may be lost.
    budget: f64,
    /// The part of its lead that an element keeps in a decision that counts as the same.
    lead: f64,
}

impl Demand {
    /// Only what everybody would call a loss counts, and any may be lost.
    const NONE: Demand = Demand { measure: Measure::Outputs, budget: f64::INFINITY, lead: 0.0 };

    /// What to ask for when a choice that kept this turned out to lose more than `budget`.
    fn tightened(self, budget: f64, loss: f64) -> Demand {
        let (budget, lead) = (0.9 * self.budget * budget / loss, (1.0 + self.lead) / 2.0);
        Demand { budget, lead, ..self }
    }

    /// What to ask for when such a choice loses so much less that more is worth a trial. Leads stay:
    /// they are for inputs that are not among the examples.
    fn loosened(self, budget: f64, loss: f64) -> Option<Demand> {
        let is_worth = self.measure == Measure::Outputs && budget > 0.0 && loss < SPARE * budget;
        let times = (0.95 * budget / loss.max(f64::MIN_POSITIVE)).min(2.0);
        is_worth.then_some(Demand { budget: times * self.budget, ..self })
    }
}

impl Quality {
    /// What must stay below a budget.
    #[must_use]
    pub fn loss(&self, measure: Measure) -> f64 {
        let by_outputs = self.accuracy.map_or(self.distance, |[float, now]| float - now);
        match measure {
            Measure::Outputs => by_outputs,
            Measure::Decisions => self.decisions.unwrap_or(by_outputs),
        }
    }
}

/// The quality of a model with the same inputs and outputs, on `count` examples.
pub(super) fn evaluate(bytes: &[u8], case: &Case<'_>, count: usize) -> Result<Quality, Failure> {
    let program = Program::new(bytes, case.options)?;
    quality(&program, case, count, Demand::NONE, |_| false)
}

/// The quality on `count` examples; a bound as soon as the loss is above a budget.
fn quality(
    program: &Program,
    case: &Case<'_>,
    count: usize,
    demand: Demand,
    switch: impl Fn(&str) -> bool,
) -> Result<Quality, Failure> {
    let chosen = case.some(count);
    let truth: Vec<&[Tensor]> =
        chosen.iter().map(|&n| case.calibration.outputs[n].as_slice()).collect();
    let labels = case.data.labels.as_ref();
    let labels: Option<Vec<i64>> = labels.map(|labels| chosen.iter().map(|&n| labels[n]).collect());
    let mut tally = Tally::new(&truth, labels.as_deref(), demand.lead);
    let mut session = program.session();
    for &n in &chosen {
        tally.add(&session.run(&case.data.examples[n], &switch)?);
        if tally.quality().loss(demand.measure) > demand.budget {
            break;
        }
    }
    Ok(tally.quality())
}

impl<'a> Probe<'a> {
    pub(super) fn new(case: Case<'a>, plan: &'a Plan) -> Result<Probe<'a>, Failure> {
        let bytes = case.model.switchable(plan, |n| case.is_layer(n));
        let program = Program::new(&bytes, case.options)?;
        Ok(Probe { case, plan, program })
    }

    /// The layers that stay in `f32`, the model, and its quality: with a budget, one that is kept.
    /// The model of both ways that layers are chosen with rounds otherwise here and there, sees
    /// fewer examples, and its biases are not corrected for each choice; what it may lose is changed
    /// until the model itself keeps the budget and has little to spare.
    pub(super) fn chosen(
        &self,
        alone: &[f64],
        progress: &mut Progress<'_>,
    ) -> Result<Choice, Failure> {
        let Some(budget) = self.case.settings.max_drop else { return self.with_float(&[]) };
        let rows = self.case.calibration.candidates(self.case.model, alone);
        let measure = self.case.settings.measure;
        let mut demand = Demand { measure, budget, lead: LEAD };
        let mut best: Option<(f64, Choice)> = None;
        for round in 1..=ROUNDS {
            progress(&format!("choosing layers, round {round}"));
            let loss = |kept: &[usize]| {
                self.quality(kept, self.needed(), demand).map(|quality| quality.loss(measure))
            };
            let kept = select(&rows, demand.budget, loss)?;
            let cost: f64 = kept.iter().map(|&n| rows[n].cost).sum();
            if best.as_ref().is_some_and(|(least, _)| cost >= *least) {
                break;
            }
            let result = self.with_float(&kept)?;
            let loss = result.2.loss(measure);
            let is_kept = loss <= budget;
            let next = match is_kept {
                true => demand.loosened(budget, loss).filter(|_| !kept.is_empty()),
                false if best.is_some() => None,
                false => Some(demand.tightened(budget, loss)),
            };
            if is_kept {
                best = Some((cost, result));
            }
            let Some(next) = next else { break };
            demand = next;
        }
        match best {
            Some((_, choice)) => Ok(choice),
            None => self.with_float(&(0..rows.len()).collect::<Vec<_>>()),
        }
    }

    /// Examples that tell whether a choice of layers is good enough.
    fn needed(&self) -> usize {
        let is_distance =
            self.case.settings.measure == Measure::Outputs && self.case.data.labels.is_none();
        if is_distance { CHOSEN } else { usize::MAX }
    }

    /// The model in which some of the layers that can be quantised are not.
    fn with_float(&self, kept: &[usize]) -> Result<Choice, Failure> {
        let case = &self.case;
        let float: Vec<usize> = kept.iter().map(|&n| case.calibration.layers[n]).collect();
        let is_quantised = |n: usize| case.is_layer(n) && !float.contains(&n);
        let bytes = case.model.quantised(&self.corrected(&float)?, is_quantised);
        let quality = evaluate(&bytes, case, case.data.examples.len())?;
        Ok((float, bytes, quality))
    }

    fn quality(&self, float: &[usize], count: usize, demand: Demand) -> Result<Quality, Failure> {
        let layers = &self.case.calibration.layers;
        let float: Vec<usize> = float.iter().map(|&n| layers[n]).collect();
        quality(&self.program, &self.case, count, demand, self.switches(&float))
    }

    /// Whether a switch is on when these layers compute in `f32`.
    fn switches(&self, float: &[usize]) -> impl Fn(&str) -> bool {
        let name = |&n: &usize| switch(&self.case.model.layers[n].name);
        let names: Vec<String> = float.iter().map(name).collect();
        move |switch| names.iter().any(|name| name == switch)
    }

    /// The plan with corrections for the errors that layers inherit when some compute in `f32`.
    fn corrected(&self, float: &[usize]) -> Result<Plan, Failure> {
        if float.len() == self.case.calibration.layers.len() {
            return Ok(self.plan.clone());
        }
        let shifts = shifts(&self.case, &self.program, self.switches(float))?;
        Ok(Plan { shifts, ..self.plan.clone() })
    }

    /// For each layer, the distance of outputs when it alone is quantised.
    pub(super) fn alone(&self, progress: &mut Progress<'_>) -> Result<Vec<f64>, Failure> {
        let layers = self.case.calibration.layers.len();
        let count = (RUNS / layers).clamp(4, TRIED);
        let alone = |n: usize| {
            progress(&format!("layer {} of {layers}", n + 1));
            let others: Vec<usize> = (0..layers).filter(|&other| other != n).collect();
            Ok(self.quality(&others, count, Demand::NONE)?.distance)
        };
        (0..layers).map(alone).collect()
    }

    /// The errors of each layer.
    pub(super) fn errors(&self, progress: &mut Progress<'_>) -> Result<Vec<Errors>, Failure> {
        let float = self.case.in_both_ways(self.plan, Flow::Float)?;
        let coded = self.case.in_both_ways(&self.corrected(&[])?, Flow::Codes)?;
        let (mut float, mut coded) = (float.session(), coded.session());
        let mut sums = vec![Sums::default(); self.case.calibration.layers.len()];
        for n in self.case.some(MEASURED) {
            progress(&format!("measuring layers, example {}", n + 1));
            let example = &self.case.data.examples[n];
            let (float, coded) = (float.run(example, |_| false)?, coded.run(example, |_| false)?);
            let pairs = pairs(&float, sums.len()).zip(pairs(&coded, sums.len()));
            sums.iter_mut().zip(pairs).for_each(|(sums, (f, c))| sums.add(f, c));
        }
        Ok(sums.iter().map(Sums::errors).collect())
    }
}

/// For each layer the square of what its results differ by when it alone is quantised, as a part
/// of their square: the mean over rows of layers whose results are rows, otherwise over examples.
pub(super) fn own_errors(case: &Case<'_>, plan: &Plan) -> Result<Vec<f64>, Failure> {
    let program = case.in_both_ways(plan, Flow::Float)?;
    let mut session = program.session();
    let layers = &case.calibration.layers;
    let mut errors = vec![0.0; layers.len()];
    for n in case.some(MEASURED) {
        let outputs = session.run(&case.data.examples[n], |_| false)?;
        let pairs = pairs(&outputs, layers.len()).zip(layers);
        for (error, (pair, &n)) in errors.iter_mut().zip(pairs) {
            let row = match case.model.layers[n].reach {
                Reach::Row => pair[0].ty.shape.last().copied().unwrap_or(1),
                _ => pair[0].numel(),
            };
            *error += error_of_rows(&floats(&pair[0]), &floats(&pair[1]), row.max(1));
        }
    }
    Ok(errors)
}

/// The mean over rows of the square of what they differ by, as a part of their square. Rows that
/// are much smaller than others count as if they were a tenth of them.
fn error_of_rows(float: &[f32], found: &[f32], row: usize) -> f64 {
    let square = |x: f32| f64::from(x) * f64::from(x);
    let rows = (float.len() / row).max(1) as f64;
    let floor = 0.01 * float.iter().map(|&x| square(x)).sum::<f64>() / rows;
    let error = |(a, b): (&[f32], &[f32])| {
        let error: f64 = a.iter().zip(b).map(|(a, b)| square(a - b)).sum();
        let signal: f64 = a.iter().map(|&x| square(x)).sum();
        error / signal.max(floor).max(f64::MIN_POSITIVE)
    };
    float.chunks_exact(row).zip(found.chunks_exact(row)).map(error).sum::<f64>() / rows
}

/// The results of each layer in `f32` and on codes, the last of a model's outputs.
fn pairs(outputs: &[Tensor], layers: usize) -> impl Iterator<Item = &[Tensor]> {
    outputs[outputs.len() - 2 * layers..].chunks_exact(2)
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
        self.signal += signal(&float[0]);
        self.own += difference(&float[0], &float[1]);
        self.inherited += difference(&float[0], &coded[0]);
        self.total += difference(&float[0], &coded[1]);
    }

    fn errors(&self) -> Errors {
        let part = |sum: f64| (sum / self.signal.max(f64::MIN_POSITIVE)).sqrt();
        Errors { own: part(self.own), inherited: part(self.inherited), total: part(self.total) }
    }
}

impl Case<'_> {
    /// Whether a layer can be quantised.
    pub(super) fn is_layer(&self, n: usize) -> bool {
        self.calibration.layers.contains(&n)
    }

    /// Examples, evenly from all of them: `count`, or all where each needs the state that the one
    /// before leaves.
    pub(super) fn some(&self, count: usize) -> Vec<usize> {
        let all = self.data.examples.len();
        let is_sequence = !self.options.states.is_empty();
        let count = if is_sequence { all } else { count.min(all) };
        (0..count).map(|n| n * all / count).collect()
    }

    fn in_both_ways(&self, plan: &Plan, flow: Flow) -> Result<Program, Failure> {
        Program::new(&self.model.in_both_ways(plan, |n| self.is_layer(n), flow), self.options)
    }
}

#[cfg(test)]
mod tests {
    use super::{Demand, LEAD, Measure};

    #[test]
    fn a_demand_follows_what_its_choice_loses() {
        let demand = Demand { measure: Measure::Outputs, budget: 0.02, lead: LEAD };
        assert!(demand.tightened(0.02, 0.03).budget < 0.0134);
        assert!(demand.loosened(0.02, 0.019).is_none());
        let more = demand.loosened(0.02, 0.015).expect("a quarter is left").budget;
        assert!((0.025..0.0267).contains(&more), "{more}");
        assert_eq!(demand.loosened(0.02, -0.1).map(|d| d.budget), Some(0.04));
        assert!(Demand { measure: Measure::Decisions, ..demand }.loosened(0.02, 0.0).is_none());
    }
}
