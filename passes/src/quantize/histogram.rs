//! The distribution of a value's elements, seen piece by piece.

/// Bins over both signs; a multiple of 4, so that halves fold into each other.
pub const BINS: usize = 8192;

/// How often elements of each size were seen. Bins cover `-2^e..2^e` evenly; `e` grows as needed.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// The smallest element, at most 0.
    pub lo: f32,
    /// The largest element, at least 0.
    pub hi: f32,
    /// How many elements are exactly zero; they are in no bin.
    pub zeros: u64,
    bins: Vec<u64>,
    exponent: i32,
}

/// Where bins start before the first element: `2^-40`.
const FIRST_EXPONENT: i32 = -40;

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { lo: 0.0, hi: 0.0, zeros: 0, bins: vec![0; BINS], exponent: FIRST_EXPONENT }
    }
}

impl Histogram {
    /// Counts elements; those that are not finite do not count.
    pub fn add(&mut self, values: &[f32]) {
        let (lo, hi) = extremes(values);
        (self.lo, self.hi) = (self.lo.min(lo), self.hi.max(hi));
        self.grow(f64::from(self.hi.max(-self.lo)));
        let scale = self.scale();
        for &value in values {
            if value == 0.0 {
                self.zeros += 1;
            } else if value.is_finite() {
                self.bins[place(f64::from(value) * scale)] += 1;
            }
        }
    }

    /// Counts what another one has counted.
    pub fn merge(&mut self, other: &Histogram) {
        self.lo = self.lo.min(other.lo);
        self.hi = self.hi.max(other.hi);
        self.zeros += other.zeros;
        let mut other = other.clone();
        let exponent = self.exponent.max(other.exponent);
        self.grow_to(exponent);
        other.grow_to(exponent);
        self.bins.iter_mut().zip(&other.bins).for_each(|(mine, theirs)| *mine += theirs);
    }

    /// The middle of each bin that is not empty, and its count; zeros are not among them.
    pub fn points(&self) -> impl Iterator<Item = (f64, u64)> {
        let width = self.width();
        let middle = move |n: usize| (n as f64 - BINS as f64 / 2.0 + 0.5) * width;
        let bins = self.bins.iter().enumerate().filter(|(_, count)| **count > 0);
        bins.map(move |(n, &count)| (middle(n), count))
    }

    /// How many elements were seen.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.zeros + self.bins.iter().sum::<u64>()
    }

    /// The width of a bin.
    #[must_use]
    pub fn width(&self) -> f64 {
        1.0 / self.scale()
    }

    fn scale(&self) -> f64 {
        BINS as f64 / 2.0 * 2f64.powi(-self.exponent)
    }

    fn grow(&mut self, largest: f64) {
        let mut exponent = self.exponent;
        while largest >= 2f64.powi(exponent) {
            exponent += 1;
        }
        self.grow_to(exponent);
    }

    /// Two bins become one for each step.
    fn grow_to(&mut self, exponent: i32) {
        if self.bins.iter().all(|&count| count == 0) {
            self.exponent = self.exponent.max(exponent);
        }
        while self.exponent < exponent {
            let mut wider = vec![0; BINS];
            for (n, count) in self.bins.iter().enumerate() {
                wider[BINS / 4 + n / 2] += count;
            }
            self.bins = wider;
            self.exponent += 1;
        }
    }
}

/// The smallest and the largest of zero and the numbers that are finite, in several lanes.
fn extremes(values: &[f32]) -> (f32, f32) {
    const LANES: usize = 8;
    let finite = |v: f32| if v.abs() < f32::INFINITY { v } else { 0.0 };
    let (mut lo, mut hi) = ([0.0_f32; LANES], [0.0_f32; LANES]);
    for part in values.chunks(LANES) {
        for ((lo, hi), &v) in lo.iter_mut().zip(&mut hi).zip(part) {
            let v = finite(v);
            *lo = if v < *lo { v } else { *lo };
            *hi = if v > *hi { v } else { *hi };
        }
    }
    (lo.into_iter().fold(0.0, f32::min), hi.into_iter().fold(0.0, f32::max))
}

/// The bin at a distance from the middle, in bins: positive before it becomes whole, so that it
/// is rounded down.
fn place(position: f64) -> usize {
    ((position + BINS as f64 / 2.0) as i32).clamp(0, BINS as i32 - 1) as usize
}

#[cfg(test)]
mod tests {
    use super::Histogram;

    #[test]
    fn growing_keeps_every_count() {
        let mut histogram = Histogram::default();
        histogram.add(&[0.0, 0.5, -0.5, f32::NAN]);
        histogram.add(&[100.0, -3.0]);
        assert_eq!((histogram.lo, histogram.hi), (-3.0, 100.0));
        assert_eq!((histogram.zeros, histogram.count()), (1, 5));
        let width = histogram.width();
        for value in [0.5, -0.5, 100.0, -3.0] {
            assert!(histogram.points().any(|(x, _)| (x - value).abs() <= width), "{value}");
        }
    }

    #[test]
    fn merging_is_counting_everything() {
        let (mut a, mut b, mut both) =
            (Histogram::default(), Histogram::default(), Histogram::default());
        a.add(&[0.25, 0.75]);
        b.add(&[-8.0]);
        both.add(&[0.25, 0.75, -8.0]);
        a.merge(&b);
        assert_eq!(a, both);
    }
}
