//! Compares a model's outputs with those in `f32`, example by example.

use super::assess::Quality;
use super::runner::floats;
use edgecc_ir::tensor::Tensor;
use edgecc_ir::types::ElemType;

/// What is known of some examples after a part of them was seen.
pub(super) struct Tally<'a> {
    truth: &'a [&'a [Tensor]],
    labels: Option<&'a [i64]>,
    /// Examples that are classified rightly in `f32`.
    right: usize,
    /// For each output the sums of squares over all examples, and of what those seen differ by.
    signals: Vec<f64>,
    errors: Vec<f64>,
    /// Examples that were seen, and how many of them are classified wrongly.
    seen: usize,
    wrong: usize,
    /// The part of its lead that the largest element keeps in a decision that counts as the same.
    lead: f64,
    /// Decisions of all examples, and those seen that are not the same.
    decisions: usize,
    changed: usize,
}

impl<'a> Tally<'a> {
    /// `truth` are the outputs in `f32` for each example. A decision is the place of the largest
    /// element along the last dimension of the first output; it counts as the same if that element
    /// keeps a part `lead` of its lead over all others.
    pub(super) fn new(
        truth: &'a [&'a [Tensor]],
        labels: Option<&'a [i64]>,
        lead: f64,
    ) -> Tally<'a> {
        let outputs = truth.first().map_or(0, |outputs| outputs.len());
        let mut signals = vec![0.0; outputs];
        for example in truth {
            signals.iter_mut().zip(*example).for_each(|(sum, output)| *sum += signal(output));
        }
        let pairs = truth.iter().zip(labels.unwrap_or_default());
        let right = pairs.filter(|(outputs, label)| largest(&outputs[0]) == **label).count();
        Tally {
            truth,
            labels,
            right,
            signals,
            errors: vec![0.0; outputs],
            seen: 0,
            wrong: 0,
            lead,
            decisions: truth.iter().map(|outputs| decisions(&outputs[0])).sum(),
            changed: 0,
        }
    }

    /// Adds the outputs for the next example.
    pub(super) fn add(&mut self, found: &[Tensor]) {
        let truth = &self.truth[self.seen];
        for (sum, (a, b)) in self.errors.iter_mut().zip(truth.iter().zip(found)) {
            *sum += difference(a, b);
        }
        self.changed += changed(&truth[0], &found[0], self.lead);
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
        let decisions = (self.decisions > 0).then(|| self.changed as f64 / self.decisions as f64);
        Quality { distance: parts / self.errors.len().max(1) as f64, accuracy, decisions }
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

/// The elements that a decision is between.
fn choices(tensor: &Tensor) -> usize {
    tensor.ty.shape.last().copied().unwrap_or(1)
}

/// How many decisions a tensor has: none where there is nothing to choose from.
pub(super) fn decisions(tensor: &Tensor) -> usize {
    let choices = choices(tensor);
    if tensor.ty.elem.is_float() && choices > 1 { tensor.numel() / choices } else { 0 }
}

/// Decisions in which the largest element does not keep a part `kept` of its lead.
fn changed(float: &Tensor, found: &Tensor, kept: f64) -> usize {
    if decisions(float) == 0 {
        return 0;
    }
    let (float, found, choices) = (numbers(float), numbers(found), choices(float));
    let is_lost = |(float, found): &(&[f32], &[f32])| {
        let best = place_of_largest(float);
        let is_other = place_of_largest(found) != best || found.iter().any(|x| x.is_nan());
        is_other || lead(found, best) < kept * lead(float, best)
    };
    float.chunks_exact(choices).zip(found.chunks_exact(choices)).filter(is_lost).count()
}

/// By how much an element is larger than all others.
fn lead(row: &[f32], place: usize) -> f64 {
    let others = row[..place].iter().chain(&row[place + 1..]);
    f64::from(row[place]) - f64::from(others.fold(f32::NEG_INFINITY, |most, &x| most.max(x)))
}

fn place_of_largest(row: &[f32]) -> usize {
    let larger = |best: usize, n: usize| if row[n] > row[best] { n } else { best };
    (1..row.len()).fold(0, larger)
}

/// The place of the largest element.
fn largest(tensor: &Tensor) -> i64 {
    place_of_largest(&numbers(tensor)) as i64
}

#[cfg(test)]
mod tests {
    use super::{Tally, changed, decisions};
    use edgecc_ir::tensor::Tensor;

    fn vector(values: [f32; 2]) -> Vec<Tensor> {
        vec![Tensor::from_f32s(&[2], &values)]
    }

    #[test]
    fn what_was_not_seen_counts_as_right() {
        let outputs = [vector([3.0, 0.0]), vector([0.0, 4.0])];
        let truth: Vec<&[Tensor]> = outputs.iter().map(Vec::as_slice).collect();
        let mut tally = Tally::new(&truth, Some(&[0, 0]), 0.0);
        assert_eq!(tally.quality().distance, 0.0);
        tally.add(&vector([0.0, 4.0]));
        let quality = tally.quality();
        assert_eq!((quality.distance, quality.accuracy), (1.0, Some([0.5, 0.5])));
        assert_eq!(quality.decisions, Some(0.5));
        tally.add(&vector([0.0, 4.0]));
        assert_eq!(tally.quality().accuracy, Some([0.5, 0.0]));
        assert_eq!(tally.quality().distance, 1.0);
    }

    #[test]
    fn a_decision_changes_when_the_lead_is_lost() {
        let float = Tensor::from_f32s(&[3, 2], &[1.0, 0.0, 0.0, 0.2, 3.0, 2.0]);
        let found = Tensor::from_f32s(&[3, 2], &[0.9, 0.0, 0.1, 0.2, 2.0, 1.5]);
        assert_eq!([0.0, 0.75, 1.0].map(|kept| changed(&float, &found, kept)), [0, 2, 3]);
        let turned = Tensor::from_f32s(&[3, 2], &[0.0, 1.0, 0.2, 0.2, 3.0, 2.0]);
        assert_eq!(changed(&float, &turned, 0.0), 2);
        assert_eq!(changed(&float, &Tensor::from_f32s(&[3, 2], &[f32::NAN; 6]), 0.0), 3);
        let single = Tensor::from_f32s(&[3, 1], &[1.0, 2.0, 3.0]);
        assert_eq!(decisions(&single), 0);
    }
}
