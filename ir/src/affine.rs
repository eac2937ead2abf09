//! Affine index expressions `Σ coefficient·variable + constant` and interval arithmetic on them.
//!
//! All arithmetic saturates: a hostile dump may hold any numbers, and a saturated bound is never
//! inside a buffer, so that verification refuses it.

use cranelift_entity::EntityRef;
use smallvec::SmallVec;

/// `Σ coefficient·variable + constant`; terms sorted by variable, no zero coefficients.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Affine<V> {
    terms: SmallVec<[(V, i64); 2]>,
    /// The constant part.
    pub constant: i64,
}

/// An inclusive range of integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// Smallest value.
    pub lo: i64,
    /// Largest value.
    pub hi: i64,
}

impl<V: EntityRef + Ord> Affine<V> {
    /// The constant `value`.
    #[must_use]
    pub fn constant(value: i64) -> Self {
        Affine { terms: SmallVec::new(), constant: value }
    }

    /// `1·var`.
    #[must_use]
    pub fn var(var: V) -> Self {
        Self::scaled(var, 1)
    }

    /// `coefficient·var`.
    #[must_use]
    pub fn scaled(var: V, coefficient: i64) -> Self {
        Self::constant(0).plus(var, coefficient)
    }

    /// `self + coefficient·var`.
    #[must_use]
    pub fn plus(mut self, var: V, coefficient: i64) -> Self {
        match self.terms.binary_search_by(|t| t.0.cmp(&var)) {
            Ok(at) => {
                self.terms[at].1 = self.terms[at].1.saturating_add(coefficient);
                if self.terms[at].1 == 0 {
                    self.terms.remove(at);
                }
            }
            Err(at) if coefficient != 0 => self.terms.insert(at, (var, coefficient)),
            Err(_) => {}
        }
        self
    }

    /// `self + constant`.
    #[must_use]
    pub fn offset(mut self, constant: i64) -> Self {
        self.constant = self.constant.saturating_add(constant);
        self
    }

    /// `self + factor·other`.
    #[must_use]
    pub fn add_scaled(&self, other: &Self, factor: i64) -> Self {
        let sum = self.clone().offset(other.constant.saturating_mul(factor));
        other.terms.iter().fold(sum, |sum, &(v, c)| sum.plus(v, c.saturating_mul(factor)))
    }

    /// `factor·self`.
    #[must_use]
    pub fn times(&self, factor: i64) -> Self {
        Self::constant(0).add_scaled(self, factor)
    }

    /// The terms in variable order; no coefficient is zero.
    #[must_use]
    pub fn terms(&self) -> &[(V, i64)] {
        &self.terms
    }

    /// The coefficient of `var`, 0 when absent.
    #[must_use]
    pub fn coefficient(&self, var: V) -> i64 {
        self.terms.binary_search_by(|t| t.0.cmp(&var)).map_or(0, |at| self.terms[at].1)
    }

    /// `var` itself, when the expression is exactly `1·var + 0`.
    #[must_use]
    pub fn as_var(&self) -> Option<V> {
        match (self.terms.as_slice(), self.constant) {
            (&[(var, 1)], 0) => Some(var),
            _ => None,
        }
    }

    /// Replaces each variable by an expression over other variables.
    #[must_use]
    pub fn substitute<W: EntityRef + Ord>(
        &self,
        mut with: impl FnMut(V) -> Affine<W>,
    ) -> Affine<W> {
        let start = Affine::constant(self.constant);
        self.terms.iter().fold(start, |sum, &(v, c)| sum.add_scaled(&with(v), c))
    }

    /// The value under an assignment.
    #[must_use]
    pub fn eval(&self, mut value: impl FnMut(V) -> i64) -> i64 {
        let add = |sum: i64, &(v, c): &(V, i64)| sum.saturating_add(c.saturating_mul(value(v)));
        self.terms.iter().fold(self.constant, add)
    }

    /// The exact range when each variable ranges over its interval independently.
    #[must_use]
    pub fn interval(&self, mut range: impl FnMut(V) -> Interval) -> Interval {
        let start = Interval { lo: self.constant, hi: self.constant };
        self.terms.iter().fold(start, |sum, &(v, c)| {
            let r = range(v);
            let (a, b) = (c.saturating_mul(r.lo), c.saturating_mul(r.hi));
            Interval { lo: sum.lo.saturating_add(a.min(b)), hi: sum.hi.saturating_add(a.max(b)) }
        })
    }
}

impl Interval {
    /// The range `0..extent` as an interval; `extent` is at least 1.
    #[must_use]
    pub fn below(extent: usize) -> Interval {
        Interval { lo: 0, hi: extent as i64 - 1 }
    }

    /// A single value.
    #[must_use]
    pub fn point(value: i64) -> Interval {
        Interval { lo: value, hi: value }
    }

    /// Whether every value lies in `0..extent`.
    #[must_use]
    pub fn within(self, extent: usize) -> bool {
        self.lo >= 0 && self.hi < extent as i64
    }

    /// Whether no value lies in `0..extent`.
    #[must_use]
    pub fn outside(self, extent: usize) -> bool {
        self.hi < 0 || self.lo >= extent as i64
    }
}
