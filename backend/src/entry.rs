//! The exported entry point: checks the call as `docs/abi.md` says, then runs the steps and tells
//! the caller's profile service of them.

pub(crate) mod parallel;
mod steps;

use crate::interface::{Interface, Passed};
use crate::module::arena_align;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I32, I64};
use cranelift_codegen::ir::{
    AbiParam, Block, Function, GlobalValueData, InstBuilder, MemFlagsData, SigRef, Signature,
    UserFuncName, Value,
};
use cranelift_codegen::isa::{CallConv, TargetFrontendConfig};
use cranelift_entity::{PrimaryMap, SecondaryMap};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use cranelift_module::{DataId, FuncId, Module};
use cranelift_object::ObjectModule;
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::kernel::{ConstId, Port};
use edgecc_ir::loops::{self, Loops};
use edgecc_rt::abi::{ABI_VERSION, Call, Event, Services};
use edgecc_rt::status::Status;
use parallel::{Helpers, Threads};
use steps::Cx;

/// Where the parts of the object are.
pub(crate) struct Places<'a> {
    /// One function per loop function.
    pub(crate) kernels: &'a PrimaryMap<loops::FuncId, FuncId>,
    /// The symbol of the constants.
    pub(crate) weights: DataId,
    /// Whether there are any.
    pub(crate) has_weights: bool,
    /// Their offsets.
    pub(crate) offsets: &'a SecondaryMap<ConstId, usize>,
    /// The functions around calls in parts.
    pub(crate) helpers: &'a Helpers,
    /// How the program's inputs and outputs are passed.
    pub(crate) interface: &'a Interface,
}

/// `int32_t run(const edgecc_call *)`.
pub(crate) fn signature(call_conv: CallConv) -> Signature {
    let mut signature = Signature::new(call_conv);
    signature.params.push(AbiParam::new(I64));
    signature.returns.push(AbiParam::new(I32));
    signature
}

/// The code of the entry point.
pub(crate) fn build(
    loops: &Loops,
    places: &Places<'_>,
    module: &mut ObjectModule,
    scratch: &mut FunctionBuilderContext,
    signature: Signature,
) -> Result<Function, Vec<Diagnostic>> {
    let mut code = Function::with_name_signature(UserFuncName::default(), signature);
    let mut builder = FunctionBuilder::new(&mut code, scratch);
    let start = builder.create_block();
    let fail = builder.create_block();
    builder.append_block_params_for_function_params(start);
    builder.append_block_param(fail, I32);
    builder.switch_to_block(start);
    let call = builder.block_params(start)[0];

    let mut entry = Entry { builder, fail };
    let frame = entry.checks(loops, places.interface, call);
    let profiler = entry.profiler(call);
    let threads = entry.helpers(places, module, call);
    entry.steps(loops, places, module, (&frame, &profiler, threads))?;
    entry.finish(module.target_config());
    Ok(code)
}

struct Entry<'a> {
    builder: FunctionBuilder<'a>,
    /// Returns its parameter.
    fail: Block,
}

/// The checked parts of a call.
struct Frame {
    inputs: Value,
    outputs: Value,
    workspace: Value,
    state: Value,
}

/// Who hears of steps.
struct Profiler {
    /// The call's services if they have a profile function, else 0. One value that lives through
    /// the run costs one register.
    services: Value,
    signature: SigRef,
}

impl Entry<'_> {
    /// Reads nothing through a pointer before it was checked, and no tensor at all.
    fn checks(&mut self, loops: &Loops, interface: &Interface, call: Value) -> Frame {
        self.fail_if_zero(call, Status::Null);
        let version = self.load(I32, call, Call::ABI_VERSION_OFFSET);
        self.fail_unless_equal(version, i64::from(ABI_VERSION), Status::Abi);
        let inputs = self.load(I32, call, Call::N_INPUTS_OFFSET);
        self.fail_unless_equal(inputs, interface.inputs.len() as i64, Status::Dim);
        let outputs = self.load(I32, call, Call::N_OUTPUTS_OFFSET);
        self.fail_unless_equal(outputs, interface.outputs.len() as i64, Status::Dim);

        let frame = Frame {
            inputs: self.load(I64, call, Call::INPUTS_OFFSET),
            outputs: self.load(I64, call, Call::OUTPUTS_OFFSET),
            workspace: self.load(I64, call, Call::WORKSPACE_OFFSET),
            state: self.load(I64, call, Call::STATE_OFFSET),
        };
        let lists = [(frame.inputs, &interface.inputs), (frame.outputs, &interface.outputs)];
        for (list, ports) in lists {
            self.check_not_null(list, ports);
        }
        let arena_bytes = arena_bytes(loops);
        if arena_bytes > 0 {
            self.fail_if_zero(frame.workspace, Status::Null);
        }
        if interface.state_bytes > 0 {
            self.fail_if_zero(frame.state, Status::Null);
        }
        for (list, ports) in lists {
            self.check_alignment(list, ports);
        }
        self.check_aligned(frame.workspace, arena_align(loops));
        if interface.state_bytes > 0 {
            self.check_aligned(frame.state, interface.state_align);
        }
        self.check_size((call, Call::WORKSPACE_SIZE_OFFSET), arena_bytes, Status::Workspace);
        if interface.state_bytes > 0 {
            let field = (call, Call::STATE_SIZE_OFFSET);
            self.check_size(field, interface.state_bytes, Status::State);
        }
        frame
    }

    fn check_aligned(&mut self, pointer: Value, align: usize) {
        let misaligned = self.low_bits(pointer, align);
        self.fail_if(misaligned, Status::Align);
    }

    /// Checks that a size in the call is at least `least`.
    fn check_size(&mut self, (call, field): (Value, i32), least: usize, status: Status) {
        let size = self.load(I64, call, field);
        let ins = self.builder.ins();
        let small = ins.icmp_imm_u(IntCC::UnsignedLessThan, size, least as i64);
        self.fail_if(small, status);
    }

    fn check_not_null(&mut self, list: Value, ports: &[Port]) {
        if ports.is_empty() {
            return;
        }
        self.fail_if_zero(list, Status::Null);
        for at in 0..ports.len() {
            let pointer = self.load(I64, list, 8 * at as i32);
            self.fail_if_zero(pointer, Status::Null);
        }
    }

    fn check_alignment(&mut self, list: Value, ports: &[Port]) {
        let wide = ports.iter().enumerate().filter(|(_, port)| port.ty.elem.bytes() > 1);
        for (at, port) in wide {
            let pointer = self.load(I64, list, 8 * at as i32);
            self.check_aligned(pointer, port.ty.elem.bytes());
        }
    }

    /// Looks once for the profile function.
    fn profiler(&mut self, call: Value) -> Profiler {
        let conv = self.builder.func.signature.call_conv;
        let mut signature = Signature::new(conv);
        signature.params.extend([I64, I32, I32].map(AbiParam::new));
        let signature = self.builder.import_signature(signature);
        Profiler { services: self.service(call, Services::PROFILE_OFFSET), signature }
    }

    /// Who runs the parts of calls, if there are any.
    fn helpers(
        &mut self,
        places: &Places<'_>,
        module: &mut ObjectModule,
        call: Value,
    ) -> Option<Threads> {
        let in_order = module.declare_func_in_func(places.helpers.in_order?, self.builder.func);
        let arguments = places.helpers.parts.keys().map(|divided| divided.strides.len()).max()?;
        Some(self.threads(call, arguments, in_order))
    }

    /// The call's services if they have the function at this offset, else 0: services may be absent
    /// or end before it.
    fn service(&mut self, call: Value, function: i32) -> Value {
        let [offered, long, found] = [(); 3].map(|()| self.builder.create_block());
        self.builder.set_cold_block(offered);
        self.builder.set_cold_block(long);
        self.builder.append_block_param(found, I64);
        let none = self.builder.ins().iconst(I64, 0);
        let services = self.load(I64, call, Call::SERVICES_OFFSET);
        self.builder.ins().brif(services, offered, &[], found, &[none.into()]);

        self.builder.switch_to_block(offered);
        let size = self.load(I32, services, Services::SIZE_OFFSET);
        let end = i64::from(function) + 8;
        let ends_before = self.builder.ins().icmp_imm_u(IntCC::UnsignedLessThan, size, end);
        self.builder.ins().brif(ends_before, found, &[none.into()], long, &[]);

        self.builder.switch_to_block(long);
        let function = self.load(I64, services, function);
        let absent = self.builder.ins().icmp_imm_u(IntCC::Equal, function, 0);
        let services = self.builder.ins().select(absent, none, services);
        self.builder.ins().jump(found, &[services.into()]);

        self.builder.switch_to_block(found);
        self.builder.block_params(found)[0]
    }

    /// Tells of events that follow one another, behind one branch.
    fn tell(&mut self, profiler: &Profiler, events: &[(usize, Event)]) {
        let (listening, next) = (self.builder.create_block(), self.builder.create_block());
        self.builder.set_cold_block(listening);
        self.builder.ins().brif(profiler.services, listening, &[], next, &[]);
        self.builder.switch_to_block(listening);
        let context = self.load(I64, profiler.services, Services::PROFILE_CTX_OFFSET);
        let profile = self.load(I64, profiler.services, Services::PROFILE_OFFSET);
        for &(step, event) in events {
            let step = self.builder.ins().iconst(I32, step as i64);
            let event = self.builder.ins().iconst(I32, i64::from(event.code()));
            let args = [context, step, event];
            self.builder.ins().call_indirect(profiler.signature, profile, &args);
        }
        self.builder.ins().jump(next, &[]);
        self.builder.switch_to_block(next);
    }

    fn steps(
        &mut self,
        loops: &Loops,
        places: &Places<'_>,
        module: &mut ObjectModule,
        (frame, profiler, threads): (&Frame, &Profiler, Option<Threads>),
    ) -> Result<(), Vec<Diagnostic>> {
        let weights = self.weights(places, module);
        let counters = SecondaryMap::new();
        let next = 0;
        let mut cx =
            Cx { loops, places, module, frame, profiler, threads, weights, counters, next };
        self.block(&mut cx, &loops.program.steps)
    }

    /// The address of the constants. The symbol is declared as imported only because it is defined
    /// late: it is part of this object, so its address needs no table.
    fn weights(&mut self, places: &Places<'_>, module: &mut ObjectModule) -> Option<Value> {
        if !places.has_weights {
            return None;
        }
        let global = module.declare_data_in_func(places.weights, self.builder.func);
        if let GlobalValueData::Symbol { colocated, .. } =
            &mut self.builder.func.global_values[global]
        {
            *colocated = true;
        }
        Some(self.builder.ins().symbol_value(I64, global))
    }

    /// The address of an argument of a list, or of a part of the state.
    fn port(&mut self, frame: &Frame, list: Value, place: Passed) -> Value {
        match place {
            Passed::Argument(at) => self.load(I64, list, 8 * at as i32),
            Passed::State(offset) => self.builder.ins().iadd_imm_s(frame.state, offset as i64),
        }
    }

    fn finish(mut self, config: TargetFrontendConfig) {
        let ok = self.builder.ins().iconst(I32, i64::from(Status::Ok.code()));
        self.builder.ins().return_(&[ok]);
        self.builder.switch_to_block(self.fail);
        let status = self.builder.block_params(self.fail)[0];
        self.builder.ins().return_(&[status]);
        self.builder.seal_all_blocks();
        self.builder.finalize(config);
    }

    fn load(&mut self, ty: cranelift_codegen::ir::Type, pointer: Value, offset: i32) -> Value {
        self.builder.ins().load(ty, MemFlagsData::trusted(), pointer, offset)
    }

    fn low_bits(&mut self, pointer: Value, align: usize) -> Value {
        self.builder.ins().band_imm_u(pointer, align as i64 - 1)
    }

    fn fail_if_zero(&mut self, value: Value, status: Status) {
        let zero = self.builder.ins().icmp_imm_u(IntCC::Equal, value, 0);
        self.fail_if(zero, status);
    }

    fn fail_unless_equal(&mut self, value: Value, expected: i64, status: Status) {
        let differs = self.builder.ins().icmp_imm_u(IntCC::NotEqual, value, expected);
        self.fail_if(differs, status);
    }

    fn fail_if(&mut self, condition: Value, status: Status) {
        let code = i64::from(status.code()) & 0xffff_ffff;
        let code = self.builder.ins().iconst(I32, code);
        let next = self.builder.create_block();
        self.builder.ins().brif(condition, self.fail, &[code.into()], next, &[]);
        self.builder.switch_to_block(next);
    }
}

fn arena_bytes(loops: &Loops) -> usize {
    loops.plan.as_ref().map_or(0, |plan| plan.arena_bytes)
}

#[cfg(test)]
mod tests {
    use crate::testing::{program, run_with};
    use edgecc_ir::affine::Affine;
    use edgecc_ir::loops::build::LoopBuilder;
    use edgecc_ir::loops::{Loops, Param, ParamAccess, VType};
    use edgecc_ir::tensor::Tensor;
    use edgecc_ir::types::{ElemType, TensorType};
    use edgecc_rt::abi::Event;
    use edgecc_rt::hooks::Hooks;
    use std::cell::RefCell;

    /// Copies its input to its output, `steps` times.
    fn model(steps: usize) -> Loops {
        let ty = TensorType::new(ElemType::F32, &[4]);
        let mut b = LoopBuilder::new("k0_copy");
        let x = b.param(Param { ty: ty.clone(), access: ParamAccess::Read });
        let y = b.param(Param { ty, access: ParamAccess::Write });
        let at = vec![Affine::constant(0)];
        let value = b.load(VType { elem: ElemType::F32, lanes: 4 }, x, at.clone(), 4);
        b.store(y, at, value, 4);
        let mut loops = program(b.finish());
        loops.program.steps = vec![loops.program.steps.remove(0); steps];
        loops
    }

    fn input() -> Tensor {
        Tensor::from_f32s(&[4], &[1.0, 2.0, 3.0, 4.0])
    }

    #[test]
    fn a_profile_service_hears_of_each_step() {
        for steps in [1, 3] {
            let events = RefCell::new(Vec::new());
            let sink = |step: u32, event: Event| events.borrow_mut().push((step, event));
            let hooks = Hooks::NONE.with_profile(&sink);
            let Some(outputs) = run_with(&model(steps), &[input()], &hooks) else { return };
            assert_eq!(outputs, [input()]);
            let expected: Vec<_> =
                (0..steps as u32).flat_map(|s| [(s, Event::Begin), (s, Event::End)]).collect();
            assert_eq!(events.into_inner(), expected);
        }
    }
}
