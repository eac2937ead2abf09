//! `edgecc verify`: one input, every level of the compiler, the first difference.

use super::arrays::{self, arrange};
use super::exit::Exit;
use super::host::{self, HostArgs};
use super::steps::steps;
use super::ui::Ui;
use super::{Outcome, random};
use edgecc::driver::{Compiled, Ir};
use edgecc::host::Host;
use edgecc::{Code, Failure, WeightFormat};
use edgecc_ir::graph::Graph;
use edgecc_ir::kernel::Kernels;
use edgecc_ir::tensor::{Scalar, Tensor};
use edgecc_ir::{graph, kernel, loops};
use serde::Serialize;
use std::path::PathBuf;

/// Compare what every level of the compiler computes
///
/// The levels are: the model as imported, the optimised graph, its kernels, their loops, and the
/// compiled code. The first one that differs from the reference is named. Without `--expected`
/// the reference is the model as imported.
///
/// Outputs of quantised models pass when 99.9 % of the elements are within one quantisation step.
/// Their reference is the optimised graph, whose arithmetic on codes is exact; the model as
/// imported rounds in floating point, and later layers may amplify the codes where that differs:
/// it passes when the differences are small against the outputs as a whole.
#[derive(clap::Args)]
#[command(after_help = concat!(
    "Examples:\n",
    "  edgecc verify model.onnx                     random inputs\n",
    "  edgecc verify model.onnx --inputs in.npz --expected out.npz --rtol 1e-3\n\n",
    "The last line is `edgecc verify: PASSED` or `edgecc verify: FAILED at LEVEL`.",
))]
pub(super) struct Args {
    #[command(flatten)]
    host: HostArgs,
    /// NumPy archive with one array per input [default: random values]
    #[arg(long, value_name = "FILE.npz")]
    inputs: Option<PathBuf>,
    /// NumPy archive with one array per output
    #[arg(long, value_name = "FILE.npz", requires = "inputs")]
    expected: Option<PathBuf>,
    /// Relative tolerance of floats
    #[arg(long, value_name = "X", default_value_t = 1e-4)]
    rtol: f64,
    /// Absolute tolerance; integers must be equal when it is below 1
    #[arg(long, value_name = "X", default_value_t = 1e-5)]
    atol: f64,
    /// Seed of random inputs
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Print the comparison as JSON
    #[arg(long)]
    json: bool,
}

/// The first level: the model as imported.
const IMPORT: &str = "import";
/// The share of elements of a quantised output that may be more than one step away.
const OUTLIERS: f64 = 0.001;
/// The largest drift of the model as imported from its arithmetic on codes.
const DRIFT: f64 = 0.1;

/// The programs that are compared.
#[derive(Default)]
struct Levels {
    imported: Option<Graph>,
    optimised: Option<Graph>,
    kernels: Option<Kernels>,
}

/// How a level's outputs differ from the reference.
#[derive(Default, Serialize)]
struct Comparison {
    level: &'static str,
    max_abs_error: f64,
    max_rel_error: f64,
    /// The share of elements of quantised outputs that are more than one step away.
    over_a_step: Option<f64>,
    /// The first element out of tolerance.
    mismatch: Option<Mismatch>,
}

#[derive(Serialize)]
struct Mismatch {
    output: String,
    index: usize,
    expected: f64,
    found: f64,
}

pub(super) fn run(args: &Args, ui: &Ui) -> Outcome {
    if args.host.options()?.weights == WeightFormat::F16 {
        let message = "weights that are rounded cannot be verified";
        return Err(Code::RoundedWeights.error(message).help("leave out --weights f16").into());
    }
    let inputs = args.inputs.as_deref().map(arrays::read).transpose()?;
    let expected = args.expected.as_deref().map(arrays::read).transpose()?;
    let has_expected = expected.is_some();
    let mut levels = Levels::default();
    let compiled = args.host.compile(ui, &mut |_, ir| levels.keep(ir))?;
    let inputs = match inputs {
        Some(arrays) => host::inputs(&compiled, Some(arrays))?,
        None => random::inputs(&compiled.loops.inputs, args.seed),
    };
    let results = levels.run(&compiled, &inputs, ui)?;
    let steps = levels.imported.as_ref().map(steps).unwrap_or_default();
    let reference = match expected {
        Some(arrays) => arrange(arrays, &compiled.loops.outputs, "output")?,
        None => results[usize::from(steps.iter().any(Option::is_some))].1.clone(),
    };
    let judge = Judge { args, reference: &reference, steps: &steps, expected: has_expected };
    let compared: Vec<Comparison> =
        results.iter().map(|(level, found)| judge.compare(level, &compiled, found)).collect();
    Ok(report(args, &compared, ui))
}

impl Levels {
    /// Keeps the first graph, the last graph and the first kernels.
    fn keep(&mut self, ir: Ir<'_>) {
        match ir {
            Ir::Graph(graph) if self.imported.is_none() => self.imported = Some(graph.clone()),
            Ir::Graph(graph) => self.optimised = Some(graph.clone()),
            Ir::Kernels(kernels) if self.kernels.is_none() => self.kernels = Some(kernels.clone()),
            Ir::Kernels(_) | Ir::Loops(_) => {}
        }
    }

    /// The outputs of each level, from the model down to machine code.
    fn run(
        &self,
        compiled: &Compiled,
        inputs: &[Tensor],
        ui: &Ui,
    ) -> Result<Vec<(&'static str, Vec<Tensor>)>, Failure> {
        let mut results = Vec::new();
        let mut add = |level, outputs| {
            ui.progress(level);
            results.push((level, outputs));
        };
        if let Some(graph) = &self.imported {
            add(IMPORT, graph::eval::eval(graph, inputs));
        }
        if let Some(graph) = &self.optimised {
            add("graph", graph::eval::eval(graph, inputs));
        }
        if let Some(kernels) = &self.kernels {
            add("kernels", kernel::eval::eval(kernels, inputs));
        }
        add("loops", loops::interp::run(&compiled.loops, inputs));
        add("native", Host::load(compiled)?.run(inputs)?);
        ui.progress("");
        Ok(results)
    }
}

/// What levels are compared with, and how closely.
struct Judge<'a> {
    args: &'a Args,
    reference: &'a [Tensor],
    /// One quantisation step of each output that has one.
    steps: &'a [Option<f64>],
    /// Whether the reference comes from elsewhere.
    expected: bool,
}

impl Judge<'_> {
    fn compare(&self, level: &'static str, compiled: &Compiled, found: &[Tensor]) -> Comparison {
        let mut comparison = Comparison { level, ..Comparison::default() };
        for (at, (expected, found)) in self.reference.iter().zip(found).enumerate() {
            let step = self.steps.get(at).copied().flatten();
            let mut outside = Vec::new();
            for (index, (e, f)) in expected.iter().zip(found.iter()).enumerate() {
                if self.args.compare_element(e, f, step.unwrap_or(0.0), &mut comparison) {
                    outside.push(index);
                }
            }
            let share = outside.len() as f64 / expected.ty.shape.numel().max(1) as f64;
            if step.is_some() {
                comparison.over_a_step = Some(comparison.over_a_step.unwrap_or(0.0).max(share));
            }
            if step.is_some() && (share <= OUTLIERS || self.may_drift(level, expected, found)) {
                continue;
            }
            if let (Some(&index), None) = (outside.first(), &comparison.mismatch) {
                let [expected, found] = [expected, found].map(|t| t.get(index).as_f64());
                let output = compiled.loops.outputs[at].name.clone();
                comparison.mismatch = Some(Mismatch { output, index, expected, found });
            }
        }
        comparison
    }

    /// Whether a level that rounds otherwise is as close as can be asked.
    fn may_drift(&self, level: &str, expected: &Tensor, found: &Tensor) -> bool {
        level == IMPORT && !self.expected && drift(expected, found) <= DRIFT
    }
}

/// The differences against the reference's own spread around its mean, as quotient of their norms.
fn drift(expected: &Tensor, found: &Tensor) -> f64 {
    let mean = expected.iter().map(Scalar::as_f64).sum::<f64>() / expected.iter().count() as f64;
    let pairs = expected.iter().zip(found.iter()).map(|(e, f)| (e.as_f64(), f.as_f64()));
    let squares = pairs.map(|(e, f)| ((e - f).powi(2), (e - mean).powi(2)));
    let (error, spread) = squares.fold((0.0, 0.0), |sum, s| (sum.0 + s.0, sum.1 + s.1));
    if error == 0.0 { 0.0 } else { (error / spread).sqrt() }
}

impl Args {
    /// Whether an element is further away than the tolerance plus `step`; NaN equals NaN.
    fn compare_element(
        &self,
        expected: Scalar,
        found: Scalar,
        step: f64,
        worst: &mut Comparison,
    ) -> bool {
        if expected == found {
            return false;
        }
        let (e, f) = (expected.as_f64(), found.as_f64());
        if e == f || (e.is_nan() && f.is_nan()) {
            return !expected.elem().is_float() && self.atol < 1.0;
        }
        let error = (e - f).abs();
        let error = if error.is_nan() { f64::INFINITY } else { error };
        worst.max_abs_error = worst.max_abs_error.max(error);
        worst.max_rel_error = worst.max_rel_error.max(error / e.abs().max(f64::MIN_POSITIVE));
        let relative = if expected.elem().is_float() { self.rtol * e.abs() } else { 0.0 };
        error > self.atol + relative + step
    }
}

fn report(args: &Args, compared: &[Comparison], ui: &Ui) -> Exit {
    let guilty = compared.iter().find(|c| c.mismatch.is_some());
    if args.json {
        ui.json(&serde_json::json!({
            "passed": guilty.is_none(),
            "first_difference": guilty.map(|c| c.level),
            "levels": compared,
        }));
    } else {
        ui.print(&table(compared));
        ui.print(&match guilty {
            None => "edgecc verify: PASSED\n".to_owned(),
            Some(c) => format!("edgecc verify: FAILED at {}\n", c.level),
        });
    }
    if guilty.is_none() { Exit::Ok } else { Exit::Mismatch }
}

fn table(compared: &[Comparison]) -> String {
    let head = format!("{:<10} {:>12} {:>12}\n", "level", "abs. error", "rel. error");
    let row = |c: &Comparison| {
        let verdict = c.mismatch.as_ref().map_or(String::new(), |m| {
            format!("  {}[{}]: expected {}, found {}", m.output, m.index, m.expected, m.found)
        });
        let steps = c.over_a_step.map_or(String::new(), |share| {
            format!("  {:.2} % over one quantisation step", 100.0 * share)
        });
        let errors = format!("{:>12.3e} {:>12.3e}", c.max_abs_error, c.max_rel_error);
        format!("{:<10} {errors}{steps}{verdict}\n", c.level)
    };
    compared.iter().fold(head, |text, c| text + &row(c))
}
