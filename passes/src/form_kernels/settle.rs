//! Simplifies the stages of a kernel among themselves: values that are used once or are cheap are
//! computed where they are used, maps of a reduced value become its epilogue, and what a whole row
//! shares is computed once.

use super::lift::lift_one;
use crate::graph::simplify::simplify;
use cranelift_entity::{PrimaryMap, SecondaryMap};
use edgecc_ir::affine::Affine;
use edgecc_ir::kernel::{Access, AxisId, Index, Kernel, OperandId, Role, Stage};
use edgecc_ir::scalar::func::{Accuracy, ScalarFn};
use edgecc_ir::scalar::{ScalarExpr, ScalarNode};
use edgecc_ir::types::ElemType;
use indexmap::IndexSet;

/// Calls of a body that several stages compute rather than keep its row.
const CHEAP: usize = 4;

/// Brings the stages into their simplest form.
pub(super) fn settle(kernel: &mut Kernel) {
    while inline_one(kernel) || fold_one(kernel) || lift_one(kernel) {}
    if kernel.stages.len() == 1 {
        kernel.rows.clear();
    }
    drop_unused_locals(kernel);
}

/// The stage that writes a local, if it is one.
fn writer(kernel: &Kernel, local: OperandId) -> Option<usize> {
    let mut writers = (0..kernel.stages.len()).filter(|&n| kernel.stages[n].write.operand == local);
    writers.next().filter(|_| writers.next().is_none())
}

fn readers(kernel: &Kernel, local: OperandId) -> Vec<usize> {
    let reads = |&n: &usize| kernel.stages[n].all_reads().any(|a| a.operand == local);
    (0..kernel.stages.len()).filter(reads).collect()
}

fn locals(kernel: &Kernel) -> Vec<OperandId> {
    let local = kernel.operands.iter().filter(|(_, o)| o.role == Role::Local);
    local.map(|(id, _)| id).collect()
}

/// The axes of a stage inside the row axes.
pub(super) fn inner<'k>(kernel: &'k Kernel, stage: &'k Stage) -> &'k [AxisId] {
    &stage.axes[kernel.rows.len()..]
}

/// Replaces one local by its definition in all stages that read it.
fn inline_one(kernel: &mut Kernel) -> bool {
    locals(kernel).into_iter().any(|local| try_inline(kernel, local).is_some())
}

fn try_inline(kernel: &mut Kernel, local: OperandId) -> Option<()> {
    let from = writer(kernel, local)?;
    let producer = kernel.stages[from].clone();
    let users = readers(kernel, local);
    if producer.reduce.is_some() || users.len() > 1 && !is_cheap(&producer) {
        return None;
    }
    let inlined: Option<Vec<Stage>> =
        users.iter().map(|&n| inline(kernel, &producer, &kernel.stages[n])).collect();
    for (n, stage) in users.into_iter().zip(inlined?) {
        kernel.stages[n] = tidy(kernel, stage);
    }
    kernel.stages.remove(from);
    Some(())
}

/// Whether computing a value again costs about what loading it costs.
fn is_cheap(stage: &Stage) -> bool {
    let simple = |node: &ScalarNode| match node {
        ScalarNode::Call(func, _) => !is_costly(*func),
        ScalarNode::Lookup(..) => false,
        ScalarNode::Param(_) | ScalarNode::Const(_) | ScalarNode::Cast(..) => true,
    };
    stage.lookups().next().is_none()
        && stage.body.cost() <= CHEAP
        && stage.body.nodes().iter().all(simple)
}

/// Whether a function takes many instructions or one slow one.
pub(super) fn is_costly(func: ScalarFn) -> bool {
    func.info().accuracy != Accuracy::Exact || matches!(func, ScalarFn::Div | ScalarFn::Sqrt)
}

/// The stage with the body of `producer` in place of its reads of the producer's result.
fn inline(kernel: &Kernel, producer: &Stage, stage: &Stage) -> Option<Stage> {
    let local = producer.write.operand;
    if stage.epilogue_reads.iter().any(|r| r.operand == local) {
        return None;
    }
    let mut reads: Vec<Access> = Vec::new();
    let mut places = Vec::new();
    for read in &stage.reads {
        places.push(reads.len() as u32);
        match read.operand == local {
            true => reads.extend(moved_reads(kernel, producer, stage, read)?),
            false => reads.push(read.clone()),
        }
    }
    let body = stage.body.substitute(reads.len() as u32, |b, p| {
        let (at, read) = (places[p as usize], &stage.reads[p as usize]);
        match read.operand == local {
            true => b.inline(&producer.body, |b, q| b.param(at + q)),
            false => b.param(at),
        }
    });
    Some(Stage { reads, body, ..stage.clone() })
}

/// The producer's reads at the point that `read` reads, where both stages run through the row alike.
fn moved_reads(
    kernel: &Kernel,
    producer: &Stage,
    stage: &Stage,
    read: &Access,
) -> Option<Vec<Access>> {
    let (theirs, ours) = (inner(kernel, producer), inner(kernel, stage));
    let (written, wanted) = (producer.write.index[0].affine()?, read.index[0].affine()?);
    if theirs.len() != ours.len() {
        return None;
    }
    let mut renamed: SecondaryMap<AxisId, Option<AxisId>> = SecondaryMap::new();
    for &axis in theirs {
        let step = written.coefficient(axis);
        let same = |a: &&AxisId| {
            wanted.coefficient(**a) == step && kernel.extent(**a) == kernel.extent(axis)
        };
        renamed[axis] = Some(*ours.iter().find(same)?);
    }
    let rename = |i: &Affine<AxisId>| i.substitute(|a| Affine::var(renamed[a].unwrap_or(a)));
    if rename(written) != *wanted {
        return None;
    }
    let moved = |access: &Access| {
        let mut access = access.clone();
        for affine in access.index.iter_mut().flat_map(Index::affines_mut) {
            *affine = rename(affine);
        }
        access
    };
    Some(producer.reads.iter().map(moved).collect())
}

/// Makes one map of a reduced value that nothing else reads the epilogue of the reduction.
fn fold_one(kernel: &mut Kernel) -> bool {
    locals(kernel).into_iter().any(|local| try_fold(kernel, local).is_some())
}

fn try_fold(kernel: &mut Kernel, local: OperandId) -> Option<()> {
    let from = writer(kernel, local)?;
    let users = readers(kernel, local);
    let &[user] = users.as_slice() else { return None };
    let (producer, map) = (&kernel.stages[from], &kernel.stages[user]);
    let scalar = kernel.parallel_axes(producer).count() == kernel.rows.len();
    if !scalar || producer.reduce.is_none() || map.axes != kernel.rows || map.reduce.is_some() {
        return None;
    }
    let stage = tidy(kernel, fold(producer, map));
    kernel.stages[user] = stage;
    kernel.stages.remove(from);
    Some(())
}

/// `map` as the epilogue of `producer`.
fn fold(producer: &Stage, map: &Stage) -> Stage {
    let local = producer.write.operand;
    let old = producer.epilogue_reads.len() as u32;
    let others: Vec<&Access> = map.reads.iter().filter(|r| r.operand != local).collect();
    let mut next = old;
    let places: Vec<Option<u32>> = map
        .reads
        .iter()
        .map(|read| {
            (read.operand != local).then(|| {
                next += 1;
                next
            })
        })
        .collect();
    let epilogue =
        map.body.substitute(1 + old + others.len() as u32, |b, p| match places[p as usize] {
            Some(place) => b.param(place),
            None => b.inline(&producer.epilogue, |b, q| b.param(q)),
        });
    let epilogue_reads = producer.epilogue_reads.iter().chain(others).cloned().collect();
    Stage { epilogue, epilogue_reads, write: map.write.clone(), ..producer.clone() }
}

/// The stage with each access read once, and simplified functions.
pub(super) fn tidy(kernel: &Kernel, stage: Stage) -> Stage {
    let elem = |a: &Access| kernel.elem(a);
    let (body, reads) = unique(&stage.body, &[], &stage.reads, elem);
    let types: Vec<ElemType> = reads.iter().map(elem).collect();
    let acc = body.infer(&types).expect("K4: bodies type-check");
    let (epilogue, epilogue_reads) = unique(&stage.epilogue, &[acc], &stage.epilogue_reads, elem);
    Stage { body, reads, epilogue, epilogue_reads, ..stage }
}

/// The function with one parameter per different access that it uses, after the `leading` ones.
fn unique(
    expr: &ScalarExpr,
    leading: &[ElemType],
    reads: &[Access],
    elem: impl Fn(&Access) -> ElemType,
) -> (ScalarExpr, Vec<Access>) {
    let types: Vec<ElemType> = leading.iter().copied().chain(reads.iter().map(&elem)).collect();
    let expr = simplify(expr, &types);
    let access = |p: &u32| (*p as usize).checked_sub(leading.len()).map(|at| &reads[at]);
    let used = expr.nodes().iter().filter_map(|node| match node {
        ScalarNode::Param(p) => access(p),
        ScalarNode::Const(_)
        | ScalarNode::Cast(..)
        | ScalarNode::Call(..)
        | ScalarNode::Lookup(..) => None,
    });
    let kept: IndexSet<&Access> = used.collect();
    let params = (leading.len() + kept.len()) as u32;
    let expr = expr.substitute(params, |b, p| match access(&p) {
        None => b.param(p),
        Some(read) => {
            let at = kept.get_index_of(read).expect("used accesses are kept");
            b.param((leading.len() + at) as u32)
        }
    });
    let types: Vec<ElemType> =
        leading.iter().copied().chain(kept.iter().map(|r| elem(r))).collect();
    (simplify(&expr, &types), kept.into_iter().cloned().collect())
}

fn drop_unused_locals(kernel: &mut Kernel) {
    let used: Vec<OperandId> = kernel.stages.iter().map(|s| s.write.operand).collect();
    let mut renamed: SecondaryMap<OperandId, Option<OperandId>> = SecondaryMap::new();
    let mut operands = PrimaryMap::new();
    for (id, operand) in &kernel.operands {
        if operand.role != Role::Local || used.contains(&id) {
            renamed[id] = Some(operands.push(operand.clone()));
        }
    }
    kernel.operands = operands;
    let renamed = |operand: OperandId| renamed[operand].expect("used operands stay");
    let rename = |access: &mut Access| {
        access.operand = renamed(access.operand);
        for index in &mut access.index {
            if let Index::Lookup(lookup) = index {
                lookup.operand = renamed(lookup.operand);
            }
        }
    };
    for stage in &mut kernel.stages {
        let Stage { reads, epilogue_reads, write, .. } = stage;
        reads.iter_mut().chain(epilogue_reads).chain([write]).for_each(rename);
    }
}
