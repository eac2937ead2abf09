//! Calls in parts: the caller's `parallel_for`, or a loop of the object's own in its place, calls a
//! part function, which finds the call's arguments in a list on the entry's stack.

use super::Entry;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I32, I64};
use cranelift_codegen::ir::{
    AbiParam, FuncRef, Function, InstBuilder, MemFlagsData, SigRef, Signature, StackSlot,
    StackSlotData, StackSlotKind, UserFuncName, Value,
};
use cranelift_codegen::isa::{CallConv, TargetFrontendConfig};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use cranelift_module::{FuncId, Module};
use cranelift_object::ObjectModule;
use edgecc_ir::loops::{self, Loops};
use edgecc_ir::program::{Parallel, Place, Step};
use edgecc_rt::abi::Services;
use std::collections::{BTreeMap, BTreeSet};

/// A loop function that runs in parts, and how many bytes each argument moves from part to part.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Divided {
    pub(crate) callee: loops::FuncId,
    pub(crate) strides: Vec<i64>,
}

/// What calls in parts need of the object.
#[derive(Default)]
pub(crate) struct Helpers {
    /// Runs all parts in order: an `edgecc_parallel_for` for callers without one.
    pub(crate) in_order: Option<FuncId>,
    /// The function that runs one part.
    pub(crate) parts: BTreeMap<Divided, FuncId>,
}

/// Everything that a program runs in parts.
pub(crate) fn divided(loops: &Loops) -> BTreeSet<Divided> {
    let mut found = BTreeSet::new();
    collect(loops, &loops.program.steps, &mut found);
    found
}

fn collect(loops: &Loops, steps: &[Step<loops::FuncId>], found: &mut BTreeSet<Divided>) {
    for step in steps {
        if let Step::Parallel(parallel) = step {
            found.insert(Divided::of(loops, parallel));
        }
        step.blocks().for_each(|block| collect(loops, block, found));
    }
}

impl Divided {
    pub(super) fn of(loops: &Loops, parallel: &Parallel<loops::FuncId>) -> Divided {
        let Parallel { counter, call } = parallel;
        let stride = |place: &Place| {
            let bytes = loops.buffers[place.buffer].ty.elem.bytes() as i64;
            place.offset.coefficient(*counter) * bytes
        };
        Divided { callee: call.callee, strides: call.args.iter().map(stride).collect() }
    }
}

/// `void part(void *arg, uint32_t index)`.
pub(crate) fn part_signature(call_conv: CallConv) -> Signature {
    let mut signature = Signature::new(call_conv);
    signature.params.extend([I64, I32].map(AbiParam::new));
    signature
}

/// `void parallel_for(void *ctx, part, void *arg, uint32_t count)`.
pub(crate) fn parallel_for_signature(call_conv: CallConv) -> Signature {
    let mut signature = Signature::new(call_conv);
    signature.params.extend([I64, I64, I64, I32].map(AbiParam::new));
    signature
}

/// Calls the kernel with the addresses in the list, each moved on to the part of this index.
pub(crate) fn part(
    divided: &Divided,
    kernel: FuncId,
    module: &mut ObjectModule,
    scratch: &mut FunctionBuilderContext,
) -> Function {
    let config = module.target_config();
    let signature = part_signature(config.default_call_conv);
    let mut code = Function::with_name_signature(UserFuncName::default(), signature);
    let mut builder = FunctionBuilder::new(&mut code, scratch);
    let [list, index] = start(&mut builder);
    let index = builder.ins().uextend(I64, index);
    let mut addresses = Vec::with_capacity(divided.strides.len());
    for (n, &stride) in divided.strides.iter().enumerate() {
        let first = builder.ins().load(I64, MemFlagsData::trusted(), list, 8 * n as i32);
        addresses.push(match stride {
            0 => first,
            _ => {
                let distance = builder.ins().imul_imm_s(index, stride);
                builder.ins().iadd(first, distance)
            }
        });
    }
    let kernel = module.declare_func_in_func(kernel, builder.func);
    builder.ins().call(kernel, &addresses);
    finish(builder, config);
    code
}

/// Calls all parts, the first one first; there is at least one.
pub(crate) fn in_order(
    config: TargetFrontendConfig,
    scratch: &mut FunctionBuilderContext,
) -> Function {
    let signature = parallel_for_signature(config.default_call_conv);
    let mut code = Function::with_name_signature(UserFuncName::default(), signature);
    let mut builder = FunctionBuilder::new(&mut code, scratch);
    let signature = builder.import_signature(part_signature(config.default_call_conv));
    let [_, part, list, count] = start(&mut builder);
    let [next, done] = [(); 2].map(|()| builder.create_block());
    builder.append_block_param(next, I32);
    let zero = builder.ins().iconst(I32, 0);
    builder.ins().jump(next, &[zero.into()]);

    builder.switch_to_block(next);
    let index = builder.block_params(next)[0];
    builder.ins().call_indirect(signature, part, &[list, index]);
    let following = builder.ins().iadd_imm_s(index, 1);
    let more = builder.ins().icmp(IntCC::UnsignedLessThan, following, count);
    builder.ins().brif(more, next, &[following.into()], done, &[]);

    builder.switch_to_block(done);
    finish(builder, config);
    code
}

/// The parameters of a function that is about to begin.
fn start<const N: usize>(builder: &mut FunctionBuilder<'_>) -> [Value; N] {
    let block = builder.create_block();
    builder.append_block_params_for_function_params(block);
    builder.switch_to_block(block);
    builder.block_params(block).try_into().expect("one value per parameter of the signature")
}

fn finish(mut builder: FunctionBuilder<'_>, config: TargetFrontendConfig) {
    builder.ins().return_(&[]);
    builder.seal_all_blocks();
    builder.finalize(config);
}

/// Who runs the parts of calls.
pub(super) struct Threads {
    function: Value,
    context: Value,
    signature: SigRef,
    /// Room for the addresses of one call's arguments.
    list: StackSlot,
}

impl Entry<'_> {
    /// Looks once for the caller's `parallel_for`.
    pub(super) fn threads(&mut self, call: Value, arguments: usize, in_order: FuncRef) -> Threads {
        let conv = self.builder.func.signature.call_conv;
        let signature = self.builder.import_signature(parallel_for_signature(conv));
        let services = self.service(call, Services::PARALLEL_FOR_OFFSET);
        let [offered, found] = [(); 2].map(|()| self.builder.create_block());
        self.builder.append_block_param(found, I64);
        self.builder.append_block_param(found, I64);
        let own = self.builder.ins().func_addr(I64, in_order);
        self.builder.ins().brif(services, offered, &[], found, &[own.into(), services.into()]);

        self.builder.switch_to_block(offered);
        let function = self.load(I64, services, Services::PARALLEL_FOR_OFFSET);
        let context = self.load(I64, services, Services::PARALLEL_CTX_OFFSET);
        self.builder.ins().jump(found, &[function.into(), context.into()]);

        self.builder.switch_to_block(found);
        let [function, context] = [0, 1].map(|n| self.builder.block_params(found)[n]);
        let slot = StackSlotData::new(StackSlotKind::ExplicitSlot, 8 * arguments as u32, 3);
        let list = self.builder.create_sized_stack_slot(slot);
        Threads { function, context, signature, list }
    }

    /// Runs all parts of a call whose first part has these arguments.
    pub(super) fn run_parts(
        &mut self,
        threads: &Threads,
        part: FuncRef,
        arguments: &[Value],
        count: usize,
    ) {
        for (n, &address) in arguments.iter().enumerate() {
            self.builder.ins().stack_store(I64, address, threads.list, 8 * n as i32);
        }
        let part = self.builder.ins().func_addr(I64, part);
        let list = self.builder.ins().stack_addr(I64, threads.list, 0);
        let count = self.builder.ins().iconst(I32, count as i64);
        let args = [threads.context, part, list, count];
        self.builder.ins().call_indirect(threads.signature, threads.function, &args);
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{ARCHES, compile, program, run, run_with};
    use cranelift_entity::SecondaryMap;
    use edgecc_ir::affine::Affine;
    use edgecc_ir::kernel::{Buffer, Home};
    use edgecc_ir::loops::build::LoopBuilder;
    use edgecc_ir::loops::{Loops, Param, ParamAccess, VType, interp};
    use edgecc_ir::plan::{MemoryPlan, Slot};
    use edgecc_ir::program::{Parallel, Step};
    use edgecc_ir::scalar::func::ScalarFn;
    use edgecc_ir::tensor::{Scalar, Tensor};
    use edgecc_ir::types::{ElemType, TensorType};
    use edgecc_rt::abi::Event;
    use edgecc_rt::pool::Pool;
    use std::cell::RefCell;
    use std::num::NonZero;

    const PARTS: usize = 5;

    /// Doubles rows of four elements, a row in each part, by way of scratch memory.
    fn model() -> Loops {
        let mut b = LoopBuilder::new("k0_double");
        let rows = TensorType::new(ElemType::F32, &[PARTS, 4]);
        let x = b.param(Param { ty: rows.clone(), access: ParamAccess::Read });
        let y = b.param(Param { ty: rows, access: ParamAccess::Write });
        let ty = TensorType::new(ElemType::F32, &[4]);
        let own = b.param(Param { ty, access: ParamAccess::ReadWrite });
        let ty = TensorType::new(ElemType::I64, &[1]);
        let part = b.param(Param { ty, access: ParamAccess::Read });
        let start = || vec![Affine::constant(0)];
        let number = b.load(VType::scalar(ElemType::I64), part, start(), 1);
        let row = b.index(PARTS, number);
        let v4 = VType { elem: ElemType::F32, lanes: 4 };
        let at = vec![Affine::var(row), Affine::constant(0)];
        let value = b.load(v4, x, at.clone(), 4);
        b.store(own, start(), value, 4);
        let value = b.load(v4, own, start(), 4);
        let twice = b.apply(ScalarFn::Add, &[value, value]);
        b.store(y, at, twice, 4);
        in_parts(program(b.finish()))
    }

    fn in_parts(mut loops: Loops) -> Loops {
        let counter = loops.program.counters.push(PARTS);
        let Some(Step::Call(mut call)) = loops.program.steps.pop() else { panic!("a call") };
        let ty = TensorType::new(ElemType::F32, &[PARTS * 4]);
        let own = &mut loops.buffers[call.args[2].buffer];
        *own = Buffer { ty, home: Home::Arena };
        call.args[2].offset = Affine::scaled(counter, 4);
        let ty = TensorType::new(ElemType::I64, &[PARTS]);
        let numbers = Tensor::from_fn(ty.clone(), |n| Scalar::from_i64(ElemType::I64, n as i64));
        let numbers = loops.consts.push(numbers);
        loops.buffers[call.args[3].buffer] = Buffer { ty, home: Home::Const(numbers) };
        call.args[3].offset = Affine::var(counter);
        let bytes = PARTS * 16;
        let mut slots = SecondaryMap::new();
        slots[call.args[2].buffer] = Some(Slot { offset: 0, bytes });
        let (lower_bound, shared) = (bytes, Vec::new());
        loops.plan = Some(MemoryPlan { arena_bytes: bytes, align: 16, lower_bound, slots, shared });
        loops.inputs.pop();
        loops.outputs.pop();
        loops.program.steps.push(Step::Parallel(Parallel { counter, call }));
        loops
    }

    fn input() -> [Tensor; 1] {
        let values: Vec<f32> = (0..4 * PARTS).map(|n| n as f32).collect();
        [Tensor::from_f32s(&[PARTS, 4], &values)]
    }

    fn pool(threads: usize) -> Pool {
        Pool::new(NonZero::new(threads).expect("not zero")).expect("threads can be started")
    }

    #[test]
    fn parts_run_in_order_or_on_threads() {
        let loops = model();
        let expected = interp::run(&loops, &input());
        let Some(outputs) = run(&loops, &input()) else { return };
        assert_eq!(outputs, expected);
        for threads in [1, 2, 3] {
            let outputs = run_with(&loops, &input(), &pool(threads).hooks());
            assert_eq!(outputs, Some(expected.clone()), "{threads} threads");
        }
    }

    #[test]
    fn a_profile_service_hears_of_all_parts_once() {
        let events = RefCell::new(Vec::new());
        let sink = |step: u32, event: Event| events.borrow_mut().push((step, event));
        let pool = pool(2);
        if run_with(&model(), &input(), &pool.hooks().with_profile(&sink)).is_some() {
            assert_eq!(events.into_inner(), [(0, Event::Begin), (0, Event::End)]);
        }
    }

    #[test]
    fn the_functions_around_parts_are_small_and_counted() {
        for arch in ARCHES {
            let artifact = compile(&model(), arch);
            let names: Vec<&str> = artifact.functions.iter().map(|f| f.name.as_str()).collect();
            let expected = [
                "edgecc_m_k0_double",
                "edgecc_m_k0_double_part",
                "edgecc_m_in_order",
                "edgecc_m_run",
            ];
            assert_eq!(names, expected);
            let [kernel, part, in_order, entry] = [0, 1, 2, 3].map(|n| &artifact.functions[n]);
            assert!(part.code_bytes.max(in_order.code_bytes) < 160, "{part:?} {in_order:?}");
            let frames = [kernel, part, in_order, entry].iter().map(|f| f.frame_bytes).sum::<u32>();
            assert!(artifact.stack_bytes >= frames);
        }
    }
}
