//! The pipeline: every step from the model's bytes to the object, in order, in one function.

use crate::code::Code;
use crate::external;
use crate::failure::Failure;
use crate::options::{FloatMode, Options, WeightFormat, identifier, is_identifier};
use crate::report::Report;
use crate::report::layer;
use crate::states;
use crate::target;
use edgecc_backend::{EmitOptions, header, metadata};
use edgecc_frontend::quantize::{FloatModel, prepare};
use edgecc_frontend::{ImportOptions, Imported};
use edgecc_ir::diag::{Diagnostic, Severity, Violation};
use edgecc_ir::graph::Graph;
use edgecc_ir::kernel::Kernels;
use edgecc_ir::loops::Loops;
use edgecc_ir::state::State;
use edgecc_ir::target::Target;
use edgecc_ir::{graph, kernel, loops};
use edgecc_passes::coded_weights::use_codes;
use edgecc_passes::codes::simplify_codes;
use edgecc_passes::dots::use_dots;
use edgecc_passes::eqsat::rule::Class;
use edgecc_passes::form_kernels::form_kernels;
use edgecc_passes::half_weights::use_halves;
use edgecc_passes::manager::{Moment, PassCx, PassOptions, VerifyPolicy, run_passes};
use edgecc_passes::plan;
use edgecc_passes::schedule::parts::divide;
use edgecc_passes::winograd::transform_convolutions;
use std::fmt;
use std::path::Path;

/// A model and where it comes from.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// An ONNX protobuf message.
    pub bytes: &'a [u8],
    /// What the model is named after when the options do not say.
    pub stem: &'a str,
    /// The folder that may hold weights in other files.
    pub folder: Option<&'a Path>,
}

/// One level of the IR, as an observer sees it between two passes.
#[derive(Clone, Copy, Debug)]
pub enum Ir<'a> {
    /// Tensors.
    Graph(&'a Graph),
    /// Structured computations.
    Kernels(&'a Kernels),
    /// Loop nests.
    Loops(&'a Loops),
}

/// Told of each pass' name and result.
pub type Observer<'a> = dyn FnMut(&str, Ir<'_>) + 'a;

/// Everything that is known at the end of the pipeline.
#[derive(Debug)]
pub struct Compiled {
    /// The resolved machine.
    pub target: Target,
    /// The planned program that the object was made from.
    pub loops: Loops,
    /// The object and its sizes.
    pub code: edgecc_backend::Artifact,
    /// The C header.
    pub header: String,
    /// The Rust module.
    pub rust: String,
    /// What is in the object.
    pub report: Report,
    /// Problems that did not stop compilation.
    pub warnings: Vec<Diagnostic>,
    /// What was not optimised and why.
    pub remarks: Vec<String>,
}

/// The compiler's name and version, as stored in every object.
pub const PRODUCER: &str = concat!("edgecc ", env!("CARGO_PKG_VERSION"));

/// Compiles a model; `observe` sees the IR after every pass.
///
/// # Panics
/// When a pass breaks an invariant and the options ask for checks: a bug in that pass.
pub fn compile(
    source: &Source<'_>,
    options: &Options,
    observe: &mut Observer<'_>,
) -> Result<Compiled, Failure> {
    let target = target::resolve(&options.target)?;
    let planned = plan(source, &target, options, observe)?;
    emit(planned, target)
}

/// A program that is ready to become code.
#[derive(Debug)]
pub struct Planned {
    /// The kernels that the program was made from.
    pub kernels: Kernels,
    /// How each of them runs, by name.
    pub strategies: Vec<&'static str>,
    /// The planned program.
    pub loops: Loops,
    /// What the caller keeps between runs.
    pub states: Vec<State>,
    /// Problems that did not stop compilation.
    pub warnings: Vec<Diagnostic>,
    /// What was not optimised and why.
    pub remarks: Vec<String>,
}

/// Every step before code.
///
/// # Errors
/// Every problem with the model or the options.
///
/// # Panics
/// As `compile`.
pub fn plan(
    source: &Source<'_>,
    target: &Target,
    options: &Options,
    observe: &mut Observer<'_>,
) -> Result<Planned, Failure> {
    let Imported { graph, warnings, defaults, .. } = import(source, options)?;
    let states = states::resolve(&graph, &options.states, &defaults)?;
    let mut planned = plan_graph(graph, states, target, options, observe)?;
    planned.warnings.splice(0..0, warnings);
    Ok(planned)
}

/// Compiles a graph, some of whose inputs are states: every step after the import, in order.
///
/// # Panics
/// As `compile`.
pub fn compile_graph(
    graph: Graph,
    states: Vec<State>,
    target: Target,
    options: &Options,
    observe: &mut Observer<'_>,
) -> Result<Compiled, Failure> {
    let planned = plan_graph(graph, states, &target, options, observe)?;
    emit(planned, target)
}

/// Compiles kernels, some of which may have schedules already, to a program with these states.
///
/// # Panics
/// As `compile`.
pub fn compile_kernels(
    kernels: Kernels,
    states: Vec<State>,
    target: Target,
    options: &Options,
    observe: &mut Observer<'_>,
) -> Result<Compiled, Failure> {
    let planned = plan_kernels(kernels, states, &target, options, observe)?;
    emit(planned, target)
}

/// Every step between import and code, in order.
fn plan_graph(
    mut graph: Graph,
    states: Vec<State>,
    target: &Target,
    options: &Options,
    observe: &mut Observer<'_>,
) -> Result<Planned, Failure> {
    let mut see = |pass: &str, ir: Ir<'_>| see(observe, options, target, pass, ir);
    see("import", Ir::Graph(&graph));

    let remarks = graph_passes(&mut graph, target, options, &mut see);
    let mut kernels = form_kernels(&graph);
    drop(graph);
    see("form-kernels", Ir::Kernels(&kernels));

    if options.keeps_codes() {
        use_codes(&mut kernels);
        see("coded-weights", Ir::Kernels(&kernels));
    }
    if options.transforms_convolutions() {
        transform_convolutions(&mut kernels, target);
        see("winograd", Ir::Kernels(&kernels));
    }
    use_dots(&mut kernels, target);
    simplify_codes(&mut kernels, target);
    see("codes", Ir::Kernels(&kernels));

    if options.weights == WeightFormat::F16 {
        use_halves(&mut kernels);
        see("half-weights", Ir::Kernels(&kernels));
    }

    let planned = plan_kernels(kernels, states, target, options, observe)?;
    Ok(Planned { remarks, ..planned })
}

/// Every step between kernels and code, in order.
fn plan_kernels(
    mut kernels: Kernels,
    states: Vec<State>,
    target: &Target,
    options: &Options,
    observe: &mut Observer<'_>,
) -> Result<Planned, Failure> {
    let mut see = |pass: &str, ir: Ir<'_>| see(observe, options, target, pass, ir);
    let allowed = reordering(options);
    let mut warnings = options.schedules.apply(&mut kernels, target, allowed);
    let planned = edgecc_passes::schedule::schedule(&mut kernels, target, allowed);
    let pairs = kernels.kernels.values().zip(planned);
    let strategies = pairs.map(|(kernel, s)| layer::strategy_name(kernel, s)).collect();
    divide(&mut kernels, target, options.division);
    see("schedule", Ir::Kernels(&kernels));

    let mut loops = edgecc_passes::lower_to_loops::lower(&kernels, &contracting(target, options));
    see("lower", Ir::Loops(&loops));

    reject_errors(edgecc_passes::loops::run_all(&mut loops, target), &mut warnings)?;
    see("legalize", Ir::Loops(&loops));

    plan::order::reorder(&mut loops);
    plan::state::bind(&mut loops, &states);
    loops.plan = Some(plan::plan(&loops, plan::ALIGN));
    plan::check::check(&loops)
        .and_then(|()| plan::state::check(&loops, &states))
        .unwrap_or_else(|broken| panic!("{}", rejection("plan", &broken)));
    see("plan", Ir::Loops(&loops));

    Ok(Planned { kernels, strategies, loops, states, warnings, remarks: Vec::new() })
}

/// The last step: code, and what describes it.
fn emit(planned: Planned, target: Target) -> Result<Compiled, Failure> {
    let options = emit_options(planned.states.clone());
    let code = edgecc_backend::emit(&planned.loops, &target, &options)?;
    describe(planned, target, code)
}

/// What the backend needs to know besides the program.
pub(crate) fn emit_options(states: Vec<State>) -> EmitOptions {
    EmitOptions { producer: PRODUCER.to_owned(), states }
}

/// Headers and reports for code.
pub(crate) fn describe(
    planned: Planned,
    target: Target,
    code: edgecc_backend::Artifact,
) -> Result<Compiled, Failure> {
    let Planned { kernels, strategies, loops, states, warnings, remarks } = planned;
    let emit = emit_options(states);
    let (header, rust) = (header::c::header(&loops, &code)?, header::rust::module(&loops, &code)?);
    let layers = layer::layers(&kernels, &strategies, &loops);
    let report = Report::new(metadata::of(&loops, &target, &emit, &code), layers, &loops, &code);
    Ok(Compiled { target, loops, code, header, rust, report, warnings, remarks })
}

impl<'a> Source<'a> {
    /// A model file's bytes, named after the file, with its folder open for weights.
    #[must_use]
    pub fn of_file(bytes: &'a [u8], path: &'a Path) -> Source<'a> {
        let stem = path.file_stem().and_then(|s| s.to_str()).unwrap_or("model");
        Source { bytes, stem, folder: path.parent() }
    }
}

impl fmt::Display for Ir<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use edgecc_ir::text::{PrintOptions, print_graph, print_kernels, print_loops};
        let options = PrintOptions::default();
        f.write_str(&match self {
            Ir::Graph(graph) => print_graph(graph, &options),
            Ir::Kernels(kernels) => print_kernels(kernels, &options),
            Ir::Loops(loops) => print_loops(loops, &options),
        })
    }
}

/// The prefix of a model's symbols.
pub(crate) fn model_name(source: &Source<'_>, options: &Options) -> Result<String, Diagnostic> {
    match &options.name {
        None => Ok(identifier(source.stem)),
        Some(name) if is_identifier(name) => Ok(name.clone()),
        Some(name) => {
            let help = format!("use --name {}", identifier(name));
            let message = format!("{name:?} is not a C identifier");
            Err(Code::BadName.error(message).help(help))
        }
    }
}

/// Reads the model under the name and shapes of the options.
fn import(source: &Source<'_>, options: &Options) -> Result<Imported, Failure> {
    with_import(source, options, |import| edgecc_frontend::import(source.bytes, import))
}

/// Reads the model in the form that quantisation starts from.
///
/// # Errors
/// As `compile`.
pub(crate) fn prepare_quantisation(
    source: &Source<'_>,
    options: &Options,
) -> Result<FloatModel, Failure> {
    with_import(source, options, |import| prepare(source.bytes, import))
}

fn with_import<T>(
    source: &Source<'_>,
    options: &Options,
    read: impl FnOnce(&ImportOptions<'_>) -> Result<T, Vec<Diagnostic>>,
) -> Result<T, Failure> {
    let name = model_name(source, options)?;
    let external: &edgecc_frontend::ExternalReader<'_> = match source.folder {
        None => &edgecc_frontend::no_external_data,
        Some(folder) => &move |range| external::read(folder, range),
    };
    let import = ImportOptions {
        name,
        dims: options.dims.clone().into_iter().collect(),
        shapes: options.shapes.clone().into_iter().collect(),
        consts: options.consts.clone().into_iter().collect(),
        states: options.states.keys().cloned().collect(),
        external,
    };
    Ok(read(&import)?)
}

/// How far schedules may change results.
#[must_use]
pub fn reordering(options: &Options) -> Class {
    match options.float_mode {
        FloatMode::Strict => Class::Exact,
        FloatMode::Relaxed => Class::Reassoc,
    }
}

/// The target as the lowering of sums may see it: strict float does not fuse their products, and
/// keeps their first term.
fn contracting(target: &Target, options: &Options) -> Target {
    Target { fma: target.fma && options.float_mode == FloatMode::Relaxed, ..target.clone() }
}

/// Fails when a diagnostic is an error; keeps warnings.
fn reject_errors(found: Vec<Diagnostic>, warnings: &mut Vec<Diagnostic>) -> Result<(), Failure> {
    if found.iter().any(|d| d.severity == Severity::Error) {
        return Err(found.into());
    }
    warnings.extend(found);
    Ok(())
}

/// Runs the graph passes; gives their remarks.
fn graph_passes(
    graph: &mut Graph,
    target: &Target,
    options: &Options,
    see: &mut impl FnMut(&str, Ir<'_>),
) -> Vec<String> {
    let options = pass_options(options);
    let cx = PassCx::new(target, &options);
    run_passes(graph, edgecc_passes::graph::PASSES, &cx, |pass, moment, graph| {
        if moment != Moment::Before {
            see(pass.name, Ir::Graph(graph));
        }
    });
    let remarks = cx.remarks.into_inner();
    remarks.into_iter().map(|r| format!("{}: {}", r.pass, r.message)).collect()
}

/// What the graph passes need to know of the options.
#[must_use]
pub fn pass_options(options: &Options) -> PassOptions {
    PassOptions {
        strict_float: options.float_mode == FloatMode::Strict,
        opt_level: options.opt_level.effort(),
        verify: if options.verify.is_on() { VerifyPolicy::Each } else { VerifyPolicy::Never },
    }
}

/// Shows a level to the observer, then checks it; a planned program also for its target.
fn see(observe: &mut Observer<'_>, options: &Options, target: &Target, pass: &str, ir: Ir<'_>) {
    observe(pass, ir);
    if options.verify.is_on() {
        let broken = match ir {
            Ir::Graph(graph) => graph::verify::verify(graph),
            Ir::Kernels(kernels) => kernel::verify::verify(kernels),
            Ir::Loops(loops) => {
                loops::verify::verify(loops, loops.plan.is_some().then_some(target))
            }
        };
        broken.unwrap_or_else(|violations| panic!("{}", rejection(pass, &violations)));
    }
}

fn rejection(pass: &str, violations: &[Violation]) -> String {
    let lines: Vec<String> = violations.iter().map(ToString::to_string).collect();
    format!("the verifier rejects the result of {pass}: {}", lines.join("; "))
}
