//! Rounds weights so that a layer's results change least, rather than the weights themselves.
//!
//! One weight after the other is rounded, and those that follow make up for its error as far as
//! the inputs are correlated: the closed form of Hassibi and Stork (Optimal Brain Surgeon, 1993)
//! in the order of Frantar and others (GPTQ, ICLR 2023).

use super::weights::code;

/// Added to the diagonal, as a share of its mean.
const DAMPING: f64 = 0.01;

/// What is needed to round the weights of all channels of a group.
#[derive(Clone, Debug)]
pub struct Rounding {
    len: usize,
    /// Means of products of inputs.
    products: Vec<f64>,
    /// The order in which weights are rounded: those that matter most first.
    order: Vec<usize>,
    /// The upper Cholesky factor of the inverse of the products, in that order.
    factor: Vec<f64>,
}

impl Rounding {
    /// From the means of products of inputs; nothing when the matrix is not positive definite even
    /// with damping.
    #[must_use]
    pub fn new(products: Vec<f64>, len: usize) -> Option<Rounding> {
        let diagonal = |n: usize| products[n * len + n];
        let mean = (0..len).map(diagonal).sum::<f64>() / len.max(1) as f64;
        let damping = DAMPING * mean;
        if damping <= 0.0 || !damping.is_finite() {
            return None;
        }
        let mut order: Vec<usize> = (0..len).collect();
        order.sort_by(|&a, &b| diagonal(b).total_cmp(&diagonal(a)));
        let mut matrix = vec![0.0; len * len];
        for (i, &from) in order.iter().enumerate() {
            for (j, &to) in order.iter().enumerate() {
                matrix[i * len + j] = products[from * len + to];
            }
            matrix[i * len + i] += damping;
        }
        let factor = upper_factor_of_inverse(matrix, len)?;
        Some(Rounding { len, products, order, factor })
    }

    /// The codes of a channel's weights.
    #[must_use]
    pub fn round(&self, row: &[f32], scale: f32) -> Vec<i32> {
        let nearest: Vec<i32> = row.iter().map(|&w| code(w, scale)).collect();
        let codes = self.compensated(row, scale);
        if self.error(row, &codes, scale) < self.error(row, &nearest, scale) {
            codes
        } else {
            nearest
        }
    }

    fn compensated(&self, row: &[f32], scale: f32) -> Vec<i32> {
        let mut left: Vec<f64> = self.order.iter().map(|&n| f64::from(row[n])).collect();
        let mut codes = vec![0; self.len];
        for (at, &n) in self.order.iter().enumerate() {
            let factor = &self.factor[at * self.len + at..(at + 1) * self.len];
            codes[n] = code(left[at] as f32, scale);
            let error = (left[at] - f64::from(codes[n]) * f64::from(scale)) / factor[0];
            left[at..].iter_mut().zip(factor).for_each(|(w, f)| *w -= error * f);
        }
        codes
    }

    /// The mean square of what codes change of a channel's results.
    #[must_use]
    pub fn error(&self, row: &[f32], codes: &[i32], scale: f32) -> f64 {
        let lost = |(&w, &c): (&f32, &i32)| f64::from(w) - f64::from(c) * f64::from(scale);
        let lost: Vec<f64> = row.iter().zip(codes).map(lost).collect();
        let rows = self.products.chunks_exact(self.len);
        lost.iter().zip(rows).map(|(e, row)| e * dot(row, &lost)).sum()
    }
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

/// `U` with `U^T U = M^-1`, upper triangular.
fn upper_factor_of_inverse(mut matrix: Vec<f64>, len: usize) -> Option<Vec<f64>> {
    cholesky(&mut matrix, len)?;
    let inverse = inverse_of_product(&invert_lower(&matrix, len), len);
    let mut lower = inverse;
    cholesky(&mut lower, len)?;
    Some(transposed(&lower, len))
}

/// Replaces a symmetric matrix by its lower Cholesky factor.
fn cholesky(matrix: &mut [f64], len: usize) -> Option<()> {
    for i in 0..len {
        for j in 0..=i {
            let (row_i, row_j) = (&matrix[i * len..][..j], &matrix[j * len..][..j]);
            let left = matrix[i * len + j] - dot(row_i, row_j);
            if i != j {
                matrix[i * len + j] = left / matrix[j * len + j];
            } else if left > 0.0 {
                matrix[i * len + i] = left.sqrt();
            } else {
                return None;
            }
        }
        matrix[i * len + i + 1..(i + 1) * len].fill(0.0);
    }
    Some(())
}

/// The inverse of a lower triangular matrix, transposed: rows are the inverse's columns.
fn invert_lower(lower: &[f64], len: usize) -> Vec<f64> {
    let mut columns = vec![0.0; len * len];
    for (c, column) in columns.chunks_exact_mut(len).enumerate() {
        for i in c..len {
            let row = &lower[i * len..][..len];
            let known = if i == c { 1.0 } else { 0.0 } - dot(&row[c..i], &column[c..i]);
            column[i] = known / row[i];
        }
    }
    columns
}

/// `L^-T L^-1` from the columns of `L^-1`.
fn inverse_of_product(columns: &[f64], len: usize) -> Vec<f64> {
    let mut product = vec![0.0; len * len];
    for i in 0..len {
        for j in 0..=i {
            let value =
                dot(&columns[i * len + i..(i + 1) * len], &columns[j * len + i..(j + 1) * len]);
            product[i * len + j] = value;
            product[j * len + i] = value;
        }
    }
    product
}

fn transposed(matrix: &[f64], len: usize) -> Vec<f64> {
    (0..len * len).map(|n| matrix[n % len * len + n / len]).collect()
}

#[cfg(test)]
mod tests {
    use super::{Rounding, upper_factor_of_inverse};

    #[test]
    fn the_factor_is_that_of_the_inverse() {
        let matrix = vec![4.0, 1.0, 1.0, 3.0];
        let u = upper_factor_of_inverse(matrix, 2).expect("positive definite");
        let inverse = [3.0 / 11.0, -1.0 / 11.0, -1.0 / 11.0, 4.0 / 11.0];
        let product = [u[0] * u[0], u[0] * u[1], u[0] * u[1], u[1] * u[1] + u[3] * u[3]];
        product.iter().zip(inverse).for_each(|(a, b)| assert!((a - b).abs() < 1e-12));
        assert_eq!(u[2], 0.0);
    }

    #[test]
    fn correlated_inputs_share_an_error() {
        let products = vec![1.0, 0.99, 0.99, 1.0];
        let rounding = Rounding::new(products, 2).expect("positive definite");
        let codes = rounding.round(&[0.45, 0.45], 1.0);
        assert_eq!(codes.iter().sum::<i32>(), 1, "{codes:?}");
    }

    #[test]
    fn inputs_of_zeros_have_no_rounding_of_their_own() {
        assert!(Rounding::new(vec![0.0; 4], 2).is_none());
    }
}
