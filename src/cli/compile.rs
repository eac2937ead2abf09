//! `edgecc compile`: a model to an object file and what goes with it.

use super::args::{self, Effort, Machine, Model, size};
use super::exit::Exit;
use super::files::{DASH, Writer, check_writable};
use super::ui::Ui;
use super::{Outcome, dot, host, quantize};
use clap::ValueEnum;
use edgecc::driver::{Ir, Source};
use edgecc::options::identifier;
use edgecc::sizes::{self, Set};
use edgecc::{Code, Diagnostic, Failure};
use edgecc_ir::loops::Loops;
use edgecc_ir::target::Target;
use std::path::{Path, PathBuf};

/// Compile a model to an object file
#[derive(clap::Args)]
#[command(after_help = concat!(
    "Examples:\n",
    "  edgecc model.onnx --target aarch64 -o model.o\n",
    "      writes model.o, model.h (C), model.rs (Rust) and model.json (sizes and tensors)\n",
    "  edgecc model.onnx --cpu native --emit asm=- | less\n",
    "  edgecc model.onnx --dim batch=1 --shape image:1x3x224x224 --out-dir build\n",
    "  edgecc model.onnx --dim seq=32,64,128        one object for three sizes\n",
    "  edgecc model.onnx --const rate=16000 --const mean=[0.5,0.5,0.5]\n",
    "  edgecc model.onnx --state h=h_next --state c=c_next\n",
    "  edgecc model.onnx --quantize int8 --data calibration.npz\n",
    "  edgecc model.onnx --max-arena 64K --max-code 100K -o model.o",
))]
pub(super) struct Args {
    #[command(flatten)]
    model: Model,
    #[command(flatten)]
    machine: Machine,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    effort: Effort,
    #[command(flatten)]
    codes: quantize::Given,
    /// Fail when the workspace is larger
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = "Budgets")]
    max_arena: Option<u64>,
    /// Fail when code and weights are larger
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = "Budgets")]
    max_code: Option<u64>,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
    /// Print what was not optimised and why; of one pass, such as `quant` for what stays in f32
    #[arg(long, value_name = "PASS", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    remarks: Option<String>,
}

/// What is written, and where.
#[derive(clap::Args)]
#[command(next_help_heading = "Output")]
struct Output {
    /// The object file; others go beside it [default: NAME.o]
    #[arg(short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// What to write, each with an optional path; `-` is standard output
    ///
    /// Kinds: obj, header, rust, json, asm, clif, ir, dot (the optimised graph), so. Without this option: obj, header, rust
    /// and json.
    #[arg(long, value_name = "KIND[=PATH]", value_delimiter = ',', value_parser = emit)]
    emit: Vec<Emit>,
    /// Folder for files without a path
    #[arg(long, value_name = "DIR", conflicts_with = "output")]
    out_dir: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Obj,
    Header,
    Rust,
    Json,
    Asm,
    Clif,
    Ir,
    Dot,
    So,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Emit {
    kind: Kind,
    path: Option<PathBuf>,
}

const DEFAULT_KINDS: &[Kind] = &[Kind::Obj, Kind::Header, Kind::Rust, Kind::Json];

pub(super) fn run(args: &Args, ui: &Ui) -> Outcome {
    let planned = plan(args);
    planned.iter().try_for_each(|(_, path)| check_writable(path))?;
    let options = args::options(&args.model, args.machine.spec(), &args.effort)?;
    let mut dumps = Dumps::default();
    let wants = |wanted: Kind| planned.iter().any(|(kind, _)| *kind == wanted);
    let (wants_ir, wants_dot) = (wants(Kind::Ir), wants(Kind::Dot));
    let mut keep_last = |_: &str, ir: Ir<'_>| match ir {
        Ir::Graph(graph) if wants_dot => dumps.dot = dot::dot(graph),
        _ if wants_ir => dumps.ir = ir.to_string(),
        _ => {}
    };
    let compiled =
        host::observed(&args.model, &args.effort, ui, &mut keep_last, &mut |source, observe| {
            match args.codes.apply(source, &options, ui)? {
                None => sizes::build(source, &options, observe),
                Some(model) => {
                    sizes::build(&Source { bytes: &model, ..*source }, &options, observe)
                }
            }
        })?;
    ui.diagnostics(&compiled.warnings);
    check_budgets(args, &compiled)?;
    let mut writer = Writer::default();
    for (kind, path) in planned {
        writer.add(path, content(kind, &compiled, &dumps)?);
    }
    let paths: Vec<PathBuf> = writer.paths().map(Path::to_owned).collect();
    writer.commit()?;
    summarise(args, &compiled, &paths, ui);
    Ok(Exit::Ok)
}

/// Texts that are made on the way.
#[derive(Default)]
struct Dumps {
    /// The last IR.
    ir: String,
    /// The last graph.
    dot: String,
}

/// Every file that will be written.
fn plan(args: &Args) -> Vec<(Kind, PathBuf)> {
    let defaults = || DEFAULT_KINDS.iter().map(|&kind| Emit { kind, path: None }).collect();
    let output = &args.output;
    let wanted = if output.emit.is_empty() { defaults() } else { output.emit.clone() };
    let names_output = |kind| kind == Kind::Obj || wanted.len() == 1;
    let base = base(args);
    let path = |emit: &Emit| match (&emit.path, &output.output) {
        (Some(path), _) => path.clone(),
        (None, Some(path)) if names_output(emit.kind) => path.clone(),
        (None, _) => base.with_extension(extension(emit.kind)),
    };
    wanted.iter().map(|emit| (emit.kind, path(emit))).collect()
}

/// The path from which those of single files are made by their extension.
fn base(args: &Args) -> PathBuf {
    let stem = args.model.path.file_stem().and_then(|s| s.to_str()).unwrap_or("model");
    let name = args.model.name.clone().unwrap_or_else(|| identifier(stem));
    match &args.output.output {
        Some(path) if path != Path::new(DASH) => path.clone(),
        _ => args.output.out_dir.clone().unwrap_or_default().join(name + ".o"),
    }
}

fn extension(kind: Kind) -> &'static str {
    match kind {
        Kind::Obj => "o",
        Kind::Header => "h",
        Kind::Rust => "rs",
        Kind::Json => "json",
        Kind::Asm => "s",
        Kind::Clif => "clif",
        Kind::Ir => "eir",
        Kind::Dot => "dot",
        Kind::So => "so",
    }
}

fn content(kind: Kind, compiled: &Set, dumps: &Dumps) -> Result<Vec<u8>, Failure> {
    Ok(match kind {
        Kind::Obj => compiled.object.to_vec(),
        Kind::Header => compiled.header.clone().into_bytes(),
        Kind::Rust => compiled.rust.clone().into_bytes(),
        Kind::Json => {
            let json = serde_json::to_string_pretty(&compiled.report);
            (json.expect("reports have string keys only") + "\n").into_bytes()
        }
        Kind::Asm => listing(compiled, edgecc_backend::dump::disassembly)?,
        Kind::Clif => listing(compiled, edgecc_backend::dump::clif)?,
        Kind::Ir => dumps.ir.as_bytes().to_vec(),
        Kind::Dot => dumps.dot.as_bytes().to_vec(),
        Kind::So => edgecc_backend::link::shared_object(&compiled.object)?,
    })
}

/// A text for each size.
fn listing(
    compiled: &Set,
    text: fn(&Loops, &Target) -> Result<String, Vec<Diagnostic>>,
) -> Result<Vec<u8>, Failure> {
    let mut listing = String::new();
    for size in &compiled.sizes {
        listing += &text(&size.loops, &size.target)?;
    }
    Ok(listing.into_bytes())
}

fn check_budgets(args: &Args, compiled: &Set) -> Result<(), Failure> {
    let report = &compiled.report;
    let code = report.code_bytes + report.weights_bytes;
    let rows = [
        ("arena", "--max-arena", report.arena_bytes, args.max_arena),
        ("code with weights", "--max-code", code, args.max_code),
    ];
    let over = |(what, flag, found, limit): (&str, &str, u64, Option<u64>)| -> Option<Diagnostic> {
        let limit = limit.filter(|&limit| found > limit)?;
        let message = format!("the {what} takes {found} bytes, {flag} allows {limit}");
        Some(Code::OverBudget.error(message))
    };
    let problems: Vec<Diagnostic> = rows.into_iter().filter_map(over).collect();
    if problems.is_empty() { Ok(()) } else { Err(problems.into()) }
}

/// The report: on stdout, unless an artifact went there.
fn summarise(args: &Args, compiled: &Set, paths: &[PathBuf], ui: &Ui) {
    if !ui.is_chatty() && !args.json {
        return;
    }
    let all = ui.is_verbose().then_some("");
    if let Some(pass) = args.remarks.as_deref().or(all) {
        let remarks = compiled.sizes.iter().flat_map(|size| &size.remarks);
        let wanted = remarks.filter(|remark| remark.starts_with(pass));
        wanted.for_each(|r| ui.note(&format!("remark: {r}\n")));
    }
    if paths.iter().any(|path| path == Path::new(DASH)) {
        return;
    }
    if args.json {
        return ui.json(&compiled.report);
    }
    let names: Vec<String> = paths.iter().map(|p| p.display().to_string()).collect();
    ui.print(&format!("{}  {:<14} {}\n", compiled.report.summary(), "wrote", names.join(" ")));
}

fn emit(text: &str) -> Result<Emit, String> {
    let (kind, path) = match text.split_once('=') {
        None => (text, None),
        Some((kind, path)) => (kind, Some(PathBuf::from(path))),
    };
    let kind = Kind::from_str(kind, true).map_err(|_| {
        let known: Vec<_> =
            Kind::value_variants().iter().filter_map(Kind::to_possible_value).collect();
        let known = known.iter().map(clap::builder::PossibleValue::get_name);
        edgecc_ir::suggest::help("kinds of output", kind, known)
    })?;
    Ok(Emit { kind, path })
}

#[cfg(test)]
mod tests {
    use super::{Args, Kind, plan};
    use clap::{Args as _, FromArgMatches};

    fn paths(line: &str) -> Vec<(Kind, String)> {
        let command = Args::augment_args(clap::Command::new("compile"));
        let matches = command.get_matches_from(format!("compile {line}").split(' '));
        let args = Args::from_arg_matches(&matches).expect("a valid line");
        plan(&args).into_iter().map(|(k, p)| (k, p.display().to_string())).collect()
    }

    fn names(line: &str) -> String {
        paths(line).into_iter().map(|(_, path)| path).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn files_go_beside_the_object() {
        assert_eq!(names("x/My-Net.onnx"), "my_net.o my_net.h my_net.rs my_net.json");
        assert_eq!(names("m.onnx -o b/k.o"), "b/k.o b/k.h b/k.rs b/k.json");
        assert_eq!(names("m.onnx --out-dir b --name kws --emit obj,asm"), "b/kws.o b/kws.s");
        assert_eq!(names("m.onnx -o k.txt --emit asm"), "k.txt");
        assert_eq!(names("m.onnx --emit asm=-,obj=q"), "- q");
    }
}
