//! L2: each access stays inside its buffer, by interval arithmetic under the enclosing guards.

use crate::affine::{Affine, Interval};
use crate::diag::Violation;
use crate::loops::matrix::MatrixSum;
use crate::loops::{Block, Expr, Guard, IndexId, LoopFn, ParamId, Stmt};

/// Codes of a word.
const CODES: i64 = 4;
/// Guards beyond this number are not combined, which bounds the search of `range`.
const MAX_COMBINED: usize = 8;

pub(super) fn check(func: &LoopFn) -> Vec<Violation> {
    let mut checker = Checker { func, guards: Vec::new(), found: Vec::new() };
    checker.block(&func.body);
    checker.found
}

struct Checker<'f> {
    func: &'f LoopFn,
    guards: Vec<&'f Guard>,
    found: Vec<Violation>,
}

impl<'f> Checker<'f> {
    fn block(&mut self, block: &'f Block) {
        for stmt in block {
            match stmt {
                Stmt::Let { value, expr: Expr::Load { param, index, lanes } } => {
                    self.access(*param, index, lanes * self.func.width(*value, *param));
                }
                Stmt::Store { param, index, lanes, .. } => self.access(*param, index, *lanes),
                Stmt::Matrix(sum) => self.matrix(sum),
                Stmt::Let { .. } | Stmt::Prefetch { .. } | Stmt::Index { .. } => {}
                Stmt::For { body, .. } => self.block(body),
                Stmt::If { guards, then, .. } => {
                    let outer = self.guards.len();
                    self.guards.extend(guards);
                    self.block(then);
                    self.guards.truncate(outer);
                }
            }
        }
    }

    /// What a matrix sum loads and stores, by its places in the whole buffer.
    fn matrix(&mut self, sum: &MatrixSum) {
        let columns = i64::from(sum.columns);
        for ((place, _), width) in sum.places().into_iter().zip([CODES, columns, columns]) {
            let info = &self.func.params[place.param];
            let mut range = range(self.func, &info.element(&place.index), &self.guards);
            range.hi = range.hi.saturating_add(width - 1);
            let unreachable = range.lo > range.hi - (width - 1);
            if !unreachable && !range.within(info.ty.shape.numel()) {
                let at = format!("{} {}", self.func.name, place.param);
                let message =
                    format!("elements {} to {} of {} are used", range.lo, range.hi, info.ty);
                self.found.push(Violation::new("L2", at, message));
            }
        }
    }

    fn access(&mut self, param: ParamId, index: &[Affine<IndexId>], elements: u8) {
        let ty = &self.func.params[param].ty;
        for (dim, (expr, &extent)) in index.iter().zip(ty.shape.iter()).enumerate() {
            let mut range = range(self.func, expr, &self.guards);
            if dim + 1 == index.len() {
                range.hi += i64::from(elements) - 1;
            }
            let unreachable = range.lo > range.hi;
            if !unreachable && !range.within(extent) {
                let at = format!("{} {param}", self.func.name);
                let message =
                    format!("dimension {dim} of {ty} is indexed from {} to {}", range.lo, range.hi);
                self.found.push(Violation::new("L2", at, message));
            }
        }
    }
}

/// The range of an expression: its loops' extents, narrowed by each decomposition
/// `expr = factor·guard + rest` over the guards that hold. Empty where guards contradict.
fn range(func: &LoopFn, expr: &Affine<IndexId>, guards: &[&Guard]) -> Interval {
    let free = expr.interval(|index| Interval::below(func.indices[index]));
    let usable = guards.iter().enumerate().filter_map(|(n, g)| Some((n, g, factor(expr, g)?)));
    usable.take(MAX_COMBINED).fold(free, |range, (n, guard, factor)| {
        let rest = expr.add_scaled(&guard.expr, -factor);
        let rest = self::range(func, &rest, &guards[n + 1..]);
        let guarded = scaled(Interval::below(guard.extent), factor);
        Interval { lo: range.lo.max(rest.lo + guarded.lo), hi: range.hi.min(rest.hi + guarded.hi) }
    })
}

/// The factor that removes the guard's first index from the expression.
fn factor(expr: &Affine<IndexId>, guard: &Guard) -> Option<i64> {
    let &(index, unit) = guard.expr.terms().first()?;
    let coefficient = expr.coefficient(index);
    (coefficient != 0 && coefficient % unit == 0).then(|| coefficient / unit)
}

fn scaled(range: Interval, factor: i64) -> Interval {
    let (a, b) = (range.lo * factor, range.hi * factor);
    Interval { lo: a.min(b), hi: a.max(b) }
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::affine::Affine;
    use crate::loops::build::LoopBuilder;
    use crate::loops::{Guard, IndexId, Param, ParamAccess, VType};
    use crate::types::{ElemType, TensorType};

    /// Loads `lanes` elements of an `f32[8]` at `at(i, j)` for `i` in `0..4`, `j` in `0..3`,
    /// under guards.
    fn violations(
        lanes: u8,
        at: impl Fn(IndexId, IndexId) -> Affine<IndexId>,
        guards: impl Fn(IndexId, IndexId) -> Vec<Guard>,
    ) -> Vec<String> {
        let mut b = LoopBuilder::new("f");
        let ty = TensorType::new(ElemType::F32, &[8]);
        let x = b.param(Param { ty, access: ParamAccess::Read });
        let vector = VType { elem: ElemType::F32, lanes };
        b.for_each(4, |b, i| {
            b.for_each(3, |b, j| {
                b.guarded(guards(i, j), &[], |b| {
                    b.load(vector, x, vec![at(i, j)], lanes);
                    Vec::new()
                });
            });
        });
        check(&b.finish()).iter().map(ToString::to_string).collect()
    }

    fn none(_: IndexId, _: IndexId) -> Vec<Guard> {
        Vec::new()
    }

    #[test]
    fn accesses_inside_their_buffer_pass() {
        assert!(violations(1, |i, j| Affine::var(i).plus(j, 2), none).is_empty());
    }

    #[test]
    fn l2_an_access_past_the_end_is_reported() {
        let found = violations(1, |i, j| Affine::var(i).plus(j, 3), none);
        assert_eq!(found, ["L2 at f p0: dimension 0 of f32[8] is indexed from 0 to 9"]);
    }

    #[test]
    fn l2_all_lanes_are_inside() {
        assert_eq!(violations(4, |i, _| Affine::scaled(i, 2), none).len(), 1);
        assert!(violations(4, |i, _| Affine::var(i), none).is_empty());
    }

    #[test]
    fn a_guard_narrows_its_expression_and_multiples_of_it() {
        let padded = |i, j| Affine::var(i).plus(j, 1).offset(-1);
        let guard = |i, j| vec![Guard { expr: padded(i, j), extent: 4 }];
        assert!(!violations(1, padded, none).is_empty());
        assert!(violations(1, padded, guard).is_empty());
        assert!(violations(1, |i, j| padded(i, j).times(2).offset(1), guard).is_empty());
        assert!(!violations(1, |i, j| padded(i, j).times(2).offset(2), guard).is_empty());
    }

    #[test]
    fn guards_on_different_indices_combine() {
        let guards = |i, j| {
            vec![
                Guard { expr: Affine::var(i).offset(-2), extent: 2 },
                Guard { expr: Affine::var(j).offset(-1), extent: 2 },
            ]
        };
        let at = |i, j| Affine::scaled(i, 2).plus(j, 1).offset(-4);
        assert!(!violations(1, |i, j| at(i, j).offset(-2), guards).is_empty());
        assert!(violations(1, |i, j| at(i, j).offset(-1), guards).is_empty());
    }
}
