//! `edgecc explain`: what an error code means, and what became of a node.

use super::Outcome;
use super::args::{self, Effort, Machine, Model};
use super::exit::Exit;
use super::host;
use super::ui::Ui;
use edgecc::code::explanations;
use edgecc::driver::{Ir, pass_options, reordering};
use edgecc::report::layer::strategy;
use edgecc::{Code, Failure, Options};
use edgecc_ir::graph::Graph;
use edgecc_ir::kernel::Kernels;
use edgecc_ir::loc::{Loc, LocId, LocTable};
use edgecc_ir::suggest;
use edgecc_ir::target::Target;
use edgecc_passes::eqsat;
use edgecc_passes::eqsat::explain::Derivation;
use edgecc_passes::manager::PassCx;
use edgecc_passes::recognise::attentions;

/// Explain an error code, or what became of a model's nodes
///
/// Instead of a model, the argument may be the code of an error or warning.
#[derive(clap::Args)]
#[command(after_help = concat!(
    "Examples:\n",
    "  edgecc explain dynamic-shape\n",
    "  edgecc explain model.onnx --node conv1\n",
    "  edgecc explain model.onnx                    every node",
))]
pub(super) struct Args {
    #[command(flatten)]
    model: Model,
    /// Show only nodes whose name contains this
    #[arg(long, value_name = "NAME", default_value = "")]
    node: String,
    #[command(flatten)]
    machine: Machine,
    #[command(flatten)]
    effort: Effort,
}

pub(super) fn run(args: &Args, ui: &Ui) -> Outcome {
    let path = &args.model.path;
    match path.to_str() {
        Some(word) if path.extension().is_none() && !path.exists() => explain_code(word, ui),
        _ => explain_nodes(args, ui),
    }
}

fn explain_code(word: &str, ui: &Ui) -> Outcome {
    let Some((name, doc)) = explanations().find(|(name, _)| *name == word) else {
        let help = suggest::help("codes", word, explanations().map(|(name, _)| name));
        let message = format!("{word:?} is neither a file nor the code of an error");
        return Err(Failure::from(Code::UnknownCode.error(message).help(help)));
    };
    ui.print(&format!("{name}: {doc}\n"));
    Ok(Exit::Ok)
}

/// What became of the nodes, level by level.
fn explain_nodes(args: &Args, ui: &Ui) -> Outcome {
    let options = args::options(&args.model, args.machine.spec(), &args.effort)?;
    let target = edgecc::target::resolve(&options.target)?;
    let (mut text, mut optimised, mut rules) = (String::new(), String::new(), String::new());
    let mut last = None;
    let mut see = |pass: &str, ir: Ir<'_>| match ir {
        Ir::Graph(graph) => {
            match (pass, last.replace(graph.clone())) {
                ("import", _) => text += &graph_text("imported as", graph, args),
                ("eqsat", Some(before)) => rules = rules_text(before, &target, &options, args),
                _ => {}
            }
            optimised = graph_text("optimised to", graph, args);
        }
        Ir::Kernels(kernels) if pass == "schedule" => {
            text += &[&rules, &optimised, &kernels_text(kernels, &target, &options, args)]
                .map(String::as_str)
                .concat();
        }
        Ir::Kernels(_) | Ir::Loops(_) => {}
    };
    host::compile(&args.model, &options, &args.effort, ui, &mut see)?;
    ui.print(&text);
    Ok(Exit::Ok)
}

fn graph_text(title: &str, graph: &Graph, args: &Args) -> String {
    let mut text = format!("{title}\n");
    for &id in &graph.order {
        let op = &graph.ops[id];
        if let Some(nodes) = wanted(&graph.locs, op.loc, args) {
            let (id, name, ty) = (id.to_string(), op.op.tag().mnemonic(), op.ty.to_string());
            text += &format!("  {id:<6} {name:<10} {ty:<24} {nodes}\n");
        }
    }
    text
}

/// Saturates once more, as the pass keeps the program only and not how it came about.
fn rules_text(mut graph: Graph, target: &Target, options: &Options, args: &Args) -> String {
    let options = pass_options(options);
    let derivations = eqsat::optimize(&mut graph, &PassCx::new(target, &options));
    let mut text = "rewritten by\n".to_owned();
    for Derivation { op, rules } in derivations.iter().filter(|d| !d.rules.is_empty()) {
        let data = &graph.ops[*op];
        if let Some(nodes) = wanted(&graph.locs, data.loc, args) {
            text += &format!("  {} to {} of {nodes}\n", rules.join(", "), data.op.tag().mnemonic());
        }
    }
    text
}

fn kernels_text(kernels: &Kernels, target: &Target, options: &Options, args: &Args) -> String {
    let mut text = "runs as\n".to_owned();
    for (call, _) in kernels.program.calls() {
        if let Some(nodes) = wanted(&kernels.locs, call.loc, args) {
            let kernel = &kernels.kernels[call.callee];
            let strategy = strategy(kernel, target, reordering(options));
            let (id, name) = (call.callee.to_string(), &kernel.name);
            text += &format!("  {id:<6} {name:<10} scheduled as {strategy:<11} {nodes}\n");
        }
    }
    text + &attentions_text(kernels, args)
}

/// Attention that did not become one kernel is three: the scores, their softmax, the weighted sum.
fn attentions_text(kernels: &Kernels, args: &Args) -> String {
    let mut text = String::new();
    for calls in attentions(kernels) {
        let is_wanted = calls.iter().any(|c| wanted(&kernels.locs, c.loc, args).is_some());
        if is_wanted {
            let [scores, softmax, sum] = calls.map(|c| c.callee);
            text += &format!("  {scores}, {softmax} and {sum} are an attention\n");
        }
    }
    text
}

/// The nodes of a place, if one of them was asked for.
fn wanted(locs: &LocTable, loc: LocId, args: &Args) -> Option<String> {
    let sources = locs[loc].sources(locs);
    let nodes: Vec<String> = sources.into_iter().map(Loc::to_string).collect();
    nodes.iter().any(|n| n.contains(&args.node)).then(|| nodes.join(", "))
}
