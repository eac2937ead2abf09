//! Activations between codes: what one code of 8 bits becomes is looked up in a table.
//!
//! A function that compiled code approximates is a table on every target, so that all give the same
//! codes; exact ones are tables where that is faster.

use super::canonicalize::canonical;
use super::rebuild::{Rebuild, rebuild};
use crate::codes::tables::{Way, looked_up};
use crate::manager::{Pass, PassCx};
use edgecc_ir::graph::ops::{Conv, Map, MatMul, Op, sum_elem};
use edgecc_ir::graph::{Graph, OpId};
use edgecc_ir::scalar::ScalarExpr;
use edgecc_ir::scalar::table::BYTE_LANES;
use edgecc_ir::target::Target;
use edgecc_ir::types::ElemType;

/// The pass.
pub const PASS: Pass<Graph> =
    Pass { name: "tables", doc: "looks up codes that are functions of one other code", run };

fn run(graph: &mut Graph, cx: &PassCx<'_>) {
    rebuild(graph, |new, data, args| {
        let op = with_tables(new, &data.op, args, cx.target);
        canonical(new, &op, args)
    });
}

fn with_tables(new: &Rebuild, op: &Op, args: &[OpId], target: &Target) -> Op {
    let elem = |arg: &OpId| new.ty(*arg).elem;
    let epilogue = |expr: &ScalarExpr| {
        let sum = sum_elem(elem(&args[0]));
        let params: Vec<ElemType> = [sum].into_iter().chain(args[2..].iter().map(elem)).collect();
        looked_up(expr, &params, |way| pays(way, target))
    };
    match op {
        Op::Map(map) => {
            let params: Vec<ElemType> = args.iter().map(elem).collect();
            Map { body: looked_up(&map.body, &params, |way| pays(way, target)) }.into()
        }
        Op::Conv(conv) => Conv { epilogue: epilogue(&conv.epilogue), ..conv.clone() }.into(),
        Op::MatMul(op) => MatMul { epilogue: epilogue(&op.epilogue), ..op.clone() }.into(),
        op => op.clone(),
    }
}

/// Whether a lookup is faster, or makes targets agree.
fn pays(way: &Way, target: &Target) -> bool {
    let lanes = target.lanes(4);
    let codes = if way.is_whole || target.narrows { BYTE_LANES } else { lanes };
    way.has_table || !way.is_exact || way.work as u32 * codes > target.lookup * lanes
}
