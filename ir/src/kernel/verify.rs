//! Checks the invariants of kernels: accesses, bodies and schedules (K1, K3, K4, K5) here, the
//! others in files of their own.

mod calls;
mod coverage;
mod routine;
mod rows;

use super::matrix;
use super::schedule::{Pack, Schedule};
use super::{
    Access, AxisId, AxisKind, Index, Kernel, Kernels, Lookup, OperandId, Outside, Role, Stage, Unit,
};
use crate::affine::Interval;
use crate::diag::Violation;
use crate::graph::ops::is_code;
use crate::types::ElemType;
use std::collections::BTreeSet;

/// Checks K1 to K8; every violation is reported.
pub fn verify(kernels: &Kernels) -> Result<(), Vec<Violation>> {
    let mut found = Vec::new();
    for (id, kernel) in &kernels.kernels {
        let place = |v: Violation| Violation { at: format!("{id} {}", v.at), ..v };
        found.extend(violations(kernel).into_iter().map(place));
    }
    calls::check(kernels, &mut found);
    if found.is_empty() { Ok(()) } else { Err(found) }
}

/// Checks K1 to K5, K7 and K8 of one kernel; every violation is reported.
pub fn verify_kernel(kernel: &Kernel) -> Result<(), Vec<Violation>> {
    let found = violations(kernel);
    if found.is_empty() { Ok(()) } else { Err(found) }
}

fn violations(kernel: &Kernel) -> Vec<Violation> {
    if let Some(routine) = &kernel.routine {
        return routine::violations(kernel, routine);
    }
    let mut check = Check { kernel, place: "kernel".into(), found: Vec::new() };
    check.axes();
    for (number, stage) in kernel.stages.iter().enumerate() {
        check.place = format!("stage {number}");
        check.stage(stage);
    }
    check.place = "schedule".into();
    check.schedule();
    if check.found.iter().all(|v| !matches!(v.invariant, "K1" | "K3")) {
        rows::check(kernel, &mut check.found);
        coverage::check(kernel, &mut check.found);
    }
    check.found
}

struct Check<'a> {
    kernel: &'a Kernel,
    place: String,
    found: Vec<Violation>,
}

impl Check<'_> {
    fn report(&mut self, invariant: &'static str, message: impl Into<String>) {
        self.found.push(Violation::new(invariant, self.place.clone(), message));
    }

    fn ensure(&mut self, holds: bool, invariant: &'static str, message: impl FnOnce() -> String) {
        if !holds {
            self.report(invariant, message());
        }
    }

    fn axes(&mut self) {
        for (axis, data) in &self.kernel.axes {
            self.ensure(data.extent > 0, "K1", || format!("axis {axis} has no points"));
        }
    }

    fn stage(&mut self, stage: &Stage) {
        let known = |&axis: &AxisId| self.kernel.axes.is_valid(axis);
        if !stage.axes.iter().all(known) || has_repeats(&stage.axes) {
            return self.report("K1", "the stage's axes are not distinct axes of the kernel");
        }
        let kinds = stage.axes.iter().map(|&a| self.kernel.axes[a].kind);
        let sorted = kinds.is_sorted();
        self.ensure(sorted, "K3", || "a reduce axis comes before a parallel one".into());
        stage.all_reads().for_each(|read| self.access(stage, read));
        self.access(stage, &stage.write);
        self.roles(stage);
        self.reduce_axes(stage);
        if self.operands_exist(stage) {
            self.bodies(stage);
        }
    }

    fn operands_exist(&self, stage: &Stage) -> bool {
        let known = |a: &Access| self.kernel.operands.is_valid(a.operand);
        stage.all_reads().all(known) && known(&stage.write)
    }

    fn access(&mut self, stage: &Stage, access: &Access) {
        let operand = access.operand;
        let Some(data) = self.kernel.operands.get(operand) else {
            return self.report("K1", format!("no operand {operand}"));
        };
        let shape = &data.ty.shape;
        if access.index.len() != shape.rank() {
            return self.report("K1", format!("the access to {operand} is not of its rank"));
        }
        if let Some(axis) = access.axes().find(|axis| !stage.axes.contains(axis)) {
            return self.report("K1", format!("the access to {operand} uses foreign axis {axis}"));
        }
        access.lookups().for_each(|lookup| self.lookup(stage, lookup));
        let is_last = |d: usize| d + 1 == shape.rank();
        let padded = matches!(access.outside, Outside::Pad(_));
        for (d, index) in access.index.iter().enumerate() {
            if padded && !(access.unit == Unit::Word && is_last(d)) {
                continue;
            }
            let mut range =
                index.interval(shape[d], |axis| Interval::below(self.kernel.extent(axis)));
            range.hi += if is_last(d) { self.kernel.width(access) as i64 - 1 } else { 0 };
            self.ensure(range.within(shape[d]), "K1", || {
                let Interval { lo, hi } = range;
                format!("dimension {d} of {operand} spans {lo}..={hi} of {}", shape[d])
            });
        }
    }

    fn lookup(&mut self, stage: &Stage, lookup: &Lookup) {
        let Lookup { operand, index } = lookup.clone();
        if let Some(data) = self.kernel.operands.get(operand) {
            let fits = matches!(data.ty.elem, ElemType::I32 | ElemType::I64);
            self.ensure(fits, "K1", || format!("{operand} of {} is looked up", data.ty));
            self.ensure(data.role != Role::Write, "K1", || "a written operand is read".into());
        }
        let index = index.into_iter().map(Index::Affine).collect();
        let (outside, unit) = (Outside::Never, Unit::Element);
        self.access(stage, &Access { operand, index, outside, unit });
    }

    fn roles(&mut self, stage: &Stage) {
        let role = |a: &Access| self.kernel.operands.get(a.operand).map(|o| o.role);
        let reads_ok = stage.all_reads().all(|a| role(a) != Some(Role::Write));
        let writes_ok = matches!(role(&stage.write), Some(Role::Write | Role::Local) | None);
        let padded = stage.write.outside != Outside::Never;
        self.ensure(reads_ok, "K1", || "a written operand is read".into());
        self.ensure(writes_ok, "K2", || "a read operand is written".into());
        self.ensure(!padded, "K1", || "a write is padded".into());
        let whole = stage.write.unit == Unit::Element;
        self.ensure(whole, "K1", || "a word is written".into());
        let looked_up = stage.write.lookups().next().is_some();
        self.ensure(!looked_up, "K1", || "the place of a write is looked up".into());
    }

    fn reduce_axes(&mut self, stage: &Stage) {
        let reduced: Vec<AxisId> = self.kernel.reduce_axes(stage).collect();
        self.ensure(reduced.is_empty() || stage.reduce.is_some(), "K3", || {
            "a stage with reduce axes has no reduction".into()
        });
        for access in stage.epilogue_reads.iter().chain([&stage.write]) {
            let uses_reduced = access.axes().any(|axis| reduced.contains(&axis));
            self.ensure(!uses_reduced, "K3", || {
                format!("after the reduction, {} depends on a reduce axis", access.operand)
            });
        }
    }

    /// Relies on all operands of the stage existing.
    fn bodies(&mut self, stage: &Stage) {
        for access in stage.all_reads() {
            let stored = self.elem(access.operand);
            let joins =
                access.unit == Unit::Element || (is_code(stored) && !access.index.is_empty());
            self.ensure(joins, "K4", || format!("{stored} are read as words"));
            let elem = self.kernel.elem(access);
            let fits = !matches!(access.outside, Outside::Pad(value) if value.elem() != elem);
            self.ensure(fits, "K4", || format!("the padding of {} is not {elem}", access.operand));
        }
        let reads: Vec<ElemType> = stage.reads.iter().map(|a| self.kernel.elem(a)).collect();
        let Some(value) = stage.body.infer(&reads) else {
            return self.report("K4", "the body does not type-check");
        };
        match &stage.reduce {
            Some(reduce) => {
                let closed = reduce.init.elem() == value && reduce.func.identity(value).is_some();
                self.ensure(closed, "K4", || format!("{:?} cannot reduce {value}", reduce.func));
            }
            None => self.ensure(stage.epilogue.is_identity(), "K4", || {
                "a stage without reduction has an epilogue".into()
            }),
        }
        let extras = stage.epilogue_reads.iter().map(|a| self.kernel.elem(a));
        let args: Vec<ElemType> = [value].into_iter().chain(extras).collect();
        let stored = self.elem(stage.write.operand);
        self.ensure(stage.epilogue.infer(&args) == Some(stored), "K4", || {
            format!("the epilogue does not give {stored}")
        });
    }

    fn elem(&self, operand: OperandId) -> ElemType {
        self.kernel.operands[operand].ty.elem
    }

    fn schedule(&mut self) {
        let Some(schedule) = &self.kernel.schedule else { return };
        let tiles: Vec<AxisId> = schedule.tile.iter().map(|t| t.0).collect();
        let vectors: Vec<AxisId> = schedule.vector.iter().map(|v| v.0).collect();
        let unrolls: Vec<AxisId> = schedule.unroll.iter().map(|u| u.0).collect();
        let matrix: Vec<AxisId> = schedule.matrix.iter().map(|m| m.0).collect();
        let parts: Vec<AxisId> = schedule.parts.iter().map(|p| p.0).collect();
        let clauses: [(&str, &[AxisId], Option<AxisKind>); 7] = [
            ("order", &schedule.order, Some(AxisKind::Parallel)),
            ("tile", &tiles, None),
            ("vector", &vectors, None),
            ("unroll", &unrolls, Some(AxisKind::Reduce)),
            ("peel", &schedule.peel, Some(AxisKind::Parallel)),
            ("matrix", &matrix, Some(AxisKind::Parallel)),
            ("parts", &parts, Some(AxisKind::Parallel)),
        ];
        for (clause, axes, kind) in clauses {
            self.ensure(!has_repeats(axes), "K5", || format!("{clause} names an axis twice"));
            let fits = |axis: &AxisId| match self.kernel.axes.get(*axis) {
                Some(data) => kind.is_none_or(|kind| kind == data.kind),
                None => false,
            };
            let all_fit = axes.iter().all(fits);
            self.ensure(all_fit, "K5", || {
                format!("{clause} names an axis that it cannot apply to")
            });
        }
        self.factors();
        self.packs();
        self.parts();
        self.matrix();
    }

    fn factors(&mut self) {
        let Some(schedule) = &self.kernel.schedule else { return };
        for &(axis, factor) in schedule.tile.iter().chain(&schedule.unroll) {
            let extent = self.kernel.axes.get(axis).map_or(0, |a| a.extent);
            let whole_vectors = extent.next_multiple_of(schedule.lanes_of(axis).max(1) as usize);
            self.ensure((1..=whole_vectors).contains(&(factor as usize)), "K5", || {
                format!("factor {factor} does not fit the {extent} points of {axis}")
            });
        }
        for &(axis, _) in &schedule.tile {
            let kind = self.kernel.axes.get(axis).map(|a| a.kind);
            let fits = kind == Some(AxisKind::Parallel) || schedule.lanes_of(axis) > 1;
            self.ensure(fits, "K5", || {
                format!("the tile of {axis} is neither parallel nor vectors")
            });
        }
        for &(axis, lanes) in &schedule.vector {
            let tile = schedule.tile_of(axis);
            self.ensure(lanes > 0 && tile.is_multiple_of(lanes), "K5", || {
                format!("{lanes} lanes do not divide the tile {tile} of {axis}")
            });
        }
    }

    fn packs(&mut self) {
        let Some(schedule) = &self.kernel.schedule else { return };
        for pack in &schedule.pack {
            let constant = match self.kernel.operands.get(pack.operand).map(|o| o.role) {
                Some(Role::Const) => true,
                Some(Role::Read | Role::Local) => self.can_be_copied(schedule, pack),
                Some(Role::Write) | None => false,
            };
            let fits = constant && self.kernel.axes.is_valid(pack.axis) && pack.block > 0;
            self.ensure(fits, "K5", || {
                format!("{} cannot be packed by {}", pack.operand, pack.axis)
            });
        }
    }

    /// Whether one read of an operand follows the axis of a pack, at places that are known and
    /// inside, and none of its other parallel axes is tiled.
    fn can_be_copied(&self, schedule: &Schedule, pack: &Pack) -> bool {
        let stages = self.kernel.stages.iter();
        let reads = stages.flat_map(|stage| stage.reads.iter().map(move |read| (stage, read)));
        let mut found = reads.filter(|(_, read)| pack.reads(read));
        let (Some((stage, read)), None) = (found.next(), found.next()) else { return false };
        let known = read.outside == Outside::Never && read.lookups().next().is_none();
        let mut others = self.kernel.parallel_axes(stage).filter(|&a| a != pack.axis);
        let whole =
            |a: AxisId| schedule.tile_of(a) == 1 || read.index.iter().all(|i| !i.follows(a));
        known && others.all(whole)
    }

    fn matrix(&mut self) {
        let Some(schedule) = &self.kernel.schedule else { return };
        let fits = matrix::suits(self.kernel, schedule);
        self.ensure(fits, "K5", || "no sums are possible in such matrix tiles".into());
    }

    fn parts(&mut self) {
        let Some(schedule) = &self.kernel.schedule else { return };
        let count = schedule.part_count().unwrap_or(2);
        let alike = count > 1 && schedule.parts.iter().all(|p| p.1 as usize == count);
        self.ensure(alike, "K5", || "parts of different numbers, or one part".into());
        let locals = self.kernel.operands.values().any(|o| o.role == Role::Local);
        let shared = locals || !self.kernel.rows.is_empty();
        let rows = schedule.parts.iter().all(|(axis, _)| self.kernel.rows.contains(axis));
        self.ensure(!shared || rows, "K5", || "the parts share rows or locals".into());
    }
}

fn has_repeats(axes: &[AxisId]) -> bool {
    axes.iter().collect::<BTreeSet<_>>().len() != axes.len()
}

#[cfg(test)]
mod tests {
    use super::verify_kernel;
    use crate::affine::Affine;
    use crate::graph::ops::{Gather, MatMul, Pick, TensorOp};
    use crate::kernel::schedule::Schedule;
    use crate::kernel::{Access, AxisId, Kernel, OperandId, Outside};
    use crate::scalar::ScalarExpr;
    use crate::scalar::func::ScalarFn;
    use crate::tensor::Scalar;
    use crate::types::{ElemType, Shape, TensorType};
    use cranelift_entity::EntityRef;

    /// `[2,3] · [3,4]`: axes m, n, k; operands a, w, y.
    fn sound() -> Kernel {
        let ty = |dims| TensorType::new(ElemType::F32, dims);
        MatMul::plain().kernel(&[&ty(&[2, 3]), &ty(&[3, 4])])
    }

    fn axis(index: usize) -> AxisId {
        AxisId::new(index)
    }

    #[track_caller]
    fn check_broken(invariant: &str, damage: impl FnOnce(&mut Kernel)) {
        let mut kernel = sound();
        damage(&mut kernel);
        let found = verify_kernel(&kernel).expect_err("the kernel is broken");
        assert!(found.iter().any(|v| v.invariant == invariant), "{found:?}");
    }

    fn shift(access: &mut Access, dim: usize, by: i64) {
        access.index[dim].affines_mut()[0].constant = by;
    }

    #[test]
    fn k5_wants_sums_of_words_in_matrix_tiles() {
        check_broken("K5", |kernel| {
            let matrix = vec![(axis(0), 2)];
            kernel.schedule = Some(Schedule { matrix, ..Schedule::default() });
        });
    }

    #[test]
    fn k1_wants_lookups_of_integers_in_bounds() {
        let gather = || {
            let op = Gather { picks: vec![Pick::Index(vec![0])], shape: Shape::new(&[3]) };
            let table = TensorType::new(ElemType::I64, &[3]);
            op.kernel(&[&TensorType::new(ElemType::F32, &[5]), &table])
        };
        assert_eq!(verify_kernel(&gather()), Ok(()));
        let broken = |damage: &dyn Fn(&mut Kernel)| {
            let mut kernel = gather();
            damage(&mut kernel);
            verify_kernel(&kernel).expect_err("the kernel is broken")[0].invariant
        };
        assert_eq!(broken(&|k| shift(&mut k.stages[0].reads[0], 0, 1)), "K1");
        assert_eq!(broken(&|k| k.operands[OperandId::new(1)].ty.elem = ElemType::F32), "K1");
        assert_eq!(broken(&|k| k.stages[0].write.index = k.stages[0].reads[0].index.clone()), "K1");
    }

    #[test]
    fn a_sound_kernel_verifies() {
        assert_eq!(verify_kernel(&sound()), Ok(()));
    }

    #[test]
    fn k1_wants_reads_in_bounds_or_padded() {
        check_broken("K1", |k| shift(&mut k.stages[0].reads[0], 0, 1));
        let mut padded = sound();
        shift(&mut padded.stages[0].reads[0], 0, 1);
        padded.stages[0].reads[0].outside = Outside::Pad(Scalar::f32(0.0));
        assert_eq!(verify_kernel(&padded), Ok(()));
    }

    #[test]
    fn k1_wants_writes_in_bounds() {
        check_broken("K1", |k| shift(&mut k.stages[0].write, 1, -1));
        check_broken("K1", |k| k.stages[0].write.outside = Outside::Pad(Scalar::f32(0.0)));
    }

    #[test]
    fn k2_wants_each_element_written_once() {
        check_broken("K2", |k| k.stages.push(k.stages[0].clone()));
        check_broken("K2", |k| k.stages.clear());
    }

    #[test]
    fn k3_keeps_reduce_axes_out_of_the_write() {
        check_broken("K3", |k| k.stages[0].write.index[0] = Affine::var(axis(2)).into());
        check_broken("K3", |k| k.stages[0].reduce = None);
    }

    #[test]
    fn k4_checks_bodies_and_epilogues() {
        check_broken("K4", |k| k.stages[0].body = ScalarExpr::call(ScalarFn::Neg));
        check_broken("K4", |k| k.stages[0].epilogue = ScalarExpr::call(ScalarFn::Add));
    }

    #[test]
    fn k5_checks_schedules() {
        let with = |schedule: Schedule| move |k: &mut Kernel| k.schedule = Some(schedule);
        let tile = vec![(axis(1), 4)];
        let good =
            Schedule { tile: tile.clone(), vector: vec![(axis(1), 2)], ..Schedule::default() };
        let mut kernel = sound();
        kernel.schedule = Some(good);
        assert_eq!(verify_kernel(&kernel), Ok(()));
        check_broken("K5", with(Schedule { tile: vec![(axis(0), 3)], ..Schedule::default() }));
        check_broken(
            "K5",
            with(Schedule { vector: vec![(axis(1), 3)], tile, ..Schedule::default() }),
        );
        check_broken("K5", with(Schedule { order: vec![axis(0); 2], ..Schedule::default() }));
    }
}
