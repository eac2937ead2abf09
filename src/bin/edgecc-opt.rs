//! The command `edgecc-opt`: reads the text of any IR level, runs passes or conversions, prints.

use clap::{Parser, ValueEnum};
use edgecc::TargetSpec;
use edgecc_ir::diag::{Diagnostic, Violation};
use edgecc_ir::graph::Graph;
use edgecc_ir::kernel::Kernels;
use edgecc_ir::loops::Loops;
use edgecc_ir::target::Target;
use edgecc_ir::text::{Any, Parsed, PrintOptions, parse_any};
use edgecc_ir::{graph, kernel, loops};
use edgecc_passes::coded_weights::use_codes;
use edgecc_passes::codes::simplify_codes;
use edgecc_passes::dots::use_dots;
use edgecc_passes::eqsat::rule::Class;
use edgecc_passes::form_kernels::form_kernels;
use edgecc_passes::loops::LoopPass;
use edgecc_passes::lower_to_loops::lower;
use edgecc_passes::manager::{Pass, PassCx, PassOptions};
use edgecc_passes::plan::{ALIGN, order, plan};
use edgecc_passes::schedule::schedule;
use edgecc_passes::winograd::transform_convolutions;
use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, io};

/// Run single passes and conversions on a text dump (.eir) of any level of the IR.
///
/// The first word of the file names its level: graph, kernels or loops. Passes run in the order
/// given, then the conversion; the result is printed. Without passes and conversion the file is
/// parsed and printed in canonical form.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:\n  \
    edgecc-opt model.eir --pass=canonicalize,dce\n  \
    edgecc-opt model.eir --to=loops --target=aarch64 --cpu=cortex-a72\n  \
    edgecc-opt kernels.eir --verify --locs"
)]
struct Args {
    /// The dump; `-` reads standard input
    #[arg(required_unless_present = "list")]
    file: Option<PathBuf>,
    /// Passes of the file's level to run, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pass: Vec<String>,
    /// Convert the result to this later level
    #[arg(long, value_name = "LEVEL")]
    to: Option<Level>,
    /// The architecture to schedule and lower for
    #[arg(long, default_value = "x86_64", value_name = "ARCH")]
    target: String,
    /// The CPU to schedule and lower for; the architecture's default if not given
    #[arg(long, value_name = "NAME")]
    cpu: Option<String>,
    /// Check the numbered invariants of the input and after every step
    #[arg(long)]
    verify: bool,
    /// Print constants of up to this many elements in full
    #[arg(long, default_value_t = PrintOptions::default().elide_above, value_name = "N")]
    elide_above: usize,
    /// Print where everything comes from
    #[arg(long)]
    locs: bool,
    /// List the passes of each level and stop
    #[arg(long)]
    list: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Level {
    Graph,
    Kernels,
    Loops,
}

/// A pass that can be named on the command line.
struct Row {
    name: &'static str,
    doc: &'static str,
    run: Run,
}

/// How a pass runs; decides its level.
enum Run {
    Graph(&'static Pass<Graph>),
    Kernels(fn(&mut Kernels, &Target)),
    Functions(&'static LoopPass),
    Loops(fn(&mut Loops)),
}

fn main() -> ExitCode {
    let args = Args::parse();
    let result = if args.list { Ok(list()) } else { optimize(&args) };
    match result {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// Every pass of every level, in the order of its pipeline.
fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut known = BTreeSet::new();
    for pass in edgecc_passes::graph::PASSES.iter().filter(|p| known.insert(p.name)) {
        rows.push(Row { name: pass.name, doc: pass.doc, run: Run::Graph(pass) });
    }
    let doc = "stores constant factors that are codes times scales as such";
    let run = Run::Kernels(|kernels, _| use_codes(kernels));
    rows.push(Row { name: "coded-weights", doc, run });
    let doc = "sums convolutions of windows of 3 x 3 at the points of a transform";
    rows.push(Row { name: "winograd", doc, run: Run::Kernels(transform_convolutions) });
    let doc = "sums products of codes by dot products of words";
    rows.push(Row { name: "dots", doc, run: Run::Kernels(use_dots) });
    let doc = "rounds numbers that become codes by an addition";
    rows.push(Row { name: "codes", doc, run: Run::Kernels(simplify_codes) });
    let doc = "gives each kernel without a schedule one";
    rows.push(Row { name: "schedule", doc, run: Run::Kernels(reordering_schedule) });
    for pass in edgecc_passes::loops::PASSES {
        rows.push(Row { name: pass.name, doc: pass.doc, run: Run::Functions(pass) });
    }
    let doc = "reorders steps so that fewer bytes are live at once";
    rows.push(Row { name: "reorder", doc, run: Run::Loops(order::reorder) });
    let doc = "places the arena's buffers";
    let run = Run::Loops(|loops| loops.plan = Some(plan(loops, ALIGN)));
    rows.push(Row { name: "plan", doc, run });
    rows
}

fn list() -> String {
    let line = |row: Row| format!("{:8} {:16} {}\n", row.run.level(), row.name, row.doc);
    rows().into_iter().map(line).collect()
}

impl Run {
    fn level(&self) -> &'static str {
        match self {
            Run::Graph(_) => "graph",
            Run::Kernels(_) => "kernels",
            Run::Functions(_) | Run::Loops(_) => "loops",
        }
    }
}

fn optimize(args: &Args) -> Result<String, String> {
    let path = args.file.as_deref().expect("clap requires the file");
    let text = read(path).map_err(|e| format!("error: {}: {e}", path.display()))?;
    let mut ir = parse_any(&text).map_err(|e| format!("error: {}:{e}", path.display()))?;
    if !ir.elided().is_empty() {
        eprintln!("note: placeholders stand for the data of {} constant(s)", ir.elided().len());
    }
    let spec = TargetSpec { cpu: args.cpu.clone(), ..TargetSpec::of(&args.target) };
    let target = edgecc::target::resolve(&spec).map_err(|d| d.to_string())?;
    check(args, "the input", &ir)?;
    for name in &args.pass {
        run_pass(name, &mut ir, &target)?;
        check(args, name, &ir)?;
    }
    if let Some(level) = args.to {
        ir = convert(ir, level, &target)?;
        check(args, "the conversion", &ir)?;
    }
    Ok(ir.print(&PrintOptions { elide_above: args.elide_above, locs: args.locs }))
}

fn read(path: &Path) -> io::Result<String> {
    if path != Path::new("-") {
        return fs::read_to_string(path);
    }
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    Ok(text)
}

fn check(args: &Args, after: &str, ir: &Any) -> Result<(), String> {
    if !args.verify {
        return Ok(());
    }
    let result = match ir {
        Any::Graph(graph) => graph::verify::verify(&graph.ir),
        Any::Kernels(kernels) => kernel::verify::verify(&kernels.ir),
        Any::Loops(loops) => loops::verify::verify(&loops.ir, None),
    };
    result.map_err(|found| {
        let lines: Vec<String> = found.iter().map(Violation::to_string).collect();
        format!("error: {after} breaks invariants\n{}", lines.join("\n"))
    })
}

fn run_pass(name: &str, ir: &mut Any, target: &Target) -> Result<(), String> {
    let row = rows().into_iter().find(|row| row.name == name);
    let row = row.ok_or_else(|| format!("error: no pass is called {name:?}; see --list"))?;
    match (row.run, ir) {
        (Run::Graph(pass), Any::Graph(graph)) => {
            let options = PassOptions::default();
            (pass.run)(&mut graph.ir, &PassCx::new(target, &options));
        }
        (Run::Kernels(run), Any::Kernels(kernels)) => run(&mut kernels.ir, target),
        (Run::Functions(pass), Any::Loops(loops)) => run_on_functions(pass, &mut loops.ir, target)?,
        (Run::Loops(run), Any::Loops(loops)) => run(&mut loops.ir),
        (run, _) => {
            return Err(format!("error: {name} is a pass of {}, the file is not", run.level()));
        }
    }
    Ok(())
}

fn run_on_functions(pass: &LoopPass, loops: &mut Loops, target: &Target) -> Result<(), String> {
    let mut found: Vec<Diagnostic> = Vec::new();
    for func in loops.funcs.values_mut() {
        let (done, diagnostics) = (pass.run)(func.clone(), target);
        *func = done;
        found.extend(diagnostics);
    }
    let lines: Vec<String> = found.iter().map(Diagnostic::to_string).collect();
    if lines.is_empty() { Ok(()) } else { Err(lines.join("\n")) }
}

/// Schedules as the default float mode allows.
fn reordering_schedule(kernels: &mut Kernels, target: &Target) {
    schedule(kernels, target, Class::Reassoc);
}

/// Converts level by level; kernels without a schedule get one before they are lowered.
fn convert(ir: Any, to: Level, target: &Target) -> Result<Any, String> {
    match (ir, to) {
        (Any::Graph(graph), Level::Kernels | Level::Loops) => {
            let ir = form_kernels(&graph.ir);
            convert(Any::Kernels(Parsed { ir, elided: Vec::new() }), to, target)
        }
        (Any::Kernels(mut kernels), Level::Loops) => {
            reordering_schedule(&mut kernels.ir, target);
            Ok(Any::Loops(Parsed { ir: lower(&kernels.ir, target), elided: Vec::new() }))
        }
        (ir @ Any::Graph(_), Level::Graph)
        | (ir @ Any::Kernels(_), Level::Kernels)
        | (ir @ Any::Loops(_), Level::Loops) => Ok(ir),
        (Any::Kernels(_), Level::Graph) | (Any::Loops(_), Level::Graph | Level::Kernels) => {
            Err("error: --to cannot go back to an earlier level".to_owned())
        }
    }
}
