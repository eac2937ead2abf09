//! Statements: loops, computed indices, guards, definitions, stores.

use super::Translator;
use crate::address::StorePlace;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{Block as ClifBlock, BlockArg, InstBuilder, Value};
use edgecc_ir::affine::Affine;
use edgecc_ir::loops::{Block, Carried, Guard, IfResult, IndexId, Stmt, ValueId};
use edgecc_ir::target::Arch;
use edgecc_ir::types::ElemType;

impl<'a> Translator<'a> {
    pub(super) fn block(&mut self, block: &'a Block) {
        for stmt in block {
            self.stmt(stmt);
        }
        self.store_waiting();
    }

    fn stmt(&mut self, stmt: &'a Stmt) {
        match stmt {
            Stmt::Let { value, expr } => {
                if !self.func.is_pure(expr) {
                    self.store_waiting();
                }
                let result = self.expr(*value, expr);
                self.values[*value] = result.into();
                self.exprs[*value] = Some(expr);
            }
            Stmt::Store { param, index, value, lanes } => match self.codes_of(*value, *lanes) {
                Some(codes) => self.store_codes(codes, StorePlace { param: *param, index }),
                None => {
                    self.store_waiting();
                    self.store(*param, index, *value, *lanes);
                }
            },
            // Cranelift's IR has no such hint.
            Stmt::Prefetch { .. } => {}
            Stmt::Matrix(_) => unreachable!("only functions with wide vectors have matrix sums"),
            Stmt::Index { index, value } => self.computed_index(*index, *value),
            Stmt::For { .. } | Stmt::If { .. } => self.nested(stmt),
        }
    }

    fn nested(&mut self, stmt: &'a Stmt) {
        self.store_waiting();
        match stmt {
            Stmt::For { index, carried, body } if self.func.indices[*index] == 1 => {
                self.run_once(*index, carried, body);
            }
            Stmt::For { index, carried, body } => self.run_loop(*index, carried, body),
            Stmt::If { guards, then, results } => self.run_if(guards, then, results),
            Stmt::Let { .. }
            | Stmt::Store { .. }
            | Stmt::Prefetch { .. }
            | Stmt::Matrix(_)
            | Stmt::Index { .. } => {}
        }
    }

    /// Clamps the value and starts the pointers that depend on it.
    fn computed_index(&mut self, index: IndexId, value: ValueId) {
        let (raw, elem) = (self.value(value), self.ty(value).elem);
        let raw = if elem == ElemType::I64 { raw } else { self.builder.ins().sextend(I64, raw) };
        let zero = self.builder.ins().iconst(I64, 0);
        let last = self.builder.ins().iconst(I64, self.func.indices[index] as i64 - 1);
        let raised = self.builder.ins().smax(raw, zero);
        let clamped = self.builder.ins().smin(raised, last);
        self.indices[index] = clamped.into();
        for pointer in self.plan.of_index[index].clone() {
            self.start_pointer(pointer, None);
            let (_, stride) = *self.plan.pointers[pointer].strides.last().expect("has the index");
            let start = self.pointers[pointer].expect("just started");
            let distance = self.builder.ins().imul_imm_s(clamped, stride);
            self.pointers[pointer] = self.builder.ins().iadd(start, distance).into();
        }
    }

    fn run_once(&mut self, index: IndexId, carried: &[Carried], body: &'a Block) {
        if self.plan.kept[index] {
            let zero = self.builder.ins().iconst(I64, 0);
            self.indices[index] = zero.into();
        }
        carried.iter().for_each(|c| self.values[c.inner] = self.values[c.init]);
        self.block(body);
        carried.iter().for_each(|c| self.values[c.result] = self.values[c.next]);
    }

    fn run_loop(&mut self, index: IndexId, carried: &[Carried], body: &'a Block) {
        match self.target.arch {
            Arch::X86_64 => self.run_tested_at_top(index, carried, body),
            Arch::Aarch64 => self.run_tested_at_bottom(index, carried, body),
        }
    }

    /// `header(carried, pointers, left): body; …; if left == 1 goto exit else header(…)`.
    fn run_tested_at_bottom(&mut self, index: IndexId, carried: &[Carried], body: &'a Block) {
        let header = self.builder.create_block();
        let exit = self.builder.create_block();
        self.enter_loop(index, carried, header);

        self.builder.switch_to_block(header);
        let left = self.bind_loop(index, carried, header);
        self.block(body);
        let next = self.next_iteration(index, carried, left);
        let left = next.last().and_then(BlockArg::as_value).expect("the counter comes last");
        self.builder.ins().brif(left, header, &next, exit, &[]);

        self.builder.switch_to_block(exit);
        for (c, arg) in carried.iter().zip(next) {
            self.values[c.result] = arg.as_value().expect("only values are passed").into();
        }
    }

    /// `header(carried, pointers, left): if left == 0 goto exit else body; …; jump header(…)`.
    ///
    /// A value that lived on both edges of a bottom test would be copied in each iteration, where
    /// a multiply-add does not overwrite the accumulator.
    fn run_tested_at_top(&mut self, index: IndexId, carried: &[Carried], body: &'a Block) {
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
        for pointer in self.plan.of_index[index].clone() {
            self.start_pointer(pointer, None);
            args.push(self.pointers[pointer].expect("just started").into());
        }
        if self.plan.kept[index] {
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
        for pointer in &self.plan.of_index[index] {
            self.pointers[*pointer] = next().into();
        }
        if self.plan.kept[index] {
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
        for pointer in self.plan.of_index[index].clone() {
            let (_, stride) = *self.plan.pointers[pointer].strides.last().expect("grows in a loop");
            let value = self.pointers[pointer].expect("bound by the header");
            args.push(self.offset(value, stride).into());
        }
        if self.plan.kept[index] {
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

    /// An affine function of kept indices.
    pub(super) fn affine(&mut self, expr: &Affine<IndexId>) -> Value {
        let mut sum = None;
        for &(index, coefficient) in expr.terms() {
            let value = self.indices[index].expect("indices of guards and values are kept");
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

#[cfg(test)]
mod tests {
    use crate::testing::{program, run};
    use edgecc_ir::affine::Affine;
    use edgecc_ir::loops::build::LoopBuilder;
    use edgecc_ir::loops::{Guard, Param, ParamAccess, ParamId, VType};
    use edgecc_ir::scalar::func::ScalarFn;
    use edgecc_ir::tensor::{Scalar, Tensor};
    use edgecc_ir::types::{ElemType, TensorType};

    const F32: VType = VType { elem: ElemType::F32, lanes: 1 };
    const V4: VType = VType { elem: ElemType::F32, lanes: 4 };

    fn param(b: &mut LoopBuilder, dims: &[usize], access: ParamAccess) -> ParamId {
        b.param(Param { ty: TensorType::new(ElemType::F32, dims), access })
    }

    fn counting(dims: &[usize]) -> Tensor {
        let ty = TensorType::new(ElemType::F32, dims);
        Tensor::from_fn(ty, |i| Scalar::f32(i as f32))
    }

    fn check(b: LoopBuilder, input: &Tensor, expected: &[f32]) {
        let outputs = run(&program(b.finish()), std::slice::from_ref(input));
        if let Some(outputs) = outputs {
            assert_eq!(outputs[0].to_f32s(), expected);
        }
    }

    #[test]
    fn accesses_may_run_backwards_skip_and_lie_far_away() {
        let mut b = LoopBuilder::new("k0");
        let x = param(&mut b, &[40, 600], ParamAccess::Read);
        let y = param(&mut b, &[3, 4], ParamAccess::Write);
        b.for_each(3, |b, i| {
            b.for_each(4, |b, j| {
                let far = vec![Affine::scaled(i, -7).offset(39), Affine::scaled(j, -3).offset(599)];
                let value = b.load(F32, x, far, 1);
                b.store(y, vec![Affine::var(i), Affine::var(j)], value, 1);
            });
        });
        let at = |i: usize, j: usize| ((39 - 7 * i) * 600 + 599 - 3 * j) as f32;
        let expected: Vec<f32> = (0..12).map(|n| at(n / 4, n % 4)).collect();
        check(b, &counting(&[40, 600]), &expected);
    }

    #[test]
    fn guards_keep_padding_out_of_sums() {
        let mut b = LoopBuilder::new("k0");
        let x = param(&mut b, &[5], ParamAccess::Read);
        let y = param(&mut b, &[5], ParamAccess::Write);
        b.for_each(5, |b, i| {
            let zero = b.constant(Scalar::f32(0.0), 1);
            let sum = b.for_carried(3, &[zero], |b, k, sum| {
                let at = Affine::var(i).plus(k, 1).offset(-1);
                let guard = Guard { expr: at.clone(), extent: 5 };
                b.guarded(vec![guard], sum, |b| {
                    let value = b.load(F32, x, vec![at], 1);
                    vec![b.apply(ScalarFn::Add, &[sum[0], value])]
                })
            });
            b.store(y, vec![Affine::var(i)], sum[0], 1);
        });
        check(b, &counting(&[5]), &[1.0, 3.0, 6.0, 9.0, 7.0]);
    }

    /// `y[i, j] = x[clamp(3·i - 2, 0, 4), j + 1]`, through values.
    #[test]
    fn computed_indices_are_clamped_and_lead_vectors() {
        let mut b = LoopBuilder::new("k0");
        let x = param(&mut b, &[5, 6], ParamAccess::Read);
        let y = param(&mut b, &[4, 4], ParamAccess::Write);
        b.for_each(4, |b, i| {
            let at = b.index_value(Affine::scaled(i, 3).offset(-2));
            let narrow = b.cast(ElemType::I32, at);
            let row = b.index(5, narrow);
            b.for_each(2, |b, j| {
                let from = vec![Affine::var(row), Affine::scaled(j, 2).offset(1)];
                let value = b.load(V4, x, from, 2);
                b.store(y, vec![Affine::var(i), Affine::scaled(j, 2)], value, 2);
            });
        });
        let expected = [0, 1, 4, 4].map(|row| [1, 2, 3, 4].map(|j| (6 * row + j) as f32));
        check(b, &counting(&[5, 6]), expected.as_flattened());
    }

    #[test]
    fn partial_vectors_touch_only_their_elements() {
        let mut b = LoopBuilder::new("k0");
        let x = param(&mut b, &[7], ParamAccess::Read);
        let y = param(&mut b, &[7], ParamAccess::Write);
        for (at, lanes) in [(0, 4), (4, 3)] {
            let value = b.load(V4, x, vec![Affine::constant(at)], lanes);
            let sum = b.define(F32, edgecc_ir::loops::Expr::ReduceLanes(ScalarFn::Add, value));
            let sums = b.splat(sum, 4);
            b.store(y, vec![Affine::constant(at)], sums, lanes);
        }
        check(b, &counting(&[7]), &[6.0, 6.0, 6.0, 6.0, 15.0, 15.0, 15.0]);
    }

    #[test]
    fn loops_of_one_round_carry_their_values() {
        let mut b = LoopBuilder::new("k0");
        let x = param(&mut b, &[3], ParamAccess::Read);
        let y = param(&mut b, &[1], ParamAccess::Write);
        let zero = b.constant(Scalar::f32(0.5), 1);
        let sum = b.for_carried(1, &[zero], |b, _, sum| {
            b.for_carried(3, sum, |b, i, sum| {
                let value = b.load(F32, x, vec![Affine::var(i)], 1);
                vec![b.apply(ScalarFn::Add, &[sum[0], value])]
            })
        });
        b.store(y, vec![Affine::constant(0)], sum[0], 1);
        check(b, &counting(&[3]), &[3.5]);
    }
}
