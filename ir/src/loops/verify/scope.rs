//! L1: single assignment, scoping, and types by inference.

use super::matrix::mistyped;
use crate::affine::Affine;
use crate::diag::Violation;
use crate::graph::ops::is_code;
use crate::loops::matrix::{MatrixSum, Place};
use crate::loops::walk::operands;
use crate::loops::{
    Block, Carried, Expr, IfResult, IndexId, LoopFn, Param, ParamAccess, ParamId, Stmt, VType,
    ValueId,
};
use crate::types::ElemType;
use cranelift_entity::SecondaryMap;
use smallvec::SmallVec;

/// The most lanes that a value has.
const MAX_LANES: u8 = 16;

pub(super) fn check(func: &LoopFn) -> Vec<Violation> {
    let mut checker = Checker {
        func,
        values: SecondaryMap::new(),
        indices: SecondaryMap::new(),
        found: Vec::new(),
    };
    for (value, ty) in &func.values {
        if !ty.lanes.is_power_of_two() || ty.lanes > MAX_LANES {
            checker.report(value, format!("{} lanes", ty.lanes));
        }
    }
    checker.block(&func.body);
    checker.found
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Undefined,
    Visible,
    OutOfScope,
}

struct Checker<'f> {
    func: &'f LoopFn,
    values: SecondaryMap<ValueId, State>,
    indices: SecondaryMap<IndexId, State>,
    found: Vec<Violation>,
}

impl Checker<'_> {
    fn block(&mut self, block: &Block) {
        block.iter().for_each(|stmt| self.stmt(stmt));
    }

    /// Ends the scope of what a block's statements define.
    fn close(&mut self, block: &Block) {
        for stmt in block {
            match stmt {
                Stmt::Let { value, .. } => self.values[*value] = State::OutOfScope,
                Stmt::Store { .. } | Stmt::Prefetch { .. } | Stmt::Matrix(_) => {}
                Stmt::Index { index, .. } => self.indices[*index] = State::OutOfScope,
                Stmt::For { carried, .. } => {
                    carried.iter().for_each(|c| self.values[c.result] = State::OutOfScope);
                }
                Stmt::If { results, .. } => {
                    results.iter().for_each(|r| self.values[r.result] = State::OutOfScope);
                }
            }
        }
    }

    fn stmt(&mut self, stmt: &Stmt) {
        match stmt {
            Stmt::Let { value, expr } => {
                self.expr(*value, expr);
                self.define(*value);
            }
            Stmt::Store { param, index, value, lanes } => {
                self.access(*value, *param, index, *lanes, ParamAccess::Write);
                self.uses(*value);
            }
            Stmt::Prefetch { param, index } => self.place(*param, index),
            Stmt::Matrix(sum) => self.matrix(sum),
            Stmt::Index { index, value } => self.computed_index(*index, *value),
            Stmt::For { index, carried, body } => self.for_each(*index, carried, body),
            Stmt::If { guards, then, results } => {
                guards.iter().for_each(|g| self.affine(&g.expr));
                self.block(then);
                results.iter().for_each(|r| self.uses(r.then));
                self.close(then);
                results.iter().for_each(|r| self.if_result(r));
            }
        }
    }

    fn for_each(&mut self, index: IndexId, carried: &[Carried], body: &Block) {
        if !self.define_index(index) {
            return;
        }
        for c in carried {
            self.uses(c.init);
            self.define(c.inner);
        }
        self.block(body);
        carried.iter().for_each(|c| self.uses(c.next));
        self.close(body);
        self.indices[index] = State::OutOfScope;
        for c in carried {
            self.values[c.inner] = State::OutOfScope;
            self.define(c.result);
            [c.inner, c.next, c.result].into_iter().for_each(|v| self.same_type(c.init, v));
        }
    }

    fn computed_index(&mut self, index: IndexId, value: ValueId) {
        self.uses(value);
        let integer = |ty: &VType| matches!(ty.elem, ElemType::I32 | ElemType::I64);
        if !self.func.values.get(value).is_some_and(|ty| ty.lanes == 1 && integer(ty)) {
            self.report(index, format!("{value} is not a scalar i32 or i64"));
        }
        self.define_index(index);
    }

    /// Whether the index exists, so that its scope can be entered.
    fn define_index(&mut self, index: IndexId) -> bool {
        if !self.func.indices.is_valid(index) || self.func.indices[index] == 0 {
            self.report(index, "the extent is not at least 1");
            return false;
        }
        if std::mem::replace(&mut self.indices[index], State::Visible) != State::Undefined {
            self.report(index, "the index is defined twice");
        }
        true
    }

    fn if_result(&mut self, r: &IfResult) {
        self.uses(r.otherwise);
        self.define(r.result);
        self.same_type(r.otherwise, r.then);
        self.same_type(r.otherwise, r.result);
    }

    fn expr(&mut self, value: ValueId, expr: &Expr) {
        if !self.func.values.is_valid(value) {
            return self.report(value, "no such value");
        }
        if let Expr::Load { param, index, lanes } = expr {
            return self.access(value, *param, index, *lanes, ParamAccess::Read);
        }
        let before = self.found.len();
        if let Expr::IndexValue(of) = expr {
            self.affine(of);
        }
        operands(expr).into_iter().for_each(|v| self.uses(v));
        if self.found.len() == before && infer(self.func, expr, self.ty(value)).is_none() {
            let operands: Vec<VType> = operands(expr).into_iter().map(|v| self.ty(v)).collect();
            let ty = self.ty(value);
            self.report(value, format!("{expr:?} of {operands:?} does not have type {ty}"));
        }
    }

    /// Its indices are visible in it alone.
    fn matrix(&mut self, sum: &MatrixSum) {
        let own: Vec<IndexId> = sum.indices().collect();
        if !own.iter().all(|&index| self.define_index(index)) {
            return;
        }
        for (Place { param, index }, stored) in sum.places() {
            self.place(*param, index);
            let access = if stored { ParamAccess::Write } else { ParamAccess::Read };
            let permits = |p: &Param| p.access.permits(access);
            if !self.func.params.get(*param).is_some_and(permits) {
                self.report(param, format!("{param} is not a parameter to {access:?}"));
            }
        }
        if let Some(why) = mistyped(self.func, sum) {
            self.report(sum.to.param, why);
        }
        own.into_iter().for_each(|index| self.indices[index] = State::OutOfScope);
    }

    fn place(&mut self, param: ParamId, index: &[Affine<IndexId>]) {
        match self.func.params.get(param).map(|p| p.ty.shape.rank()) {
            Some(rank) if rank == index.len() => {}
            _ => self.report(param, format!("no parameter of {} dimensions", index.len())),
        }
        index.iter().for_each(|dim| self.affine(dim));
    }

    fn access(
        &mut self,
        value: ValueId,
        param: ParamId,
        index: &[Affine<IndexId>],
        lanes: u8,
        access: ParamAccess,
    ) {
        if !self.func.values.is_valid(value) || !self.func.params.is_valid(param) {
            return self.report(value, format!("no such value or no such parameter {param}"));
        }
        let (ty, info) = (self.ty(value), &self.func.params[param]);
        let joins =
            access == ParamAccess::Read && ty.elem == ElemType::I32 && is_code(info.ty.elem);
        if (info.ty.elem != ty.elem && !joins) || lanes == 0 || lanes > ty.lanes {
            self.report(value, format!("{lanes} lanes of a {ty} do not fit {param}: {}", info.ty));
        }
        if index.len() != info.ty.shape.rank() || (index.is_empty() && (lanes > 1 || joins)) {
            self.report(value, format!("{} indices for {param}: {}", index.len(), info.ty));
        }
        if !info.access.permits(access) {
            self.report(value, format!("{param} is not a parameter to {access:?}"));
        }
        index.iter().for_each(|dim| self.affine(dim));
    }

    fn affine(&mut self, affine: &Affine<IndexId>) {
        for &(index, _) in affine.terms() {
            if self.indices.get(index) != Some(&State::Visible) {
                self.report(index, "the index is used where it is not defined");
            }
        }
    }

    fn uses(&mut self, value: ValueId) {
        if self.values.get(value) != Some(&State::Visible) {
            self.report(value, "the value is used where it is not defined");
        }
    }

    fn define(&mut self, value: ValueId) {
        if !self.func.values.is_valid(value) {
            return self.report(value, "no such value");
        }
        if std::mem::replace(&mut self.values[value], State::Visible) != State::Undefined {
            self.report(value, "the value is defined twice");
        }
    }

    fn same_type(&mut self, a: ValueId, b: ValueId) {
        if self.func.values.get(a) != self.func.values.get(b) {
            self.report(b, format!("the type is not that of {a}"));
        }
    }

    fn ty(&self, value: ValueId) -> VType {
        self.func.values[value]
    }

    fn report(&mut self, at: impl std::fmt::Display, message: impl Into<String>) {
        self.found.push(Violation::new("L1", format!("{} {at}", self.func.name), message));
    }
}

/// `Some` when the expression can have type `to`.
fn infer(func: &LoopFn, expr: &Expr, to: VType) -> Option<()> {
    let ty = |v: &ValueId| func.values[*v];
    let scalar = |v: &ValueId| ty(v) == VType::scalar(to.elem);
    let lane = |v: &ValueId, lane: u8| ty(v).elem == to.elem && lane < ty(v).lanes;
    let fits = match expr {
        Expr::Const(value) => value.elem() == to.elem,
        Expr::Load { .. } => true,
        Expr::IndexValue(_) => to == VType::scalar(ElemType::I64),
        Expr::Splat(v) => scalar(v),
        Expr::SplatLane(v, l) => lane(v, *l),
        Expr::Extract(v, l) => lane(v, *l) && to.lanes == 1,
        Expr::Pack(values) => values.len() == usize::from(to.lanes) && values.iter().all(scalar),
        Expr::Apply(f, args) => {
            let elems: SmallVec<[ElemType; 3]> = args.iter().map(|a| ty(a).elem).collect();
            args.iter().all(|a| ty(a).lanes == to.lanes) && f.infer(&elems) == Some(to.elem)
        }
        Expr::Cast(v) => ty(v).lanes == to.lanes,
        Expr::Lookup(table, v) => {
            ty(v).lanes == to.lanes && table.infer(ty(v).elem) == Some(to.elem)
        }
        Expr::ReduceLanes(f, v) => {
            to.lanes == 1 && lane(v, 0) && f.infer(&[to.elem; 2]) == Some(to.elem)
        }
    };
    fits.then_some(())
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::affine::Affine;
    use crate::loops::build::LoopBuilder;
    use crate::loops::{Expr, LoopFn, Param, ParamAccess, ParamId, Stmt, VType, ValueId};
    use crate::scalar::func::ScalarFn;
    use crate::tensor::Scalar;
    use crate::types::{ElemType, TensorType};
    use smallvec::smallvec;

    /// Builds a function with one `f32[4]` to write and returns the first message about it.
    fn first(build: impl FnOnce(&mut LoopBuilder, ParamId)) -> Option<String> {
        let mut b = LoopBuilder::new("f");
        let ty = TensorType::new(ElemType::F32, &[4]);
        let out = b.param(Param { ty, access: ParamAccess::Write });
        build(&mut b, out);
        message(&b.finish())
    }

    fn message(func: &LoopFn) -> Option<String> {
        check(func).into_iter().next().map(|v| v.to_string())
    }

    #[test]
    fn a_value_defined_before_use_in_an_enclosing_block_is_fine() {
        let message = first(|b, out| {
            let one = b.constant(Scalar::f32(1.0), 1);
            b.for_each(4, |b, i| b.store(out, vec![Affine::var(i)], one, 1));
        });
        assert_eq!(message, None);
    }

    #[test]
    fn l1_a_value_is_not_visible_after_its_block() {
        let message = first(|b, out| {
            let mut inner = None;
            b.for_each(4, |b, _| inner = Some(b.constant(Scalar::f32(1.0), 1)));
            b.store(out, vec![Affine::constant(0)], inner.expect("set by the body"), 1);
        });
        assert_eq!(
            message.as_deref(),
            Some("L1 at f v0: the value is used where it is not defined")
        );
    }

    #[test]
    fn l1_a_value_is_defined_once() {
        let mut func = LoopBuilder::new("f").finish();
        let value = func.values.push(VType::scalar(ElemType::F32));
        let define = Stmt::Let { value, expr: Expr::Const(Scalar::f32(0.0)) };
        func.body = vec![define.clone(), define];
        assert_eq!(message(&func).as_deref(), Some("L1 at f v0: the value is defined twice"));
    }

    #[test]
    fn l1_types_are_those_that_expressions_infer() {
        let message = first(|b, _| {
            let one = b.constant(Scalar::f32(1.0), 4);
            b.define(VType::scalar(ElemType::F32), Expr::Apply(ScalarFn::Neg, smallvec![one]));
        });
        assert!(message.expect("lanes differ").contains("does not have type f32"));
    }

    #[test]
    fn l1_a_loop_runs_at_least_once() {
        let message = first(|b, _| b.for_each(0, |_, _| {}));
        assert_eq!(message.as_deref(), Some("L1 at f i0: the extent is not at least 1"));
    }

    #[test]
    fn l1_an_index_is_used_inside_its_loop() {
        let message = first(|b, out| {
            let mut index = None;
            b.for_each(2, |_, i| index = Some(i));
            let one = b.constant(Scalar::f32(1.0), 1);
            b.store(out, vec![Affine::var(index.expect("set by the body"))], one, 1);
        });
        assert_eq!(
            message.as_deref(),
            Some("L1 at f i0: the index is used where it is not defined")
        );
    }

    #[test]
    fn l1_a_computed_index_is_an_integer_scalar_and_scoped() {
        let message = first(|b, out| {
            let one = b.constant(Scalar::f32(1.0), 1);
            let index = b.index(4, one);
            b.store(out, vec![Affine::var(index)], one, 1);
        });
        assert_eq!(message.as_deref(), Some("L1 at f i0: v0 is not a scalar i32 or i64"));
        let message = first(|b, out| {
            let mut index = None;
            b.for_each(4, |b, i| {
                let twice = b.index_value(Affine::scaled(i, 2));
                index = Some(b.index(4, twice));
            });
            let one = b.constant(Scalar::f32(1.0), 1);
            b.store(out, vec![Affine::var(index.expect("set by the body"))], one, 1);
        });
        assert_eq!(
            message.as_deref(),
            Some("L1 at f i1: the index is used where it is not defined")
        );
    }

    #[test]
    fn scratch_parameters_are_read_and_written() {
        let message = first(|b, _| {
            let ty = TensorType::new(ElemType::F32, &[4]);
            let scratch = b.param(Param { ty, access: ParamAccess::ReadWrite });
            let at = || vec![Affine::constant(0)];
            let value = b.load(VType::scalar(ElemType::F32), scratch, at(), 1);
            b.store(scratch, at(), value, 1);
        });
        assert_eq!(message, None);
    }

    #[test]
    fn l1_a_prefetch_has_an_index_per_dimension_and_may_leave_its_buffer() {
        let at = |dims| first(|b, out| b.prefetch(out, vec![Affine::constant(99); dims]));
        assert_eq!(at(1), None);
        assert_eq!(at(2).as_deref(), Some("L1 at f p0: no parameter of 2 dimensions"));
    }

    #[test]
    fn l1_ids_that_do_not_exist_are_reported() {
        let message = first(|b, out| {
            b.store(out, vec![Affine::constant(0)], ValueId::from_u32(7), 1);
        });
        assert!(message.expect("no v7").contains("no such value"));
    }

    #[test]
    fn l1_parameters_are_either_read_or_written() {
        let message = first(|b, out| {
            b.load(VType::scalar(ElemType::F32), out, vec![Affine::constant(0)], 1);
        });
        assert_eq!(message.as_deref(), Some("L1 at f v0: p0 is not a parameter to Read"));
    }
}
