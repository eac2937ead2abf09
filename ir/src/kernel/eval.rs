//! What kernels mean: naive interpretation of stages, the oracle of kernel transformations.

use super::{
    Access, AxisId, BufferId, Home, Index, Kernel, KernelId, Kernels, Lookup, Operand, OperandId,
    Outside, Role, Stage, Unit,
};
use crate::affine::Affine;
use crate::index::for_each_index;
use crate::program::run::{self, Machine};
use crate::program::{Call, Counters, Place};
use crate::scalar::ScalarExpr;
use crate::scalar::eval::{apply, eval as eval_scalar};
use crate::tensor::{Scalar, Tensor};
use crate::types::{ElemType, TensorType};
use cranelift_entity::{PrimaryMap, SecondaryMap};

/// The outputs of a whole model for these inputs, both in the caller's order.
///
/// # Panics
/// When the kernels do not verify or an input's element count is not its port's.
#[must_use]
pub fn eval(kernels: &Kernels, inputs: &[Tensor]) -> Vec<Tensor> {
    let initial = |home| match home {
        Home::Input(i) => Some(inputs[i as usize].clone()),
        Home::Const(id) => Some(kernels.consts[id].clone()),
        Home::Output(_) | Home::Arena => None,
    };
    let values = kernels.buffers.values().map(|b| initial(b.home)).collect();
    let mut memory = Memory { kernels, values, counters: Counters::default() };
    run::run(&kernels.program, &mut memory);
    let output = |i: usize| {
        let home = Home::Output(i as u32);
        let buffer = kernels.buffers.iter().find(|(_, b)| b.home == home);
        let (buffer, _) = buffer.expect("K6: each output has a buffer");
        let value = memory.values[buffer].clone().expect("K6: each output is written");
        value.reshaped(&kernels.outputs[i].ty.shape)
    };
    (0..kernels.outputs.len()).map(output).collect()
}

/// A running program.
struct Memory<'a> {
    kernels: &'a Kernels,
    values: PrimaryMap<BufferId, Option<Tensor>>,
    counters: Counters,
}

impl Machine<KernelId> for Memory<'_> {
    fn counters(&mut self) -> &mut Counters {
        &mut self.counters
    }

    fn call(&mut self, call: &Call<KernelId>) {
        let kernel = &self.kernels.kernels[call.callee];
        let bound = || kernel.bound().map(|(_, o)| o).zip(&call.args);
        let reads = bound().filter(|(o, _)| o.role != Role::Write);
        let reads: Vec<Tensor> = reads.map(|(o, place)| self.read(place, &o.ty)).collect();
        let results = eval_kernel(kernel, &reads.iter().collect::<Vec<_>>());
        let written = bound().filter(|(o, _)| o.role == Role::Write);
        for ((_, place), result) in written.zip(results) {
            self.write(place, result);
        }
    }

    fn holds(&self, test: &Place) -> bool {
        let ty = TensorType::new(ElemType::Bool, &[]);
        self.read(test, &ty).get(0) == Scalar::bool(true)
    }
}

impl Memory<'_> {
    fn read(&self, place: &Place, ty: &TensorType) -> Tensor {
        let value = self.values[place.buffer].as_ref();
        let bytes = value.expect("K6: a buffer is written before its reads").bytes();
        let first = self.counters.element(place) * ty.elem.bytes();
        Tensor::from_bytes(ty.clone(), bytes[first..first + ty.bytes()].to_vec())
    }

    fn write(&mut self, place: &Place, result: Tensor) {
        let ty = &self.kernels.buffers[place.buffer].ty;
        if ty.shape.numel() == result.numel() {
            self.values[place.buffer] = Some(result);
            return;
        }
        let first = self.counters.element(place) * ty.elem.bytes();
        let mut bytes = match self.values[place.buffer].take() {
            Some(old) => old.into_bytes(),
            None => vec![0; ty.bytes()],
        };
        bytes[first..first + result.ty.bytes()].copy_from_slice(result.bytes());
        self.values[place.buffer] = Some(Tensor::from_bytes(ty.clone(), bytes));
    }
}

/// The written operands for these read ones, both in operand order; inputs may have any shape with
/// the operand's element count.
///
/// # Panics
/// When the kernel does not verify or an input does not fit its operand.
#[must_use]
pub fn eval_kernel(kernel: &Kernel, inputs: &[&Tensor]) -> Vec<Tensor> {
    let mut inputs = inputs.iter();
    let mut fill = |operand: &Operand| match operand.role {
        Role::Write | Role::Local => Tensor::zeros(operand.ty.clone()),
        Role::Read | Role::Const => {
            let input = *inputs.next().expect("one tensor per operand that is read");
            assert_eq!(input.ty.elem, operand.ty.elem, "element type of an operand");
            input.clone().reshaped(&operand.ty.shape)
        }
    };
    let tensors: PrimaryMap<OperandId, Tensor> = kernel.operands.values().map(&mut fill).collect();
    if let Some(routine) = &kernel.routine {
        let is_read = |(id, tensor)| (kernel.operands[id].role != Role::Write).then_some(tensor);
        return routine.eval(&tensors.iter().filter_map(is_read).collect::<Vec<_>>());
    }
    let mut run = Run { kernel, tensors, point: SecondaryMap::new() };
    for_each_index(&run.extents(&kernel.rows), |index| {
        run.move_to(&kernel.rows, index);
        kernel.stages.iter().for_each(|stage| run.stage(stage));
    });
    let written = |(id, tensor)| (kernel.operands[id].role == Role::Write).then_some(tensor);
    run.tensors.into_iter().filter_map(written).collect()
}

struct Run<'a> {
    kernel: &'a Kernel,
    tensors: PrimaryMap<OperandId, Tensor>,
    /// The current point of the iteration space.
    point: SecondaryMap<AxisId, i64>,
}

impl Run<'_> {
    /// Runs a stage at the current point of the row axes.
    fn stage(&mut self, stage: &Stage) {
        let inner = |a: &AxisId| !self.kernel.rows.contains(a);
        let parallel: Vec<AxisId> = self.kernel.parallel_axes(stage).filter(inner).collect();
        for_each_index(&self.extents(&parallel), |index| {
            self.move_to(&parallel, index);
            let acc = self.reduced(stage);
            let value = self.apply(&stage.epilogue_reads, Some(acc), &stage.epilogue);
            let at = self.position(&stage.write).expect("K1: writes are in bounds");
            self.tensors[stage.write.operand].set(at, value);
        });
    }

    /// The value that the epilogue of the current parallel point gets.
    fn reduced(&mut self, stage: &Stage) -> Scalar {
        let Some(reduce) = &stage.reduce else {
            return self.apply(&stage.reads, None, &stage.body);
        };
        let axes: Vec<AxisId> = self.kernel.reduce_axes(stage).collect();
        let mut acc = reduce.init;
        for_each_index(&self.extents(&axes), |index| {
            self.move_to(&axes, index);
            acc = apply(reduce.func, &[acc, self.apply(&stage.reads, None, &stage.body)]);
        });
        acc
    }

    fn apply(&self, reads: &[Access], first: Option<Scalar>, expr: &ScalarExpr) -> Scalar {
        let args: Vec<Scalar> =
            first.into_iter().chain(reads.iter().map(|r| self.read(r))).collect();
        eval_scalar(expr, &args)
    }

    fn read(&self, access: &Access) -> Scalar {
        match (self.position(access), access.outside) {
            (Some(at), _) if access.unit == Unit::Word => self.tensors[access.operand].word(at),
            (Some(at), _) => self.tensors[access.operand].get(at),
            (None, Outside::Pad(value)) => value,
            (None, Outside::Never) => panic!("K1: an access without padding is in bounds"),
        }
    }

    /// Row-major position of an access, or `None` outside the operand.
    fn position(&self, access: &Access) -> Option<usize> {
        let shape = &self.kernel.operands[access.operand].ty.shape;
        access.index.iter().zip(shape.iter()).try_fold(0, |flat, (index, &extent)| {
            let at = match index {
                Index::Affine(affine) => self.at(affine),
                Index::Lookup(lookup) => self.look_up(lookup).clamp(0, extent as i64 - 1),
            };
            let at = usize::try_from(at).ok()?;
            (at < extent).then_some(flat * extent + at)
        })
    }

    fn look_up(&self, lookup: &Lookup) -> i64 {
        let table = &self.tensors[lookup.operand];
        let dims = lookup.index.iter().zip(table.ty.shape.iter());
        let flat = dims.fold(0, |flat, (i, &extent)| flat * extent as i64 + self.at(i));
        table.get(flat as usize).as_i64()
    }

    fn at(&self, index: &Affine<AxisId>) -> i64 {
        index.eval(|axis| self.point[axis])
    }

    fn extents(&self, axes: &[AxisId]) -> Vec<usize> {
        axes.iter().map(|&a| self.kernel.extent(a)).collect()
    }

    fn move_to(&mut self, axes: &[AxisId], index: &[usize]) {
        axes.iter().zip(index).for_each(|(&axis, &i)| self.point[axis] = i as i64);
    }
}

#[cfg(test)]
mod tests {
    use super::{eval, eval_kernel};
    use crate::affine::Affine;
    use crate::graph::ops::{Map, TensorOp};
    use crate::kernel::build::{KernelBuilder, access, access_axes};
    use crate::kernel::{AxisKind, Buffer, Home, Kernels, Port, Reduce};
    use crate::loc::{Loc, LocTable};
    use crate::program::{Call, Program, Step};
    use crate::scalar::ScalarExpr;
    use crate::scalar::func::ScalarFn;
    use crate::tensor::{Scalar, Tensor};
    use crate::types::{ElemType, TensorType};
    use cranelift_entity::PrimaryMap;

    fn ty(dims: &[usize]) -> TensorType {
        TensorType::new(ElemType::F32, dims)
    }

    #[test]
    fn inputs_are_seen_under_the_operands_shape() {
        let kernel = Map { body: ScalarExpr::call(ScalarFn::Neg) }.kernel(&[&ty(&[2, 1])]);
        let out = eval_kernel(&kernel, &[&Tensor::from_f32s(&[2], &[1.0, 2.0])]);
        assert_eq!(out, [Tensor::from_f32s(&[2, 1], &[-1.0, -2.0])]);
    }

    #[test]
    fn a_local_belongs_to_one_row() {
        let mut b = KernelBuilder::new("shares");
        let (x, y, sum) = (b.read(&ty(&[2, 2])), b.write(&ty(&[2, 2])), b.local(&ty(&[1])));
        let row = b.axis(2, AxisKind::Parallel);
        let (k, n) = (b.axis(2, AxisKind::Reduce), b.axis(2, AxisKind::Parallel));
        b.rows(vec![row]);
        let reduce = Reduce { func: ScalarFn::Add, init: Scalar::f32(0.0) };
        let (here, whole) = (access(sum, vec![Affine::constant(0)]), access_axes(x, &[row, k]));
        let copy = ScalarExpr::identity();
        b.reduce_stage(vec![row, k], vec![whole], copy, reduce, here.clone());
        let reads = vec![access_axes(x, &[row, n]), here];
        let div = ScalarExpr::call(ScalarFn::Div);
        b.map_stage(vec![row, n], reads, div, access_axes(y, &[row, n]));
        let x = Tensor::from_f32s(&[2, 2], &[1.0, 3.0, 4.0, 4.0]);
        let out = eval_kernel(&b.finish(), &[&x]);
        assert_eq!(out, [Tensor::from_f32s(&[2, 2], &[0.25, 0.75, 0.5, 0.5])]);
    }

    #[test]
    fn calls_run_in_order_over_buffers() {
        let negate = Map { body: ScalarExpr::call(ScalarFn::Neg) }.kernel(&[&ty(&[2])]);
        let mut kernels = Kernels {
            name: "twice".into(),
            kernels: PrimaryMap::new(),
            buffers: PrimaryMap::new(),
            consts: PrimaryMap::new(),
            inputs: vec![Port { name: "x".into(), ty: ty(&[2]) }],
            outputs: vec![Port { name: "y".into(), ty: ty(&[1, 2]) }],
            program: Program::default(),
            locs: LocTable::new(),
        };
        let kernel = kernels.kernels.push(negate);
        let loc = kernels.locs.push(Loc::Unknown);
        let homes = [Home::Input(0), Home::Arena, Home::Output(0)];
        let [x, t, y] = homes.map(|home| kernels.buffers.push(Buffer { ty: ty(&[2]), home }));
        kernels.program.steps = [[x, t], [t, y]]
            .map(|[a, b]| Call { callee: kernel, args: vec![a.into(), b.into()], loc })
            .map(Step::Call)
            .into();
        let out = eval(&kernels, &[Tensor::from_f32s(&[2], &[1.0, 2.0])]);
        assert_eq!(out, [Tensor::from_f32s(&[1, 2], &[1.0, 2.0])]);
    }
}
