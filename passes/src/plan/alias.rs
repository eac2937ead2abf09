//! In-place execution: when a call may write its result over an operand that dies there.
//!
//! A function may run with parameter `a` and parameter `b` in the same memory when
//! - each load of `a` is followed, in its own block, by a store to `b` of the same lanes at the same
//!   index, or comes before every store of its row (`early`), and
//! - no element of `b` is stored twice, and
//! - no matrix sum loads `a` or stores to `b`.
//!
//! Then an element is overwritten only by the block iteration or the row that has loaded it, and
//! never loaded again. The second condition is proved from the index expressions: different stores differ by a
//! constant in some dimension, and each loop's step is larger than everything inside it.
//! The parts of a call store different elements, and what is fixed in a part moves no store of it.

use super::early::{self, Touch};
use super::line::{self, Line, Use};
use super::live::Lifetime;
use edgecc_ir::affine::Affine;
use edgecc_ir::kernel::BufferId;
use edgecc_ir::loops::walk::each_stmt;
use edgecc_ir::loops::{Block, Expr, IndexId, LoopFn, Loops, ParamAccess, ParamId, Stmt};
use indexmap::IndexMap;
use std::collections::{BTreeMap, BTreeSet};

/// For each buffer that is written over another one, the buffer that it replaces.
pub(super) fn replacements(
    loops: &Loops,
    line: &Line<'_>,
    lives: &IndexMap<BufferId, Lifetime>,
) -> BTreeMap<BufferId, BufferId> {
    let mut replaced = BTreeMap::new();
    let mut taken = BTreeSet::new();
    for (n, site) in line.sites.iter().enumerate() {
        let here = |used: &&Use| lives.get(&used.buffer).is_some_and(|life| life.span == site.span);
        let born = |used: &&Use| used.whole && lives[&used.buffer].start == n;
        let writes = site.uses.iter().filter(|used| used.access == ParamAccess::Write);
        for new in writes.filter(here).filter(born).map(|used| used.buffer) {
            let dies = |used: &&Use| {
                let life = lives[&used.buffer];
                life.end == n && life.start < n && !taken.contains(&used.buffer)
            };
            let mut olds = site.uses.iter().filter(here).filter(dies).map(|used| used.buffer);
            if let Some(old) = olds.find(|&old| fits(loops, site, old, new)) {
                taken.insert(old);
                replaced.insert(new, old);
            }
        }
    }
    replaced
}

/// Whether the call may write `new` over `old`.
pub(super) fn fits(loops: &Loops, site: &line::Site<'_>, old: BufferId, new: BufferId) -> bool {
    let Some(call) = site.call else { return false };
    let func = &loops.funcs[call.callee];
    let bound = || func.params.keys().zip(&site.uses);
    let params = |buffer| bound().filter(move |(_, used)| used.buffer == buffer);
    let whole = params(old).chain(params(new)).all(|(_, used)| used.whole);
    let equal = loops.buffers[old].ty.bytes() == loops.buffers[new].ty.bytes();
    let in_place = |b| params(old).all(|(a, _)| runs_in_place(func, a, b));
    whole && equal && params(new).all(|(b, _)| in_place(b))
}

/// Whether the function gives the same result with `a` and `b` in the same memory.
pub(super) fn runs_in_place(func: &LoopFn, a: ParamId, b: ParamId) -> bool {
    let (from, to) = (&func.params[a], &func.params[b]);
    if from.access != ParamAccess::Read || to.access != ParamAccess::Write || from.ty != to.ty {
        return false;
    }
    let mut sums = false;
    each_stmt(&func.body, &mut |stmt| {
        sums |= matches!(stmt, Stmt::Matrix(sum) if sum.touches(a) || sum.touches(b));
    });
    if sums {
        return false;
    }
    let mut sites = Sites {
        func,
        a,
        b,
        path: Vec::new(),
        early: Vec::new(),
        loads: Vec::new(),
        stores: Vec::new(),
    };
    sites.block(&func.body);
    let Sites { early, loads, stores, .. } = sites;
    let stored: Vec<Site<'_>> = stores.iter().map(Site::of).collect();
    stores_once(func, &stored) && early::are_early(func, &early, &loads, &stores)
}

/// A store to `b`.
struct Site<'f> {
    index: &'f [Affine<IndexId>],
    lanes: u8,
    /// The enclosing loops.
    loops: Vec<IndexId>,
}

impl<'f> Site<'f> {
    fn of(touch: &Touch<'f>) -> Site<'f> {
        let loops = touch.path.iter().filter_map(|step| step.1).collect();
        Site { index: touch.index, lanes: touch.lanes, loops }
    }
}

struct Sites<'f> {
    func: &'f LoopFn,
    a: ParamId,
    b: ParamId,
    /// Where the walk is.
    path: Vec<(usize, Option<IndexId>)>,
    /// Loads of `a` that no store after them in their block overwrites.
    early: Vec<Touch<'f>>,
    /// All loads of `a`.
    loads: Vec<Touch<'f>>,
    /// All stores to `b`.
    stores: Vec<Touch<'f>>,
}

impl<'f> Sites<'f> {
    fn block(&mut self, block: &'f Block) {
        for (n, stmt) in block.iter().enumerate() {
            let entered = match stmt {
                Stmt::For { index, .. } => Some(*index),
                Stmt::Let { .. }
                | Stmt::Index { .. }
                | Stmt::Store { .. }
                | Stmt::Prefetch { .. }
                | Stmt::Matrix(_)
                | Stmt::If { .. } => None,
            };
            self.path.push((n, entered));
            match stmt {
                Stmt::Let { value, expr: Expr::Load { param, index, lanes } }
                    if *param == self.a =>
                {
                    let elements = lanes * self.func.width(*value, *param);
                    if !block[n..].iter().any(|s| self.overwrites(s, index, elements)) {
                        self.early.push(self.touch(index, elements));
                    }
                    self.loads.push(self.touch(index, elements));
                }
                Stmt::Store { param, index, lanes, .. } if *param == self.b => {
                    self.stores.push(self.touch(index, *lanes));
                }
                Stmt::Let { .. }
                | Stmt::Index { .. }
                | Stmt::Store { .. }
                | Stmt::Prefetch { .. }
                | Stmt::Matrix(_) => {}
                Stmt::For { body: inner, .. } | Stmt::If { then: inner, .. } => self.block(inner),
            }
            self.path.pop();
        }
    }

    fn touch(&self, index: &'f [Affine<IndexId>], lanes: u8) -> Touch<'f> {
        Touch { index, lanes, path: self.path.clone() }
    }

    fn overwrites(&self, stmt: &Stmt, at: &[Affine<IndexId>], width: u8) -> bool {
        match stmt {
            Stmt::Store { param, index, lanes, .. } => {
                *param == self.b && index == at && *lanes == width
            }
            Stmt::Let { .. }
            | Stmt::Prefetch { .. }
            | Stmt::Matrix(_)
            | Stmt::Index { .. }
            | Stmt::For { .. }
            | Stmt::If { .. } => false,
        }
    }
}

/// Whether the stores together write no element twice.
fn stores_once(func: &LoopFn, stores: &[Site<'_>]) -> bool {
    let mut groups: Vec<Vec<&Site<'_>>> = Vec::new();
    for site in stores {
        match groups.iter_mut().find(|group| same_walk(group[0], site)) {
            Some(group) => group.push(site),
            None => groups.push(vec![site]),
        }
    }
    let apart = |n: usize| groups[..n].iter().all(|other| disjoint(func, other, &groups[n]));
    (0..groups.len()).all(|n| injective(func, &groups[n]) && apart(n))
}

/// Whether two stores run in the same loops and differ by a constant.
fn same_walk(x: &Site<'_>, y: &Site<'_>) -> bool {
    let terms = |(a, b): (&Affine<IndexId>, &Affine<IndexId>)| a.terms() == b.terms();
    x.loops == y.loops && x.index.iter().zip(y.index).all(terms)
}

/// Whether the sites of one walk write different elements, in one iteration and in different ones.
///
/// In each dimension the constants span a range; each loop, by ascending step, steps over the range
/// of everything before it, and appears in exactly one dimension.
fn injective(func: &LoopFn, group: &[&Site<'_>]) -> bool {
    let dims = group[0].index.len();
    let walks = (0..dims).all(|d| steps_over(func, group, d));
    let once = group[0]
        .loops
        .iter()
        .filter(|&&i| func.indices[i] > 1)
        .all(|&i| group[0].index.iter().filter(|dim| dim.coefficient(i) != 0).count() == 1);
    let pairs = |n: usize| group[..n].iter().all(|other| constants_differ(other, group[n]));
    walks && once && (0..group.len()).all(pairs)
}

fn steps_over(func: &LoopFn, group: &[&Site<'_>], dim: usize) -> bool {
    let last = dim + 1 == group[0].index.len();
    let reach = |s: &&Site<'_>| s.index[dim].constant + if last { i64::from(s.lanes) } else { 1 };
    let first = group.iter().map(|s| s.index[dim].constant).min().expect("a site");
    let mut span = group.iter().map(reach).max().expect("a site") - first;
    let mut terms: Vec<(i64, i64)> = group[0].index[dim]
        .terms()
        .iter()
        .filter(|(i, _)| !early::is_fixed(func, *i))
        .map(|&(i, step)| (step.abs(), func.indices[i] as i64))
        .collect();
    terms.sort_unstable();
    terms.iter().all(|&(step, extent)| {
        let clear = step >= span || extent == 1;
        span += step * (extent - 1);
        clear
    })
}

/// Whether two sites of one walk touch different elements in the same iteration.
fn constants_differ(x: &Site<'_>, y: &Site<'_>) -> bool {
    let last = x.index.len().saturating_sub(1);
    x.index.iter().zip(y.index).enumerate().any(|(dim, (a, b))| {
        let lanes = |s: &Site<'_>| if dim == last { i64::from(s.lanes) } else { 1 };
        let distance = b.constant - a.constant;
        distance >= lanes(x) || -distance >= lanes(y)
    })
}

/// Whether two walks stay apart in some dimension.
fn disjoint(func: &LoopFn, x: &[&Site<'_>], y: &[&Site<'_>]) -> bool {
    (0..x[0].index.len()).any(|dim| {
        let [(x_lo, x_hi), (y_lo, y_hi)] = [x, y].map(|sites| range(func, sites, dim));
        x_hi < y_lo || y_hi < x_lo
    })
}

fn range(func: &LoopFn, sites: &[&Site<'_>], dim: usize) -> (i64, i64) {
    let last = dim + 1 == sites[0].index.len();
    let of = |s: &&Site<'_>| {
        let range = s.index[dim].interval(|i| edgecc_ir::affine::Interval::below(func.indices[i]));
        (range.lo, range.hi + if last { i64::from(s.lanes) - 1 } else { 0 })
    };
    let join = |a: (i64, i64), b: (i64, i64)| (a.0.min(b.0), a.1.max(b.1));
    sites.iter().map(of).reduce(join).expect("a site")
}

#[cfg(test)]
mod tests {
    use super::runs_in_place;
    use edgecc_ir::affine::Affine;
    use edgecc_ir::loops::build::LoopBuilder;
    use edgecc_ir::loops::{IndexId, Param, ParamAccess, ParamId, VType};
    use edgecc_ir::types::{ElemType, TensorType};

    type At = Vec<Affine<IndexId>>;

    fn in_place(build: impl FnOnce(&mut LoopBuilder, ParamId, ParamId)) -> bool {
        let mut b = LoopBuilder::new("f");
        let ty = TensorType::new(ElemType::F32, &[4, 11]);
        let x = b.param(Param { ty: ty.clone(), access: ParamAccess::Read });
        let y = b.param(Param { ty, access: ParamAccess::Write });
        build(&mut b, x, y);
        runs_in_place(&b.finish(), x, y)
    }

    fn copy(b: &mut LoopBuilder, (x, from): (ParamId, At), (y, to): (ParamId, At), lanes: u8) {
        let value = b.load(VType { elem: ElemType::F32, lanes }, x, from, lanes);
        b.store(y, to, value, lanes);
    }

    #[test]
    fn an_element_wise_function_with_a_tail_runs_in_place() {
        assert!(in_place(|b, x, y| b.for_each(4, |b, i| {
            b.for_each(2, |b, j| {
                let at = vec![Affine::var(i), Affine::scaled(j, 4)];
                copy(b, (x, at.clone()), (y, at), 4);
            });
            b.for_each(3, |b, j| {
                let at = vec![Affine::var(i), Affine::var(j).offset(8)];
                copy(b, (x, at.clone()), (y, at), 1);
            });
        })));
    }

    #[test]
    fn an_unrolled_function_runs_in_place() {
        assert!(in_place(|b, x, y| b.for_each(2, |b, i| b.for_each(1, |b, j| {
            for (row, column) in [(0, 0), (0, 4), (1, 0), (1, 4)] {
                let at =
                    vec![Affine::scaled(i, 2).offset(row), Affine::scaled(j, 8).offset(column)];
                copy(b, (x, at.clone()), (y, at), 4);
            }
        }))));
    }

    #[test]
    fn a_shifted_or_reordered_function_does_not() {
        let row = || Affine::constant(0);
        assert!(!in_place(|b, x, y| b.for_each(10, |b, j| {
            let (from, to) = (vec![row(), Affine::var(j)], vec![row(), Affine::var(j).offset(1)]);
            copy(b, (x, from), (y, to), 1);
        })));
        assert!(!in_place(|b, x, y| b.for_each(4, |b, i| b.for_each(4, |b, j| {
            let from = vec![Affine::var(i), Affine::var(j)];
            copy(b, (x, from), (y, vec![Affine::var(j), Affine::var(i)]), 1);
        }))));
    }

    #[test]
    fn a_function_that_repeats_elements_does_not() {
        assert!(!in_place(|b, x, y| b.for_each(2, |b, _| b.for_each(11, |b, j| {
            let at = vec![Affine::constant(0), Affine::var(j)];
            copy(b, (x, at.clone()), (y, at), 1);
        }))));
        assert!(!in_place(|b, x, y| b.for_each(2, |b, j| {
            let at = vec![Affine::constant(0), Affine::scaled(j, 3)];
            copy(b, (x, at.clone()), (y, at), 4);
        })));
    }

    #[test]
    fn overlapping_walks_do_not() {
        assert!(!in_place(|b, x, y| {
            for start in [0, 3] {
                b.for_each(1, |b, _| {
                    let at = vec![Affine::constant(0), Affine::constant(start)];
                    copy(b, (x, at.clone()), (y, at), 4);
                });
            }
        }));
    }

    #[test]
    fn a_load_that_is_not_stored_back_does_not() {
        assert!(!in_place(|b, x, y| b.for_each(11, |b, j| {
            let at = vec![Affine::constant(0), Affine::var(j)];
            let first = vec![Affine::constant(0), Affine::constant(0)];
            b.load(VType::scalar(ElemType::F32), x, first, 1);
            copy(b, (x, at.clone()), (y, at), 1);
        })));
    }
}
