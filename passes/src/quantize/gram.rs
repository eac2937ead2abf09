//! Products of a layer's inputs with each other, summed over examples: what the error of rounded
//! weights does to results.

/// Sums over examples of what a channel's weights are applied to, for each group of a layer.
#[derive(Clone, Debug)]
pub struct Gram {
    /// Elements of an example.
    len: usize,
    /// `len * len` for each group; empty when there are too many elements.
    products: Vec<f64>,
    /// Sums of the elements in `f32`, `len` for each group.
    float_sums: Vec<f64>,
    /// Sums of the elements as their codes say.
    code_sums: Vec<f64>,
    /// Examples.
    count: usize,
    /// Examples of one group that are not in `products` yet.
    waiting: Vec<Vec<f32>>,
}

/// The largest number of elements of an example whose products are kept.
pub const LARGEST: usize = 1536;

/// Examples whose products are added at once.
const BLOCK: usize = 32;

impl Gram {
    /// No example yet.
    #[must_use]
    pub fn new(len: usize, groups: usize) -> Gram {
        let products = if len <= LARGEST { vec![0.0; groups * len * len] } else { Vec::new() };
        let sums = vec![0.0; groups * len];
        let waiting = vec![Vec::new(); groups];
        Gram { len, products, float_sums: sums.clone(), code_sums: sums, count: 0, waiting }
    }

    /// Elements of an example.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no example was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many examples are worth their time: enough for a matrix of full rank, few products.
    #[must_use]
    pub fn wanted(len: usize, groups: usize) -> usize {
        const PRODUCTS: usize = 400_000_000;
        let limit = PRODUCTS / (len * len * groups).max(1);
        limit.clamp(256, 4096)
    }

    /// Adds an example of all groups: `groups * len` elements as they are, and as their codes say.
    pub fn add(&mut self, float: &[f32], coded: &[f32]) {
        self.count += 1;
        self.float_sums.iter_mut().zip(float).for_each(|(sum, &x)| *sum += f64::from(x));
        self.code_sums.iter_mut().zip(coded).for_each(|(sum, &x)| *sum += f64::from(x));
        if self.products.is_empty() {
            return;
        }
        for (group, example) in coded.chunks_exact(self.len).enumerate() {
            self.waiting[group].extend_from_slice(example);
        }
        if self.waiting[0].len() == BLOCK * self.len {
            self.flush();
        }
    }

    /// Adds the products of examples that wait.
    pub fn flush(&mut self) {
        let len = self.len;
        for (products, waiting) in self.products.chunks_exact_mut(len * len).zip(&mut self.waiting)
        {
            for i in 0..len {
                let row = &mut products[i * len..][..=i];
                add_row(row, waiting, len, i);
            }
            waiting.clear();
        }
    }

    /// The means of products in a group, a symmetric matrix; nothing when they are not kept.
    #[must_use]
    pub fn matrix(&self, group: usize) -> Option<Vec<f64>> {
        let (len, scale) = (self.len, 1.0 / self.count.max(1) as f64);
        let lower = self.products.chunks_exact((len * len).max(1)).nth(group)?;
        let at = |i: usize, j: usize| lower[i.max(j) * len + i.min(j)] * scale;
        Some((0..len * len).map(|n| at(n / len, n % len)).collect())
    }

    /// The mean of an element's square in a group, 1 when it is not known.
    #[must_use]
    pub fn importance(&self, group: usize, element: usize) -> f64 {
        let at = (group * self.len + element) * self.len + element;
        let mean = self.products.get(at).map(|sum| sum / self.count.max(1) as f64);
        mean.filter(|&m| m > 0.0).unwrap_or(if self.products.is_empty() { 1.0 } else { 1e-12 })
    }

    /// What to add to a channel's bias so that the mean of its results stays: `row` are its
    /// weights, `coded` what their codes say.
    #[must_use]
    pub fn correction(&self, group: usize, row: &[f32], coded: &[f32]) -> f64 {
        let place = group * self.len..(group + 1) * self.len;
        let dot = |weights: &[f32], sums: &[f64]| -> f64 {
            weights.iter().zip(sums).map(|(&w, &s)| f64::from(w) * s).sum()
        };
        let lost = dot(row, &self.float_sums[place.clone()]) - dot(coded, &self.code_sums[place]);
        lost / self.count.max(1) as f64
    }
}

/// Adds to `row[j]` the products of elements `i` and `j` of each example.
fn add_row(row: &mut [f64], examples: &[f32], len: usize, i: usize) {
    for example in examples.chunks_exact(len) {
        let factor = f64::from(example[i]);
        if factor != 0.0 {
            row.iter_mut().zip(example).for_each(|(sum, &x)| *sum += factor * f64::from(x));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Gram;

    #[test]
    fn products_are_means_over_examples() {
        let mut gram = Gram::new(2, 1);
        gram.add(&[1.0, 2.0], &[1.0, 2.0]);
        gram.add(&[3.0, 0.0], &[3.0, 0.0]);
        gram.flush();
        assert_eq!(gram.matrix(0), Some(vec![5.0, 1.0, 1.0, 2.0]));
        assert_eq!(gram.importance(0, 1), 2.0);
    }

    #[test]
    fn the_correction_restores_the_mean() {
        let mut gram = Gram::new(1, 2);
        gram.add(&[1.0, 4.0], &[1.5, 4.0]);
        assert_eq!(gram.correction(0, &[2.0], &[2.0]), -1.0);
        assert_eq!(gram.correction(1, &[2.0], &[1.0]), 4.0);
    }
}
