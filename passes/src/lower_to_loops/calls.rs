//! The program's steps: calls bind the memory that functions need of their own, packed constants
//! and, where a kernel is in parts, the number of the part.

use super::pack::{self, Layout};
use cranelift_entity::{PrimaryMap, SecondaryMap};
use edgecc_ir::affine::Affine;
use edgecc_ir::kernel::schedule::Schedule;
use edgecc_ir::kernel::{Buffer, BufferId, ConstId, Home, Kernel, KernelId, Kernels};
use edgecc_ir::loops::{FuncId, LoopFn};
use edgecc_ir::program::{Branch, Call, CounterId, Parallel, Place, Repeat, Step};
use edgecc_ir::tensor::{Scalar, Tensor};
use edgecc_ir::types::{ElemType, Shape, TensorType};
use indexmap::IndexMap;

/// The steps and what they name.
pub(super) struct Calls {
    pub(super) buffers: PrimaryMap<BufferId, Buffer>,
    pub(super) consts: PrimaryMap<ConstId, Tensor>,
    pub(super) counters: PrimaryMap<CounterId, usize>,
    pub(super) steps: Vec<Step<FuncId>>,
}

/// The steps of a program whose kernels became these functions.
pub(super) fn lower(kernels: &Kernels, funcs: &PrimaryMap<FuncId, LoopFn>) -> Calls {
    let mut lowering = Lowering {
        kernels,
        funcs,
        buffers: PrimaryMap::new(),
        consts: PrimaryMap::new(),
        counters: kernels.program.counters.clone(),
        numbers: None,
        interned: IndexMap::new(),
        renamed: SecondaryMap::new(),
    };
    let steps = lowering.steps(&kernels.program.steps);
    let Lowering { buffers, consts, counters, .. } = lowering;
    Calls { buffers, consts, counters, steps }
}

fn part_count(kernel: &Kernel) -> Option<usize> {
    kernel.schedule.as_ref().and_then(Schedule::part_count)
}

struct Lowering<'k> {
    kernels: &'k Kernels,
    funcs: &'k PrimaryMap<FuncId, LoopFn>,
    buffers: PrimaryMap<BufferId, Buffer>,
    consts: PrimaryMap<ConstId, Tensor>,
    counters: PrimaryMap<CounterId, usize>,
    /// `0, 1, 2, …`, as many as any call has parts.
    numbers: Option<BufferId>,
    /// Constants in the order that calls want.
    interned: IndexMap<(ConstId, Option<Layout>), BufferId>,
    renamed: SecondaryMap<BufferId, Option<BufferId>>,
}

impl Lowering<'_> {
    fn steps(&mut self, steps: &[Step<KernelId>]) -> Vec<Step<FuncId>> {
        steps.iter().map(|step| self.step(step)).collect()
    }

    fn step(&mut self, step: &Step<KernelId>) -> Step<FuncId> {
        match step {
            Step::Call(call) => self.call(call),
            Step::Parallel(_) => unreachable!("K6: no call is in parts yet"),
            Step::Repeat(repeat) => Step::Repeat(Repeat {
                counter: repeat.counter,
                test: repeat.test.as_ref().map(|test| self.place(test, None)),
                body: self.steps(&repeat.body),
            }),
            Step::If(branch) => Step::If(Branch {
                test: self.place(&branch.test, None),
                then: self.steps(&branch.then),
                otherwise: self.steps(&branch.otherwise),
            }),
        }
    }

    /// Parameters beyond the kernel's arguments are memory of the function's own, for each part
    /// another, and last the number of the part.
    fn call(&mut self, call: &Call<KernelId>) -> Step<FuncId> {
        let callee = FuncId::from_u32(call.callee.as_u32());
        let kernel = &self.kernels.kernels[call.callee];
        let layouts = pack::layouts(kernel);
        let bound = kernel.bound().zip(&call.args);
        let mut args: Vec<Place> =
            bound.map(|((o, _), p)| self.place(p, layouts[o].as_ref())).collect();
        let mut own: Vec<TensorType> =
            self.funcs[callee].params.values().skip(args.len()).map(|p| p.ty.clone()).collect();
        let Some(count) = part_count(kernel) else {
            args.extend(own.into_iter().map(|ty| Place::from(self.arena(ty))));
            return Step::Call(Call { callee, args, loc: call.loc });
        };
        own.pop();
        let counter = self.counters.push(count);
        args.extend(own.into_iter().map(|ty| self.scratch(&ty, count, counter)));
        args.push(Place { buffer: self.numbers(), offset: Affine::var(counter) });
        Step::Parallel(Parallel { counter, call: Call { callee, args, loc: call.loc } })
    }

    fn arena(&mut self, ty: TensorType) -> BufferId {
        self.buffers.push(Buffer { ty, home: Home::Arena })
    }

    /// Memory for each part of a call.
    fn scratch(&mut self, ty: &TensorType, count: usize, counter: CounterId) -> Place {
        let elements = ty.shape.numel();
        let all = TensorType { elem: ty.elem, shape: Shape::new(&[count * elements]) };
        Place { buffer: self.arena(all), offset: Affine::scaled(counter, elements as i64) }
    }

    /// The constant that holds the numbers of parts.
    fn numbers(&mut self) -> BufferId {
        if let Some(known) = self.numbers {
            return known;
        }
        let counts = self.kernels.kernels.values().filter_map(part_count);
        let ty = TensorType::new(ElemType::I64, &[counts.max().unwrap_or(0)]);
        let numbers = Tensor::from_fn(ty.clone(), |n| Scalar::from_i64(ElemType::I64, n as i64));
        let home = Home::Const(self.consts.push(numbers));
        let buffer = self.buffers.push(Buffer { ty, home });
        *self.numbers.insert(buffer)
    }

    fn place(&mut self, place: &Place, layout: Option<&Layout>) -> Place {
        Place { buffer: self.buffer(place.buffer, layout), offset: place.offset.clone() }
    }

    fn buffer(&mut self, id: BufferId, layout: Option<&Layout>) -> BufferId {
        let buffer = &self.kernels.buffers[id];
        match buffer.home {
            Home::Const(constant) => self.constant(constant, layout),
            Home::Input(_) | Home::Output(_) | Home::Arena => {
                let buffers = &mut self.buffers;
                *self.renamed[id].get_or_insert_with(|| buffers.push(buffer.clone()))
            }
        }
    }

    fn constant(&mut self, id: ConstId, layout: Option<&Layout>) -> BufferId {
        let key = (id, layout.cloned());
        if let Some(&known) = self.interned.get(&key) {
            return known;
        }
        let tensor = &self.kernels.consts[id];
        let tensor = layout.map_or_else(|| tensor.clone(), |l| l.pack(tensor));
        let ty = tensor.ty.clone();
        let home = Home::Const(self.consts.push(tensor));
        let buffer = self.buffers.push(Buffer { ty, home });
        self.interned.insert(key, buffer);
        buffer
    }
}
