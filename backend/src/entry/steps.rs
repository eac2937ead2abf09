//! The entry's program: calls with their places, repetitions as loops, choices as branches.

use super::parallel::{Divided, Threads};
use super::{Entry, Frame, Places, Profiler};
use crate::error::{Code, internal};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I8, I64};
use cranelift_codegen::ir::{InstBuilder, Value};
use cranelift_entity::SecondaryMap;
use cranelift_module::Module;
use cranelift_object::ObjectModule;
use edgecc_ir::affine::Affine;
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::kernel::{BufferId, Home};
use edgecc_ir::loops::{FuncId, Loops};
use edgecc_ir::program::{Branch, Call, CounterId, Parallel, Place, Repeat, Step};
use edgecc_rt::abi::Event;

type Result<T> = std::result::Result<T, Vec<Diagnostic>>;

/// What a step may ask while the program is built.
pub(super) struct Cx<'a> {
    pub(super) loops: &'a Loops,
    pub(super) places: &'a Places<'a>,
    pub(super) module: &'a mut ObjectModule,
    pub(super) frame: &'a Frame,
    pub(super) profiler: &'a Profiler,
    /// Who runs the parts of calls, if there are any.
    pub(super) threads: Option<Threads>,
    /// The address of the constants.
    pub(super) weights: Option<Value>,
    /// The counters of the enclosing repetitions.
    pub(super) counters: SecondaryMap<CounterId, Option<Value>>,
    /// The number of the next call.
    pub(super) next: usize,
}

impl Entry<'_> {
    /// Runs a block; a profile service hears of each call by its number.
    pub(super) fn block(&mut self, cx: &mut Cx<'_>, steps: &[Step<FuncId>]) -> Result<()> {
        let mut ended = None;
        for step in steps {
            if step.call().is_some() {
                let events = ended.map(|last| (last, Event::End)).into_iter();
                let events: Vec<_> = events.chain([(cx.next, Event::Begin)]).collect();
                self.tell(cx.profiler, &events);
                ended = Some(cx.next);
                cx.next += 1;
            } else {
                self.end(cx, ended.take());
            }
            match step {
                Step::Call(call) => self.call(cx, call)?,
                Step::Parallel(parallel) => self.parallel(cx, parallel)?,
                Step::Repeat(repeat) => self.repeat(cx, repeat)?,
                Step::If(branch) => self.choice(cx, branch)?,
            }
        }
        self.end(cx, ended);
        Ok(())
    }

    fn end(&mut self, cx: &Cx<'_>, call: Option<usize>) {
        if let Some(call) = call {
            self.tell(cx.profiler, &[(call, Event::End)]);
        }
    }

    fn call(&mut self, cx: &mut Cx<'_>, call: &Call<FuncId>) -> Result<()> {
        let mut pointers = Vec::with_capacity(call.args.len());
        for place in &call.args {
            pointers.push(self.place(cx, place)?);
        }
        let kernel = cx.places.kernels[call.callee];
        let kernel = cx.module.declare_func_in_func(kernel, self.builder.func);
        self.builder.ins().call(kernel, &pointers);
        Ok(())
    }

    /// The list holds the arguments of the first part.
    fn parallel(&mut self, cx: &mut Cx<'_>, parallel: &Parallel<FuncId>) -> Result<()> {
        let Parallel { counter, call } = parallel;
        let part = cx.places.helpers.parts.get(&Divided::of(cx.loops, parallel)).copied();
        let part = part.ok_or_else(|| internal("a call in parts without a function"))?;
        let part = cx.module.declare_func_in_func(part, self.builder.func);
        let mut addresses = Vec::with_capacity(call.args.len());
        for place in &call.args {
            let moves = Affine::scaled(*counter, place.offset.coefficient(*counter));
            let first = Place { offset: place.offset.add_scaled(&moves, -1), ..place.clone() };
            addresses.push(self.place(cx, &first)?);
        }
        let threads = cx.threads.as_ref();
        let threads = threads.ok_or_else(|| internal("a call in parts without a runner"))?;
        self.run_parts(threads, part, &addresses, cx.loops.program.counters[*counter]);
        Ok(())
    }

    /// The counter's extent is at least 1, so without a test the body comes first.
    fn repeat(&mut self, cx: &mut Cx<'_>, repeat: &Repeat<FuncId>) -> Result<()> {
        let [head, body, done] = [(); 3].map(|()| self.builder.create_block());
        self.builder.append_block_param(head, I64);
        let start = self.builder.ins().iconst(I64, 0);
        self.builder.ins().jump(head, &[start.into()]);

        self.builder.switch_to_block(head);
        let counter = self.builder.block_params(head)[0];
        cx.counters[repeat.counter] = Some(counter);
        match &repeat.test {
            None => self.builder.ins().jump(body, &[]),
            Some(test) => {
                let holds = self.test(cx, test)?;
                self.builder.ins().brif(holds, body, &[], done, &[])
            }
        };

        self.builder.switch_to_block(body);
        self.block(cx, &repeat.body)?;
        let next = self.builder.ins().iadd_imm_s(counter, 1);
        let extent = cx.loops.program.counters[repeat.counter] as i64;
        let again = self.builder.ins().icmp_imm_u(IntCC::UnsignedLessThan, next, extent);
        self.builder.ins().brif(again, head, &[next.into()], done, &[]);
        self.builder.switch_to_block(done);
        Ok(())
    }

    fn choice(&mut self, cx: &mut Cx<'_>, branch: &Branch<FuncId>) -> Result<()> {
        let [then, otherwise, done] = [(); 3].map(|()| self.builder.create_block());
        let holds = self.test(cx, &branch.test)?;
        self.builder.ins().brif(holds, then, &[], otherwise, &[]);
        for (block, steps) in [(then, &branch.then), (otherwise, &branch.otherwise)] {
            self.builder.switch_to_block(block);
            self.block(cx, steps)?;
            self.builder.ins().jump(done, &[]);
        }
        self.builder.switch_to_block(done);
        Ok(())
    }

    /// A `bool` is one byte, 0 or 1; what a caller gives may be any other truth.
    fn test(&mut self, cx: &Cx<'_>, place: &Place) -> Result<Value> {
        let pointer = self.place(cx, place)?;
        Ok(self.load(I8, pointer, 0))
    }

    /// The address of a place.
    fn place(&mut self, cx: &Cx<'_>, place: &Place) -> Result<Value> {
        let mut address = self.buffer(cx, place.buffer)?;
        let bytes = cx.loops.buffers[place.buffer].ty.elem.bytes() as i64;
        for &(counter, step) in place.offset.terms() {
            let value =
                cx.counters[counter].ok_or_else(|| internal("a counter outside its loop"))?;
            let distance = self.builder.ins().imul_imm_s(value, step * bytes);
            address = self.builder.ins().iadd(address, distance);
        }
        match place.offset.constant {
            0 => Ok(address),
            constant => Ok(self.builder.ins().iadd_imm_s(address, constant * bytes)),
        }
    }

    fn buffer(&mut self, cx: &Cx<'_>, buffer: BufferId) -> Result<Value> {
        Ok(match cx.loops.buffers[buffer].home {
            Home::Input(at) => {
                let place = cx.places.interface.input_places[at as usize];
                self.port(cx.frame, cx.frame.inputs, place)
            }
            Home::Output(at) => {
                let place = cx.places.interface.output_places[at as usize];
                self.port(cx.frame, cx.frame.outputs, place)
            }
            Home::Const(constant) => {
                let offset = cx.places.offsets[constant] as i64;
                let weights = cx.weights.ok_or_else(|| internal("a constant without bytes"))?;
                self.builder.ins().iadd_imm_s(weights, offset)
            }
            Home::Arena => {
                let slot = cx.loops.plan.as_ref().and_then(|plan| plan.slots[buffer]);
                let slot = slot.ok_or_else(|| {
                    vec![Code::NotPlanned.error(format!("buffer {buffer} has no place"))]
                })?;
                self.builder.ins().iadd_imm_s(cx.frame.workspace, slot.offset as i64)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{program, run, run_with};
    use edgecc_ir::affine::Affine;
    use edgecc_ir::kernel::{Buffer, Home, Port};
    use edgecc_ir::loops::build::LoopBuilder;
    use edgecc_ir::loops::{Loops, Param, ParamAccess, VType};
    use edgecc_ir::program::{Branch, Repeat, Step};
    use edgecc_ir::scalar::func::ScalarFn;
    use edgecc_ir::tensor::{Scalar, Tensor};
    use edgecc_ir::types::{ElemType, TensorType};
    use edgecc_rt::abi::Event;
    use edgecc_rt::hooks::Hooks;
    use std::cell::RefCell;

    const ROWS: usize = 3;

    /// Doubles the rows of its first input, last row first, into its output; `go` is the second
    /// input.
    fn model() -> Loops {
        let mut b = LoopBuilder::new("k0_double");
        let [x, y] = [ParamAccess::Read, ParamAccess::Write]
            .map(|access| b.param(Param { ty: TensorType::new(ElemType::F32, &[4]), access }));
        let at = vec![Affine::constant(0)];
        let value = b.load(VType { elem: ElemType::F32, lanes: 4 }, x, at.clone(), 4);
        let twice = b.apply(ScalarFn::Add, &[value, value]);
        b.store(y, at, twice, 4);
        let mut loops = program(b.finish());
        let rows = TensorType::new(ElemType::F32, &[ROWS, 4]);
        loops.buffers.values_mut().for_each(|buffer| buffer.ty = rows.clone());
        loops.inputs[0].ty = rows.clone();
        loops.outputs[0].ty = rows;
        let ty = TensorType::new(ElemType::Bool, &[]);
        loops.inputs.push(Port { name: "go".to_owned(), ty: ty.clone() });
        loops.buffers.push(Buffer { ty, home: Home::Input(1) });
        let counter = loops.program.counters.push(ROWS);
        let Some(Step::Call(mut call)) = loops.program.steps.pop() else { panic!("a call") };
        let last = 4 * (ROWS as i64 - 1);
        call.args[0].offset = Affine::scaled(counter, -4).offset(last);
        call.args[1].offset = Affine::scaled(counter, 4);
        let body = vec![Step::Call(call)];
        loops.program.steps = vec![Step::Repeat(Repeat { counter, test: None, body })];
        loops
    }

    fn inputs(go: bool) -> [Tensor; 2] {
        let rows: Vec<f32> = (0..4 * ROWS).map(|n| n as f32).collect();
        [Tensor::from_f32s(&[ROWS, 4], &rows), Tensor::splat(&[], Scalar::bool(go))]
    }

    #[test]
    fn a_repetition_moves_through_its_places() {
        let Some(outputs) = run(&model(), &inputs(true)) else { return };
        assert_eq!(outputs[0].to_f32s()[..5], [16.0, 18.0, 20.0, 22.0, 8.0]);
    }

    #[test]
    fn a_test_ends_a_repetition_and_chooses_a_block() {
        let mut loops = model();
        let go = loops.buffers.keys().next_back().expect("three buffers");
        let Some(Step::Repeat(all)) = loops.program.steps.pop() else { panic!("a repetition") };
        let tested = Step::Repeat(Repeat { test: Some(go.into()), ..all.clone() });
        let branch =
            Branch { test: go.into(), then: Vec::new(), otherwise: vec![Step::Repeat(all)] };
        loops.program.steps = vec![tested];
        let Some(stopped) = run(&loops, &inputs(false)) else { return };
        assert_eq!(stopped[0].bytes(), [0xee; 16 * ROWS], "nothing is written");
        let ran = run(&loops, &inputs(true)).expect("it ran before");
        assert_eq!(ran[0].to_f32s()[4], 8.0);
        loops.program.steps = vec![Step::If(branch)];
        let chosen = run(&loops, &inputs(false)).expect("it ran before");
        assert_eq!(chosen[0].to_f32s()[4], 8.0);
    }

    #[test]
    fn a_profile_service_hears_of_a_call_in_each_iteration() {
        let events = RefCell::new(Vec::new());
        let sink = |step: u32, event: Event| events.borrow_mut().push((step, event));
        let hooks = Hooks::NONE.with_profile(&sink);
        if run_with(&model(), &inputs(true), &hooks).is_none() {
            return;
        }
        let expected = [(0, Event::Begin), (0, Event::End)].repeat(ROWS);
        assert_eq!(events.into_inner(), expected);
    }
}
