//! `edgecc inspect`: what is in a model or in an object that was made from one.

use super::Outcome;
use super::args::{self, Effort, Machine, Model};
use super::exit::Exit;
use super::ui::Ui;
use super::{files, host};
use edgecc::driver::{Compiled, Ir};
use edgecc::report::{count, size};
use edgecc::{Code, Failure};
use edgecc_ir::graph::Graph;
use edgecc_ir::kernel::{BufferId, Home};
use edgecc_ir::loops::{FuncId, Loops};
use edgecc_ir::program::Call;
use edgecc_rt::abi::MAGIC;
use edgecc_rt::descriptor::{ModelView, TensorView};
use edgecc_rt::feature;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Show what is in a model or an object
///
/// Of an ONNX model: tensors, tensor ops after import, work per layer, sizes for the target and
/// the map of the workspace. Of an object file, shared library or program with a compiled model
/// inside: its descriptor.
#[derive(clap::Args)]
#[command(after_help = concat!(
    "Examples:\n",
    "  edgecc inspect model.onnx --target aarch64\n",
    "  edgecc inspect model.o --json",
))]
pub(super) struct Args {
    #[command(flatten)]
    model: Model,
    #[command(flatten)]
    machine: Machine,
    #[command(flatten)]
    effort: Effort,
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
    match args.json {
        true => ui.json(&json!({
            "report": compiled.report,
            "tensor_ops": ops,
            "arena": arena_rows(&compiled.loops).iter().map(ArenaRow::json).collect::<Vec<_>>(),
        })),
        false => ui.print(&text(&compiled, &ops)),
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

fn text(compiled: &Compiled, ops: &BTreeMap<&str, usize>) -> String {
    let mut text = compiled.report.summary();
    text += "\nTensor ops after import\n ";
    ops.iter().for_each(|(name, n)| text += &format!(" {name} {n}"));
    text += "\n\nLayers                                multiply-adds\n";
    for layer in &compiled.report.layers {
        text += &format!("  {:>12}  {}\n", count(layer.macs), layer.title());
    }
    text += "\nWorkspace       offset         size  steps\n";
    for row in arena_rows(&compiled.loops) {
        text += &row.text();
    }
    text
}

/// A buffer of the workspace and the steps between which it is live.
struct ArenaRow {
    buffer: BufferId,
    offset: usize,
    bytes: usize,
    first: usize,
    last: usize,
}

impl ArenaRow {
    fn json(&self) -> Value {
        json!({
            "buffer": self.buffer.to_string(),
            "offset": self.offset,
            "bytes": self.bytes,
            "first_step": self.first,
            "last_step": self.last,
        })
    }

    fn text(&self) -> String {
        format!(
            "  {:<8} {:>11} {:>12}  {} to {}\n",
            self.buffer.to_string(),
            self.offset,
            self.bytes,
            self.first,
            self.last
        )
    }
}

/// The workspace's slots by offset.
fn arena_rows(loops: &Loops) -> Vec<ArenaRow> {
    let Some(plan) = &loops.plan else { return Vec::new() };
    let arena = loops.buffers.iter().filter(|(_, b)| b.home == Home::Arena);
    let mut rows: Vec<ArenaRow> = arena
        .filter_map(|(buffer, _)| {
            let slot = plan.slots[buffer]?;
            let (first, last) = uses(loops, buffer)?;
            Some(ArenaRow { buffer, offset: slot.offset, bytes: slot.bytes, first, last })
        })
        .collect();
    rows.sort_by_key(|r| (r.offset, r.first));
    rows
}

fn uses(loops: &Loops, buffer: BufferId) -> Option<(usize, usize)> {
    let calls = loops.program.calls();
    let used = |(call, _): &(&Call<FuncId>, u64)| call.args.iter().any(|p| p.buffer == buffer);
    let first = calls.iter().position(used)?;
    Some((first, calls.iter().rposition(used)?))
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
        ("multiply-adds", count(view.macs())),
        ("weights", size(view.weights_bytes())),
        ("arena", format!("{} bytes, aligned to {}", view.arena_bytes(), view.arena_align())),
        ("stack", view.stack_bytes().map_or("unknown".to_owned(), |b| format!("{b} bytes"))),
        ("needs", feature::names(view.features()).collect::<Vec<_>>().join(" ")),
        ("made by", view.producer().to_owned()),
    ];
    let head = format!("{} for {}\n", view.name(), view.arch().name());
    rows.iter().fold(head, |text, (label, value)| text + &format!("  {label:<14} {value}\n"))
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
        "macs": view.macs(),
        "weights_bytes": view.weights_bytes(),
        "arena_bytes": view.arena_bytes(),
        "arena_align": view.arena_align(),
        "stack_bytes": view.stack_bytes(),
    })
}
