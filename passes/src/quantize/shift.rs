//! The mean error of each channel of a layer's results, as far as examples agree on it.

/// What is known of the errors of some channels.
#[derive(Clone, Debug, PartialEq)]
pub struct Shift {
    /// For each channel the sum of the errors of examples, and of their squares.
    sums: Vec<[f64; 2]>,
    /// Examples.
    count: usize,
}

impl Shift {
    /// No example yet.
    #[must_use]
    pub fn new(channels: usize) -> Shift {
        Shift { sums: vec![[0.0; 2]; channels], count: 0 }
    }

    /// Adds an example: the mean error of each of its channels.
    pub fn add(&mut self, errors: impl IntoIterator<Item = f64>) {
        self.count += 1;
        for ([sum, squares], error) in self.sums.iter_mut().zip(errors) {
            *sum += error;
            *squares += error * error;
        }
    }

    /// What to add to the bias of each channel. The mean of few examples has an error of its own;
    /// its expected square is taken from the square of the mean (James and Stein, 1961), so that
    /// nothing is made up for that may be chance. Zeros when there are less than two examples.
    #[must_use]
    pub fn correction(&self) -> Vec<f32> {
        self.sums.iter().map(|&sums| correction(sums, self.count) as f32).collect()
    }
}

fn correction([sum, squares]: [f64; 2], count: usize) -> f64 {
    if count < 2 {
        return 0.0;
    }
    let n = count as f64;
    let mean = sum / n;
    let variance = (squares - sum * mean).max(0.0) / (n - 1.0);
    let share = 1.0 - variance / n / (mean * mean).max(f64::MIN_POSITIVE);
    -mean * share.max(0.0)
}

/// The mean of each channel of elements with these dimensions, one of which is that of channels.
#[must_use]
pub fn channel_means(elements: &[f32], dims: &[usize], axis: usize) -> Vec<f64> {
    let (channels, inner) = (dims[axis], dims[axis + 1..].iter().product::<usize>().max(1));
    let mut sums = vec![0.0; channels];
    for (n, run) in elements.chunks_exact(inner).enumerate() {
        sums[n % channels] += run.iter().map(|&x| f64::from(x)).sum::<f64>();
    }
    let count = (elements.len() / channels.max(1)).max(1) as f64;
    sums.into_iter().map(|sum| sum / count).collect()
}

#[cfg(test)]
mod tests {
    use super::{Shift, channel_means};

    fn correction(examples: &[[f64; 2]]) -> Vec<f32> {
        let mut shift = Shift::new(2);
        examples.iter().for_each(|&errors| shift.add(errors));
        shift.correction()
    }

    #[test]
    fn what_examples_agree_on_is_made_up_for() {
        assert_eq!(correction(&[[0.5, -2.0]; 3]), [-0.5, 2.0]);
    }

    #[test]
    fn chance_is_left_alone() {
        assert_eq!(correction(&[[1.0, 0.9], [-1.0, 1.1]])[0], 0.0);
        let second = correction(&[[1.0, 0.9], [-1.0, 1.1]])[1];
        assert!((-1.0..-0.95).contains(&second), "{second}");
        assert_eq!(correction(&[[1.0, 1.0]]), [0.0, 0.0]);
    }

    #[test]
    fn means_are_taken_over_all_other_dimensions() {
        let elements: Vec<f32> = (0..12).map(|n| n as f32).collect();
        assert_eq!(channel_means(&elements, &[2, 3, 2], 1), [3.5, 5.5, 7.5]);
        assert_eq!(channel_means(&elements, &[4, 3], 1), [4.5, 5.5, 6.5]);
    }
}
