//! A model whose kernels have certain schedules, compiled to be measured.

use crate::cli::bench::clock::{Subject, median};
use crate::cli::host::{self, HostArgs};
use crate::cli::ui::Ui;
use edgecc::driver::{self, Compiled, Ir};
use edgecc::host::Host;
use edgecc::{Code, Failure, Options, Records, target};
use edgecc_ir::kernel::Kernels;
use edgecc_ir::kernel::schedule::Schedule;
use edgecc_ir::state::State;
use edgecc_ir::target::Target;
use edgecc_ir::tensor::Tensor;
use edgecc_passes::eqsat::rule::Class;
use edgecc_rt::hooks::Hooks;

/// A schedule for each kernel; routines have none.
pub(super) type Schedules = Vec<Option<Schedule>>;

/// What all trials share.
pub(super) struct Setup {
    /// Without schedules.
    pub(super) kernels: Kernels,
    pub(super) target: Target,
    states: Vec<State>,
    options: Options,
}

/// A program to measure.
pub(super) struct Program {
    pub(super) compiled: Compiled,
    host: Host,
}

/// Share of an output's largest magnitude by which its elements may differ: other orders of sums.
const TOLERANCE: f64 = 1e-3;

impl Setup {
    /// Reads the model up to its last kernels before their schedules, and the schedules that these
    /// have when nothing is searched.
    pub(super) fn read(
        args: &HostArgs,
        options: Options,
        ui: &Ui,
    ) -> Result<(Setup, Schedules), Failure> {
        let target = target::resolve(&options.target)?;
        let (mut open, mut scheduled) = (None, None);
        let mut keep = |pass: &str, ir: Ir<'_>| match ir {
            Ir::Kernels(kernels) if pass == "schedule" => scheduled = Some(kernels.clone()),
            Ir::Kernels(kernels) => open = Some(kernels.clone()),
            Ir::Graph(_) | Ir::Loops(_) => {}
        };
        let planned = args.observed(ui, &mut keep, &mut |source, observe| {
            driver::plan(source, &target, &options, observe)
        })?;
        ui.diagnostics(&planned.warnings);
        let (kernels, scheduled) = open.zip(scheduled).expect("the pipeline has both steps");
        let whole = |s: Schedule| Schedule { parts: Vec::new(), ..s };
        let start = scheduled.kernels.values().map(|k| k.schedule.clone().map(whole)).collect();
        let options = Options { schedules: Records::default(), ..options };
        Ok((Setup { kernels, target, states: planned.states, options }, start))
    }

    /// What schedules may change of results.
    pub(super) fn allowed(&self) -> Class {
        driver::reordering(&self.options)
    }

    pub(super) fn program(&self, schedules: &Schedules) -> Result<Program, Failure> {
        let mut kernels = self.kernels.clone();
        for (kernel, schedule) in kernels.kernels.values_mut().zip(schedules) {
            kernel.schedule.clone_from(schedule);
        }
        let (states, target) = (self.states.clone(), self.target.clone());
        let compiled =
            driver::compile_kernels(kernels, states, target, &self.options, &mut |_, _| {})?;
        let host = Host::load(&compiled)?;
        Ok(Program { compiled, host })
    }
}

impl Program {
    /// Inputs that serve every program of the model.
    pub(super) fn inputs(&self) -> Result<Vec<Tensor>, Failure> {
        host::inputs(&self.compiled, None)
    }

    pub(super) fn subject(&self, inputs: &[Tensor]) -> Result<Subject<'_>, Failure> {
        let (model, buffers) = (self.host.model()?, self.host.buffers(inputs)?);
        Ok(Subject { host: &self.host, model, buffers, hooks: Hooks::NONE })
    }

    /// Fails when the outputs are not those of another program.
    pub(super) fn check(&self, inputs: &[Tensor], expected: &[Tensor]) -> Result<(), Failure> {
        let found = self.outputs(inputs)?;
        let agree = found.iter().zip(expected).all(|(f, e)| is_close(f, e));
        let wrong = || Code::Internal.error("another schedule changes the results");
        if agree { Ok(()) } else { Err(wrong().into()) }
    }

    pub(super) fn outputs(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, Failure> {
        self.host.run(inputs)
    }

    /// The seconds of each kernel in all its calls, from samples of each step.
    fn by_kernel(&self, kernels: usize, samples: &[Vec<f64>]) -> Vec<f64> {
        let mut seconds = vec![0.0; kernels];
        let calls = self.compiled.loops.program.calls();
        for ((call, _), samples) in calls.iter().zip(samples) {
            let kernel = seconds.get_mut(call.callee.as_u32() as usize);
            if let (Some(kernel), false) = (kernel, samples.is_empty()) {
                *kernel += median(samples.clone());
            }
        }
        seconds
    }
}

/// The median seconds of each kernel in two programs that take turns.
pub(super) fn compare(
    setup: &Setup,
    programs: [&Program; 2],
    inputs: &[Tensor],
    runs: u32,
) -> Result<[Vec<f64>; 2], Failure> {
    let [a, b] = programs;
    let mut subjects = [a.subject(inputs)?, b.subject(inputs)?];
    let mut samples = [Vec::new(), Vec::new()];
    for subject in &mut subjects {
        subject.warm_up(1 + runs / 10)?;
    }
    for _ in 0..runs {
        for (subject, samples) in subjects.iter_mut().zip(&mut samples) {
            add(samples, &subject.steps_once()?);
        }
    }
    let kernels = setup.kernels.kernels.len();
    Ok([a.by_kernel(kernels, &samples[0]), b.by_kernel(kernels, &samples[1])])
}

/// The median seconds of a whole run of two programs that take turns.
pub(super) fn compare_whole(
    programs: [&Program; 2],
    inputs: &[Tensor],
    runs: u32,
) -> Result<[f64; 2], Failure> {
    let [a, b] = programs;
    let mut subjects = [a.subject(inputs)?, b.subject(inputs)?];
    let mut samples = [Vec::new(), Vec::new()];
    for _ in 0..runs {
        for (subject, samples) in subjects.iter_mut().zip(&mut samples) {
            subject.warm_up(1)?;
            samples.extend(subject.whole_runs(1)?);
        }
    }
    Ok(samples.map(median))
}

fn add(samples: &mut Vec<Vec<f64>>, steps: &[f64]) {
    samples.resize(samples.len().max(steps.len()), Vec::new());
    samples.iter_mut().zip(steps).for_each(|(samples, &seconds)| samples.push(seconds));
}

/// Integers are equal; floats may be sums in another order, or not numbers in both.
fn is_close(a: &Tensor, b: &Tensor) -> bool {
    let largest = b.iter().map(|v| v.as_f64().abs()).filter(|v| v.is_finite()).fold(0.0, f64::max);
    let bound = if b.ty.elem.is_float() { TOLERANCE * largest } else { 0.0 };
    let close = |a: f64, b: f64| a == b || (a - b).abs() <= bound || (a.is_nan() && b.is_nan());
    a.ty == b.ty && a.iter().zip(b.iter()).all(|(a, b)| close(a.as_f64(), b.as_f64()))
}
