//! Rounds weights so that a layer's results change least, rather than the weights themselves.
//!
//! One weight after the other is rounded, and those that follow make up for its error as far as
//! the inputs are correlated: the order of Frantar and others (GPTQ, ICLR 2023). With the factor
//! `R` of the products of inputs, `RᵀR`, the square of what errors `e` change is `|R e|²`, and each
//! weight has a row of it to itself (the nearest plane of Babai, 1986). No inverse is needed.

use super::width::Width;

/// Added to the diagonal, as a share of its mean.
const DAMPING: f64 = 0.01;

/// Channels whose weights are rounded at once.
const LANES: usize = 8;

/// Rows of a matrix that are factored at once.
const BLOCK: usize = 16;

/// A number for each of some channels.
type Lanes = [f32; LANES];

/// What is needed to round the weights of all channels of a group.
#[derive(Clone, Debug)]
pub struct Rounding {
    len: usize,
    /// The weights by when they are rounded, the last one first: those that matter most are rounded
    /// first.
    order: Vec<usize>,
    /// The upper triangular factor of the products in that order.
    factor: Vec<f32>,
}

impl Rounding {
    /// From the means of products of inputs; nothing when the matrix is not positive definite even
    /// with damping.
    #[must_use]
    pub fn new(products: &[f64], len: usize) -> Option<Rounding> {
        let diagonal = |n: usize| products[n * len + n];
        let mean = (0..len).map(diagonal).sum::<f64>() / len.max(1) as f64;
        let damping = DAMPING * mean;
        if damping <= 0.0 || !damping.is_finite() {
            return None;
        }
        let mut order: Vec<usize> = (0..len).collect();
        order.sort_by(|&a, &b| diagonal(a).total_cmp(&diagonal(b)));
        let mut matrix = vec![0.0; len * len];
        for (i, &from) in order.iter().enumerate() {
            for (j, &to) in order.iter().enumerate() {
                matrix[i * len + j] = products[from * len + to];
            }
            matrix[i * len + i] += damping;
        }
        cholesky(&mut matrix, len)?;
        let factor = transposed(&matrix, len);
        Some(Rounding { len, order, factor })
    }

    /// The codes of channels' weights, `len` for each of the scales.
    #[must_use]
    pub fn round(&self, rows: &[f32], scales: &[f32]) -> Vec<i32> {
        let blocks = rows.chunks(LANES * self.len).zip(scales.chunks(LANES));
        blocks.flat_map(|(rows, scales)| self.round_block(rows, scales)).collect()
    }

    /// The better of what is rounded in order and the nearest codes.
    fn round_block(&self, rows: &[f32], scales: &[f32]) -> Vec<i32> {
        let weights = self.ordered(rows);
        let scale = lanes(|c| scales.get(c).copied().unwrap_or(1.0));
        let (codes, loss) = self.compensated(&weights, &scale);
        let nearest: Vec<Lanes> = weights.iter().map(|w| codes_of(w, &scale)).collect();
        let nearest_loss = self.loss(&errors(&weights, &nearest, &scale));
        let mut result = vec![0; rows.len()];
        for (c, row) in result.chunks_exact_mut(self.len).enumerate() {
            let best = if loss[c] < nearest_loss[c] { &codes } else { &nearest };
            self.order.iter().zip(best).for_each(|(&n, code)| row[n] = code[c] as i32);
        }
        result
    }

    /// The weights in the order of the factor; zeros for channels that are not there.
    fn ordered(&self, rows: &[f32]) -> Vec<Lanes> {
        let weight = |n: usize| lanes(|c| rows.get(c * self.len + n).copied().unwrap_or(0.0));
        self.order.iter().map(|&n| weight(n)).collect()
    }

    /// Codes whose errors make up for each other, and what they change of each channel's results.
    fn compensated(&self, weights: &[Lanes], scale: &Lanes) -> (Vec<Lanes>, [f64; LANES]) {
        let (mut codes, mut errors) = (vec![[0.0; LANES]; self.len], vec![[0.0; LANES]; self.len]);
        let mut loss = [0.0; LANES];
        for n in (0..self.len).rev() {
            let (own, others) = self.row(n);
            let carried = weighted_sum(others, &errors[n + 1..]);
            let wanted = lanes(|c| weights[n][c] + carried[c] / own);
            codes[n] = codes_of(&wanted, scale);
            errors[n] = lanes(|c| weights[n][c] - codes[n][c] * scale[c]);
            add_squares(&mut loss, &lanes(|c| own * errors[n][c] + carried[c]));
        }
        (codes, loss)
    }

    /// The mean square of what errors of weights change of each channel's results.
    fn loss(&self, errors: &[Lanes]) -> [f64; LANES] {
        let mut loss = [0.0; LANES];
        for n in 0..self.len {
            let (own, others) = self.row(n);
            let carried = weighted_sum(others, &errors[n + 1..]);
            add_squares(&mut loss, &lanes(|c| own * errors[n][c] + carried[c]));
        }
        loss
    }

    /// A row of the factor from its diagonal on.
    fn row(&self, n: usize) -> (f32, &[f32]) {
        let row = &self.factor[n * self.len + n..(n + 1) * self.len];
        (row[0], &row[1..])
    }
}

fn lanes(value: impl Fn(usize) -> f32) -> Lanes {
    std::array::from_fn(value)
}

fn codes_of(weights: &Lanes, scale: &Lanes) -> Lanes {
    lanes(|c| Width::Int8.code(weights[c], scale[c]))
}

fn errors(weights: &[Lanes], codes: &[Lanes], scale: &Lanes) -> Vec<Lanes> {
    let error = |(w, q): (&Lanes, &Lanes)| lanes(|c| w[c] - q[c] * scale[c]);
    weights.iter().zip(codes).map(error).collect()
}

fn add_squares(sums: &mut [f64; LANES], values: &Lanes) {
    sums.iter_mut().zip(values).for_each(|(sum, &v)| *sum += f64::from(v).powi(2));
}

/// In two sums, which do not wait for each other.
fn weighted_sum(factors: &[f32], values: &[Lanes]) -> Lanes {
    let (mut even, mut odd) = ([0.0; LANES], [0.0; LANES]);
    let (pairs, rest) = (factors.chunks_exact(2), factors.len() / 2 * 2);
    for (factor, value) in pairs.zip(values.chunks_exact(2)) {
        for c in 0..LANES {
            even[c] += factor[0] * value[0][c];
            odd[c] += factor[1] * value[1][c];
        }
    }
    for (factor, value) in factors[rest..].iter().zip(&values[rest..]) {
        even.iter_mut().zip(value).for_each(|(sum, v)| *sum += factor * v);
    }
    lanes(|c| even[c] + odd[c])
}

/// In several sums, which do not wait for each other.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (blocks_a, blocks_b) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest = blocks_a.remainder().iter().zip(blocks_b.remainder()).map(|(x, y)| x * y);
    let rest: f64 = rest.sum();
    for (x, y) in blocks_a.zip(blocks_b) {
        sums.iter_mut().zip(x.iter().zip(y)).for_each(|(sum, (x, y))| *sum += x * y);
    }
    rest + sums.iter().sum::<f64>()
}

/// Replaces the lower triangle of a symmetric matrix by that of its Cholesky factor. Rows are made
/// in blocks, so that the rows before are read once for each block.
fn cholesky(matrix: &mut [f64], len: usize) -> Option<()> {
    for first in (0..len).step_by(BLOCK) {
        let end = (first + BLOCK).min(len);
        let (before, block) = matrix[..end * len].split_at_mut(first * len);
        for (j, known) in before.chunks_exact(len).enumerate() {
            for row in block.chunks_exact_mut(len) {
                row[j] = (row[j] - dot(&row[..j], &known[..j])) / known[j];
            }
        }
        for i in 0..end - first {
            let (known, row) = block.split_at_mut(i * len);
            finish_row(known, &mut row[..len], first)?;
        }
    }
    Some(())
}

/// The elements of a row of the factor from column `first` to the diagonal; `known` are the rows
/// from `first` on before it.
fn finish_row(known: &[f64], row: &mut [f64], first: usize) -> Option<()> {
    let mut at = first;
    for other in known.chunks_exact(row.len()) {
        row[at] = (row[at] - dot(&row[..at], &other[..at])) / other[at];
        at += 1;
    }
    let left = row[at] - dot(&row[..at], &row[..at]);
    row[at] = Some(left).filter(|&left| left > 0.0)?.sqrt();
    Some(())
}

/// The rows of a lower triangular matrix as columns.
fn transposed(lower: &[f64], len: usize) -> Vec<f32> {
    let mut upper = vec![0.0; len * len];
    for (i, row) in lower.chunks_exact(len).enumerate() {
        let column = upper[i..].iter_mut().step_by(len);
        column.zip(&row[..=i]).for_each(|(to, &x)| *to = x as f32);
    }
    upper
}

#[cfg(test)]
mod tests {
    use super::{Rounding, cholesky};
    use edgecc_ir::rng::Rng;

    /// A symmetric matrix that is positive definite.
    fn matrix(len: usize) -> Vec<f64> {
        let mut random = Rng::new(3);
        let rows: Vec<f64> =
            (0..len * len).map(|_| random.below(100) as f64 / 50.0 - 1.0).collect();
        let product = |i: usize, j: usize| -> f64 {
            let (a, b) = (&rows[i * len..][..len], &rows[j * len..][..len]);
            a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>() + f64::from(u8::from(i == j))
        };
        (0..len * len).map(|n| product(n / len, n % len)).collect()
    }

    #[test]
    fn the_factor_times_itself_is_the_matrix() {
        let len = 37;
        let wanted = matrix(len);
        let mut lower = wanted.clone();
        cholesky(&mut lower, len).expect("positive definite");
        for i in 0..len {
            for j in 0..=i {
                let sum: f64 = (0..=j).map(|k| lower[i * len + k] * lower[j * len + k]).sum();
                assert!((sum - wanted[i * len + j]).abs() < 1e-9, "{i} {j}");
            }
        }
    }

    #[test]
    fn correlated_inputs_share_an_error() {
        let rounding = Rounding::new(&[1.0, 0.99, 0.99, 1.0], 2).expect("positive definite");
        let codes = rounding.round(&[0.45, 0.45], &[1.0]);
        assert_eq!(codes.iter().sum::<i32>(), 1, "{codes:?}");
    }

    #[test]
    fn no_channel_is_worse_than_with_nearest_codes() {
        let (len, channels) = (21, 11);
        let products = matrix(len);
        let rounding = Rounding::new(&products, len).expect("positive definite");
        let mut random = Rng::new(5);
        let rows: Vec<f32> =
            (0..len * channels).map(|_| random.below(1000) as f32 / 100.0 - 5.0).collect();
        let scales: Vec<f32> = (0..channels).map(|c| 0.5 + c as f32 / 10.0).collect();
        let codes = rounding.round(&rows, &scales);
        let loss = |c: usize, code: &dyn Fn(usize) -> f32| -> f64 {
            let error = |n: usize| f64::from(rows[c * len + n] - code(c * len + n) * scales[c]);
            let pairs = (0..len * len).map(|n| (n / len, n % len));
            pairs.map(|(i, j)| error(i) * products[i * len + j] * error(j)).sum()
        };
        let better = |c: usize| {
            let found = loss(c, &|n| codes[n] as f32);
            let nearest = loss(c, &|n| (rows[n] / scales[c]).round_ties_even());
            assert!(found <= nearest * 1.05, "{c}: {found} {nearest}");
            found < 0.8 * nearest
        };
        assert!((0..channels).filter(|&c| better(c)).count() > channels / 2);
    }

    #[test]
    fn inputs_of_zeros_have_no_rounding_of_their_own() {
        assert!(Rounding::new(&[0.0; 4], 2).is_none());
    }
}
