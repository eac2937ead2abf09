//! Views: values that are read out of a place of a buffer through an affine map.

use super::{dim, dims};
use cranelift_entity::EntityRef;
use edgecc_ir::affine::{Affine, Interval};
use edgecc_ir::kernel::{Access, AxisId, Index, Kernel, Lookup, Outside, Unit};
use edgecc_ir::program::Place;
use edgecc_ir::types::{Shape, TensorType};

/// A value at position `(d0, d1, …)` is the place's element at `index`, or `outside`.
#[derive(Clone, Debug)]
pub(super) struct View {
    /// The value's shape.
    pub(super) shape: Shape,
    /// The storage.
    pub(super) place: Place,
    /// The shape under which `index` addresses it.
    pub(super) ty: TensorType,
    /// One index per dimension of `ty`, over the dimensions of the value.
    pub(super) index: Vec<Affine<AxisId>>,
    /// What positions outside `ty` give.
    pub(super) outside: Outside,
}

/// The read of a kernel that only moves elements, looks no place up, and writes its result in order.
pub(super) fn absorbed(kernel: &Kernel) -> Option<&Access> {
    let [stage] = kernel.stages.as_slice() else { return None };
    let places = stage.write.index.iter().filter_map(Index::affine);
    let in_order = places.eq(&dims(kernel.axes.len()));
    let moves = stage.is_copy() && stage.lookups().next().is_none();
    (moves && in_order).then(|| &stage.reads[0])
}

impl View {
    /// Consecutive elements from a place on.
    pub(super) fn whole(place: Place, ty: &TensorType) -> View {
        let (shape, index) = (ty.shape.clone(), dims(ty.shape.rank()));
        View { shape, place, ty: ty.clone(), index, outside: Outside::Never }
    }

    /// Whether these are consecutive elements in order.
    pub(super) fn is_whole(&self) -> bool {
        self.shape == self.ty.shape && self.index == dims(self.shape.rank())
    }

    /// The view that `access`, which looks nothing up, sees when its operand is this view; positions
    /// are the axes of `kernel`, whose extents are the shape. `None` where no access map can say it.
    pub(super) fn seen_by(&self, access: &Access, kernel: &Kernel) -> Option<View> {
        let Access { index, outside, .. } = self.compose(access, kernel)?;
        let index = index.into_iter().filter_map(|i| i.affine().cloned()).collect();
        let shape = kernel.axes.values().map(|a| a.extent).collect();
        Some(View { shape, place: self.place.clone(), ty: self.ty.clone(), index, outside })
    }

    /// The lookup of an integer of this view as one of its buffer.
    pub(super) fn look_up(&self, lookup: &Lookup, kernel: &Kernel) -> Option<Lookup> {
        let index = lookup.index.iter().cloned().map(Index::Affine).collect();
        let (outside, unit) = (Outside::Never, Unit::Element);
        let access = Access { operand: lookup.operand, index, outside, unit };
        let seen = self.seen_by(&access, kernel)?;
        let inside = seen.outside == Outside::Never;
        inside.then_some(Lookup { operand: lookup.operand, index: seen.index })
    }

    /// The access to the buffer that `access`, whose operand is this view, means. `None` where no
    /// access map can say it.
    pub(super) fn compose(&self, access: &Access, kernel: &Kernel) -> Option<Access> {
        let shape = &kernel.operands[access.operand].ty.shape;
        let outside = match (access.outside, self.outside) {
            (Outside::Never, inner) => inner,
            (outer, inner) if inner == Outside::Never || inner == outer => {
                self.bounds_agree(access, shape, kernel).then_some(outer)?
            }
            _ => return None,
        };
        let places = self.index.iter().zip(self.ty.shape.iter());
        let index: Option<Vec<Index>> =
            places.map(|(place, &extent)| composed(place, extent, access, shape)).collect();
        Some(Access { operand: access.operand, index: index?, outside, unit: access.unit })
    }

    /// Whether leaving the value's shape is the same as leaving the buffer's, for each dimension
    /// in which the access may leave it.
    fn bounds_agree(&self, access: &Access, shape: &Shape, kernel: &Kernel) -> bool {
        (0..shape.rank()).all(|d| {
            let range = access.index[d].interval(shape[d], |a| Interval::below(kernel.extent(a)));
            range.within(shape[d]) || self.is_plain_dim(d, shape[d])
        })
    }

    /// Whether dimension `d` of the value is one whole dimension of the buffer.
    fn is_plain_dim(&self, d: usize, extent: usize) -> bool {
        let mut users = (0..self.index.len()).filter(|&s| self.index[s].coefficient(dim(d)) != 0);
        match (users.next(), users.next()) {
            (Some(s), None) => self.index[s].as_var() == Some(dim(d)) && self.ty.shape[s] == extent,
            _ => false,
        }
    }

    /// The same elements under the shape of `to`, when no copy is needed.
    pub(super) fn reshaped(&self, to: &TensorType) -> Option<View> {
        if self.is_whole() {
            return Some(View::whole(self.place.clone(), to));
        }
        let kept = |s: &Shape| (0..s.rank()).filter(|&d| s[d] != 1).collect::<Vec<_>>();
        let (old, new) = (kept(&self.shape), kept(&to.shape));
        let same = old.iter().map(|&d| self.shape[d]).eq(new.iter().map(|&d| to.shape[d]));
        same.then(|| {
            let renamed = |a: AxisId| match old.iter().position(|&d| d == a.index()) {
                Some(n) => Affine::var(dim(new[n])),
                None => Affine::constant(0),
            };
            View {
                index: self.index.iter().map(|i| i.substitute(renamed)).collect(),
                ..self.clone()
            }
        })
    }
}

/// A place in a dimension of the buffer, over the places of an access in dimensions of the value.
/// One that is looked up must be a whole dimension of the buffer, so that it is clamped alike.
fn composed(
    place: &Affine<AxisId>,
    extent: usize,
    access: &Access,
    shape: &Shape,
) -> Option<Index> {
    let dims: Option<Vec<&Affine<AxisId>>> =
        place.terms().iter().map(|(d, _)| access.index[d.index()].affine()).collect();
    if dims.is_some() {
        let at = |d: AxisId| access.index[d.index()].affine().expect("just checked").clone();
        return Some(place.substitute(at).into());
    }
    let whole = place.as_var().filter(|d| shape[d.index()] == extent)?;
    Some(access.index[whole.index()].clone())
}
