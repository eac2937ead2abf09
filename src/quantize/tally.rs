//! Compares a model's outputs with those in `f32`, example by example.

use super::assess::Quality;
use super::runner::floats;
use edgecc_ir::tensor::{Scalar, Tensor};
use edgecc_ir::types::ElemType;

/// What is known of some examples after a part of them was seen.
pub(super) struct Tally<'a> {
    truth: &'a [Vec<Tensor>],
    labels: Option<&'a [i64]>,
    /// Examples that are classified rightly in `f32`.
    right: usize,
    /// For each output the sums of squares over all examples, and of what those seen differ by.
    signals: Vec<f64>,
    errors: Vec<f64>,
    /// Examples that were seen, and how many of them are classified wrongly.
    seen: usize,
    wrong: usize,
}

impl<'a> Tally<'a> {
    /// `truth` are the outputs in `f32` for each example.
    pub(super) fn new(truth: &'a [Vec<Tensor>], labels: Option<&'a [i64]>) -> Tally<'a> {
        let outputs = truth.first().map_or(0, Vec::len);
        let mut signals = vec![0.0; outputs];
        for example in truth {
            signals.iter_mut().zip(example).for_each(|(sum, output)| *sum += signal(output));
        }
        let pairs = truth.iter().zip(labels.unwrap_or_default());
        let right = pairs.filter(|(outputs, label)| largest(&outputs[0]) == **label).count();
        Tally { truth, labels, right, signals, errors: vec![0.0; outputs], seen: 0, wrong: 0 }
    }

    /// Adds the outputs for the next example.
    pub(super) fn add(&mut self, found: &[Tensor]) {
        let truth = &self.truth[self.seen];
        for (sum, (a, b)) in self.errors.iter_mut().zip(truth.iter().zip(found)) {
            *sum += difference(a, b);
        }
        let label = self.labels.and_then(|labels| labels.get(self.seen));
        self.wrong += usize::from(label.is_some_and(|&label| largest(&found[0]) != label));
        self.seen += 1;
    }

    /// The quality if the examples that were not seen are as in `f32` and classified rightly: no
    /// model with these outputs is better.
    pub(super) fn quality(&self) -> Quality {
        let part = |(&error, &signal): (&f64, &f64)| match error > 0.0 {
            true => (error / signal.max(f64::MIN_POSITIVE)).sqrt(),
            false => 0.0,
        };
        let parts: f64 = self.errors.iter().zip(&self.signals).map(part).sum();
        let count = self.truth.len().max(1) as f64;
        let share = |count_of: usize| count_of as f64 / count;
        let accuracy =
            self.labels.map(|_| [share(self.right), share(self.truth.len() - self.wrong)]);
        Quality { distance: parts / self.errors.len().max(1) as f64, accuracy }
    }
}

/// The sum of squares of what two tensors differ by; for integers how many elements differ.
pub(super) fn difference(float: &Tensor, found: &Tensor) -> f64 {
    if float.ty.elem.is_float() {
        let (float, found) = (numbers(float), numbers(found));
        return float.iter().zip(&found).map(|(a, b)| f64::from(a - b).powi(2)).sum();
    }
    float.iter().zip(found.iter()).filter(|(a, b)| a != b).count() as f64
}

/// What `difference` is compared with: the sum of squares; for integers how many there are.
pub(super) fn signal(float: &Tensor) -> f64 {
    match float.ty.elem.is_float() {
        true => numbers(float).iter().map(|&a| f64::from(a).powi(2)).sum(),
        false => float.numel() as f64,
    }
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    match tensor.ty.elem {
        ElemType::F32 => floats(tensor),
        _ => tensor.iter().map(|x| x.as_f64() as f32).collect(),
    }
}

/// The place of the largest element.
fn largest(tensor: &Tensor) -> i64 {
    let values = tensor.iter().map(Scalar::as_f64).enumerate();
    values
        .fold((0, f64::NEG_INFINITY), |best, (n, v)| if v > best.1 { (n as i64, v) } else { best })
        .0
}

#[cfg(test)]
mod tests {
    use super::Tally;
    use edgecc_ir::tensor::Tensor;

    fn vector(values: [f32; 2]) -> Vec<Tensor> {
        vec![Tensor::from_f32s(&[2], &values)]
    }

    #[test]
    fn what_was_not_seen_counts_as_right() {
        let truth = [vector([3.0, 0.0]), vector([0.0, 4.0])];
        let mut tally = Tally::new(&truth, Some(&[0, 0]));
        assert_eq!(tally.quality().distance, 0.0);
        tally.add(&vector([0.0, 4.0]));
        let quality = tally.quality();
        assert_eq!((quality.distance, quality.accuracy), (1.0, Some([0.5, 0.5])));
        tally.add(&vector([0.0, 4.0]));
        assert_eq!(tally.quality().accuracy, Some([0.5, 0.0]));
        assert_eq!(tally.quality().distance, 1.0);
    }
}
