//! Statements: loops, guards, definitions, stores.

use super::Selector;
use crate::address::StorePlace;
use crate::wide::code::{Cond, Kind, Label};
use crate::wide::row::Op;
use edgecc_ir::loops::walk::{each_stmt, map_uses};
use edgecc_ir::loops::{Block, Carried, Expr, Guard, IfResult, IndexId, Stmt, ValueId};
use edgecc_ir::types::ElemType;
use regalloc2::{Operand, VReg};

impl<'a> Selector<'a> {
    pub(super) fn block(&mut self, block: &'a Block) {
        for stmt in block {
            self.stmt(stmt);
        }
        self.settle_codes();
    }

    fn stmt(&mut self, stmt: &'a Stmt) {
        match stmt {
            Stmt::Let { value, expr } => self.let_value(*value, expr),
            Stmt::Store { param, index, value, lanes } => {
                self.settle();
                if let Some(codes) = self.codes[*value] {
                    return self.store_codes(codes, StorePlace { param: *param, index });
                }
                self.settle_codes();
                self.store(*param, index, *value, *lanes);
            }
            Stmt::Prefetch { param, index } => self.prefetch(*param, index),
            Stmt::Matrix(sum) => {
                self.settle();
                self.settle_codes();
                self.matrix(sum);
            }
            Stmt::Index { index, value } => self.computed_index(*index, *value),
            Stmt::For { index, carried, body } => {
                self.settle_codes();
                match self.func.indices[*index] {
                    1 => self.run_once(*index, carried, body),
                    _ => self.run_loop(*index, carried, body),
                }
            }
            Stmt::If { guards, then, results } => {
                self.settle_codes();
                self.run_if(guards, then, results);
            }
        }
    }

    /// Loads, splats and constants wait for their first use.
    fn let_value(&mut self, value: ValueId, expr: &'a Expr) {
        self.reached[value] = true;
        match expr {
            _ if self.uses[value] == 0 || self.in_codes[value] => {}
            Expr::Const(_) | Expr::Splat(_) => {}
            Expr::Load { .. } if self.func.is_pure(expr) => {}
            Expr::Load { .. } => {
                self.settle_codes();
                self.unsettled.push(value);
            }
            _ => {
                self.register(value);
            }
        }
    }

    /// Makes the loads that a later store could change.
    fn settle(&mut self) {
        for value in std::mem::take(&mut self.unsettled) {
            if self.uses[value] > 0 {
                self.register(value);
            }
        }
    }

    /// Computes what a nested block reads and what waits for its first use.
    fn settle_for(&mut self, block: &Block) {
        self.settle();
        each_stmt(block, &mut |stmt| {
            let mut read = Vec::new();
            map_uses(&mut super::shallow(stmt), |value| {
                read.push(value);
                value
            });
            read.into_iter().for_each(|value| self.settle_value(value));
        });
    }

    fn settle_value(&mut self, value: ValueId) {
        if self.reached[value] && self.values[value].is_none() && self.literal(value).is_none() {
            self.register(value);
        }
    }

    fn run_once(&mut self, index: IndexId, carried: &[Carried], body: &'a Block) {
        if self.plan.kept[index] {
            self.indices[index] = Some(self.number(0));
        }
        for c in carried {
            let init = self.take(c.init);
            self.define(c.inner, init);
        }
        self.block(body);
        for c in carried {
            let next = self.take(c.next);
            self.define(c.result, next);
        }
    }

    /// `header(carried, pointers, left): body; branch left - 1 != 0 to back, exit`,
    /// `back: jump header`, `exit: results = copies`.
    fn run_loop(&mut self, index: IndexId, carried: &[Carried], body: &'a Block) {
        let hot = !body.iter().any(contains_loop);
        self.settle_for(body);
        let known = self.hoisted.len();
        if hot {
            self.hoist_literals(carried, body);
        }
        let outer = (self.current_loop, self.code.hot);
        self.loops += 1;
        let left = self.enter_loop(index, carried, hot);
        self.block(body);
        let next = self.leave_loop(index, carried, left);
        self.unsettled.clear();
        (self.current_loop, self.code.hot) = outer;
        self.hoisted.truncate(known);
        let exit = next.exit;
        self.start(exit, Vec::new());
        for (c, from) in carried.iter().zip(next.values) {
            let to = self.copied(from);
            self.define(c.result, to);
        }
    }

    /// Starts pointers and counter and jumps to the header; returns how many iterations are left.
    fn enter_loop(&mut self, index: IndexId, carried: &[Carried], hot: bool) -> Running {
        let mut args: Vec<VReg> = carried.iter().map(|c| self.take_copy(c.init)).collect();
        let pointers = self.plan.of_index[index].clone();
        for &pointer in &pointers {
            self.start_pointer(pointer, None);
            args.push(self.pointers[pointer].expect("just started"));
        }
        if self.plan.kept[index] {
            args.push(self.number(0));
        }
        args.push(self.number(self.func.indices[index] as i64));
        let header = self.code.label();
        let params: Vec<VReg> = args.iter().map(|&arg| self.another(arg)).collect();
        self.code.jump(header, args);
        (self.current_loop, self.code.hot) = (self.loops, hot);
        self.start(header, params.clone());
        if hot {
            self.code.mark_hot_header();
        }
        let mut params = params.into_iter();
        let mut next = || params.next().expect("one parameter per argument");
        for c in carried {
            self.define(c.inner, next());
        }
        for pointer in pointers {
            self.pointers[pointer] = Some(next());
        }
        if self.plan.kept[index] {
            self.indices[index] = Some(next());
        }
        Running { header, left: next() }
    }

    fn leave_loop(&mut self, index: IndexId, carried: &[Carried], running: Running) -> Left {
        let next = |c: &Carried| {
            let inner = self.values[c.inner].expect("bound by the header");
            self.take_like(c.next, inner)
        };
        let values: Vec<VReg> = carried.iter().map(next).collect();
        let mut args = values.clone();
        for pointer in self.plan.of_index[index].clone() {
            let (_, stride) = *self.plan.pointers[pointer].strides.last().expect("grows in a loop");
            let at = self.pointers[pointer].expect("bound by the header");
            args.push(self.advanced(at, stride));
        }
        if self.plan.kept[index] {
            let at = self.indices[index].expect("bound by the header");
            args.push(self.advanced(at, 1));
        }
        let left = self.tied_imm(Op::Dec, running.left, 0);
        args.push(left);
        let (back, exit) = (self.code.label(), self.code.label());
        self.code.branch(Cond::NotEqual, back, exit);
        self.start(back, Vec::new());
        self.code.jump(running.header, args);
        Left { exit, values }
    }

    fn run_if(&mut self, guards: &[Guard], then: &'a Block, results: &[IfResult]) {
        self.settle_for(then);
        let otherwise: Vec<VReg> = results.iter().map(|r| self.take(r.otherwise)).collect();
        let exit = self.code.label();
        let mut skips = Vec::new();
        for guard in guards {
            let (next, skip) = (self.code.label(), self.code.label());
            self.compare_guard(guard);
            self.code.branch(Cond::Below, next, skip);
            self.start(next, Vec::new());
            skips.push(skip);
        }
        self.block(then);
        self.settle();
        let pairs = results.iter().zip(&otherwise);
        let values = pairs.map(|(r, &otherwise)| self.take_like(r.then, otherwise)).collect();
        self.code.jump(exit, values);
        for skip in skips {
            self.start(skip, Vec::new());
            self.code.jump(exit, otherwise.clone());
        }
        let params: Vec<VReg> = otherwise.iter().map(|&o| self.another(o)).collect();
        self.start(exit, params.clone());
        for (result, param) in results.iter().zip(params) {
            self.define(result.result, param);
        }
    }

    /// One use of a value, in a register of its own.
    fn take_copy(&mut self, value: ValueId) -> VReg {
        if let Some(literal) = self.literal(value) {
            self.uses[value] -= 1;
            let reg = self.materialize(literal);
            self.note_mask(reg, self.ty(value));
            return reg;
        }
        let is_fresh = self.values[value].is_none();
        let from = self.take(value);
        if is_fresh { from } else { self.copied(from) }
    }

    fn copied(&mut self, from: VReg) -> VReg {
        let to = self.another(from);
        self.code.push(Kind::Copy, &[Operand::reg_def(to), Operand::reg_use(from)]);
        to
    }

    /// A new register for the same kind of content.
    fn another(&mut self, like: VReg) -> VReg {
        let reg = self.code.vreg(like.class());
        if let Some(&bytes) = self.mask_bytes.get(&like.vreg()) {
            self.mask_bytes.insert(reg.vreg(), bytes);
        }
        reg
    }

    /// One use of a value in the form of the one that it replaces.
    fn take_like(&mut self, value: ValueId, like: VReg) -> VReg {
        let (reg, ty) = (self.take(value), self.ty(value));
        match ty.elem {
            ElemType::Bool if ty.lanes > 1 => self.mask_like(reg, like, ty.lanes),
            _ => reg,
        }
    }
}

/// A loop that was entered.
#[derive(Clone, Copy)]
struct Running {
    header: Label,
    /// Iterations that are left.
    left: VReg,
}

/// A loop that was left.
struct Left {
    exit: Label,
    /// The last values of what it carries.
    values: Vec<VReg>,
}

fn contains_loop(stmt: &Stmt) -> bool {
    match stmt {
        Stmt::For { .. } | Stmt::Matrix(_) => true,
        Stmt::If { then, .. } => then.iter().any(contains_loop),
        Stmt::Let { .. } | Stmt::Store { .. } | Stmt::Prefetch { .. } | Stmt::Index { .. } => false,
    }
}
