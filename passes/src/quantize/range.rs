//! Which range of a value its codes cover: all that was seen, or less for the sake of finer steps.

use super::histogram::Histogram;
use super::round::nearest;

/// How a range is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method {
    /// Everything that was seen.
    MinMax,
    /// All but a share of the elements on each side: `1 - p / 100` for percentile `p`.
    Percentile(f64),
    /// The least squared error.
    Mse,
    /// The least information lost: the smallest divergence of Kullback and Leibler between the
    /// magnitudes and their codes (Migacz, 8-bit inference with TensorRT, GTC 2017).
    Entropy,
}

impl Method {
    /// Every method with its name.
    pub const ALL: &[(&str, Method)] = &[
        ("min-max", Method::MinMax),
        ("percentile", Method::Percentile(99.999)),
        ("mse", Method::Mse),
        ("entropy", Method::Entropy),
    ];
}

/// The kind of codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Codes {
    /// The smallest code.
    pub lo: i32,
    /// The largest code.
    pub hi: i32,
    /// Whether the code of zero is 0.
    pub symmetric: bool,
}

/// How numbers become codes: `round(x / scale) + zero`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grid {
    /// Positive and finite.
    pub scale: f32,
    /// The code of zero.
    pub zero: i32,
    /// Bounds of the codes.
    pub codes: Codes,
}

/// The smallest scale, far from subnormal numbers even as a product of two.
const SMALLEST_SCALE: f64 = 1e-12;

/// Shares of the whole range that are tried.
const STEPS: usize = 80;

/// How much of the range the last of them cuts off.
const CUT: f64 = 0.95;

/// The grid for what was seen.
#[must_use]
pub fn choose(seen: &Histogram, method: Method, codes: Codes) -> Grid {
    let (lo, hi) = (f64::from(seen.lo), f64::from(seen.hi));
    match method {
        Method::MinMax => grid(lo, hi, codes),
        Method::Percentile(p) => {
            let (lo, hi) = percentile(seen, p);
            grid(lo, hi, codes)
        }
        Method::Mse => least_squares(seen, codes),
        Method::Entropy => {
            let limit = least_divergence(seen, codes);
            grid(lo.max(-limit), hi.min(limit), codes)
        }
    }
}

impl Grid {
    /// The number nearest to `x` that has a code.
    #[must_use]
    pub fn snap(&self, x: f32) -> f32 {
        self.centred_code(x) * self.scale
    }

    /// The code of that number less the code of zero.
    #[must_use]
    pub fn centred_code(&self, x: f32) -> f32 {
        let (lo, hi) = (self.codes.lo - self.zero, self.codes.hi - self.zero);
        nearest((x / self.scale).clamp(lo as f32, hi as f32))
    }
}

/// The grid that covers a range and zero.
#[must_use]
pub fn grid(lo: f64, hi: f64, codes: Codes) -> Grid {
    let (lo, hi) = (lo.min(0.0), hi.max(0.0));
    let (first, last) = (f64::from(codes.lo), f64::from(codes.hi));
    if codes.symmetric {
        let scale = (hi / last).max(if codes.lo < 0 { lo / first } else { 0.0 });
        return Grid { scale: scale.max(SMALLEST_SCALE) as f32, zero: 0, codes };
    }
    let scale = ((hi - lo) / (last - first)).max(SMALLEST_SCALE);
    let zero = (first - lo / scale).round_ties_even().clamp(first, last);
    Grid { scale: scale as f32, zero: zero as i32, codes }
}

/// The range without a share of the elements at each end.
fn percentile(seen: &Histogram, p: f64) -> (f64, f64) {
    let allowed = seen.count() as f64 * (1.0 - p / 100.0);
    let points: Vec<(f64, u64)> = seen.points().collect();
    let half = seen.width() / 2.0;
    let lo = beyond(points.iter().copied(), allowed).map_or(0.0, |x| x - half);
    let hi = beyond(points.iter().rev().copied(), allowed).map_or(0.0, |x| x + half);
    (lo.max(f64::from(seen.lo)).min(0.0), hi.min(f64::from(seen.hi)).max(0.0))
}

/// The first point before which there are more than so many elements.
fn beyond(points: impl Iterator<Item = (f64, u64)>, allowed: f64) -> Option<f64> {
    let mut passed = 0.0;
    for (x, count) in points {
        passed += count as f64;
        if passed > allowed {
            return Some(x);
        }
    }
    None
}

/// Cuts one end after the other where that lowers the squared error.
fn least_squares(seen: &Histogram, codes: Codes) -> Grid {
    let points: Vec<(f64, u64)> = seen.points().collect();
    let (lo, hi) = (f64::from(seen.lo), f64::from(seen.hi));
    let error = |a: f64, b: f64| squared_error(&points, &grid(a * lo, b * hi, codes));
    let share = |n: usize| 1.0 - CUT * n as f64 / STEPS as f64;
    let best = |error: &dyn Fn(f64) -> f64| {
        let shares = (0..=STEPS).map(share).map(|s| (s, error(s)));
        shares.min_by(|a, b| a.1.total_cmp(&b.1)).map_or(1.0, |(s, _)| s)
    };
    let both = best(&|s| error(s, s));
    let (mut a, mut b) = (both, both);
    for _ in 0..2 {
        b = best(&|s| error(a, s));
        a = best(&|s| error(s, b));
    }
    grid(a * lo, b * hi, codes)
}

fn squared_error(points: &[(f64, u64)], grid: &Grid) -> f64 {
    let error =
        |&(x, count): &(f64, u64)| (f64::from(grid.snap(x as f32)) - x).powi(2) * count as f64;
    points.iter().map(error).sum()
}

/// The magnitude at which to cut.
fn least_divergence(seen: &Histogram, codes: Codes) -> f64 {
    let width = seen.width();
    let magnitudes = magnitudes(seen);
    let levels = if seen.lo < 0.0 {
        (codes.hi - codes.lo) as usize / 2
    } else {
        (codes.hi - codes.lo) as usize
    };
    let last = magnitudes.iter().rposition(|&count| count > 0.0).map_or(0, |n| n + 1);
    if last <= levels {
        return f64::INFINITY;
    }
    let step = ((last - levels) / 128).max(1);
    let candidates = (levels..=last).step_by(step).chain([last]);
    let best = candidates.map(|n| (n, divergence(&magnitudes, n, levels)));
    let cut = best.min_by(|a, b| a.1.total_cmp(&b.1)).map_or(last, |(n, _)| n);
    if cut == last { f64::INFINITY } else { cut as f64 * width }
}

/// Counts by magnitude, in bins as wide as the histogram's.
fn magnitudes(seen: &Histogram) -> Vec<f64> {
    let mut counts = vec![0.0; super::histogram::BINS / 2];
    for (x, count) in seen.points() {
        counts[(x.abs() / seen.width()) as usize] += count as f64;
    }
    counts
}

/// From the first `n` counts, with the rest in the last of them, to the same in so many levels.
fn divergence(counts: &[f64], n: usize, levels: usize) -> f64 {
    let rest: f64 = counts[n..].iter().sum();
    let total: f64 = counts.iter().sum();
    let true_count = |i: usize| counts[i] + if i + 1 == n { rest } else { 0.0 };
    let mut sum = 0.0;
    for level in 0..levels {
        let (from, to) = (level * n / levels, (level + 1) * n / levels);
        let filled = (from..to).filter(|&i| true_count(i) > 0.0).count();
        let kept: f64 = counts[from..to].iter().sum();
        let share = kept / filled.max(1) as f64;
        let terms = (from..to).map(true_count).filter(|&p| p > 0.0);
        sum += terms.map(|p| p / total * (p / share.max(1e-9)).ln()).sum::<f64>();
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::super::histogram::Histogram;
    use super::{Codes, Method, choose, grid};

    const U8: Codes = Codes { lo: 0, hi: 255, symmetric: false };

    fn seen(values: &[f32]) -> Histogram {
        let mut histogram = Histogram::default();
        histogram.add(values);
        histogram
    }

    /// Many small elements and a single large one.
    fn with_outlier() -> Histogram {
        let small = |n: usize| ((n % 1000) as f32 / 1000.0).powi(2);
        let mut values: Vec<f32> = (0..100_000).map(small).collect();
        values.push(100.0);
        seen(&values)
    }

    #[test]
    fn zero_has_a_code_of_its_own() {
        for (lo, hi) in [(-1.0, 3.0), (0.0, 5.0), (2.0, 5.0), (-7.0, -1.0), (0.0, 0.0)] {
            let grid = grid(lo, hi, U8);
            assert_eq!(grid.snap(0.0), 0.0);
            assert!((0..=255).contains(&grid.zero) && grid.scale > 0.0);
        }
        let symmetric = grid(-2.0, 1.0, Codes { lo: -128, hi: 127, symmetric: true });
        assert_eq!(symmetric.zero, 0);
        assert_eq!(symmetric.snap(-2.0), -2.0);
    }

    #[test]
    fn the_whole_range_is_kept_by_min_max_alone() {
        let histogram = with_outlier();
        let top = |method| {
            let grid = choose(&histogram, method, U8);
            grid.snap(f32::MAX)
        };
        assert!((top(Method::MinMax) - 100.0).abs() < 0.1);
        for method in [Method::Percentile(99.99), Method::Entropy] {
            assert!(top(method) < 20.0, "{method:?}: {}", top(method));
        }
    }

    #[test]
    fn least_squares_is_no_worse_than_the_whole_range() {
        let values: Vec<f32> = (1..20_000).map(|n| ((n as f32) / 20_000.0).ln()).collect();
        let error = |method| -> f64 {
            let grid = choose(&seen(&values), method, U8);
            values.iter().map(|&v| f64::from(grid.snap(v) - v).powi(2)).sum()
        };
        assert!(error(Method::Mse) < error(Method::MinMax));
    }
}
