//! Removes values that reach no store, and blocks that are left empty.

use cranelift_entity::{PrimaryMap, SecondaryMap};
use edgecc_ir::loops::walk::{
    each_index_used, each_stmt, inner_block_mut, map_definitions, map_uses, operands,
};
use edgecc_ir::loops::{Block, IndexId, LoopFn, Stmt, VType, ValueId};
use smallvec::{SmallVec, smallvec};

pub(super) fn remove_dead_values(func: &mut LoopFn) {
    let values = live_values(func);
    let indices = live_indices(func, &values);
    sweep(&mut func.body, &Live { values, indices });
    renumber(func);
}

/// What stays.
struct Live {
    values: SecondaryMap<ValueId, bool>,
    indices: SecondaryMap<IndexId, bool>,
}

/// The values that reach a store, also through an address.
fn live_values(func: &LoopFn) -> SecondaryMap<ValueId, bool> {
    let mut computed: SecondaryMap<IndexId, Option<ValueId>> = SecondaryMap::new();
    let mut needs: SecondaryMap<ValueId, SmallVec<[ValueId; 4]>> = SecondaryMap::new();
    let mut pending: Vec<ValueId> = Vec::new();
    each_stmt(&func.body, &mut |stmt| {
        let mut addressed: SmallVec<[ValueId; 4]> = SmallVec::new();
        each_index_used(stmt, |index| addressed.extend(computed[index]));
        match stmt {
            Stmt::Let { value, expr } => {
                addressed.extend(operands(expr));
                needs[*value] = addressed;
            }
            Stmt::Store { value, .. } => {
                pending.push(*value);
                pending.extend(addressed);
            }
            Stmt::Prefetch { .. } | Stmt::Matrix(_) => pending.extend(addressed),
            Stmt::Index { index, value } => computed[*index] = Some(*value),
            Stmt::For { carried, .. } => {
                for c in carried {
                    needs[c.inner] = smallvec![c.init, c.next];
                    needs[c.result] = smallvec![c.inner];
                }
            }
            Stmt::If { results, .. } => {
                pending.extend(addressed);
                for r in results {
                    needs[r.result] = smallvec![r.then, r.otherwise];
                }
            }
        }
    });
    let mut live: SecondaryMap<ValueId, bool> = SecondaryMap::new();
    while let Some(value) = pending.pop() {
        if !std::mem::replace(&mut live[value], true) {
            pending.extend(&needs[value]);
        }
    }
    live
}

/// The indices that what stays reads.
fn live_indices(
    func: &LoopFn,
    values: &SecondaryMap<ValueId, bool>,
) -> SecondaryMap<IndexId, bool> {
    let mut live: SecondaryMap<IndexId, bool> = SecondaryMap::new();
    each_stmt(&func.body, &mut |stmt| {
        if !matches!(stmt, Stmt::Let { value, .. } if !values[*value]) {
            each_index_used(stmt, |index| live[index] = true);
        }
    });
    live
}

fn sweep(block: &mut Block, live: &Live) {
    block.retain_mut(|stmt| {
        if let Some(inner) = inner_block_mut(stmt) {
            sweep(inner, live);
        }
        match stmt {
            Stmt::Let { value, .. } => live.values[*value],
            Stmt::Index { index, .. } => live.indices[*index],
            Stmt::Store { .. } | Stmt::Prefetch { .. } | Stmt::Matrix(_) => true,
            Stmt::For { carried, body, .. } => {
                carried.retain(|c| live.values[c.inner]);
                !(carried.is_empty() && body.is_empty())
            }
            Stmt::If { then, results, .. } => {
                results.retain(|r| live.values[r.result]);
                !(results.is_empty() && then.is_empty())
            }
        }
    });
}

/// Numbers the values in the order of their definitions.
fn renumber(func: &mut LoopFn) {
    let old = std::mem::take(&mut func.values);
    let mut names: SecondaryMap<ValueId, Option<ValueId>> = SecondaryMap::new();
    rename_definitions(&mut func.body, &old, &mut func.values, &mut names);
    rename_uses(&mut func.body, &names);
}

fn rename_definitions(
    block: &mut Block,
    old: &PrimaryMap<ValueId, VType>,
    new: &mut PrimaryMap<ValueId, VType>,
    names: &mut SecondaryMap<ValueId, Option<ValueId>>,
) {
    for stmt in block {
        map_definitions(stmt, |v| {
            let name = new.push(old[v]);
            names[v] = Some(name);
            name
        });
        if let Some(inner) = inner_block_mut(stmt) {
            rename_definitions(inner, old, new, names);
        }
    }
}

fn rename_uses(block: &mut Block, names: &SecondaryMap<ValueId, Option<ValueId>>) {
    for stmt in block {
        map_uses(stmt, |v| names[v].expect("L1: uses are defined"));
        if let Some(inner) = inner_block_mut(stmt) {
            rename_uses(inner, names);
        }
    }
}
