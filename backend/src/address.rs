//! Addresses: which pointers a function keeps, so that hot loops compute none.
//!
//! An access is `parameter + Σ stride·index + displacement`, all in bytes. Accesses that share the
//! parameter, the strides and the part of the displacement that no address mode holds share a
//! pointer. A pointer belongs to the innermost index among its strides. If that is a loop's, the
//! pointer starts, in front of that loop, as the pointer without that stride, and grows by the
//! stride at the end of each iteration; if it is computed, the pointer starts there, as the pointer
//! without that stride plus the stride times the index.

use cranelift_entity::packed_option::PackedOption;
use cranelift_entity::{PrimaryMap, SecondaryMap, entity_impl};
use edgecc_ir::affine::Affine;
use edgecc_ir::loops::matrix::{MatrixSum, Place};
use edgecc_ir::loops::{Block, Expr, IndexId, LoopFn, ParamId, Stmt};
use edgecc_ir::target::{Arch, Target};
use std::collections::BTreeMap;

/// Where a store goes.
#[derive(Clone, Copy)]
pub(crate) struct StorePlace<'a> {
    pub(crate) param: ParamId,
    pub(crate) index: &'a [Affine<IndexId>],
}

impl StorePlace<'_> {
    /// Whether this is so many elements behind another place, along the last dimension.
    pub(crate) fn is_behind(&self, other: &StorePlace<'_>, elements: u8) -> bool {
        let (Some((last, outer)), Some((other_last, other_outer))) =
            (self.index.split_last(), other.index.split_last())
        else {
            return false;
        };
        self.param == other.param
            && *last == other_last.clone().offset(i64::from(elements))
            && outer == other_outer
    }
}

/// A pointer of the plan.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PointerId(u32);
entity_impl!(PointerId, "ptr");

/// What a pointer holds; the key of the plan.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pointer {
    /// The buffer.
    pub(crate) param: ParamId,
    /// Strides in bytes, outermost index first.
    pub(crate) strides: Vec<(IndexId, i64)>,
    /// Distance in bytes from the sum of the above.
    pub(crate) offset: i64,
}

/// All pointers of a function.
#[derive(Debug, Default)]
pub(crate) struct AddressPlan {
    /// The pointers; a parent comes before its children.
    pub(crate) pointers: PrimaryMap<PointerId, Pointer>,
    /// The same buffer without the innermost stride and the offset.
    pub(crate) parents: SecondaryMap<PointerId, PackedOption<PointerId>>,
    /// Pointers that belong to an index.
    pub(crate) of_index: SecondaryMap<IndexId, Vec<PointerId>>,
    /// Pointers without strides.
    pub(crate) fixed: Vec<PointerId>,
    /// Whether a guard or a value reads the index.
    pub(crate) kept: SecondaryMap<IndexId, bool>,
    ids: BTreeMap<Pointer, PointerId>,
    depths: SecondaryMap<IndexId, usize>,
}

impl AddressPlan {
    /// The pointers that a function needs on a target.
    pub(crate) fn of(func: &LoopFn, target: &Target) -> AddressPlan {
        let mut plan = AddressPlan::default();
        plan.visit(func, target, &func.body, 0);
        plan
    }

    /// The pointer and displacement of an access of `bytes` bytes.
    pub(crate) fn locate(
        &self,
        func: &LoopFn,
        target: &Target,
        access: Access<'_>,
    ) -> (PointerId, i32) {
        let (pointer, displacement) = self.split(func, target, access);
        (self.ids[&pointer], displacement)
    }

    fn visit(&mut self, func: &LoopFn, target: &Target, block: &Block, mut depth: usize) {
        for stmt in block {
            match stmt {
                Stmt::Let { value, expr: Expr::Load { param, index, lanes } } => {
                    let bytes = access_bytes(func.values[*value].elem.bytes(), *lanes);
                    self.access(func, target, Access { param: *param, index, bytes });
                }
                Stmt::Let { expr: Expr::IndexValue(of), .. } => self.keep(of),
                Stmt::Let { .. } => {}
                Stmt::Index { index, .. } => {
                    self.depths[*index] = depth;
                    depth += 1;
                }
                Stmt::Store { param, index, value, lanes } => {
                    let bytes = access_bytes(func.values[*value].elem.bytes(), *lanes);
                    self.access(func, target, Access { param: *param, index, bytes });
                }
                Stmt::Prefetch { param, index } => {
                    self.access(func, target, Access { param: *param, index, bytes: 1 });
                }
                Stmt::Matrix(sum) => {
                    for place in [&sum.codes, &sum.words, &sum.to] {
                        let index = first_of(sum, place);
                        let access = Access { param: place.param, index: &index, bytes: 1 };
                        self.access(func, target, access);
                    }
                }
                Stmt::For { index, body, .. } => {
                    self.depths[*index] = depth;
                    self.visit(func, target, body, depth + 1);
                }
                Stmt::If { guards, then, .. } => {
                    guards.iter().for_each(|g| self.keep(&g.expr));
                    self.visit(func, target, then, depth);
                }
            }
        }
    }

    fn keep(&mut self, read: &Affine<IndexId>) {
        read.terms().iter().for_each(|&(index, _)| self.kept[index] = true);
    }

    fn access(&mut self, func: &LoopFn, target: &Target, access: Access<'_>) {
        let (pointer, _) = self.split(func, target, access);
        self.intern(pointer);
    }

    fn intern(&mut self, pointer: Pointer) -> PointerId {
        if let Some(&id) = self.ids.get(&pointer) {
            return id;
        }
        let parent = self.parent(&pointer);
        let id = self.pointers.push(pointer.clone());
        self.parents[id] = parent.into();
        match pointer.strides.last() {
            Some(&(index, _)) => self.of_index[index].push(id),
            None => self.fixed.push(id),
        }
        self.ids.insert(pointer, id);
        id
    }

    fn parent(&mut self, pointer: &Pointer) -> Option<PointerId> {
        let (_, outer) = pointer.strides.split_last().unwrap_or((&(IndexId::from_u32(0), 0), &[]));
        let parent = Pointer { param: pointer.param, strides: outer.to_vec(), offset: 0 };
        (parent != *pointer).then(|| self.intern(parent))
    }

    fn split(&self, func: &LoopFn, target: &Target, access: Access<'_>) -> (Pointer, i32) {
        let linear = linear_bytes(func, access.param, access.index);
        let mut strides: Vec<(IndexId, i64)> =
            linear.terms().iter().copied().filter(|&(index, _)| func.indices[index] > 1).collect();
        strides.sort_by_key(|&(index, _)| self.depths[index]);
        let displacement = displacement(target, linear.constant, access.bytes);
        let offset = linear.constant - i64::from(displacement);
        (Pointer { param: access.param, strides, offset }, displacement)
    }
}

/// One load, store or prefetch.
#[derive(Clone, Copy)]
pub(crate) struct Access<'a> {
    /// The buffer.
    pub(crate) param: ParamId,
    /// One index per dimension.
    pub(crate) index: &'a [Affine<IndexId>],
    /// Bytes that one instruction moves.
    pub(crate) bytes: i64,
}

/// Bytes that the widest instruction of a (possibly partial) access moves: a partial access is
/// split into pieces of powers of two, the widest first.
pub(crate) fn access_bytes(elem_bytes: usize, lanes: u8) -> i64 {
    let bytes = elem_bytes * usize::from(lanes);
    1 << bytes.ilog2()
}

fn linear_bytes(func: &LoopFn, param: ParamId, index: &[Affine<IndexId>]) -> Affine<IndexId> {
    let param = &func.params[param];
    param.element(index).times(param.ty.elem.bytes() as i64)
}

/// Where a matrix sum's first row and step are.
pub(crate) fn first_of(sum: &MatrixSum, place: &Place) -> Vec<Affine<IndexId>> {
    let outside = |index: IndexId| match sum.indices().any(|own| own == index) {
        true => Affine::constant(0),
        false => Affine::var(index),
    };
    place.index.iter().map(|dim| dim.substitute(outside)).collect()
}

/// The part of a constant distance that an address mode holds. `Target::max_displacement` is that
/// of a 4-byte access; where displacements count in units of the access, it scales with it.
fn displacement(target: &Target, constant: i64, bytes: i64) -> i32 {
    let window = match target.arch {
        Arch::X86_64 => target.max_displacement,
        Arch::Aarch64 => (target.max_displacement / 4 + 1) * bytes,
    };
    let within = match target.arch {
        Arch::X86_64 => constant % window,
        Arch::Aarch64 if (-256..256).contains(&constant) => constant,
        Arch::Aarch64 => constant.rem_euclid(window) / bytes * bytes,
    };
    i32::try_from(within).expect("a displacement is smaller than its window")
}

/// Offsets and sizes of the pieces of an access, the widest first.
pub(crate) fn pieces(bytes: i32) -> impl Iterator<Item = (i32, i32)> {
    let sizes = [8, 4, 2, 1].into_iter().filter(move |size| bytes & size != 0);
    sizes.scan(0, |at, size| {
        let piece = (*at, size);
        *at += size;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::pieces;

    #[test]
    fn pieces_cover_the_access_and_are_aligned_to_their_size() {
        for bytes in 1..16 {
            let all: Vec<_> = pieces(bytes).collect();
            assert_eq!(all.iter().map(|p| p.1).sum::<i32>(), bytes);
            assert!(all.iter().all(|&(at, size)| at % size == 0), "{bytes}");
        }
    }
}
