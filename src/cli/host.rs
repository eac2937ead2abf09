//! Compiles for this machine, for the subcommands that run the result.

use super::args::{self, Cpu, Effort, Model};
use super::arrays::{Arrays, arrange};
use super::files;
use super::observe::Observer;
use super::random;
use super::ui::Ui;
use edgecc::driver::{self, Compiled, Ir, Source};
use edgecc::{Code, Failure, Options};
use edgecc_backend::interface::StatePort;
use edgecc_ir::tensor::{Scalar, Tensor};
use edgecc_rt::pool::Pool;
use std::num::NonZero;

/// Options of subcommands that compile for this machine.
#[derive(clap::Args)]
pub(super) struct HostArgs {
    #[command(flatten)]
    pub(super) model: Model,
    #[command(flatten)]
    cpu: Cpu,
    #[command(flatten)]
    effort: Effort,
}

impl HostArgs {
    /// The options of the compiler that these arguments mean.
    pub(super) fn options(&self) -> Result<Options, Failure> {
        args::options(&self.model, self.cpu.host_spec(), &self.effort)
    }

    /// Reads the model and does with it what `build` says; `see` is told of the IR after each pass.
    pub(super) fn observed<T>(
        &self,
        ui: &Ui,
        see: &mut driver::Observer<'_>,
        build: &mut dyn FnMut(&Source<'_>, &mut driver::Observer<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        observed(&self.model, &self.effort, ui, see, build)
    }

    /// Compiles; `see` is told of the IR after each pass, besides dumps and timings.
    pub(super) fn compile(
        &self,
        ui: &Ui,
        see: &mut driver::Observer<'_>,
    ) -> Result<Compiled, Failure> {
        compile(&self.model, &self.options()?, &self.effort, ui, see)
    }
}

/// Threads to run on, this one among them.
pub(super) fn pool(threads: NonZero<usize>) -> Result<Pool, Failure> {
    Pool::new(threads)
        .map_err(|why| Code::Run.error(format!("the system gives no threads: {why}")).into())
}

/// Reads and compiles a model with everything that the options ask for on the way.
pub(super) fn compile(
    model: &Model,
    options: &Options,
    effort: &Effort,
    ui: &Ui,
    see: &mut driver::Observer<'_>,
) -> Result<Compiled, Failure> {
    check_size(options)?;
    let compiled = observed(model, effort, ui, see, &mut |source, observe| {
        driver::compile(source, options, observe)
    })?;
    ui.diagnostics(&compiled.warnings);
    Ok(compiled)
}

/// Fails when the options ask for several sizes.
pub(super) fn check_size(options: &Options) -> Result<(), Failure> {
    let Some((name, _)) = options.sizes.first_key_value() else { return Ok(()) };
    let message = format!("this command takes one size; {name:?} is given several values");
    Err(Code::BadSizes.error(message).into())
}

/// Reads a model and compiles it with what the options ask for after each pass.
pub(super) fn observed<T>(
    model: &Model,
    effort: &Effort,
    ui: &Ui,
    see: &mut driver::Observer<'_>,
    build: &mut dyn FnMut(&Source<'_>, &mut driver::Observer<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let bytes = files::read(&model.path)?;
    let mut observer = Observer::new(effort)?;
    let mut both = |pass: &str, ir: Ir<'_>| {
        ui.progress(pass);
        observer.see(pass, ir);
        see(pass, ir);
    };
    let built = build(&Source::of_file(&bytes, &model.path), &mut both);
    ui.progress("");
    observer.finish(ui)?;
    built
}

/// The program's inputs: the arrays, where there are any, otherwise random values. A state without
/// an array is that before the first run.
pub(super) fn inputs(compiled: &Compiled, arrays: Option<Arrays>) -> Result<Vec<Tensor>, Failure> {
    let ports = &compiled.loops.inputs;
    let states = compiled.code.interface.states.iter().map(|s| (s.port.name.clone(), first(s)));
    let Some(mut arrays) = arrays else {
        let mut tensors = random::inputs(ports, 0);
        for (name, value) in states {
            let at = ports.iter().position(|port| port.name == name);
            tensors[at.expect("a state is an input")] = value;
        }
        return Ok(tensors);
    };
    for (name, value) in states {
        arrays.entry(name).or_insert(value);
    }
    arrange(arrays, ports, "input")
}

/// A state before the first run.
fn first(state: &StatePort) -> Tensor {
    let zeros = || Tensor::splat(&state.port.ty.shape, Scalar::from_bits(state.port.ty.elem, 0));
    state.initial.clone().unwrap_or_else(zeros)
}
