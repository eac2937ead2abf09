//! The meaning of `Loops`: an interpreter over real bytes, the oracle of passes and backend.

mod decode;
mod machine;

use super::{FuncId, LoopFn, Loops};
use crate::kernel::{BufferId, Home};
use crate::plan::Slot;
use crate::program::run::Machine;
use crate::program::{self, Call, Counters};
use crate::tensor::Tensor;
use crate::types::{ElemType, TensorType};
use cranelift_entity::{EntityRef, PrimaryMap};
use machine::{Memory, Place, execute};

/// Byte that fills memory before its first write: a NaN in every float type.
const UNDEFINED: u8 = 0xff;

/// Runs a function on one buffer per parameter; a buffer's own shape does not matter.
///
/// # Panics
/// When an access leaves its buffer (relies on L1 and L2; either is a compiler bug).
pub fn run_fn(func: &LoopFn, buffers: &mut [Tensor]) {
    let mut memory: Memory = buffers.iter().map(|t| t.bytes().to_vec()).collect();
    let whole = |(region, bytes): (usize, &Vec<u8>)| Place { region, offset: 0, len: bytes.len() };
    let places: Vec<Place> = memory.iter().enumerate().map(whole).collect();
    execute(func, &places, &mut memory);
    for (tensor, bytes) in buffers.iter_mut().zip(memory) {
        *tensor = Tensor::from_bytes(tensor.ty.clone(), bytes);
    }
}

/// Runs the whole program on one tensor per input; returns one tensor per output.
///
/// With a plan, arena buffers are ranges of one arena at the planned offsets, so that a wrong plan
/// gives a wrong result. Memory that was never written reads as NaN.
///
/// # Panics
/// When an access leaves its buffer, or a slot leaves the arena.
#[must_use]
pub fn run(loops: &Loops, inputs: &[Tensor]) -> Vec<Tensor> {
    let mut regions = Regions::new(loops, inputs);
    let buffers = loops.buffers.keys().map(|buffer| regions.place(loops, buffer)).collect();
    let mut run = Run { loops, buffers, counters: Counters::default(), memory: regions.memory };
    program::run::run(&loops.program, &mut run);
    let outputs = loops.outputs.iter().zip(&run.memory[inputs.len()..]);
    outputs.map(|(port, bytes)| Tensor::from_bytes(port.ty.clone(), bytes.clone())).collect()
}

/// A running program.
struct Run<'a> {
    loops: &'a Loops,
    buffers: PrimaryMap<BufferId, Place>,
    counters: Counters,
    memory: Memory,
}

impl Machine<FuncId> for Run<'_> {
    fn counters(&mut self) -> &mut Counters {
        &mut self.counters
    }

    fn call(&mut self, call: &Call<FuncId>) {
        let func = &self.loops.funcs[call.callee];
        let bound = func.params.values().zip(&call.args);
        let args: Vec<Place> = bound.map(|(param, arg)| self.place(arg, &param.ty)).collect();
        execute(func, &args, &mut self.memory);
    }

    fn holds(&self, test: &program::Place) -> bool {
        let place = self.place(test, &TensorType::new(ElemType::Bool, &[]));
        self.memory[place.region][place.offset] != 0
    }
}

impl Run<'_> {
    fn place(&self, arg: &program::Place, ty: &TensorType) -> Place {
        let Place { region, offset, len } = self.buffers[arg.buffer];
        let skipped = self.counters.element(arg) * ty.elem.bytes();
        let len = len.saturating_sub(skipped).min(ty.bytes());
        Place { region, offset: offset + skipped, len }
    }
}

/// All memory of one run: inputs, outputs, constants, the arena, then single buffers.
struct Regions {
    memory: Memory,
    outputs: usize,
    consts: usize,
    arena: usize,
}

impl Regions {
    fn new(loops: &Loops, inputs: &[Tensor]) -> Regions {
        assert_eq!(inputs.len(), loops.inputs.len(), "one tensor per input of {}", loops.name);
        let mut memory: Memory = inputs.iter().map(|t| t.bytes().to_vec()).collect();
        let outputs = memory.len();
        memory.extend(loops.outputs.iter().map(|port| vec![UNDEFINED; port.ty.bytes()]));
        let consts = memory.len();
        memory.extend(loops.consts.values().map(|t| t.bytes().to_vec()));
        let arena = memory.len();
        memory.push(vec![UNDEFINED; loops.plan.as_ref().map_or(0, |p| p.arena_bytes)]);
        Regions { memory, outputs, consts, arena }
    }

    fn place(&mut self, loops: &Loops, id: BufferId) -> Place {
        let buffer = &loops.buffers[id];
        let len = buffer.ty.bytes();
        let whole = |region| Place { region, offset: 0, len };
        match (buffer.home, &loops.plan) {
            (Home::Input(n), _) => whole(n as usize),
            (Home::Output(n), _) => whole(self.outputs + n as usize),
            (Home::Const(c), _) => whole(self.consts + c.index()),
            (Home::Arena, None) => whole(self.own_region(len)),
            (Home::Arena, Some(plan)) => {
                let slot = plan.slots[id].unwrap_or(Slot { offset: 0, bytes: 0 });
                Place { region: self.arena, offset: slot.offset, len: slot.bytes.min(len) }
            }
        }
    }

    fn own_region(&mut self, bytes: usize) -> usize {
        self.memory.push(vec![UNDEFINED; bytes]);
        self.memory.len() - 1
    }
}

#[cfg(test)]
mod tests {
    use super::{run, run_fn};
    use crate::affine::Affine;
    use crate::kernel::{Buffer, BufferId, Home, Port};
    use crate::loc::{Loc, LocTable};
    use crate::loops::build::LoopBuilder;
    use crate::loops::{Expr, Guard, LoopFn, Loops, Param, ParamAccess, VType};
    use crate::plan::{MemoryPlan, Slot};
    use crate::program::{Branch, Call, Place, Program, Repeat, Step};
    use crate::scalar::func::ScalarFn;
    use crate::tensor::{Scalar, Tensor};
    use crate::types::{ElemType, TensorType};
    use cranelift_entity::{PrimaryMap, SecondaryMap};

    const F32X4: VType = VType { elem: ElemType::F32, lanes: 4 };

    fn param(b: &mut LoopBuilder, dims: &[usize], access: ParamAccess) -> crate::loops::ParamId {
        b.param(Param { ty: TensorType::new(ElemType::F32, dims), access })
    }

    /// `out[0] = Σ x[i]` over 8 elements, four lanes at a time.
    fn sum() -> LoopFn {
        let mut b = LoopBuilder::new("sum");
        let x = param(&mut b, &[8], ParamAccess::Read);
        let out = param(&mut b, &[1], ParamAccess::Write);
        let zero = b.constant(Scalar::f32(0.0), 4);
        let acc = b.for_carried(2, &[zero], |b, i, acc| {
            let v = b.load(F32X4, x, vec![Affine::scaled(i, 4)], 4);
            vec![b.apply(ScalarFn::Add, &[acc[0], v])]
        });
        let total =
            b.define(VType::scalar(ElemType::F32), Expr::ReduceLanes(ScalarFn::Add, acc[0]));
        b.store(out, vec![Affine::constant(0)], total, 1);
        b.finish()
    }

    /// `out[i] = x[i + shift]` for `i` in `0..4`, 0 outside.
    fn shifted(shift: i64, guarded: bool) -> LoopFn {
        let mut b = LoopBuilder::new("shifted");
        let x = param(&mut b, &[4], ParamAccess::Read);
        let out = param(&mut b, &[4], ParamAccess::Write);
        let f32 = VType::scalar(ElemType::F32);
        b.for_each(4, |b, i| {
            let at = Affine::var(i).offset(shift);
            let value = if guarded {
                let zero = b.constant(Scalar::f32(0.0), 1);
                let guard = Guard { expr: at.clone(), extent: 4 };
                b.guarded(vec![guard], &[zero], |b| vec![b.load(f32, x, vec![at], 1)])[0]
            } else {
                b.load(f32, x, vec![at], 1)
            };
            b.store(out, vec![Affine::var(i)], value, 1);
        });
        b.finish()
    }

    fn run_on(func: &LoopFn, x: &[f32], out: usize) -> Vec<f32> {
        let mut buffers =
            [Tensor::from_f32s(&[x.len()], x), Tensor::from_f32s(&[out], &vec![9.0; out])];
        run_fn(func, &mut buffers);
        buffers[1].to_f32s()
    }

    #[test]
    fn carried_vectors_sum_a_buffer() {
        assert_eq!(run_on(&sum(), &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], 1), [36.0]);
    }

    #[test]
    fn a_guard_that_fails_gives_the_other_value() {
        assert_eq!(run_on(&shifted(-1, true), &[1.0, 2.0, 3.0, 4.0], 4), [0.0, 1.0, 2.0, 3.0]);
    }

    #[test]
    #[should_panic(expected = "shifted: 1 lanes at [-1] of p0: f32[4]")]
    fn an_access_outside_its_buffer_panics() {
        run_on(&shifted(-1, false), &[1.0; 4], 4);
    }

    #[test]
    fn inactive_lanes_of_a_load_are_zero() {
        let mut b = LoopBuilder::new("tail");
        let x = param(&mut b, &[3], ParamAccess::Read);
        let out = param(&mut b, &[4], ParamAccess::Write);
        let v = b.load(F32X4, x, vec![Affine::constant(0)], 3);
        b.store(out, vec![Affine::constant(0)], v, 4);
        assert_eq!(run_on(&b.finish(), &[1.0, 2.0, 3.0], 4), [1.0, 2.0, 3.0, 0.0]);
    }

    #[test]
    fn carried_values_may_swap() {
        let mut b = LoopBuilder::new("swap");
        let x = param(&mut b, &[2], ParamAccess::Read);
        let out = param(&mut b, &[2], ParamAccess::Write);
        let f32 = VType::scalar(ElemType::F32);
        let two = [0, 1].map(|n| b.load(f32, x, vec![Affine::constant(n)], 1));
        let swapped = b.for_carried(3, &two, |_, _, inner| vec![inner[1], inner[0]]);
        for (n, v) in swapped.into_iter().enumerate() {
            b.store(out, vec![Affine::constant(n as i64)], v, 1);
        }
        assert_eq!(run_on(&b.finish(), &[1.0, 2.0], 2), [2.0, 1.0]);
    }

    /// Two steps `input -> arena -> output`, each shifting by one with zero fill.
    fn two_steps() -> Loops {
        let ty = TensorType::new(ElemType::F32, &[4]);
        let mut buffers = PrimaryMap::new();
        let ids = [Home::Input(0), Home::Arena, Home::Output(0)]
            .map(|home| buffers.push(Buffer { ty: ty.clone(), home }));
        let mut funcs = PrimaryMap::new();
        let func = funcs.push(shifted(-1, true));
        let mut locs = LocTable::new();
        let loc = locs.push(Loc::Unknown);
        let call = |a: BufferId, b: BufferId| {
            Step::Call(Call { callee: func, args: vec![a.into(), b.into()], loc })
        };
        let steps = vec![call(ids[0], ids[1]), call(ids[1], ids[2])];
        let program = Program { steps, ..Program::default() };
        let port = |name: &str| Port { name: name.to_owned(), ty: ty.clone() };
        let (inputs, outputs) = (vec![port("x")], vec![port("y")]);
        let (name, consts) = ("m".to_owned(), PrimaryMap::new());
        Loops { name, funcs, buffers, consts, inputs, outputs, program, plan: None, macs: 0, locs }
    }

    #[test]
    fn a_program_runs_its_steps_with_and_without_a_plan() {
        let mut loops = two_steps();
        let input = [Tensor::from_f32s(&[4], &[1.0, 2.0, 3.0, 4.0])];
        assert_eq!(run(&loops, &input)[0].to_f32s(), [0.0, 0.0, 1.0, 2.0]);
        let mut slots = SecondaryMap::new();
        slots[BufferId::from_u32(1)] = Some(Slot { offset: 64, bytes: 16 });
        let plan =
            MemoryPlan { arena_bytes: 80, align: 64, lower_bound: 16, slots, shared: Vec::new() };
        loops.plan = Some(plan);
        assert_eq!(run(&loops, &input)[0].to_f32s(), [0.0, 0.0, 1.0, 2.0]);
    }

    /// Adds row `n` of the first input to the output, while the second input says so.
    fn sums_of_rows(rows: usize, going: Scalar) -> Vec<f32> {
        let mut loops = two_steps();
        let mut b = LoopBuilder::new("add");
        let [x, sum, out] = [ParamAccess::Read, ParamAccess::Read, ParamAccess::Write]
            .map(|access| param(&mut b, &[4], access));
        let at = || vec![Affine::constant(0)];
        let [x, sum] = [x, sum].map(|p| b.load(F32X4, p, at(), 4));
        let total = b.apply(ScalarFn::Add, &[x, sum]);
        b.store(out, at(), total, 4);
        let add = loops.funcs.push(b.finish());

        let [x, t, y] = [0, 1, 2].map(BufferId::from_u32);
        loops.buffers[x].ty = TensorType::new(ElemType::F32, &[rows, 4]);
        loops.inputs[0].ty = loops.buffers[x].ty.clone();
        let ty = TensorType::new(ElemType::Bool, &[]);
        loops.inputs.push(Port { name: "go".to_owned(), ty: ty.clone() });
        let go = Place::from(loops.buffers.push(Buffer { ty, home: Home::Input(1) }));

        let counter = loops.program.counters.push(rows);
        let Some(Step::Call(copy)) = loops.program.steps.pop() else { panic!("a call") };
        let row = Place { buffer: x, offset: Affine::scaled(counter, 4) };
        let args = vec![row, y.into(), t.into()];
        let next = Step::Call(Call { callee: add, args, loc: copy.loc });
        let back = Step::Call(Call { args: vec![t.into(), y.into()], ..copy });
        let clear = Step::Call(Call { args: vec![x.into(), y.into()], ..copy });
        let body = vec![next, back];
        let test = Some(go.clone());
        let all = Step::Repeat(Repeat { counter, test, body: body.clone() });
        let otherwise = vec![Step::Repeat(Repeat { counter, test: None, body })];
        let choice = Step::If(Branch { test: go, then: Vec::new(), otherwise });
        loops.program.steps = vec![clear, all, choice];
        let x: Vec<f32> = (0..4 * rows).map(|n| (n / 4) as f32).collect();
        run(&loops, &[Tensor::from_f32s(&[rows, 4], &x), Tensor::splat(&[], going)])[0].to_f32s()
    }

    #[test]
    fn a_repetition_passes_over_rows_and_a_test_ends_it() {
        assert_eq!(sums_of_rows(4, Scalar::bool(true)), sums_of_rows(4, Scalar::bool(false)));
        assert_eq!(sums_of_rows(1, Scalar::bool(true)), [0.0; 4]);
    }
}
