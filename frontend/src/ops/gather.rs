//! Selection by indices, known at compile time or not.

use super::Import::One;
use super::{OnnxOp, row};
use crate::code::Code;
use crate::context::ImportCx;
use crate::emit::Emit;
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::graph::OpId;
use edgecc_ir::graph::ops::{Gather, Pick};
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::tensor::Tensor;
use edgecc_ir::types::ElemType;

pub(super) const OPS: &[OnnxOp] = &[
    row("Gather", 1, 2..=2, One(gather)),
    row("GatherElements", 11, 2..=2, One(gather_elements)),
    row("GatherND", 11, 2..=2, One(gather_nd)),
    row("ReverseSequence", 10, 2..=2, One(reverse_sequence)),
];

/// The most slices that replace one gather.
const MAX_RUNS: usize = 8;

fn gather(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let (x, indices) = (cx.input(0)?, cx.input(1)?);
    let shape = cx.emit.shape(x);
    let axis = cx.axis("axis", 0, shape.rank())?;
    let indices = positions(cx.emit, indices, shape[axis])?;
    along(cx.emit, x, axis, indices)
}

fn gather_elements(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let (mut x, indices) = (cx.input(0)?, cx.input(1)?);
    let shape = cx.emit.shape(indices);
    if cx.emit.rank(x) != shape.rank() {
        return Err(Code::ShapeMismatch.error("data and indices differ in rank"));
    }
    let axis = cx.axis("axis", 0, shape.rank())?;
    let indices = positions(cx.emit, indices, cx.emit.shape(x)[axis])?;
    for d in (0..shape.rank()).filter(|&d| d != axis) {
        x = cx.emit.slice(x, d, (0, 1), shape[d])?;
    }
    let all: Vec<u32> = (0..shape.rank() as u32).collect();
    let pick = |&d: &u32| if d as usize == axis { Pick::Index(all.clone()) } else { Pick::Dim(d) };
    let picks = all.iter().map(pick).collect();
    cx.emit.op(Gather { picks, shape }, &[x, indices])
}

fn gather_nd(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let (x, indices) = (cx.input(0)?, cx.input(1)?);
    let batch = usize::try_from(cx.int("batch_dims")?.unwrap_or(0)).unwrap_or(usize::MAX);
    let (data, index_shape) = (cx.emit.shape(x), cx.emit.shape(indices));
    let Some((&depth, outer)) = index_shape.split_last().filter(|(depth, outer)| {
        batch <= outer.len() && **depth >= 1 && batch + **depth <= data.rank()
    }) else {
        return Err(Code::ShapeMismatch.error("the indices do not fit the data"));
    };
    let mut args = vec![x];
    for at in 0..depth {
        let column = cx.emit.slice(indices, outer.len(), (at as i64, 1), 1)?;
        let column = cx.emit.reshape(column, outer)?;
        args.push(positions(cx.emit, column, data[batch + at])?);
    }
    let whole = batch + depth;
    let pick = |d: usize| match d {
        d if d < batch => Pick::Dim(d as u32),
        d if d < whole => Pick::Index((0..outer.len() as u32).collect()),
        d => Pick::Dim((outer.len() + d - whole) as u32),
    };
    let picks = (0..data.rank()).map(pick).collect();
    let shape = outer.iter().chain(&data[whole..]).copied().collect();
    cx.emit.op(Gather { picks, shape }, &args)
}

/// `y[t, b] = x[len[b] - 1 - t, b]` for `t` below `len[b]`, else `x[t, b]`.
fn reverse_sequence(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let (x, lengths) = (cx.input(0)?, cx.input(1)?);
    let shape = cx.emit.shape(x);
    let time = cx.axis("time_axis", 0, shape.rank())?;
    let batch = cx.axis("batch_axis", 1, shape.rank())?;
    let steps: Vec<i64> = (0..shape[time] as i64).collect();
    let steps = cx.emit.constant(Tensor::from_i64s(&[shape[time], 1], &steps));
    let index = cx.emit.map_broadcast(&[steps, lengths], |b, p| {
        let one = b.num(1.0);
        let last = b.sub(p[1], one);
        let mirrored = b.sub(last, p[0]);
        let inside = b.f2(ScalarFn::Lt, p[0], p[1]);
        b.select(inside, mirrored, p[0])
    })?;
    let pick = |d: usize| match d == time {
        true => Pick::Index(vec![time as u32, batch as u32]),
        false => Pick::Dim(d as u32),
    };
    let picks = (0..shape.rank()).map(pick).collect();
    cx.emit.op(Gather { picks, shape }, &[x, index])
}

/// The elements at `indices`, which are not negative, along one dimension.
pub(super) fn along(
    emit: &mut Emit,
    x: OpId,
    axis: usize,
    indices: OpId,
) -> Result<OpId, Diagnostic> {
    let (shape, index_shape) = (emit.shape(x), emit.shape(indices));
    let wanted = emit.const_tensor(indices).map(|wanted| runs(&wanted.to_i64s()));
    if let Some(runs) = wanted.filter(|runs| runs.len() <= MAX_RUNS) {
        let parts = match runs.is_empty() {
            true => vec![emit.slice(x, axis, (0, 1), 0)?],
            false => slices(emit, x, axis, &runs)?,
        };
        let joined = emit.concat(&parts, axis)?;
        let dims = shape[..axis].iter().chain(&*index_shape).chain(&shape[axis + 1..]);
        return emit.reshape(joined, &dims.copied().collect::<Vec<usize>>());
    }
    emit.op(Gather::along(axis, &shape, &index_shape), &[x, indices])
}

/// The positions that `indices` name in a dimension: negative ones count from the end.
pub(super) fn positions(emit: &mut Emit, indices: OpId, extent: usize) -> Result<OpId, Diagnostic> {
    if let Some(tensor) = emit.const_tensor(indices) {
        let tensor = in_range(&tensor, extent)?;
        return Ok(emit.constant(tensor));
    }
    let indices = match emit.elem(indices) {
        ElemType::I32 | ElemType::I64 => indices,
        _ => emit.cast(indices, ElemType::I64)?,
    };
    emit.map(&[indices], |b, p| {
        let (zero, extent) = (b.num(0.0), b.num(extent as f64));
        let negative = b.f2(ScalarFn::Lt, p[0], zero);
        let from_end = b.sum(p[0], extent);
        b.select(negative, from_end, p[0])
    })
}

fn in_range(indices: &Tensor, extent: usize) -> Result<Tensor, Diagnostic> {
    let position = |i: i64| {
        let positive = if i < 0 { i.saturating_add(extent as i64) } else { i };
        (0..extent as i64).contains(&positive).then_some(positive).ok_or_else(|| {
            Code::ShapeMismatch.error(format!("index {i} is outside a dimension of {extent}"))
        })
    };
    let positions: Result<Vec<i64>, Diagnostic> =
        indices.to_i64s().into_iter().map(position).collect();
    Ok(Tensor::from_i64s(&indices.ty.shape, &positions?))
}

/// Arithmetic progressions: first position, step, length; maximal from the left.
fn runs(indices: &[i64]) -> Vec<(i64, i64, usize)> {
    let mut runs: Vec<(i64, i64, usize)> = Vec::new();
    for &index in indices {
        match runs.last_mut() {
            Some((first, step, count @ 1)) if index != *first => {
                (*step, *count) = (index - *first, 2);
            }
            Some((first, step, count)) if *count > 1 && index == *first + *step * *count as i64 => {
                *count += 1;
            }
            _ => runs.push((index, 1, 1)),
        }
    }
    runs
}

fn slices(
    emit: &mut Emit,
    x: OpId,
    axis: usize,
    runs: &[(i64, i64, usize)],
) -> Result<Vec<OpId>, Diagnostic> {
    runs.iter().map(|&(first, step, count)| emit.slice(x, axis, (first, step), count)).collect()
}

#[cfg(test)]
mod tests {
    use super::{along, in_range, runs};
    use crate::emit::Emit;
    use edgecc_ir::graph::ops::Op;
    use edgecc_ir::tensor::Tensor;
    use edgecc_ir::types::{ElemType, TensorType};

    #[test]
    fn indices_are_cut_into_progressions() {
        assert_eq!(runs(&[3]), [(3, 1, 1)]);
        assert_eq!(runs(&[0, 1, 2, 7]), [(0, 1, 3), (7, 1, 1)]);
        assert_eq!(runs(&[4, 2, 0]), [(4, -2, 3)]);
        assert_eq!(runs(&[5, 5]), [(5, 1, 1), (5, 1, 1)]);
    }

    #[test]
    fn constant_indices_are_checked_and_count_from_either_end() {
        let at = |i: i64| in_range(&Tensor::from_i64s(&[1], &[i]), 3).map(|t| t.to_i64s()[0]);
        assert_eq!([at(2), at(-3)], [Ok(2), Ok(0)]);
        assert!(at(3).is_err() && at(-4).is_err());
    }

    #[test]
    fn few_runs_are_slices_and_many_are_looked_up() {
        let gathered = |wanted: &[i64]| {
            let mut e = Emit::new("g");
            let x = e.input("x", TensorType::new(ElemType::F32, &[99]));
            let indices = e.constant(Tensor::from_i64s(&[wanted.len()], wanted));
            let y = along(&mut e, x, 0, indices).expect("in range");
            matches!(e.into_graph().ops[y].op, Op::Gather(_))
        };
        assert!(!gathered(&[4, 6, 8, 1]));
        assert!(gathered(&(0..40).map(|i| i * i % 97).collect::<Vec<i64>>()));
    }
}
