//! K2: the stages together write each element of each output exactly once, and each element of
//! each local exactly once at each point of the row axes.
//!
//! A proof in three parts: each stage writes distinct elements, no two stages write the same
//! element, and as many elements are written as there are. Where the rules cannot decide, a small
//! output is enumerated. Relies on K1 and K3.

use crate::affine::{Affine, Interval};
use crate::diag::Violation;
use crate::index::for_each_index;
use crate::kernel::{AxisId, Index, Kernel, OperandId, Role, Stage};
use cranelift_entity::SecondaryMap;

/// Outputs up to this many elements are enumerated when the rules do not decide.
const ENUMERATED: usize = 1 << 16;

pub(super) fn check(kernel: &Kernel, found: &mut Vec<Violation>) {
    let is_written = |role| matches!(role, Role::Write | Role::Local);
    let written = kernel.operands.iter().filter(|(_, o)| is_written(o.role));
    for (operand, data) in written {
        let stages: Vec<&Stage> =
            kernel.stages.iter().filter(|s| s.write.operand == operand).collect();
        if let Err(message) = check_operand(kernel, &stages, data.ty.shape.numel()) {
            found.push(Violation::new("K2", operand.to_string(), message));
        }
    }
}

fn check_operand(kernel: &Kernel, stages: &[&Stage], numel: usize) -> Result<(), String> {
    let writes: Vec<Write> = stages.iter().map(|stage| Write::new(kernel, stage)).collect();
    let points = writes.iter().fold(0usize, |sum, w| sum.saturating_add(w.points()));
    if points != numel {
        return Err(format!("{points} points write {numel} elements"));
    }
    let distinct = writes.iter().all(Write::is_injective);
    let mut pairs =
        writes.iter().enumerate().flat_map(|(n, a)| writes[..n].iter().map(move |b| (a, b)));
    if distinct && pairs.all(|(a, b)| are_disjoint(a, b)) {
        return Ok(());
    }
    if numel > ENUMERATED {
        return Err("the writes are not known to be distinct".into());
    }
    enumerate(&writes, numel)
}

fn enumerate(writes: &[Write], numel: usize) -> Result<(), String> {
    let mut seen = vec![false; numel];
    let mut twice = None;
    for write in writes {
        write.for_each_position(|at| {
            if std::mem::replace(&mut seen[at], true) {
                twice = Some(at);
            }
        });
    }
    twice.map_or(Ok(()), |at| Err(format!("element {at} is written twice")))
}

/// The elements that a stage writes, as row-major positions.
struct Write {
    position: Affine<AxisId>,
    /// The parallel axes with more than one point.
    axes: Vec<(AxisId, usize)>,
    /// The range along each dimension of the operand.
    bounds: Vec<Interval>,
}

impl Write {
    fn new(kernel: &Kernel, stage: &Stage) -> Write {
        let write = &stage.write;
        let range = |axis| Interval::below(kernel.extent(axis));
        let local = kernel.operands[write.operand].role == Role::Local;
        let fixed = |a: &AxisId| local && kernel.rows.contains(a);
        let axes = kernel.parallel_axes(stage).filter(|a| !fixed(a));
        let axes = axes.map(|a| (a, kernel.extent(a)));
        let index: Vec<&Affine<AxisId>> = write.index.iter().filter_map(Index::affine).collect();
        Write {
            position: flat(kernel, write.operand, &index),
            axes: axes.filter(|&(_, extent)| extent > 1).collect(),
            bounds: index.iter().map(|i| i.interval(range)).collect(),
        }
    }

    fn points(&self) -> usize {
        self.axes.iter().fold(1usize, |n, &(_, extent)| n.saturating_mul(extent))
    }

    /// Whether the positions are a mixed-radix number: each axis steps over all that the axes with
    /// smaller steps reach together. Sufficient, not necessary.
    fn is_injective(&self) -> bool {
        let mut digits: Vec<(u64, u64)> = self
            .axes
            .iter()
            .map(|&(a, extent)| (self.position.coefficient(a).unsigned_abs(), extent as u64 - 1))
            .collect();
        digits.sort_unstable();
        let mut reach = 0u64;
        digits.into_iter().all(|(step, last)| {
            let steps_over = step > reach;
            reach = reach.saturating_add(step.saturating_mul(last));
            steps_over
        })
    }

    fn sum(&self) -> Sum {
        let term = |&(axis, extent): &(AxisId, usize)| (self.position.coefficient(axis), extent);
        let terms = self.axes.iter().map(term).filter(|t| t.0 != 0);
        Sum { constant: self.position.constant, terms: terms.collect() }
    }

    fn for_each_position(&self, mut visit: impl FnMut(usize)) {
        let extents: Vec<usize> = self.axes.iter().map(|a| a.1).collect();
        let mut point: SecondaryMap<AxisId, i64> = SecondaryMap::new();
        for_each_index(&extents, |index| {
            self.axes.iter().zip(index).for_each(|(&(axis, _), &i)| point[axis] = i as i64);
            visit(self.position.eval(|axis| point[axis]) as usize);
        });
    }
}

/// Row-major position of an index.
fn flat(kernel: &Kernel, operand: OperandId, index: &[&Affine<AxisId>]) -> Affine<AxisId> {
    let strides = kernel.operands[operand].ty.shape.strides();
    let terms = index.iter().zip(&strides);
    terms.fold(Affine::constant(0), |sum, (index, &stride)| sum.add_scaled(index, stride as i64))
}

/// Whether two stages write different elements: their boxes are apart, or their positions are.
fn are_disjoint(a: &Write, b: &Write) -> bool {
    let apart = |(x, y): (&Interval, &Interval)| x.hi < y.lo || y.hi < x.lo;
    a.bounds.iter().zip(&b.bounds).any(apart) || never_meet(&[a, b].map(Write::sum))
}

/// Positions `constant + Σ step·i` with `i < extent`.
struct Sum {
    constant: i64,
    terms: Vec<(i64, usize)>,
}

impl Sum {
    fn range(&self) -> Interval {
        let constant = Interval::point(self.constant);
        self.terms.iter().fold(constant, |sum, &(step, extent)| {
            let reach = step.saturating_mul(extent as i64 - 1);
            Interval {
                lo: sum.lo.saturating_add(reach.min(0)),
                hi: sum.hi.saturating_add(reach.max(0)),
            }
        })
    }

    /// Without the terms that are multiples of `modulus`.
    fn modulo(&self, modulus: i64) -> Sum {
        let terms = self.terms.iter().copied().filter(|t| t.0 % modulus != 0);
        Sum { constant: self.constant, terms: terms.collect() }
    }
}

/// Whether no position of one is a position of the other. What is left of them modulo some step
/// never differs by a multiple of the step (operands side by side along an inner dimension), or
/// only by 0, and never meets either.
fn never_meet(sums: &[Sum; 2]) -> bool {
    let [x, y] = [&sums[0], &sums[1]].map(Sum::range);
    if x.hi < y.lo || y.hi < x.lo {
        return true;
    }
    let steps = sums.iter().flat_map(|s| &s.terms).map(|t| t.0.abs());
    steps.into_iter().any(|step| {
        let rest = [&sums[0], &sums[1]].map(|s| s.modulo(step));
        let [x, y] = [&rest[0], &rest[1]].map(Sum::range);
        let (lo, hi) = (x.lo.saturating_sub(y.hi), x.hi.saturating_sub(y.lo));
        let none = hi.div_euclid(step) == (lo - 1).div_euclid(step);
        none || -step < lo && hi < step && never_meet(&rest)
    })
}

#[cfg(test)]
mod tests {
    use super::{Write, are_disjoint, check};
    use crate::affine::Affine;
    use crate::kernel::build::{KernelBuilder, access};
    use crate::kernel::{AxisId, AxisKind, Kernel};
    use crate::scalar::ScalarExpr;
    use crate::tensor::Scalar;
    use crate::types::{ElemType, TensorType};

    /// Stages that fill an output of `numel` elements at `Σ step·axis + offset`.
    fn kernel(numel: usize, stages: &[(&[(usize, i64)], i64)]) -> Kernel {
        let mut b = KernelBuilder::new("fill");
        let out = b.write(&TensorType::new(ElemType::F32, &[numel]));
        for (axes, offset) in stages {
            let ids: Vec<AxisId> = axes.iter().map(|a| b.axis(a.0, AxisKind::Parallel)).collect();
            let steps = ids.iter().zip(*axes);
            let at = steps.fold(Affine::constant(*offset), |at, (&id, &(_, s))| at.plus(id, s));
            let body = ScalarExpr::build(0, |b| b.constant(Scalar::f32(1.0)));
            b.map_stage(ids, vec![], body, access(out, vec![at]));
        }
        b.finish()
    }

    fn holds(kernel: &Kernel) -> bool {
        let mut found = Vec::new();
        check(kernel, &mut found);
        found.is_empty()
    }

    fn writes(kernel: &Kernel) -> Vec<Write> {
        kernel.stages.iter().map(|s| Write::new(kernel, s)).collect()
    }

    #[test]
    fn permuted_reversed_and_grouped_axes_cover() {
        assert!(holds(&kernel(1 << 20, &[(&[(1 << 10, 1), (1 << 10, 1 << 10)], 0)])));
        assert!(holds(&kernel(6, &[(&[(2, -3), (3, 1)], 3)])));
    }

    #[test]
    fn overlapping_and_missing_writes_are_found() {
        assert!(!holds(&kernel(4, &[(&[(2, 1), (2, 1)], 0)])));
        assert!(!holds(&kernel(6, &[(&[(5, 1)], 0)])));
        assert!(!holds(&kernel(4, &[(&[(2, 1)], 0), (&[(2, 1)], 1)])));
    }

    #[test]
    fn stages_side_by_side_in_a_flat_output_are_disjoint() {
        let rows = 1 << 15;
        let k = kernel(8 * rows, &[(&[(rows, 8), (3, 1)], 0), (&[(rows, 8), (5, 1)], 3)]);
        assert!(holds(&k));
        let [a, b] = &writes(&k)[..] else { unreachable!("two stages") };
        assert!(are_disjoint(a, b) && are_disjoint(b, a));
        let overlapping = kernel(8, &[(&[(2, 4), (3, 1)], 0), (&[(2, 4)], 6)]);
        let [a, b] = &writes(&overlapping)[..] else { unreachable!("two stages") };
        assert!(!are_disjoint(a, b));
    }

    #[test]
    fn stages_that_take_turns_in_rows_and_columns_are_disjoint() {
        // Rows of 7 points of 16 elements, in tiles of 2 × 4, the last of them in part.
        let row = 7 * 16;
        let part = |tiles: &[(usize, i64)], at: i64| {
            let axes: Vec<(usize, i64)> =
                [(100, 2 * row)].iter().chain(tiles).chain(&[(16, 1)]).copied().collect();
            (axes, at)
        };
        let mut stages = Vec::new();
        for i in 0..2 {
            stages.extend((0..4).map(|j| part(&[], i * row + j * 16)));
            stages.extend((0..3).map(|j| part(&[], i * row + 64 + j * 16)));
        }
        let stages: Vec<(&[(usize, i64)], i64)> =
            stages.iter().map(|(axes, at)| (axes.as_slice(), *at)).collect();
        let k = kernel(200 * row as usize, &stages);
        let all = writes(&k);
        assert!(all.iter().enumerate().all(|(n, a)| all[..n].iter().all(|b| are_disjoint(a, b))));
        assert!(!are_disjoint(&all[0], &all[0]));
    }

    #[test]
    fn a_small_output_is_enumerated_when_the_rules_do_not_decide() {
        let k = kernel(6, &[(&[(2, 1)], 0), (&[(2, 3)], 2), (&[(2, 1)], 3)]);
        assert!(holds(&k));
    }
}
