//! `non_max_suppression`: in order of their scores, the boxes that no better box overlaps.

use super::{TensorOp, TypeError, arity, attrs, ensure};
use crate::kernel::Kernel;
use crate::kernel::routine::Routine;
use crate::tensor::{Scalar, Tensor};
use crate::types::{ElemType, TensorType};

attrs! {
    /// ONNX `NonMaxSuppression` with a row for each box that could be selected; those not needed
    /// are zero.
    ///
    /// Operands: boxes `f32[b,n,4]`, scores `f32[b,c,n]`, and one element each of the largest number
    /// of boxes per class (`i64`), the overlap above which a box is suppressed and the score that a
    /// box must exceed (`f32`). Of equal scores the lower position wins; a score of `−∞` or NaN is
    /// never selected.
    pub struct NonMaxSuppression {
        /// Boxes are centre and size instead of two opposite corners.
        centred: bool = |_| false,
        /// Bound of the number of boxes per class, at most `n`.
        per_class: u32,
        /// 0 for rows of batch, class and box, 1 for the number of rows in use.
        result: u32 = |_| 0,
    }
}

/// A box by its corners with the lower and the higher coordinates.
#[derive(Clone, Copy)]
struct Area {
    low: [f32; 2],
    high: [f32; 2],
}

impl NonMaxSuppression {
    fn area(&self, [a, b, c, d]: [f32; 4]) -> Area {
        let (half_c, half_d) = (c * 0.5, d * 0.5);
        match self.centred {
            true => Area { low: [a - half_c, b - half_d], high: [a + half_c, b + half_d] },
            false => Area { low: [least(a, c), least(b, d)], high: [most(a, c), most(b, d)] },
        }
    }

    /// The boxes of one batch and class, in the order of selection.
    fn select(&self, boxes: &[Area], scores: &[f32], limits: &Limits) -> Vec<usize> {
        let usable = |s: f32| if s > limits.score { s } else { f32::NEG_INFINITY };
        let mut left: Vec<f32> = scores.iter().map(|&s| usable(s)).collect();
        let mut selected = Vec::new();
        while (selected.len() as i64) < limits.count && selected.len() < self.per_class as usize {
            let better = |best: Option<usize>, i: usize| {
                let bound = best.map_or(f32::NEG_INFINITY, |b| left[b]);
                if left[i] > bound { Some(i) } else { best }
            };
            let Some(best) = (0..left.len()).fold(None, better) else { break };
            selected.push(best);
            for i in 0..left.len() {
                if i == best || overlap(boxes[best], boxes[i]) > limits.overlap {
                    left[i] = f32::NEG_INFINITY;
                }
            }
        }
        selected
    }
}

/// The last three operands.
struct Limits {
    count: i64,
    overlap: f32,
    score: f32,
}

fn least(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

fn most(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// Intersection over union; `−∞` for boxes without a common area.
fn overlap(a: Area, b: Area) -> f32 {
    let extent = |d: usize| least(a.high[d], b.high[d]) - most(a.low[d], b.low[d]);
    let size = |x: Area| (x.high[0] - x.low[0]) * (x.high[1] - x.low[1]);
    let common = extent(0) * extent(1);
    let union = (size(a) + size(b)) - common;
    let sizes = [extent(0), extent(1), size(a), size(b)];
    if sizes.iter().all(|&s| s > 0.0) { common / union } else { f32::NEG_INFINITY }
}

impl TensorOp for NonMaxSuppression {
    const MNEMONIC: &'static str = "non_max_suppression";

    fn infer(&self, args: &[&TensorType]) -> Result<TensorType, TypeError> {
        let [boxes, scores, count, overlap, score] = arity::<5>(args)?;
        let f32s = [boxes, scores, overlap, score].iter().all(|t| t.elem == ElemType::F32);
        let ones = [count, overlap, score].iter().all(|t| t.shape.numel() == 1);
        ensure(f32s && ones && count.elem == ElemType::I64, || {
            format!("{count}, {overlap} and {score} are no limits for {boxes} and {scores}")
        })?;
        let fit = match (&*boxes.shape, &*scores.shape) {
            ([b, n, 4], [s, _, m]) => b == s && n == m && self.per_class as usize <= *n,
            _ => false,
        };
        ensure(fit && self.result < 2, || format!("{scores} are no scores of {boxes}"))?;
        let rows = scores.shape[0] * scores.shape[1] * self.per_class as usize;
        let dims: &[usize] = if self.result == 0 { &[rows, 3] } else { &[] };
        Ok(TensorType::new(ElemType::I64, dims))
    }

    fn eval(&self, args: &[&Tensor]) -> Tensor {
        let types: Vec<&TensorType> = args.iter().map(|a| &a.ty).collect();
        let mut result = Tensor::zeros(self.infer(&types).expect("G4: the op type-checks"));
        let [batches, classes, n] = [0, 1, 2].map(|d| args[1].ty.shape[d]);
        let [boxes, scores] = [args[0].to_f32s(), args[1].to_f32s()];
        let (count, overlap) = (args[2].get(0).as_i64(), args[3].get(0).as_f32());
        let limits = Limits { count, overlap, score: args[4].get(0).as_f32() };
        let mut rows: Vec<[usize; 3]> = Vec::new();
        for batch in 0..batches {
            let corners = boxes[batch * n * 4..].chunks_exact(4).take(n);
            let areas: Vec<Area> = corners.map(|c| self.area([c[0], c[1], c[2], c[3]])).collect();
            for class in 0..classes {
                let scores = &scores[(batch * classes + class) * n..][..n];
                let found = self.select(&areas, scores, &limits);
                rows.extend(found.into_iter().map(|i| [batch, class, i]));
            }
        }
        let values = rows.as_flattened().iter().copied();
        let values: Vec<usize> = if self.result == 0 { values.collect() } else { vec![rows.len()] };
        for (at, value) in values.into_iter().enumerate() {
            result.set(at, Scalar::from_i64(ElemType::I64, value as i64));
        }
        result
    }

    fn kernel(&self, args: &[&TensorType]) -> Kernel {
        Routine::NonMaxSuppression(NonMaxSuppression { result: 0, ..self.clone() }).kernel(args)
    }

    fn result(&self) -> usize {
        self.result as usize
    }
}

#[cfg(test)]
mod tests {
    use super::{NonMaxSuppression, TensorOp};
    use crate::tensor::Tensor;

    fn select(boxes: &[f32], scores: &[f32], count: i64) -> (Vec<i64>, i64) {
        let n = scores.len();
        let args = [
            Tensor::from_f32s(&[1, n, 4], boxes),
            Tensor::from_f32s(&[1, 1, n], scores),
            Tensor::from_i64s(&[1], &[count]),
            Tensor::from_f32s(&[1], &[0.5]),
            Tensor::from_f32s(&[1], &[0.0]),
        ];
        let args: Vec<&Tensor> = args.iter().collect();
        let run = |result| NonMaxSuppression { centred: false, per_class: 2, result }.eval(&args);
        (run(0).to_i64s(), run(1).to_i64s()[0])
    }

    #[test]
    fn better_boxes_suppress_those_that_they_overlap() {
        let boxes = [0.0, 0.0, 1.0, 1.0, 1.0, 1.1, 0.0, 0.1, 0.0, 10.0, 1.0, 11.0];
        assert_eq!(select(&boxes, &[0.9, 0.95, 0.3], 2), (vec![0, 0, 1, 0, 0, 2], 2));
        assert_eq!(select(&boxes, &[0.9, 0.95, -0.3], 2), (vec![0, 0, 1, 0, 0, 0], 1));
        assert_eq!(select(&boxes, &[0.9, 0.95, 0.3], 1).1, 1);
    }
}
