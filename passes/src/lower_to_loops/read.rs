//! Reads of a tile's points: vector, broadcast or gathered, with bounds tests where intervals do
//! not prove that a padded read stays inside. Places that are looked up become indices first.

use super::Cx;
use super::nest::{Env, Point};
use edgecc_ir::affine::{Affine, Interval};
use edgecc_ir::kernel::{Access, Index, Outside};
use edgecc_ir::loops::build::LoopBuilder;
use edgecc_ir::loops::{Expr, Guard, IndexId, ParamId, VType, ValueId};
use edgecc_ir::tensor::Scalar;
use edgecc_ir::types::ElemType;
use smallvec::SmallVec;

/// Values already read in the enclosing blocks, by what was read; innermost scope last.
#[derive(Default)]
pub(super) struct Cache {
    scopes: Vec<[usize; 2]>,
    entries: Vec<(Key, ValueId)>,
    lookups: Vec<(Place, IndexId)>,
}

/// What was looked up for a dimension of this extent.
#[derive(Clone, PartialEq, Eq)]
struct Place {
    param: ParamId,
    index: Vec<Affine<IndexId>>,
    extent: usize,
}

#[derive(Clone, PartialEq, Eq)]
struct Key {
    param: ParamId,
    elem: ElemType,
    index: Vec<Affine<IndexId>>,
    shape: Shape,
    guards: Vec<Guard>,
}

/// How the lanes of a read relate to memory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// One element for all lanes.
    Broadcast,
    /// This many consecutive elements.
    Consecutive(u8),
    /// This many elements at a stride along dimensions that move with the vector axis.
    Strided(u8),
}

impl Cache {
    /// Values read from now on are forgotten at `leave`.
    pub(super) fn enter(&mut self) {
        self.scopes.push([self.entries.len(), self.lookups.len()]);
    }

    /// Forgets what was read since `enter`.
    pub(super) fn leave(&mut self) {
        let [entries, lookups] = self.scopes.pop().expect("enter comes before leave");
        self.entries.truncate(entries);
        self.lookups.truncate(lookups);
    }

    fn get(&self, key: &Key) -> Option<ValueId> {
        self.entries.iter().rev().find(|(k, _)| k == key).map(|e| e.1)
    }
}

/// Reads each access at a point, each value with the stage's lanes.
pub(super) fn read_all(
    b: &mut LoopBuilder,
    cache: &mut Cache,
    cx: &Cx<'_>,
    env: &Env,
    point: &Point,
    reads: &[Access],
) -> Vec<ValueId> {
    reads.iter().enumerate().map(|(n, r)| read(b, cache, cx, env, point, (n, r))).collect()
}

fn read(
    b: &mut LoopBuilder,
    cache: &mut Cache,
    cx: &Cx<'_>,
    env: &Env,
    point: &Point,
    (nth, access): (usize, &Access),
) -> ValueId {
    if let Some(value) = cx.values[access.operand] {
        return b.splat(value, cx.lanes());
    }
    if let Some((param, layout)) = cx.packed(access) {
        let index = vec![layout.index(|axis| env.at(axis, point))];
        let (elem, shape) = (cx.kernel.elem(access), Shape::Consecutive(cx.lanes()));
        let key = Key { param, elem, index, shape, guards: Vec::new() };
        return cached(b, cache, key, |b, key| load(b, cx, key));
    }
    let (param, elem) = (cx.param(access), cx.kernel.elem(access));
    let index = index(b, cache, cx, env, point, access);
    let shape = shape(cx, point, access);
    let mut guards = Vec::new();
    if access.outside != Outside::Never && !matches!(shape, Shape::Strided(_)) {
        for (d, test) in tests(b, cx, access, &index) {
            match test {
                Test::Outside => return b.constant(pad(access), cx.lanes()),
                Test::Unknown(guard) if !env.tested.contains(&(nth, d)) => guards.push(guard),
                Test::Inside | Test::Unknown(_) => {}
            }
        }
    }
    let key = Key { param, elem, index, shape, guards };
    if let Shape::Strided(active) = key.shape {
        let known = cache.get(&key);
        return known.unwrap_or_else(|| {
            let value = gather(b, cache, cx, env, point, access, active);
            cache.entries.push((key, value));
            value
        });
    }
    cached(b, cache, key, |b, key| guarded(b, cx, key, access))
}

fn cached(
    b: &mut LoopBuilder,
    cache: &mut Cache,
    key: Key,
    make: impl FnOnce(&mut LoopBuilder, &Key) -> ValueId,
) -> ValueId {
    cache.get(&key).unwrap_or_else(|| {
        let value = make(b, &key);
        cache.entries.push((key, value));
        value
    })
}

/// The position that a point reads.
fn index(
    b: &mut LoopBuilder,
    cache: &mut Cache,
    cx: &Cx<'_>,
    env: &Env,
    point: &Point,
    access: &Access,
) -> Vec<Affine<IndexId>> {
    let dims = access.index.iter().zip(cx.shape(access).iter());
    dims.map(|(place, &extent)| match place {
        Index::Affine(affine) => affine.substitute(|a| env.at(a, point)),
        Index::Lookup(lookup) => {
            let index = lookup.index.iter().map(|i| i.substitute(|a| env.at(a, point)));
            let param = cx.params[lookup.operand].expect("every operand is a parameter");
            Affine::var(look_up(b, cache, Place { param, index: index.collect(), extent }))
        }
    })
    .collect()
}

fn look_up(b: &mut LoopBuilder, cache: &mut Cache, place: Place) -> IndexId {
    if let Some((_, known)) = cache.lookups.iter().rev().find(|(p, _)| *p == place) {
        return *known;
    }
    let ty = VType::scalar(b.func().params[place.param].ty.elem);
    let value = b.load(ty, place.param, place.index.clone(), 1);
    let index = b.index(place.extent, value);
    cache.lookups.push((place, index));
    index
}

/// What intervals say about one dimension of a padded read.
pub(super) enum Test {
    /// Always inside.
    Inside,
    /// Always outside.
    Outside,
    /// It depends.
    Unknown(Guard),
}

/// Tests each dimension of the position of lane 0.
fn tests(
    b: &LoopBuilder,
    cx: &Cx<'_>,
    access: &Access,
    index: &[Affine<IndexId>],
) -> Vec<(usize, Test)> {
    let extents = cx.shape(access).iter();
    index.iter().zip(extents).map(|(expr, &extent)| test(b, expr, extent)).enumerate().collect()
}

/// Tests one dimension.
pub(super) fn test(b: &LoopBuilder, expr: &Affine<IndexId>, extent: usize) -> Test {
    let range = expr.interval(|i| Interval::below(b.func().indices[i]));
    match (range.within(extent), range.outside(extent)) {
        (true, _) => Test::Inside,
        (false, true) => Test::Outside,
        (false, false) => Test::Unknown(Guard { expr: expr.clone(), extent }),
    }
}

/// The value of positions outside; only padded reads have one.
pub(super) fn pad(access: &Access) -> Scalar {
    match access.outside {
        Outside::Pad(value) => value,
        Outside::Never => unreachable!("K1: this read stays inside"),
    }
}

fn shape(cx: &Cx<'_>, point: &Point, access: &Access) -> Shape {
    let Some((axis, _)) = cx.vector else { return Shape::Broadcast };
    let moving: SmallVec<[(usize, Option<i64>); 2]> = (0..access.index.len())
        .map(|d| (d, access.index[d].step(axis)))
        .filter(|&(_, step)| step != Some(0))
        .collect();
    match moving.as_slice() {
        [] => Shape::Broadcast,
        &[(d, Some(step))]
            if d + 1 == access.index.len()
                && step == cx.kernel.width(access) as i64
                && (access.outside == Outside::Never || !may_leave(cx, access, d)) =>
        {
            Shape::Consecutive(point.active)
        }
        _ => Shape::Strided(point.active),
    }
}

/// Whether a padded read leaves its operand through dimension `d` somewhere in the domain.
fn may_leave(cx: &Cx<'_>, access: &Access, d: usize) -> bool {
    let extent = cx.shape(access)[d];
    let range = access.index[d].interval(extent, |a| Interval::below(cx.kernel.extent(a)));
    !range.within(extent)
}

fn guarded(b: &mut LoopBuilder, cx: &Cx<'_>, key: &Key, access: &Access) -> ValueId {
    if key.guards.is_empty() {
        return load(b, cx, key);
    }
    let otherwise = b.constant(pad(access), cx.lanes());
    b.guarded(key.guards.clone(), &[otherwise], |b| vec![load(b, cx, key)])[0]
}

fn load(b: &mut LoopBuilder, cx: &Cx<'_>, key: &Key) -> ValueId {
    let elem = key.elem;
    match key.shape {
        Shape::Consecutive(active) => {
            let ty = VType { elem, lanes: cx.lanes() };
            b.load(ty, key.param, key.index.clone(), active)
        }
        Shape::Broadcast | Shape::Strided(_) => {
            let scalar = b.load(VType::scalar(elem), key.param, key.index.clone(), 1);
            b.splat(scalar, cx.lanes())
        }
    }
}

/// One element per lane, each with its own bounds tests; lanes beyond the domain are zero.
fn gather(
    b: &mut LoopBuilder,
    cache: &mut Cache,
    cx: &Cx<'_>,
    env: &Env,
    point: &Point,
    access: &Access,
    active: u8,
) -> ValueId {
    let (axis, _) = cx.vector.expect("strided reads have a vector axis");
    let elem = cx.kernel.elem(access);
    let mut lanes: SmallVec<[ValueId; 4]> = SmallVec::new();
    for lane in 0..active {
        let index = index(b, cache, cx, env, &point.lane(axis, lane), access);
        lanes.push(lane_value(b, cx, index, access));
    }
    if active < cx.lanes() {
        let zero = b.constant(Scalar::from_i64(elem, 0), 1);
        lanes.resize(cx.lanes() as usize, zero);
    }
    b.define(VType { elem, lanes: cx.lanes() }, Expr::Pack(lanes))
}

fn lane_value(
    b: &mut LoopBuilder,
    cx: &Cx<'_>,
    index: Vec<Affine<IndexId>>,
    access: &Access,
) -> ValueId {
    let param = cx.param(access);
    let ty = VType::scalar(cx.kernel.elem(access));
    let mut guards = Vec::new();
    if access.outside != Outside::Never {
        for (_, test) in tests(b, cx, access, &index) {
            match test {
                Test::Outside => return b.constant(pad(access), 1),
                Test::Unknown(guard) => guards.push(guard),
                Test::Inside => {}
            }
        }
    }
    if guards.is_empty() {
        return b.load(ty, param, index, 1);
    }
    let otherwise = b.constant(pad(access), 1);
    b.guarded(guards, &[otherwise], |b| vec![b.load(ty, param, index, 1)])[0]
}
