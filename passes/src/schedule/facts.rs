//! Questions about the shape of a stage's accesses.

use super::cost;
use edgecc_ir::affine::Interval;
use edgecc_ir::graph::ops::is_code;
use edgecc_ir::kernel::{Access, AxisId, AxisKind, Kernel, Outside, Role, Stage};
use edgecc_ir::scalar::func::{Accuracy, ScalarFn};
use edgecc_ir::scalar::table::{BYTE_LANES, is_byte};
use edgecc_ir::scalar::{ScalarExpr, ScalarNode};
use edgecc_ir::target::Target;
use edgecc_ir::types::ElemType;
use std::collections::BTreeSet;

/// Instructions of a function that is approximated.
const POLYNOMIAL: u64 = 16;
/// Instructions of a lookup in a table of codes.
const LOOKUP: u64 = 16;
/// Instructions that finish the results of a tile, if copies of them are to be few.
const LARGE_EPILOGUE: u64 = 150;

/// Whether an access moves with an axis.
pub(super) fn follows(kernel: &Kernel, access: &Access, axis: AxisId) -> bool {
    kernel.stride(access, axis) != Some(0)
}

/// The parallel axis along which results are consecutive, when vectors of 32-bit elements can be
/// computed along it. The second part is the number of lanes. Codes of 8 and 16 bits may be
/// loaded, compared, converted and stored on the way; those that are looked up and nothing else come 16
/// at a time.
pub(super) fn vector_axis(
    kernel: &Kernel,
    stage: &Stage,
    target: &Target,
) -> Option<(AxisId, u32)> {
    let consecutive = |&a: &AxisId| kernel.stride(&stage.write, a) == Some(1);
    let bytes = looks_up_bytes(kernel, stage);
    let lanes = |a: AxisId| {
        let lanes = cost::best_lanes(kernel.extent(a), target)?;
        let many = bytes && kernel.extent(a) >= BYTE_LANES as usize;
        Some((a, if many { BYTE_LANES } else { lanes }))
    };
    let found = kernel.parallel_axes(stage).filter(consecutive).find_map(lanes)?;
    fits_lanes(kernel, stage).then_some(found)
}

/// Whether a stage looks up codes of 8 bits and has no other values.
fn looks_up_bytes(kernel: &Kernel, stage: &Stage) -> bool {
    let elems: Vec<ElemType> = stage.reads.iter().map(|a| kernel.elem(a)).collect();
    let types = stage.body.infer_all(&elems).unwrap_or_default();
    let looks_up = |node: &ScalarNode| matches!(node, ScalarNode::Lookup(..));
    stage.body.nodes().iter().any(looks_up)
        && stage.epilogue.is_identity()
        && types.iter().all(|&elem| is_byte(elem))
}

/// One clause for each axis: stages that share an axis are alike.
pub(super) fn distinct(clauses: impl Iterator<Item = (AxisId, u32)>) -> Vec<(AxisId, u32)> {
    let mut known = BTreeSet::new();
    clauses.filter(|clause| known.insert(clause.0)).collect()
}

/// Whether every value of the stage fits lanes of 32 bits.
pub(super) fn fits_lanes(kernel: &Kernel, stage: &Stage) -> bool {
    let elem = |a: &Access| kernel.elem(a);
    let body: Vec<ElemType> = stage.reads.iter().map(elem).collect();
    let Some(acc) = stage.body.infer(&body) else { return false };
    let epilogue: Vec<ElemType> =
        [acc].into_iter().chain(stage.epilogue_reads.iter().map(elem)).collect();
    is_wide(&stage.body, &body) && is_wide(&stage.epilogue, &epilogue)
}

/// Whether an expression computes in 32 bits; narrower integers are converted or compared only, and
/// `f16` is converted only.
fn is_wide(expr: &ScalarExpr, params: &[ElemType]) -> bool {
    let elems = expr.infer_all(params).unwrap_or_default();
    let is_wide = |e: ElemType| matches!(e, ElemType::F32 | ElemType::I32 | ElemType::U32);
    let nodes = expr.nodes().iter().zip(&elems).all(|(node, &elem)| match node {
        ScalarNode::Param(_) if elem == ElemType::Bool => false,
        _ if is_wide(elem) || elem == ElemType::Bool => true,
        ScalarNode::Param(_) | ScalarNode::Cast(..) if elem == ElemType::F16 => true,
        ScalarNode::Param(_) | ScalarNode::Const(_) | ScalarNode::Cast(..) => is_code(elem),
        ScalarNode::Call(func, _) => {
            is_code(elem) && matches!(func, ScalarFn::Min | ScalarFn::Max | ScalarFn::Select)
        }
        ScalarNode::Lookup(..) => true,
    });
    nodes && elems.last().is_some_and(|&e| is_wide(e) || is_code(e) || e == ElemType::F16)
}

/// What both factors read when the stage sums products.
pub(super) fn product_sum(stage: &Stage) -> Option<[Vec<&Access>; 2]> {
    let reads = |side: Vec<usize>| side.into_iter().map(|n| &stage.reads[n]).collect();
    stage.sides().map(|sides| sides.map(reads))
}

/// Whether an access reads a constant, which may be stored in any order: at places known now.
pub(super) fn is_const(kernel: &Kernel, access: &Access) -> bool {
    kernel.operands[access.operand].role == Role::Const && access.lookups().next().is_none()
}

/// Instructions for one element or vector.
pub(crate) fn instructions(expr: &ScalarExpr) -> u64 {
    let cost = |node: &ScalarNode| match node {
        ScalarNode::Call(func, _) if matches!(func.info().accuracy, Accuracy::Ulp(_)) => POLYNOMIAL,
        ScalarNode::Lookup(..) => LOOKUP,
        ScalarNode::Call(..) | ScalarNode::Cast(..) => 1,
        ScalarNode::Param(_) | ScalarNode::Const(_) => 0,
    };
    1 + expr.nodes().iter().map(cost).sum::<u64>()
}

/// The innermost reduce axis.
pub(super) fn innermost_reduce(kernel: &Kernel, stage: &Stage) -> Option<AxisId> {
    kernel.reduce_axes(stage).last()
}

/// The parallel axes but `vector` whose borders, where padding makes reads need bounds tests, are
/// worth code of their own: the innermost one, and others with borders of one point unless a tile's
/// `results`, in vectors, take much code to finish.
pub(super) fn peeled_axes(
    kernel: &Kernel,
    stage: &Stage,
    vector: AxisId,
    results: u32,
) -> Vec<AxisId> {
    let others = other_parallel(kernel, stage, vector);
    let innermost = others.last().copied();
    let is_short = u64::from(results) * instructions(&stage.epilogue) <= LARGE_EPILOGUE;
    let is_peeled = |axis: &AxisId| match border(kernel, stage, *axis) {
        0 => false,
        1 if is_short => true,
        _ => Some(*axis) == innermost,
    };
    others.iter().copied().filter(is_peeled).collect()
}

/// How far padded reads leave their operands through dimensions that move with an axis.
fn border(kernel: &Kernel, stage: &Stage, axis: AxisId) -> i64 {
    let padded = stage.all_reads().filter(|a| a.outside != Outside::Never);
    let dims = padded.flat_map(|a| a.index.iter().zip(kernel.operands[a.operand].ty.shape.iter()));
    let leaves = dims.filter(|(place, _)| place.follows(axis)).map(|(place, &extent)| {
        let range = place.interval(extent, |a| Interval::below(kernel.extent(a)));
        (-range.lo).max(range.hi - (extent as i64 - 1))
    });
    leaves.max().unwrap_or(0).max(0)
}

/// Product of the extents of a stage's reduce axes.
pub(super) fn reduce_points(kernel: &Kernel, stage: &Stage) -> usize {
    kernel.reduce_axes(stage).map(|a| kernel.extent(a)).product()
}

/// The parallel axes but `axis`, in the stage's order.
pub(super) fn other_parallel(kernel: &Kernel, stage: &Stage, axis: AxisId) -> Vec<AxisId> {
    let parallel = |a: &AxisId| kernel.axes[*a].kind == AxisKind::Parallel && *a != axis;
    stage.axes.iter().copied().filter(parallel).collect()
}

#[cfg(test)]
mod tests {
    use crate::eqsat::rule::Class;
    use crate::form_kernels::form_kernels;
    use crate::schedule::schedule;
    use edgecc_ir::graph::build::GraphBuilder;
    use edgecc_ir::graph::ops::{Conv, Layout, Window};
    use edgecc_ir::scalar::ScalarExpr;
    use edgecc_ir::scalar::func::ScalarFn;
    use edgecc_ir::target::{Arch, Target};
    use edgecc_ir::tensor::{Scalar, Tensor};
    use edgecc_ir::types::{ElemType, TensorType};

    /// How many axes of a padded convolution are peeled whose results pass a function.
    fn peeled(func: ScalarFn) -> usize {
        let mut b = GraphBuilder::new("m");
        let x = b.input("x", TensorType::new(ElemType::F32, &[1, 20, 20, 16]));
        let ty = TensorType::new(ElemType::F32, &[16, 16, 3, 3]);
        let w = b.constant(Tensor::from_fn(ty, |i| Scalar::f32(i as f32)));
        let window = Window { pads_begin: vec![1; 2], pads_end: vec![1; 2], ..Window::unit(2) };
        let epilogue = ScalarExpr::call(func);
        let conv = Conv { epilogue, ..Conv::plain(window, 1, Layout::ChannelsLast) };
        let y = b.add(conv, &[x, w]).expect("a convolution");
        b.output("y", y);
        let mut kernels = form_kernels(&b.finish());
        schedule(&mut kernels, &Target::default_for(Arch::Aarch64), Class::Reassoc);
        let kernel = kernels.kernels.values().next().expect("a kernel");
        kernel.schedule.as_ref().expect("it was scheduled").peel.len()
    }

    #[test]
    fn only_the_innermost_border_has_copies_of_a_large_epilogue() {
        assert_eq!((peeled(ScalarFn::Neg), peeled(ScalarFn::Exp)), (2, 1));
    }
}
