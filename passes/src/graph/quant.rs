//! Says which sums of products of a quantised model stay in `f32`, and why.

use crate::manager::{Pass, PassCx};
use edgecc_ir::graph::ops::Op;
use edgecc_ir::graph::{Graph, OpId};
use edgecc_ir::loc::Loc;

/// The pass.
pub const PASS: Pass<Graph> =
    Pass { name: "quant", doc: "says what stays in f32 in a quantised model", run };

fn run(graph: &mut Graph, cx: &PassCx<'_>) {
    if is_quantised(graph) {
        stays(graph).into_iter().for_each(|message| cx.remark(PASS.name, message));
    }
}

/// Whether any op makes or takes codes.
fn is_quantised(graph: &Graph) -> bool {
    graph.order.iter().any(|&id| match &graph.ops[id].op {
        Op::Quantize(_) | Op::Dequantize(_) | Op::Requantize(_) => true,
        Op::Conv(_) | Op::MatMul(_) => !is_float(graph, graph.ops[id].args[0]),
        _ => false,
    })
}

/// A sentence for each sum of products of floats.
fn stays(graph: &Graph) -> Vec<String> {
    let products = graph.order.iter().filter(|&&id| {
        let data = &graph.ops[id];
        matches!(data.op, Op::Conv(_) | Op::MatMul(_)) && is_float(graph, data.args[0])
    });
    let say = |&id: &OpId| {
        let [first, second] = [0, 1].map(|n| origin(graph, graph.ops[id].args[n]));
        format!(
            "{} multiplies in f32: its first factor {first}, its second {second}",
            at(graph, id)
        )
    };
    products.map(say).collect()
}

fn is_float(graph: &Graph, id: OpId) -> bool {
    graph.ty(id).elem.is_float()
}

/// Where a factor comes from: behind ops that move elements only.
fn origin(graph: &Graph, id: OpId) -> String {
    let data = &graph.ops[id];
    match &data.op {
        Op::Transpose(_) | Op::Reshape(_) | Op::Slice(_) | Op::Broadcast(_) | Op::Pad(_) => {
            origin(graph, data.args[0])
        }
        Op::Const(_) => "is a constant".to_owned(),
        Op::Input(_) => "is an input".to_owned(),
        Op::Dequantize(_) => "is dequantised".to_owned(),
        op => format!("is a `{}` of {}", op.tag().mnemonic(), at(graph, id)),
    }
}

/// The model's node that an op computes, with those fused into it left out.
fn at(graph: &Graph, id: OpId) -> String {
    const ABOUT_CODES: [&str; 3] = ["QuantizeLinear", "DequantizeLinear", "initializer"];
    let loc = &graph.locs[graph.ops[id].loc];
    let sources = loc.sources(&graph.locs);
    let computes = |loc: &&&Loc| match loc {
        Loc::Source { kind, .. } => !ABOUT_CODES.contains(&kind.as_str()),
        Loc::Unknown | Loc::Text { .. } | Loc::Fused(_) | Loc::Derived(..) => true,
    };
    sources.iter().find(computes).map_or_else(|| loc.to_string(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::stays;
    use edgecc_ir::text::parse_graph;

    #[test]
    fn a_product_with_a_factor_in_f32_says_so() {
        let graph = parse_graph(
            "graph @g (%0 \"q\": f32[2,3], %1 \"k\": i8[3,4]) -> (%5 \"y\") {
              %2 = const dense<[0.5]> : f32[]
              %3 = broadcast %2 {dims = []} : f32[3,4]
              %4 = dequantize %1, %3 {zero_point = 0} : f32[3,4]
              %5 = matmul %0, %4 : f32[2,4]
            }",
        );
        let said = stays(&graph.expect("well formed").ir);
        assert_eq!(said.len(), 1);
        assert!(
            said[0].contains("its first factor is an input, its second is dequant"),
            "{said:?}"
        );
    }
}
