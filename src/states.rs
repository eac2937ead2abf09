//! From the user's pairs of names to states of a graph.

use crate::code::Code;
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::graph::{Graph, Output};
use edgecc_ir::kernel::Port;
use edgecc_ir::state::State;
use edgecc_ir::suggest;
use edgecc_ir::tensor::Tensor;
use std::collections::{BTreeMap, BTreeSet};

/// The states in the order of their inputs; every problem with the pairs is found.
pub(crate) fn resolve(
    graph: &Graph,
    pairs: &BTreeMap<String, String>,
    defaults: &[(String, Tensor)],
) -> Result<Vec<State>, Vec<Diagnostic>> {
    let (inputs, outputs) = (&graph.inputs, &output_ports(graph));
    let (mut states, mut problems, mut taken) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (from, to) in pairs {
        let (input, output) = (find("input", from, inputs), find("output", to, outputs));
        match (input, output) {
            (Ok(input), Ok(output)) => {
                let initial = defaults.iter().find(|(name, _)| name == from).map(|(_, t)| t);
                problems.extend(misfit(&inputs[input], &outputs[output], initial));
                if !taken.insert(output) {
                    let message = format!("the output {to:?} is bound to two states");
                    problems.push(Code::BadState.error(message));
                }
                let (input, output) = (input as u32, output as u32);
                states.push(State { input, output, initial: initial.cloned() });
            }
            (input, output) => problems.extend([input.err(), output.err()].into_iter().flatten()),
        }
    }
    states.sort_by_key(|state| state.input);
    if problems.is_empty() { Ok(states) } else { Err(problems) }
}

fn output_ports(graph: &Graph) -> Vec<Port> {
    let port = |o: &Output| Port { name: o.name.clone(), ty: graph.ty(o.value).clone() };
    graph.outputs.iter().map(port).collect()
}

fn find(what: &str, name: &str, ports: &[Port]) -> Result<usize, Diagnostic> {
    ports.iter().position(|port| port.name == name).ok_or_else(|| {
        let names = ports.iter().map(|port| port.name.as_str());
        let message = format!("--state names {name:?}, which is no {what} of the model");
        Code::UnknownState.error(message).help(suggest::help(&format!("{what}s"), name, names))
    })
}

/// What is wrong with a pair: the output takes the place of the input, so the types are equal.
fn misfit(input: &Port, output: &Port, initial: Option<&Tensor>) -> Option<Diagnostic> {
    let (from, to) = (&input.name, &output.name);
    if input.ty != output.ty {
        let message = format!("{from:?} is {}, {to:?} is {}", input.ty, output.ty);
        return Some(Code::BadState.error(message).note("a state keeps its type from run to run"));
    }
    let initial = initial.filter(|tensor| tensor.ty != input.ty)?;
    let message = format!("{from:?} is {}, its initializer is {}", input.ty, initial.ty);
    Some(Code::BadState.error(message))
}

#[cfg(test)]
mod tests {
    use super::resolve;
    use edgecc_ir::graph::build::GraphBuilder;
    use edgecc_ir::types::{ElemType, TensorType};
    use std::collections::BTreeMap;

    /// What is said about binding pairs of a graph with inputs `x`, `h` and outputs `y`, `h_out`.
    fn problems(pairs: &[(&str, &str)]) -> Vec<String> {
        let mut b = GraphBuilder::new("m");
        let x = b.input("x", TensorType::new(ElemType::F32, &[4]));
        let h = b.input("h", TensorType::new(ElemType::F32, &[2]));
        b.output("y", x);
        b.output("h_out", h);
        let pairs: BTreeMap<String, String> =
            pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        let found = resolve(&b.finish(), &pairs, &[]).err().unwrap_or_default();
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn pairs_of_equal_type_are_states() {
        assert!(problems(&[("h", "h_out")]).is_empty());
    }

    #[test]
    fn wrong_names_and_types_are_all_reported() {
        let found = problems(&[("H2", "h_ou"), ("h", "y"), ("x", "y")]);
        assert_eq!(found.len(), 4, "{found:?}");
        assert!(found[0].contains("no input") && found[0].contains("did you mean \"h\"?"));
        assert!(found[1].contains("no output") && found[1].contains("did you mean \"h_out\"?"));
        assert!(found[2].contains("\"h\" is f32[2], \"y\" is f32[4]"));
        assert!(found[3].contains("two states"));
    }
}
