//! The canonical form of a kernel: no axis of extent 1, operands as flat as their padding allows,
//! and axes that always advance together merged into one.
//!
//! A 1×1 convolution over `h` and `w` so becomes a matrix product over one axis of `h·w` points,
//! and any element-wise kernel on dense tensors a loop over one axis. A dimension that is looked up
//! stays apart.

use cranelift_entity::PrimaryMap;
use edgecc_ir::affine::{Affine, Interval};
use edgecc_ir::kernel::{
    Access, Axis, AxisId, AxisKind, Index, Kernel, Lookup, OperandId, Outside, Role, Stage,
};
use edgecc_ir::types::{Shape, TensorType};
use std::cmp::Reverse;

/// Canonical kernel with the same meaning.
pub(super) fn canonical(mut kernel: Kernel) -> Kernel {
    drop_unit_axes(&mut kernel);
    for operand in kernel.operands.keys().collect::<Vec<_>>() {
        flatten(&mut kernel, operand);
    }
    follow_memory(&mut kernel);
    while let Some((outer, inner)) = mergeable(&kernel) {
        merge(&mut kernel, outer, inner);
    }
    drop_in_bounds_pads(&mut kernel);
    renumber(kernel)
}

fn accesses(kernel: &Kernel) -> impl Iterator<Item = &Access> {
    kernel.stages.iter().flat_map(|s| s.all_reads().chain([&s.write]))
}

fn accesses_mut(kernel: &mut Kernel) -> impl Iterator<Item = &mut Access> {
    kernel.stages.iter_mut().flat_map(|s| {
        let Stage { reads, epilogue_reads, write, .. } = s;
        reads.iter_mut().chain(epilogue_reads).chain([write])
    })
}

/// The row axes and the axes of each stage.
fn axis_lists(kernel: &mut Kernel) -> impl Iterator<Item = &mut Vec<AxisId>> {
    [&mut kernel.rows].into_iter().chain(kernel.stages.iter_mut().map(|s| &mut s.axes))
}

/// Replaces axes in every access.
fn substitute(kernel: &mut Kernel, with: impl Fn(AxisId) -> Affine<AxisId>) {
    for index in accesses_mut(kernel).flat_map(|access| &mut access.index) {
        index.affines_mut().iter_mut().for_each(|affine| *affine = affine.substitute(&with));
    }
}

/// Axes with one point are 0.
pub(super) fn drop_unit_axes(kernel: &mut Kernel) {
    let unit: Vec<AxisId> =
        kernel.axes.iter().filter(|(_, a)| a.extent == 1).map(|(id, _)| id).collect();
    axis_lists(kernel).for_each(|axes| axes.retain(|a| !unit.contains(a)));
    substitute(kernel, |a| if unit.contains(&a) { Affine::constant(0) } else { Affine::var(a) });
}

/// Whether one dimension of an access, of this extent, stays inside over the whole domain.
fn is_inside(kernel: &Kernel, index: &Index, extent: usize) -> bool {
    index.interval(extent, |a| Interval::below(kernel.extent(a))).within(extent)
}

/// Merges neighbouring dimensions of an operand in which every access stays in bounds.
fn flatten(kernel: &mut Kernel, operand: OperandId) {
    let shape = kernel.operands[operand].ty.shape.clone();
    let inside = |d: usize| {
        let mut all = accesses(kernel).filter(|a| a.operand == operand);
        all.all(|a| {
            let inside = || is_inside(kernel, &a.index[d], shape[d]);
            a.index[d].affine().is_some() && (a.outside == Outside::Never || inside())
        })
    };
    let inside: Vec<bool> = (0..shape.rank()).map(inside).collect();
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for d in 0..shape.rank() {
        match groups.last_mut() {
            Some(group) if inside[d] && inside[group[0]] => group.push(d),
            _ => groups.push(vec![d]),
        }
    }
    if groups.is_empty() {
        groups.push(Vec::new());
    }
    let extents: Shape = groups.iter().map(|g| g.iter().map(|&d| shape[d]).product()).collect();
    for access in accesses_mut(kernel) {
        if access.operand == operand {
            access.index = groups.iter().map(|g| joined(&access.index, g, &shape)).collect();
        }
        for index in &mut access.index {
            if let Index::Lookup(Lookup { operand: table, index }) = index
                && *table == operand
            {
                *index = groups.iter().map(|g| linear(index, g, &shape)).collect();
            }
        }
    }
    let elem = kernel.operands[operand].ty.elem;
    kernel.operands[operand].ty = TensorType { elem, shape: extents };
}

/// The position within a group of dimensions; one that is looked up is a group of its own.
fn joined(index: &[Index], group: &[usize], shape: &Shape) -> Index {
    match group {
        &[d] => index[d].clone(),
        _ => {
            let zero = Affine::constant(0);
            let affines: Vec<Affine<AxisId>> =
                index.iter().map(|i| i.affine().unwrap_or(&zero).clone()).collect();
            linear(&affines, group, shape).into()
        }
    }
}

/// The row-major position within a group of dimensions.
fn linear(index: &[Affine<AxisId>], group: &[usize], shape: &Shape) -> Affine<AxisId> {
    group
        .iter()
        .fold(Affine::constant(0), |sum, &d| sum.times(shape[d] as i64).add_scaled(&index[d], 1))
}

/// Sums of products with constants run through memory in order: a step of the innermost axis is the
/// shortest way in the other factor, wherever its channels are.
fn follow_memory(kernel: &mut Kernel) {
    let copy = kernel.clone();
    for stage in kernel.stages.iter_mut().filter(|s| s.factors().is_some()) {
        let variable = |a: &&Access| copy.operands[a.operand].role != Role::Const;
        let mut read = stage.reads.iter().filter(variable);
        let (Some(read), None) = (read.next(), read.next()) else { continue };
        let strides = copy.operands[read.operand].ty.shape.strides();
        let step = |axis: AxisId| -> Option<i64> {
            let places = read.index.iter().zip(&strides);
            places.map(|(place, &stride)| Some(place.step(axis)? * stride as i64)).sum()
        };
        let is_reduced = |a: &AxisId| copy.axes[*a].kind == AxisKind::Reduce;
        let mut reduced: Vec<AxisId> = stage.axes.iter().copied().filter(is_reduced).collect();
        reduced.sort_by_key(|&axis| Reverse(step(axis).map_or(i64::MAX, i64::abs)));
        let mut reduced = reduced.into_iter();
        for axis in stage.axes.iter_mut().filter(|a| is_reduced(a)) {
            *axis = reduced.next().unwrap_or(*axis);
        }
    }
}

/// Two axes, neighbours in every stage, where one step of the outer always equals a full run of
/// the inner.
fn mergeable(kernel: &Kernel) -> Option<(AxisId, AxisId)> {
    let pairs = kernel.stages.iter().flat_map(|s| s.axes.windows(2).map(|w| (w[0], w[1])));
    let is_row = |a| kernel.rows.contains(&a);
    let alike = |a, b| kernel.axes[a].kind == kernel.axes[b].kind && is_row(a) == is_row(b);
    let mut pairs = pairs.filter(|&(a, b)| alike(a, b));
    pairs.find(|&(a, b)| neighbours_everywhere(kernel, a, b) && advance_together(kernel, a, b))
}

fn neighbours_everywhere(kernel: &Kernel, outer: AxisId, inner: AxisId) -> bool {
    kernel.stages.iter().all(|s| {
        let at = s.axes.iter().position(|&a| a == outer);
        match at {
            Some(at) => s.axes.get(at + 1) == Some(&inner),
            None => !s.axes.contains(&inner),
        }
    })
}

fn advance_together(kernel: &Kernel, outer: AxisId, inner: AxisId) -> bool {
    let run = kernel.extent(inner) as i64;
    let mut indices = accesses(kernel).flat_map(|a| &a.index).flat_map(Index::affines);
    indices.all(|i| i.coefficient(outer) == run * i.coefficient(inner))
}

fn merge(kernel: &mut Kernel, outer: AxisId, inner: AxisId) {
    kernel.axes[inner].extent *= kernel.axes[outer].extent;
    axis_lists(kernel).for_each(|axes| axes.retain(|&a| a != outer));
    substitute(kernel, |a| if a == outer { Affine::constant(0) } else { Affine::var(a) });
}

fn drop_in_bounds_pads(kernel: &mut Kernel) {
    let mut copy = kernel.clone();
    for (access, original) in accesses_mut(&mut copy).zip(accesses(kernel)) {
        let shape = &kernel.operands[original.operand].ty.shape;
        if (0..shape.rank()).all(|d| is_inside(kernel, &original.index[d], shape[d])) {
            access.outside = Outside::Never;
        }
    }
    *kernel = copy;
}

/// Renumbers the remaining axes in order of first use.
fn renumber(mut kernel: Kernel) -> Kernel {
    let mut old: Vec<AxisId> = Vec::new();
    for axis in kernel.stages.iter().flat_map(|s| &s.axes) {
        if !old.contains(axis) {
            old.push(*axis);
        }
    }
    let mut axes: PrimaryMap<AxisId, Axis> = PrimaryMap::new();
    let new: Vec<AxisId> = old.iter().map(|&a| axes.push(kernel.axes[a])).collect();
    let renamed = |a: AxisId| new[old.iter().position(|&o| o == a).expect("a used axis")];
    substitute(&mut kernel, |a| Affine::var(renamed(a)));
    axis_lists(&mut kernel).flatten().for_each(|a| *a = renamed(*a));
    kernel.axes = axes;
    kernel
}

#[cfg(test)]
mod tests {
    use super::canonical;
    use edgecc_ir::graph::ops::{Conv, Layout, Op, Window};
    use edgecc_ir::kernel::Role;
    use edgecc_ir::types::{ElemType, TensorType};

    fn conv(window: Window, taps: usize) -> edgecc_ir::kernel::Kernel {
        let layout = Layout::ChannelsLast;
        let op = Op::from(Conv::plain(window, 1, layout));
        let x = TensorType::new(ElemType::F32, &[1, 8, 8, 16]);
        let w = TensorType::new(ElemType::F32, &[4, 16, taps, taps]);
        canonical(op.kernel(&[&x, &w]))
    }

    #[test]
    fn a_pointwise_convolution_is_a_matrix_product() {
        let kernel = conv(Window::unit(2), 1);
        let extents: Vec<usize> = kernel.axes.values().map(|a| a.extent).collect();
        assert_eq!(extents, [64, 4, 16]);
    }

    #[test]
    fn sums_run_through_memory_in_order_where_one_factor_is_constant() {
        let window = Window { pads_begin: vec![1, 1], pads_end: vec![1, 1], ..Window::unit(2) };
        let op = Op::from(Conv::plain(window, 1, Layout::ChannelsFirst));
        let [x, w] = [[1, 3, 8, 8], [4, 3, 2, 2]].map(|dims| TensorType::new(ElemType::F32, &dims));
        let mut kernel = op.kernel(&[&x, &w]);
        let weights = kernel.operands.keys().nth(1).expect("two operands");
        kernel.operands[weights].role = Role::Const;
        let axes = &mut kernel.stages[0].axes;
        let parallel = axes.len() - 3;
        axes[parallel..].reverse();
        let kernel = canonical(kernel);
        let extents: Vec<usize> = kernel.axes.values().map(|a| a.extent).collect();
        assert_eq!(extents[extents.len() - 3..], [3, 2, 2]);
    }

    #[test]
    fn padded_dimensions_stay_apart() {
        let window = Window { pads_begin: vec![1, 1], pads_end: vec![1, 1], ..Window::unit(2) };
        let kernel = conv(window, 3);
        let x = kernel.operands.values().next().expect("the input");
        assert_eq!(&*x.ty.shape, &[1, 8, 8, 16]);
        assert_eq!(kernel.axes.len(), 6);
    }
}
