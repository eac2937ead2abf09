//! The matrices of `F(m, 3)`, and sums by their rows.
//!
//! `m` neighbouring results of a window of three taps `g` over the inputs `d` are
//! `Aᵀ [(G g) ⊙ (Bᵀ d)]`: the product of two polynomials found by their values at `m + 1` points and
//! at infinity (Toom and Cook), transposed (Winograd 1980; Lavin and Gray 2015). The rows of `G` are
//! divided by what the rows of `Bᵀ` leave out, so that those have whole or short numbers.

use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::scalar::{ExprBuilder, NodeId, ScalarExpr};
use std::f64::consts::{FRAC_1_SQRT_2, SQRT_2};

/// Taps of a window along a dimension.
pub(super) const TAPS: usize = 3;

/// The finite points for each number of results. They lie in pairs around 0, which share work, and
/// products of their distances stay near 1, which keeps rounding errors small.
const POINTS: &[(usize, &[f64])] =
    &[(2, &[0.0, 1.0, -1.0]), (4, &[0.0, FRAC_1_SQRT_2, -FRAC_1_SQRT_2, SQRT_2, -SQRT_2])];

/// Numbers of results that have points.
pub(super) fn sizes() -> impl Iterator<Item = usize> {
    POINTS.iter().map(|(results, _)| *results)
}

/// Rows of numbers.
pub(super) type Matrix = Vec<Vec<f64>>;

/// The matrices for `m` results from `m + 2` inputs.
pub(super) struct Transform {
    /// `Bᵀ`: `m + 2` rows over the inputs.
    pub(super) input: Matrix,
    /// `G`: `m + 2` rows over the taps.
    pub(super) weights: Matrix,
    /// `Aᵀ`: `m` rows over the products.
    pub(super) output: Matrix,
}

impl Transform {
    /// For a number of results that has points.
    pub(super) fn of(results: usize) -> Transform {
        let row = POINTS.iter().find(|(m, _)| *m == results);
        let (_, points) = row.expect("a number of results that has points");
        let others = |n: usize| points.iter().enumerate().filter(move |(i, _)| *i != n);
        let factors = |n: usize| others(n).map(|(_, &p)| p).collect::<Vec<f64>>();
        let mut input: Matrix =
            (0..points.len()).map(|n| padded(polynomial(&factors(n)), results + 2)).collect();
        input.push(polynomial(points));
        let scale = |n: usize| others(n).map(|(_, &p)| points[n] - p).product::<f64>();
        let powers = |n: usize| (0..TAPS).map(move |t| points[n].powi(t as i32));
        let mut weights: Matrix =
            (0..points.len()).map(|n| powers(n).map(|v| v / scale(n)).collect()).collect();
        weights.push(unit(TAPS));
        let column = |i: usize| points.iter().map(move |p| p.powi(i as i32));
        let last = |i: usize| f64::from(u8::from(i + 1 == results));
        let output = (0..results).map(|i| column(i).chain([last(i)]).collect()).collect();
        Transform { input, weights, output }
    }
}

/// The coefficients, lowest first, of the polynomial with these roots.
fn polynomial(roots: &[f64]) -> Vec<f64> {
    roots.iter().fold(vec![1.0], |product, root| {
        let shifted = [0.0].iter().chain(&product);
        let scaled = product.iter().map(|c| -root * c).chain([0.0]);
        shifted.zip(scaled).map(|(a, b)| clean(a + b)).collect()
    })
}

/// Roots in pairs around 0 cancel; what is left is rounding.
fn clean(value: f64) -> f64 {
    const ROUNDING: f64 = 1e-12;
    let whole = (value * 8.0).round() / 8.0;
    if (value - whole).abs() < ROUNDING { whole + 0.0 } else { value }
}

fn padded(mut row: Vec<f64>, len: usize) -> Vec<f64> {
    row.resize(len, 0.0);
    row
}

fn unit(len: usize) -> Vec<f64> {
    padded(vec![0.0; len - 1], len - 1).into_iter().chain([1.0]).collect()
}

/// Which neighbours of a row of coefficients differ from those of other rows by a factor only, so
/// that rows share their sums.
#[derive(Clone, Copy)]
pub(super) enum Sharing {
    /// Every second one: rows of `Bᵀ`, whose points lie in pairs.
    Alternate,
    /// The second and third, the fourth and fifth, …: rows of `Aᵀ`.
    Pairs,
}

/// The taps of a row that count, and their sum by the row, of as many parameters.
pub(super) fn sum(row: &[f64], sharing: Sharing, fma: bool) -> (Vec<usize>, ScalarExpr) {
    let taps: Vec<usize> = (0..row.len()).filter(|&n| row[n] != 0.0).collect();
    let group = |tap: usize| match sharing {
        Sharing::Alternate => tap % 2,
        Sharing::Pairs => tap.div_ceil(2),
    };
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for number in 0..=row.len() {
        let members: Vec<usize> = taps.iter().copied().filter(|&t| group(t) == number).collect();
        groups.extend((!members.is_empty()).then_some(members));
    }
    let lead = |group: &Vec<usize>| row[group[group.len() - 1]];
    groups.sort_by_key(|g| lead(g) != 1.0);
    let expr = ScalarExpr::build(taps.len() as u32, |b| {
        let param = |tap: usize| taps.iter().position(|&t| t == tap).expect("a tap") as u32;
        let terms: Vec<(f64, NodeId)> = groups
            .iter()
            .map(|group| {
                let members =
                    group.iter().rev().map(|&t| (row[t] / lead(group), b.param(param(t))));
                let members: Vec<(f64, NodeId)> = members.collect();
                (lead(group), linear(b, &members, fma))
            })
            .collect();
        linear(b, &terms, fma)
    });
    (taps, expr)
}

/// `Σ factor · value`.
fn linear(b: &mut ExprBuilder, terms: &[(f64, NodeId)], fma: bool) -> NodeId {
    let (&(factor, first), rest) = terms.split_first().expect("a row with a coefficient");
    let start = if factor == 1.0 { first } else { scaled(b, factor, first) };
    rest.iter().fold(start, |sum, &(factor, value)| match factor {
        1.0 => b.call(ScalarFn::Add, &[sum, value]),
        -1.0 => b.call(ScalarFn::Sub, &[sum, value]),
        _ if fma => {
            let factor = b.f32(factor as f32);
            b.call(ScalarFn::Fma, &[factor, value, sum])
        }
        _ => {
            let product = scaled(b, factor, value);
            b.call(ScalarFn::Add, &[sum, product])
        }
    })
}

fn scaled(b: &mut ExprBuilder, factor: f64, value: NodeId) -> NodeId {
    let factor = b.f32(factor as f32);
    b.call(ScalarFn::Mul, &[factor, value])
}

#[cfg(test)]
mod tests {
    use super::{Matrix, Sharing, TAPS, Transform, sizes, sum};
    use edgecc_ir::scalar::eval::eval;
    use edgecc_ir::tensor::Scalar;

    fn apply(matrix: &Matrix, x: &[f64]) -> Vec<f64> {
        matrix.iter().map(|row| row.iter().zip(x).map(|(a, b)| a * b).sum()).collect()
    }

    #[test]
    fn transforms_give_the_sums_of_the_window() {
        for m in sizes() {
            let Transform { input, weights, output } = Transform::of(m);
            let (d, g) = ([3.0, -1.0, 4.0, 1.0, -5.0, 9.0, 2.0, 6.0], [2.0, 7.0, -1.0]);
            let (v, u) = (apply(&input, &d[..m + 2]), apply(&weights, &g));
            let products: Vec<f64> = v.iter().zip(&u).map(|(a, b)| a * b).collect();
            for (n, found) in apply(&output, &products).into_iter().enumerate() {
                let expected: f64 = (0..TAPS).map(|t| g[t] * d[n + t]).sum();
                assert!((found - expected).abs() < 1e-12, "F({m}, 3) of {n}: {found}");
            }
        }
    }

    #[test]
    fn sums_are_those_of_their_rows() {
        let Transform { input, output, .. } = Transform::of(4);
        for (matrix, sharing) in [(input, Sharing::Alternate), (output, Sharing::Pairs)] {
            for row in matrix {
                let (taps, expr) = sum(&row, sharing, false);
                let args: Vec<Scalar> = taps.iter().map(|&t| Scalar::f32(1.5 + t as f32)).collect();
                let expected: f64 = row.iter().enumerate().map(|(t, c)| c * (1.5 + t as f64)).sum();
                assert!((eval(&expr, &args).as_f64() - expected).abs() < 1e-5, "{row:?}");
            }
        }
    }

    #[test]
    fn zeros_are_left_out_and_ones_not_multiplied() {
        let (taps, expr) = sum(&Transform::of(2).input[1], Sharing::Alternate, true);
        assert_eq!((taps, expr.cost()), (vec![1, 2], 1));
    }
}
