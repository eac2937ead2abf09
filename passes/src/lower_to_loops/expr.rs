//! Scalar expressions over values of a tile.

use edgecc_ir::loops::ValueId;
use edgecc_ir::loops::build::LoopBuilder;
use edgecc_ir::scalar::{ScalarExpr, ScalarNode};
use edgecc_ir::target::Target;
use edgecc_ir::types::ElemType;

/// Emits `expr` over `args`; literals get `lanes` lanes.
pub(crate) fn emit(b: &mut LoopBuilder, expr: &ScalarExpr, args: &[ValueId], lanes: u8) -> ValueId {
    values(b, expr.nodes(), args, lanes)[expr.root() as usize]
}

/// The same, where the target may multiply and add at once.
pub(super) fn emit_contracted(
    b: &mut LoopBuilder,
    target: &Target,
    expr: &ScalarExpr,
    args: &[ValueId],
    lanes: u8,
) -> ValueId {
    if !target.fma {
        return emit(b, expr, args, lanes);
    }
    let types: Vec<ElemType> = args.iter().map(|&a| b.ty(a).elem).collect();
    emit(b, &expr.contracted(&types), args, lanes)
}

/// Emits the first nodes of an expression; one value each.
pub(super) fn values(
    b: &mut LoopBuilder,
    nodes: &[ScalarNode],
    args: &[ValueId],
    lanes: u8,
) -> Vec<ValueId> {
    let mut values: Vec<ValueId> = Vec::with_capacity(nodes.len());
    for node in nodes {
        let value = match node {
            ScalarNode::Param(p) => args[*p as usize],
            ScalarNode::Const(c) => b.constant(*c, lanes),
            ScalarNode::Cast(to, a) if b.ty(values[*a as usize]).elem == *to => values[*a as usize],
            ScalarNode::Cast(to, a) => b.cast(*to, values[*a as usize]),
            ScalarNode::Lookup(table, a) => b.lookup(table.clone(), values[*a as usize]),
            ScalarNode::Call(func, operands) => {
                let operands: Vec<ValueId> = operands.iter().map(|&a| values[a as usize]).collect();
                b.apply(*func, &operands)
            }
        };
        values.push(value);
    }
    values
}
