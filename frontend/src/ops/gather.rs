//! Selection by indices that are known at compile time.

use super::Import::One;
use super::{OnnxOp, row};
use crate::code::Code;
use crate::context::ImportCx;
use crate::emit::Emit;
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::graph::OpId;
use edgecc_ir::tensor::Tensor;
use edgecc_ir::types::{Shape, TensorType};

pub(super) const OPS: &[OnnxOp] =
    &[row("Gather", 1, 2..=2, One(gather)).limits("constant indices in few runs")];

/// The most slices that replace one gather.
const MAX_RUNS: usize = 64;

fn gather(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let x = cx.input(0)?;
    let shape = cx.emit.shape(x);
    let axis = cx.axis("axis", 0, shape.rank())?;
    let indices = cx.input(1)?;
    let index_shape = cx.emit.shape(indices);
    let wanted = cx.const_i64s(1, "indices")?.unwrap_or_default();
    let wanted = in_range(&wanted, shape[axis])?;
    let dims: Vec<usize> =
        shape[..axis].iter().chain(&*index_shape).chain(&shape[axis + 1..]).copied().collect();
    if let Some(data) = cx.emit.const_tensor(x) {
        let tensor = gather_constant(&data, axis, &wanted).reshaped(&dims);
        return Ok(cx.emit.constant(tensor));
    }
    let runs = runs(&wanted);
    if runs.len() > MAX_RUNS {
        return Err(Code::NonConstantOperand.error(format!(
            "the indices form {} runs, at most {MAX_RUNS} are supported",
            runs.len()
        )));
    }
    let parts = if runs.is_empty() {
        vec![cx.emit.slice(x, axis, (0, 1), 0)?]
    } else {
        slices(cx.emit, x, axis, &runs)?
    };
    let joined = cx.emit.concat(&parts, axis)?;
    cx.emit.reshape(joined, &dims)
}

/// Positions of the dimension; negative indices count from the end.
fn in_range(indices: &[i64], extent: usize) -> Result<Vec<usize>, Diagnostic> {
    let position = |&i: &i64| {
        let positive = if i < 0 { i.saturating_add(extent as i64) } else { i };
        usize::try_from(positive).ok().filter(|&p| p < extent).ok_or_else(|| {
            Code::ShapeMismatch.error(format!("index {i} is outside a dimension of {extent}"))
        })
    };
    indices.iter().map(position).collect()
}

fn gather_constant(data: &Tensor, axis: usize, wanted: &[usize]) -> Tensor {
    let shape = &data.ty.shape;
    let inner: usize = shape[axis + 1..].iter().product();
    let mut dims: Shape = shape.clone();
    dims.dims_mut()[axis] = wanted.len();
    Tensor::from_fn(TensorType { elem: data.ty.elem, shape: dims }, |i| {
        let (column, row) = (i % inner, i / inner);
        let (at, outer) = (wanted[row % wanted.len()], row / wanted.len());
        data.get((outer * shape[axis] + at) * inner + column)
    })
}

/// Arithmetic progressions: first position, step, length; maximal from the left.
fn runs(indices: &[usize]) -> Vec<(i64, i64, usize)> {
    let mut runs: Vec<(i64, i64, usize)> = Vec::new();
    for index in indices.iter().map(|&i| i as i64) {
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
    use super::{gather_constant, runs};
    use edgecc_ir::tensor::Tensor;

    #[test]
    fn indices_are_cut_into_progressions() {
        assert_eq!(runs(&[3]), [(3, 1, 1)]);
        assert_eq!(runs(&[0, 1, 2, 7]), [(0, 1, 3), (7, 1, 1)]);
        assert_eq!(runs(&[4, 2, 0]), [(4, -2, 3)]);
        assert_eq!(runs(&[5, 5]), [(5, 1, 1), (5, 1, 1)]);
    }

    #[test]
    fn constants_are_gathered_along_a_dimension() {
        let data = Tensor::from_i64s(&[2, 3], &[0, 1, 2, 10, 11, 12]);
        assert_eq!(gather_constant(&data, 1, &[2, 0]).to_i64s(), [2, 0, 12, 10]);
        assert_eq!(gather_constant(&data, 0, &[1]).to_i64s(), [10, 11, 12]);
    }
}
