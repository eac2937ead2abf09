//! Statements: loops, guards, definitions, stores.

use super::Translator;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{Block as ClifBlock, BlockArg, InstBuilder, Value};
use edgecc_ir::affine::Affine;
use edgecc_ir::loops::{Block, Carried, Guard, IfResult, IndexId, Stmt, ValueId};
use edgecc_ir::types::ElemType;

impl<'a> Translator<'a> {
    pub(super) fn block(&mut self, block: &'a Block) {
        for stmt in block {
            self.stmt(stmt);
        }
    }

    fn stmt(&mut self, stmt: &'a Stmt) {
        match stmt {
            Stmt::Let { value, expr } => {
                let result = self.expr(*value, expr);
                self.values[*value] = result.into();
                self.exprs[*value] = Some(expr);
            }
            Stmt::Store { param, index, value, lanes } => {
                self.store(*param, index, *value, *lanes);
            }
            Stmt::For { index, carried, body } if self.func.indices[*index] == 1 => {
                self.run_once(*index, carried, body);
            }
            Stmt::For { index, carried, body } => self.run_loop(*index, carried, body),
            Stmt::If { guards, then, results } => self.run_if(guards, then, results),
        }
    }

    fn run_once(&mut self, index: IndexId, carried: &[Carried], body: &'a Block) {
        if self.plan.guarded[index] {
            let zero = self.builder.ins().iconst(I64, 0);
            self.indices[index] = zero.into();
        }
        carried.iter().for_each(|c| self.values[c.inner] = self.values[c.init]);
        self.block(body);
        carried.iter().for_each(|c| self.values[c.result] = self.values[c.next]);
    }

    /// `header(carried, pointers, left): if left == 0 goto exit else body; …; jump header(…)`.
    ///
    /// The loop is tested at its top: a value that lived on both edges of a bottom test would be
    /// copied in each iteration.
    fn run_loop(&mut self, index: IndexId, carried: &[Carried], body: &'a Block) {
        let header = self.builder.create_block();
        let inside = self.builder.create_block();
        let exit = self.builder.create_block();
        self.enter_loop(index, carried, header);

        self.builder.switch_to_block(header);
        let left = self.bind_loop(index, carried, header);
        self.builder.ins().brif(left, inside, &[], exit, &[]);

        self.builder.switch_to_block(inside);
        self.block(body);
        let next = self.next_iteration(index, carried, left);
        self.builder.ins().jump(header, &next);

        self.builder.switch_to_block(exit);
        for (at, c) in carried.iter().enumerate() {
            self.values[c.result] = self.builder.block_params(header)[at].into();
        }
    }

    /// Starts the loop's pointers and its counter and jumps to its header.
    fn enter_loop(&mut self, index: IndexId, carried: &[Carried], header: ClifBlock) {
        let mut args = self.block_args(carried.iter().map(|c| c.init));
        for pointer in self.plan.in_loop[index].clone() {
            self.start_pointer(pointer, None);
            args.push(self.pointers[pointer].expect("just started").into());
        }
        if self.plan.guarded[index] {
            args.push(self.builder.ins().iconst(I64, 0).into());
        }
        args.push(self.builder.ins().iconst(I64, self.func.indices[index] as i64).into());
        self.builder.ins().jump(header, &args);
        for arg in args {
            let value = arg.as_value().expect("only values are passed");
            let ty = self.clif_type(value);
            self.builder.append_block_param(header, ty);
        }
    }

    /// Names the header's parameters; returns the number of iterations that are left.
    fn bind_loop(&mut self, index: IndexId, carried: &[Carried], header: ClifBlock) -> Value {
        let params = self.builder.block_params(header).to_vec();
        let mut params = params.into_iter();
        let mut next = || params.next().expect("one parameter per argument");
        carried.iter().for_each(|c| self.values[c.inner] = next().into());
        for pointer in &self.plan.in_loop[index] {
            self.pointers[*pointer] = next().into();
        }
        if self.plan.guarded[index] {
            self.indices[index] = next().into();
        }
        next()
    }

    fn next_iteration(
        &mut self,
        index: IndexId,
        carried: &[Carried],
        left: Value,
    ) -> Vec<BlockArg> {
        let mut args = self.replacements(carried.iter().map(|c| (c.next, c.inner)));
        for pointer in self.plan.in_loop[index].clone() {
            let (_, stride) = *self.plan.pointers[pointer].strides.last().expect("grows in a loop");
            let value = self.pointers[pointer].expect("bound by the header");
            args.push(self.offset(value, stride).into());
        }
        if self.plan.guarded[index] {
            let value = self.indices[index].expect("bound by the header");
            args.push(self.offset(value, 1).into());
        }
        args.push(self.offset(left, -1).into());
        args
    }

    fn block_args(&self, values: impl Iterator<Item = ValueId>) -> Vec<BlockArg> {
        values.map(|v| self.value(v).into()).collect()
    }

    /// Values that replace others; masks take the width of what they replace.
    fn replacements(&mut self, pairs: impl Iterator<Item = (ValueId, ValueId)>) -> Vec<BlockArg> {
        let mut args = Vec::new();
        for (new, old) in pairs {
            let (value, like) = (self.value(new), self.value(old));
            let value = match self.ty(new).elem {
                ElemType::Bool => self.mask_like(value, like),
                _ => value,
            };
            args.push(value.into());
        }
        args
    }

    fn run_if(&mut self, guards: &[Guard], then: &'a Block, results: &[IfResult]) {
        let exit = self.builder.create_block();
        let otherwise = self.block_args(results.iter().map(|r| r.otherwise));
        for guard in guards {
            let next = self.builder.create_block();
            let holds = self.guard(guard);
            self.builder.ins().brif(holds, next, &[], exit, &otherwise);
            self.builder.switch_to_block(next);
        }
        self.block(then);
        let values = self.replacements(results.iter().map(|r| (r.then, r.otherwise)));
        self.builder.ins().jump(exit, &values);
        self.builder.switch_to_block(exit);
        for result in results {
            let ty = self.clif_type(self.value(result.otherwise));
            self.values[result.result] = self.builder.append_block_param(exit, ty).into();
        }
    }

    /// `0 <= expr < extent` in one unsigned comparison.
    fn guard(&mut self, guard: &Guard) -> Value {
        let value = self.affine(&guard.expr);
        let extent = guard.extent as i64;
        self.builder.ins().icmp_imm_u(IntCC::UnsignedLessThan, value, extent)
    }

    fn affine(&mut self, expr: &Affine<IndexId>) -> Value {
        let mut sum = None;
        for &(index, coefficient) in expr.terms() {
            let value = self.indices[index].expect("indices of guards are kept");
            let term = match coefficient {
                1 => value,
                c => self.builder.ins().imul_imm_s(value, c),
            };
            sum = Some(sum.map_or(term, |sum| self.builder.ins().iadd(sum, term)));
        }
        match sum {
            Some(sum) => self.offset(sum, expr.constant),
            None => self.builder.ins().iconst(I64, expr.constant),
        }
    }
}
