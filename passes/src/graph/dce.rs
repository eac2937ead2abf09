//! Removes ops and constants that no output needs.

use super::rebuild::{live_ops, rebuild};
use crate::manager::{Pass, PassCx};
use cranelift_entity::PrimaryMap;
use edgecc_ir::graph::Graph;
use edgecc_ir::graph::ops::Op;
use edgecc_ir::kernel::ConstId;
use indexmap::IndexSet;
use std::mem::take;

/// The pass.
pub const PASS: Pass<Graph> =
    Pass { name: "dce", doc: "removes ops and constants that no output needs", run };

fn run(graph: &mut Graph, _cx: &PassCx<'_>) {
    drop_dead_constants(graph);
    rebuild(graph, |new, data, args| new.emit(data.op.clone(), args));
}

/// Renumbers the live constants in the order of their first use and drops the others.
fn drop_dead_constants(graph: &mut Graph) {
    let live = live_ops(graph);
    let used: IndexSet<ConstId> =
        live.iter().filter_map(|&id| const_id(&graph.ops[id].op)).collect();
    let mut pool: Vec<_> = take(&mut graph.consts).into_iter().map(|(_, t)| Some(t)).collect();
    let mut consts = PrimaryMap::with_capacity(used.len());
    for id in &used {
        consts.push(pool[id.as_u32() as usize].take().expect("each id occurs once"));
    }
    graph.consts = consts;
    graph.order = live;
    for &id in &graph.order {
        if let Op::Const(c) = &mut graph.ops[id].op {
            let place = used.get_index_of(&c.id).expect("collected above");
            c.id = ConstId::from_u32(place as u32);
        }
    }
}

fn const_id(op: &Op) -> Option<ConstId> {
    match op {
        Op::Const(c) => Some(c.id),
        _ => None,
    }
}
