//! Boxes as pairs of corners, and how much two of them overlap.

use super::{load, select};
use edgecc_ir::affine::Affine;
use edgecc_ir::loops::build::LoopBuilder;
use edgecc_ir::loops::{IndexId, ParamId, ValueId};
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::tensor::Scalar;

/// A box by its corners with the lower and the higher coordinates.
#[derive(Clone, Copy)]
pub(super) struct Area {
    low: [ValueId; 2],
    high: [ValueId; 2],
}

impl Area {
    /// Four numbers at a position of `f32[b,n,4]`: two corners, or centre and size.
    pub(super) fn load(
        b: &mut LoopBuilder,
        boxes: ParamId,
        place: [IndexId; 2],
        centred: bool,
    ) -> Area {
        let mut number = |n: i64| {
            let index = place.map(Affine::var).into_iter().chain([Affine::constant(n)]);
            load(b, boxes, index.collect())
        };
        let [first, second] = [[number(0), number(1)], [number(2), number(3)]];
        if !centred {
            let least =
                |d: usize, b: &mut LoopBuilder| b.apply(ScalarFn::Min, &[first[d], second[d]]);
            let most =
                |d: usize, b: &mut LoopBuilder| b.apply(ScalarFn::Max, &[first[d], second[d]]);
            return Area { low: [0, 1].map(|d| least(d, b)), high: [0, 1].map(|d| most(d, b)) };
        }
        let half = b.constant(Scalar::f32(0.5), 1);
        let halves = second.map(|size| b.apply(ScalarFn::Mul, &[size, half]));
        let mut side = |func| [0, 1].map(|d| b.apply(func, &[first[d], halves[d]]));
        Area { low: side(ScalarFn::Sub), high: side(ScalarFn::Add) }
    }

    fn size(self, b: &mut LoopBuilder) -> ValueId {
        let [height, width] = [0, 1].map(|d| b.apply(ScalarFn::Sub, &[self.high[d], self.low[d]]));
        b.apply(ScalarFn::Mul, &[height, width])
    }
}

/// Intersection over union; `−∞` for boxes without a common area.
pub(super) fn overlap(b: &mut LoopBuilder, x: Area, y: Area) -> ValueId {
    let extents = [0, 1].map(|d| {
        let end = b.apply(ScalarFn::Min, &[x.high[d], y.high[d]]);
        let start = b.apply(ScalarFn::Max, &[x.low[d], y.low[d]]);
        b.apply(ScalarFn::Sub, &[end, start])
    });
    let common = b.apply(ScalarFn::Mul, &extents);
    let sizes = [x.size(b), y.size(b)];
    let both = b.apply(ScalarFn::Add, &sizes);
    let union = b.apply(ScalarFn::Sub, &[both, common]);
    let share = b.apply(ScalarFn::Div, &[common, union]);
    let zero = b.constant(Scalar::f32(0.0), 1);
    let positive = extents.into_iter().chain(sizes).map(|v| b.apply(ScalarFn::Lt, &[zero, v]));
    let positive: Vec<ValueId> = positive.collect();
    let first = positive[0];
    let all = positive[1..].iter().fold(first, |all, &p| b.apply(ScalarFn::And, &[all, p]));
    let none = b.constant(Scalar::f32(f32::NEG_INFINITY), 1);
    select(b, all, share, none)
}
