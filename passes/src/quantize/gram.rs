//! Products of a layer's inputs with each other, summed over examples: what the error of rounded
//! weights does to results.

/// Sums over examples of what a channel's weights are applied to, for each group of a layer. An
/// example are codes from which the code of zero is subtracted, so that sums are exact.
#[derive(Clone, Debug)]
pub struct Gram {
    /// Elements of an example.
    len: usize,
    /// What a code stands for.
    unit: f64,
    /// Sums of products of codes: `len * len` for each group, of which the lower triangle is known;
    /// empty when there are too many elements.
    products: Vec<f64>,
    /// Sums of the elements in `f32`, `len` for each group.
    float_sums: Vec<f64>,
    /// Sums of the codes.
    code_sums: Vec<f64>,
    /// Examples.
    count: usize,
    /// Examples of each group that are not in `products` yet.
    waiting: Vec<Vec<i16>>,
}

/// The largest number of elements of an example whose products are kept.
pub const LARGEST: usize = 1536;

/// Examples whose products are added at once. The sum of so many products of codes is an `i32`.
const BLOCK: usize = 512;

/// Elements whose products with one other are summed at once.
const LANES: usize = 4;

impl Gram {
    /// No example yet, of codes that stand for multiples of `unit`.
    #[must_use]
    pub fn new(len: usize, groups: usize, unit: f32) -> Gram {
        let products = if len <= LARGEST { vec![0.0; groups * len * len] } else { Vec::new() };
        Gram { products, ..Gram::of_sums(len, groups, unit) }
    }

    /// The same without products.
    #[must_use]
    pub fn of_sums(len: usize, groups: usize, unit: f32) -> Gram {
        let sums = vec![0.0; groups * len];
        Gram {
            len,
            unit: f64::from(unit),
            products: Vec::new(),
            float_sums: sums.clone(),
            code_sums: sums,
            count: 0,
            waiting: vec![Vec::new(); groups],
        }
    }

    /// Whether no example was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many examples are worth their time and memory: enough for a matrix of full rank.
    #[must_use]
    pub fn wanted(len: usize, groups: usize) -> usize {
        const ELEMENTS: usize = 1 << 21;
        (ELEMENTS / (len * groups).max(1)).clamp(256, 4096)
    }

    /// Adds an example of all groups: `groups * len` elements as they are, and as codes less that
    /// of zero, which are between -255 and 255.
    pub fn add(&mut self, float: &[f32], codes: &[i16]) {
        self.count += 1;
        self.float_sums.iter_mut().zip(float).for_each(|(sum, &x)| *sum += f64::from(x));
        self.code_sums.iter_mut().zip(codes).for_each(|(sum, &x)| *sum += f64::from(x));
        if self.products.is_empty() {
            return;
        }
        for (waiting, example) in self.waiting.iter_mut().zip(codes.chunks_exact(self.len)) {
            waiting.extend_from_slice(example);
        }
        if self.waiting[0].len() == BLOCK * self.len {
            self.flush();
        }
    }

    /// Adds the products of examples that wait.
    pub fn flush(&mut self) {
        let area = self.len * self.len;
        for (products, waiting) in self.products.chunks_exact_mut(area).zip(&mut self.waiting) {
            add_products(products, waiting, self.len);
            waiting.clear();
        }
    }

    /// The means of products in a group, a symmetric matrix; nothing when they are not kept.
    #[must_use]
    pub fn matrix(&self, group: usize) -> Option<Vec<f64>> {
        let (len, scale) = (self.len, self.scale());
        let lower = self.products.chunks_exact((len * len).max(1)).nth(group)?;
        let at = |i: usize, j: usize| lower[i.max(j) * len + i.min(j)] * scale;
        Some((0..len * len).map(|n| at(n / len, n % len)).collect())
    }

    /// The mean of each element's square in a group; 1 when products are not kept.
    #[must_use]
    pub fn importance(&self, group: usize) -> Vec<f32> {
        const LEAST: f64 = 1e-12;
        let (len, scale) = (self.len, self.scale());
        match self.products.chunks_exact((len * len).max(1)).nth(group) {
            Some(lower) if self.count > 0 => {
                (0..len).map(|n| (lower[n * len + n] * scale).max(LEAST) as f32).collect()
            }
            _ => vec![1.0; len],
        }
    }

    /// What to add to a channel's bias so that the mean of its results stays: `row` are its
    /// weights, `coded` what their codes say.
    #[must_use]
    pub fn correction(&self, group: usize, row: &[f32], coded: &[f32]) -> f64 {
        let place = group * self.len..(group + 1) * self.len;
        let dot = |weights: &[f32], sums: &[f64]| -> f64 {
            weights.iter().zip(sums).map(|(&w, &s)| f64::from(w) * s).sum()
        };
        let float = dot(row, &self.float_sums[place.clone()]);
        let codes = dot(coded, &self.code_sums[place]) * self.unit;
        (float - codes) / self.count.max(1) as f64
    }

    /// What makes a sum of products of codes the mean of products.
    fn scale(&self) -> f64 {
        self.unit * self.unit / self.count.max(1) as f64
    }
}

/// Adds the products of the elements of examples to the lower triangle of their matrix.
fn add_products(products: &mut [f64], examples: &[i16], len: usize) {
    let count = examples.len() / len.max(1);
    if count == 0 {
        return;
    }
    let columns = columns(examples, len);
    for (i, row) in products.chunks_exact_mut(len).enumerate() {
        let own = &columns[i * count..][..count];
        let mut others = columns[..(i + 1) * count].chunks_exact(LANES * count);
        let mut places = row[..=i].chunks_exact_mut(LANES);
        for (sums, others) in places.by_ref().zip(others.by_ref()) {
            let found = dots(own, others);
            sums.iter_mut().zip(found).for_each(|(sum, dot)| *sum += f64::from(dot));
        }
        let rest = others.remainder().chunks_exact(count);
        for (sum, other) in places.into_remainder().iter_mut().zip(rest) {
            *sum += f64::from(dot(own, other));
        }
    }
}

/// The examples' elements, those of one place next to each other.
fn columns(examples: &[i16], len: usize) -> Vec<i16> {
    let count = examples.len() / len;
    let mut columns = vec![0; examples.len()];
    for (n, example) in examples.chunks_exact(len).enumerate() {
        columns[n..].iter_mut().step_by(count).zip(example).for_each(|(to, &x)| *to = x);
    }
    columns
}

/// The sums of products of some codes with those of `LANES` columns.
fn dots(own: &[i16], others: &[i16]) -> [i32; LANES] {
    let count = own.len();
    let (a, rest) = others.split_at(count);
    let (b, rest) = rest.split_at(count);
    let (c, d) = rest.split_at(count);
    let mut sums = [0; LANES];
    for (n, &x) in own.iter().enumerate() {
        let x = i32::from(x);
        sums[0] += x * i32::from(a[n]);
        sums[1] += x * i32::from(b[n]);
        sums[2] += x * i32::from(c[n]);
        sums[3] += x * i32::from(d[n]);
    }
    sums
}

fn dot(a: &[i16], b: &[i16]) -> i32 {
    a.iter().zip(b).map(|(&x, &y)| i32::from(x) * i32::from(y)).sum()
}

#[cfg(test)]
mod tests {
    use super::{BLOCK, Gram};

    #[test]
    fn products_are_means_over_examples() {
        let mut gram = Gram::new(2, 1, 0.5);
        gram.add(&[1.0, 2.0], &[2, 4]);
        gram.add(&[3.0, 0.0], &[6, 0]);
        gram.flush();
        assert_eq!(gram.matrix(0), Some(vec![5.0, 1.0, 1.0, 2.0]));
        assert_eq!(gram.importance(0), [5.0, 2.0]);
    }

    #[test]
    fn every_product_of_many_elements_is_summed() {
        let (len, count) = (11, BLOCK + 3);
        let code = |n: usize, i: usize| ((n * 7 + i * i * 5) % 511) as i16 - 255;
        let mut gram = Gram::new(len, 2, 1.0);
        for n in 0..count {
            let example: Vec<i16> = (0..2 * len).map(|i| code(n, i)).collect();
            gram.add(&[], &example);
        }
        gram.flush();
        for group in 0..2 {
            let matrix = gram.matrix(group).expect("few elements");
            for (at, found) in matrix.into_iter().enumerate() {
                let (i, j) = (group * len + at / len, group * len + at % len);
                let sum: i64 =
                    (0..count).map(|n| i64::from(code(n, i)) * i64::from(code(n, j))).sum();
                assert!((found - sum as f64 / count as f64).abs() < 1e-6, "{i} {j}");
            }
        }
    }

    #[test]
    fn the_correction_restores_the_mean() {
        let mut gram = Gram::new(1, 2, 0.5);
        gram.add(&[1.0, 4.0], &[3, 8]);
        assert_eq!(gram.correction(0, &[2.0], &[2.0]), -1.0);
        assert_eq!(gram.correction(1, &[2.0], &[1.0]), 4.0);
    }
}
