//! A graph in the language of Graphviz.

use edgecc_ir::graph::{Graph, OpData, OpId};
use std::fmt::Write;

/// A node per op with its type, an edge per operand; constants are grey, inputs and outputs boxes.
pub(super) fn dot(graph: &Graph) -> String {
    let mut dot = format!("digraph {} {{\n  node [shape=ellipse fontsize=10];\n", graph.name);
    for &id in &graph.order {
        node(&mut dot, graph, id);
    }
    for output in &graph.outputs {
        let (name, value) = (quoted(&output.name), output.value);
        let _ = writeln!(dot, "  {name} [shape=box];\n  {value} -> {name};");
    }
    dot + "}\n"
}

fn node(dot: &mut String, graph: &Graph, id: OpId) {
    let OpData { op, args, ty, .. } = &graph.ops[id];
    let mnemonic = op.tag().mnemonic();
    let style = match graph.as_const(id) {
        Some(_) => " style=filled fillcolor=lightgrey",
        None if args.is_empty() => " shape=box",
        None => "",
    };
    let label = quoted(&format!("{mnemonic}\\n{ty}"));
    let _ = writeln!(dot, "  {id} [label={label}{style}];");
    for arg in args {
        let _ = writeln!(dot, "  {arg} -> {id};");
    }
}

/// A string of the language; `\\n` stays a line break.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::dot;
    use edgecc_ir::graph::build::GraphBuilder;
    use edgecc_ir::types::{ElemType, TensorType};

    #[test]
    fn nodes_and_edges_are_listed() {
        let mut b = GraphBuilder::new("m");
        let x = b.input("x", TensorType::new(ElemType::F32, &[4]));
        b.output("y:0", x);
        let text = dot(&b.finish());
        assert!(text.starts_with("digraph m {"), "{text}");
        assert!(text.contains("[label=\"input\\nf32[4]\" shape=box];"), "{text}");
        assert!(text.contains(" -> \"y:0\";"), "{text}");
    }
}
