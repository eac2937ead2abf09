//! Which nodes are needed, and in what order: names to nodes, cycles, undefined names.

use crate::code::Code;
use crate::model::{GraphDef, Node};
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::suggest;
use std::collections::{BTreeMap, BTreeSet};

/// Node positions in execution order, those that no output needs left out; `around` tells whether
/// the graphs around define a name.
pub(crate) fn execution_order(
    graph: &GraphDef,
    around: &dyn Fn(&str) -> bool,
) -> Result<Vec<usize>, Vec<Diagnostic>> {
    let mut problems = Vec::new();
    let producers = producers(graph, &mut problems);
    let needed = needed(graph, &producers);
    check_defined(graph, &producers, &needed, around, &mut problems);
    if !problems.is_empty() {
        return Err(problems);
    }
    sort(graph, &producers, &needed).map_err(|cycle| vec![cycle])
}

/// How a node is named in diagnostics that have no opset at hand.
pub(crate) fn describe(index: usize, node: &Node) -> String {
    format!("node #{index} {:?} ({})", node.name, node.op_type)
}

/// The node behind each name, `None` for inputs and initializers.
type Producers<'a> = BTreeMap<&'a str, Option<usize>>;

fn producers<'a>(graph: &'a GraphDef, problems: &mut Vec<Diagnostic>) -> Producers<'a> {
    let mut producers = Producers::new();
    let mut inputs = BTreeSet::new();
    for input in &graph.inputs {
        if !inputs.insert(input.name.as_str()) {
            problems.push(duplicate(&input.name, "two graph inputs have it"));
        }
    }
    let initializers = graph.initializers.iter().map(|t| t.name.as_str());
    for name in initializers.chain(graph.sparse.iter().map(String::as_str)) {
        if producers.insert(name, None).is_some() {
            problems.push(duplicate(name, "two initializers have it"));
        }
    }
    producers.extend(inputs.into_iter().map(|name| (name, None)));
    for (index, node) in graph.nodes.iter().enumerate() {
        for name in node.outputs.iter().filter(|name| !name.is_empty()) {
            if producers.insert(name, Some(index)).is_some() {
                let problem = duplicate(name, "the result of a node repeats it");
                problems.push(problem.at(describe(index, node)));
            }
        }
    }
    producers
}

fn duplicate(name: &str, why: &str) -> Diagnostic {
    Code::DuplicateName.error(format!("the name {name:?} is defined twice")).note(why)
}

fn needed(graph: &GraphDef, producers: &Producers<'_>) -> Vec<bool> {
    let mut needed = vec![false; graph.nodes.len()];
    let mut names: Vec<&str> = graph.outputs.iter().map(|o| o.name.as_str()).collect();
    while let Some(name) = names.pop() {
        let Some(&Some(node)) = producers.get(name) else { continue };
        if !std::mem::replace(&mut needed[node], true) {
            names.extend(graph.nodes[node].reads());
        }
    }
    needed
}

fn check_defined(
    graph: &GraphDef,
    producers: &Producers<'_>,
    needed: &[bool],
    around: &dyn Fn(&str) -> bool,
    problems: &mut Vec<Diagnostic>,
) {
    let undefined = |name: &str| !name.is_empty() && !producers.contains_key(name) && !around(name);
    let missing = |name: &str| {
        let known = producers.keys().copied();
        Code::MissingInitializer
            .error(format!("nothing defines the value {name:?}"))
            .help(suggest::help("values", name, known))
    };
    for (index, node) in graph.nodes.iter().enumerate().filter(|(index, _)| needed[*index]) {
        for name in node.reads().filter(|name| undefined(name)) {
            problems.push(missing(name).at(describe(index, node)));
        }
    }
    for output in graph.outputs.iter().filter(|o| o.name.is_empty() || undefined(&o.name)) {
        problems.push(missing(&output.name).at(format!("graph output {:?}", output.name)));
    }
}

/// Kahn's algorithm; among ready nodes the first in the file is next.
fn sort(
    graph: &GraphDef,
    producers: &Producers<'_>,
    needed: &[bool],
) -> Result<Vec<usize>, Diagnostic> {
    let mut users: Vec<Vec<usize>> = vec![Vec::new(); graph.nodes.len()];
    let mut waiting = vec![0usize; graph.nodes.len()];
    let live: Vec<usize> = (0..graph.nodes.len()).filter(|&n| needed[n]).collect();
    for &node in &live {
        for source in sources(&graph.nodes[node], producers) {
            users[source].push(node);
            waiting[node] += 1;
        }
    }
    let mut ready: BTreeSet<usize> = live.iter().copied().filter(|&n| waiting[n] == 0).collect();
    let mut order = Vec::with_capacity(live.len());
    while let Some(node) = ready.pop_first() {
        order.push(node);
        for &user in &users[node] {
            waiting[user] -= 1;
            if waiting[user] == 0 {
                ready.insert(user);
            }
        }
    }
    if order.len() == live.len() {
        return Ok(order);
    }
    Err(cycle(graph, producers, &waiting))
}

fn sources<'a>(node: &'a Node, producers: &'a Producers<'_>) -> impl Iterator<Item = usize> + 'a {
    node.reads().filter_map(|name| producers.get(name).copied().flatten())
}

/// Follows unfinished producers from any unfinished node until one repeats.
fn cycle(graph: &GraphDef, producers: &Producers<'_>, waiting: &[usize]) -> Diagnostic {
    let stuck = |n: &usize| waiting[*n] > 0;
    let mut path: Vec<usize> = (0..graph.nodes.len()).filter(stuck).take(1).collect();
    let mut next = path.first().copied();
    while let Some(node) = next {
        next = sources(&graph.nodes[node], producers).find(stuck);
        let Some(source) = next else { break };
        if let Some(start) = path.iter().position(|&n| n == source) {
            path.drain(..start);
            break;
        }
        path.push(source);
    }
    let names: Vec<String> = path.iter().take(8).map(|&n| describe(n, &graph.nodes[n])).collect();
    let problem = Code::Cycle.error(format!("{} nodes depend on their own results", path.len()));
    problem.note(format!("each needs the next: {}", names.join(", ")))
}
