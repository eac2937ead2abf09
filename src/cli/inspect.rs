//! `edgecc inspect`: what is in a model or in an object that was made from one.

use super::arena::{self, ArenaRow};
use super::args::{self, Effort, Machine, Model};
use super::exit::Exit;
use super::files::{self, Writer};
use super::ui::Ui;
use super::{Outcome, host, plot};
use edgecc::driver::{Compiled, Ir};
use edgecc::report::{count, size};
use edgecc::{Code, Failure};
use edgecc_ir::graph::Graph;
use edgecc_rt::abi::MAGIC;
use edgecc_rt::descriptor::{ModelView, TensorView};
use edgecc_rt::feature;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Show what is in a model or an object
///
/// Of an ONNX model: tensors, tensor ops after import, work per layer, sizes for the target and
/// the map of the workspace. Of an object file, shared library or program with a compiled model
/// inside: its descriptor.
#[derive(clap::Args)]
#[command(after_help = concat!(
    "Examples:\n",
    "  edgecc inspect model.onnx --target aarch64\n",
    "  edgecc inspect model.onnx --plot arena.svg\n",
    "  edgecc inspect model.o --json",
))]
pub(super) struct Args {
    #[command(flatten)]
    model: Model,
    #[command(flatten)]
    machine: Machine,
    #[command(flatten)]
    effort: Effort,
    /// Draw the map of a model's workspace, as SVG
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
    /// Print the facts as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, ui: &Ui) -> Outcome {
    let bytes = files::read(&args.model.path)?;
    if bytes.starts_with(b"\x7fELF") {
        return object(args, &bytes, ui);
    }
    let mut ops = BTreeMap::new();
    let mut keep = |pass: &str, ir: Ir<'_>| {
        if let ("import", Ir::Graph(graph)) = (pass, ir) {
            ops = count_ops(graph);
        }
    };
    let options = args::options(&args.model, args.machine.spec(), &args.effort)?;
    let compiled = host::compile(&args.model, &options, &args.effort, ui, &mut keep)?;
    let arena = arena::rows(&compiled);
    if let Some(path) = &args.plot {
        let report = &compiled.report;
        let picture =
            plot::arena::svg(&report.name, report.arena_bytes, report.layers.len(), &arena);
        let mut writer = Writer::default();
        writer.add(path.clone(), picture.into_bytes());
        writer.commit()?;
    }
    match args.json {
        true => ui.json(&json!({
            "report": compiled.report,
            "tensor_ops": ops,
            "arena": arena.iter().map(ArenaRow::json).collect::<Vec<_>>(),
        })),
        false => ui.print(&text(&compiled, &ops, &arena)),
    }
    Ok(Exit::Ok)
}

fn count_ops(graph: &Graph) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for &id in &graph.order {
        *counts.entry(graph.ops[id].op.tag().mnemonic()).or_default() += 1;
    }
    counts
}

fn text(compiled: &Compiled, ops: &BTreeMap<&str, usize>, arena: &[ArenaRow]) -> String {
    let mut text = compiled.report.summary();
    text += "\nTensor ops after import\n ";
    ops.iter().for_each(|(name, n)| text += &format!(" {name} {n}"));
    text += "\n\nLayers                                multiply-adds\n";
    for layer in &compiled.report.layers {
        text += &format!("  {:>12}  {}\n", count(layer.macs), layer.title());
    }
    text += "\nWorkspace       offset         size  steps\n";
    arena.iter().fold(text, |text, row| text + &row.text())
}

/// A descriptor lies in the object as it is, so that it can be found by its first bytes.
fn object(args: &Args, bytes: &[u8], ui: &Ui) -> Outcome {
    let starts = bytes.windows(MAGIC.len()).enumerate().filter(|(_, w)| *w == MAGIC);
    let views: Vec<ModelView<'_>> =
        starts.filter_map(|(at, _)| ModelView::parse(&bytes[at..]).ok()).collect();
    if views.is_empty() {
        let message = format!("{} holds no compiled model", args.model.path.display());
        return Err(Failure::from(Code::NotAModel.error(message)));
    }
    match args.json {
        true => ui.json(&views.iter().map(view_json).collect::<Vec<_>>()),
        false => views.iter().for_each(|view| ui.print(&view_text(view))),
    }
    Ok(Exit::Ok)
}

fn view_text(view: &ModelView<'_>) -> String {
    let tensors = |ts: &mut dyn Iterator<Item = TensorView<'_>>| {
        ts.map(|t| tensor_text(&t)).collect::<Vec<_>>().join(", ")
    };
    let rows = [
        ("inputs", tensors(&mut view.inputs())),
        ("outputs", tensors(&mut view.outputs())),
        ("states", tensors(&mut view.states())),
        ("multiply-adds", count(view.macs())),
        ("weights", size(view.weights_bytes())),
        ("arena", format!("{} bytes, aligned to {}", view.arena_bytes(), view.arena_align())),
        ("stack", view.stack_bytes().map_or("unknown".to_owned(), |b| format!("{b} bytes"))),
        ("needs", feature::names(view.features()).collect::<Vec<_>>().join(" ")),
        ("made by", view.producer().to_owned()),
    ];
    let head = format!("{} for {}\n", view.name(), view.arch().name());
    let said = rows.iter().filter(|(_, value)| !value.is_empty());
    said.fold(head, |text, (label, value)| text + &format!("  {label:<14} {value}\n"))
}

fn tensor_text(tensor: &TensorView<'_>) -> String {
    let dims: Vec<String> = tensor.dims().iter().map(ToString::to_string).collect();
    format!("{}: {}[{}]", tensor.name(), elem_name(tensor), dims.join(","))
}

fn elem_name(tensor: &TensorView<'_>) -> &'static str {
    let elem = edgecc_ir::types::ElemType::from_onnx_code(tensor.elem() as u32);
    elem.map_or("?", edgecc_ir::types::ElemType::name)
}

fn view_json(view: &ModelView<'_>) -> Value {
    let tensor = |t: TensorView<'_>| json!({ "name": t.name(), "elem": elem_name(&t), "shape": t.dims(), "bytes": t.size_bytes() });
    json!({
        "name": view.name(),
        "producer": view.producer(),
        "arch": view.arch().name(),
        "features": feature::names(view.features()).collect::<Vec<_>>(),
        "inputs": view.inputs().map(tensor).collect::<Vec<_>>(),
        "outputs": view.outputs().map(tensor).collect::<Vec<_>>(),
        "states": view.states().map(tensor).collect::<Vec<_>>(),
        "state_bytes": view.state_bytes(),
        "macs": view.macs(),
        "weights_bytes": view.weights_bytes(),
        "arena_bytes": view.arena_bytes(),
        "arena_align": view.arena_align(),
        "stack_bytes": view.stack_bytes(),
    })
}
