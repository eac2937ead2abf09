//! Kernels + schedules → Loops: one function per kernel, mechanical given the schedule.
//!
//! Needs: scheduled, verified kernels. Gives: functions in which tiles are unrolled, remainders and
//! borders are blocks of their own, and every bounds test that intervals cannot decide is an `If`.

mod calls;
mod copies;
pub(crate) mod expr;
mod finish;
mod lanes;
mod matrix;
mod nest;
mod pack;
mod parts;
mod prefetch;
mod read;
mod reduce;
mod rows;
mod seed;
mod segment;
mod together;

use crate::library;
use calls::Calls;
use copies::PackedCopy;
use cranelift_entity::{PrimaryMap, SecondaryMap};
use edgecc_ir::kernel::{
    Access, AxisId, AxisKind, Kernel, KernelId, Kernels, OperandId, Role, Stage,
};
use edgecc_ir::loops::build::LoopBuilder;
use edgecc_ir::loops::{LoopFn, Loops, Param, ParamAccess, ParamId, ValueId};
use edgecc_ir::program::{Call, Program};
use edgecc_ir::target::Target;
use edgecc_ir::types::{Shape, TensorType};
use pack::Layout;
use parts::Part;

/// Lowers every kernel and packs the constants of every call.
#[must_use]
pub fn lower(kernels: &Kernels, target: &Target) -> Loops {
    let mut funcs = PrimaryMap::new();
    for (id, kernel) in &kernels.kernels {
        funcs.push(lower_kernel(id, kernel, target));
    }
    let work = |(call, times): (&Call<KernelId>, u64)| {
        macs(&kernels.kernels[call.callee]).saturating_mul(times)
    };
    let Calls { buffers, consts, counters, steps } = calls::lower(kernels, &funcs);
    Loops {
        name: kernels.name.clone(),
        funcs,
        buffers,
        consts,
        inputs: kernels.inputs.clone(),
        outputs: kernels.outputs.clone(),
        program: Program { counters, steps },
        plan: None,
        macs: kernels.program.calls().into_iter().map(work).sum(),
        locs: kernels.locs.clone(),
    }
}

/// The function of one kernel; its parameters are the kernel's operands in order, without locals of
/// one element, which are values, and memory for packed copies and for sums. A kernel in parts has
/// one more, the number of the part.
#[must_use]
pub fn lower_kernel(id: KernelId, kernel: &Kernel, target: &Target) -> LoopFn {
    let name = format!("k{:02}_{}", id.as_u32(), kernel.name);
    if let Some(routine) = &kernel.routine {
        return library::lower(&name, kernel, routine);
    }
    let mut b = LoopBuilder::new(&name);
    let layouts = pack::layouts(kernel);
    let mut params: SecondaryMap<OperandId, Option<ParamId>> = SecondaryMap::new();
    for (id, operand) in &kernel.operands {
        let shape = layouts[id].as_ref().map_or(operand.ty.shape.clone(), Layout::shape);
        let access = match operand.role {
            Role::Read | Role::Const => ParamAccess::Read,
            Role::Write => ParamAccess::Write,
            Role::Local if rows::is_value(operand) => continue,
            Role::Local => ParamAccess::ReadWrite,
        };
        let ty = TensorType { elem: operand.ty.elem, shape };
        params[id] = Some(b.param(Param { ty, access }));
    }
    let copies = copies::declare(&mut b, kernel, &params);
    let sums = finish::declare(&mut b, kernel);
    let matrix_sums = matrix::declare(&mut b, kernel);
    let part = parts::read(&mut b, kernel);
    let packed = Packed { layouts: &layouts, copies: &copies };
    let cx =
        |stage| Cx { part, sums, matrix_sums, ..Cx::new(kernel, stage, target, &params, packed) };
    rows::lower(&mut b, kernel, (&copies, part), cx);
    b.finish()
}

/// Multiply-adds of one call: products at the points of sums. A factor that is widened to a word is
/// one factor, whatever the words of the other one hold; a word of several reads has as many.
#[must_use]
pub fn macs(kernel: &Kernel) -> u64 {
    let points = |s: &Stage| s.axes.iter().map(|&a| kernel.extent(a) as u64).product::<u64>();
    let each = |s: &Stage| {
        let all = s.body.products().filter(|_| s.reduce.is_some())?;
        if s.sides().is_some() && all.iter().all(|(func, _)| func.products().is_none()) {
            return Some(points(s) * all.len() as u64);
        }
        let (func, _) = s.body.product()?;
        let factors = s.factors().map(|all| all.iter().all(|factor| factor.is_identity()));
        let products = match (func.products(), factors) {
            (Some(products), Some(true)) => products,
            (Some(products), None) => products.min(s.reads.len() - 1),
            (_, Some(_)) => 1,
            (None, None) => return None,
        };
        Some(points(s) * products as u64)
    };
    kernel.stages.iter().filter_map(each).sum()
}

/// Operands that are stored in another order, by the operand, and those that are copied.
#[derive(Clone, Copy)]
struct Packed<'a> {
    layouts: &'a SecondaryMap<OperandId, Option<Layout>>,
    copies: &'a [PackedCopy<'a>],
}

/// What the lowering of one stage may ask; never changes.
#[derive(Clone)]
struct Cx<'a> {
    kernel: &'a Kernel,
    stage: &'a Stage,
    schedule: edgecc_ir::kernel::schedule::Schedule,
    target: &'a Target,
    params: &'a SecondaryMap<OperandId, Option<ParamId>>,
    packed: Packed<'a>,
    /// The stage's vector axis and its lanes.
    vector: Option<(AxisId, u32)>,
    /// The part of the kernel that a call does, if not all of it.
    part: Option<Part>,
    /// Memory for the sums of a tile.
    sums: Option<ParamId>,
    /// Memory for those that matrix tiles make.
    matrix_sums: Option<ParamId>,
    /// Locals of one element at the current point of the row axes.
    values: SecondaryMap<OperandId, Option<ValueId>>,
}

impl<'a> Cx<'a> {
    fn new(
        kernel: &'a Kernel,
        stage: &'a Stage,
        target: &'a Target,
        params: &'a SecondaryMap<OperandId, Option<ParamId>>,
        packed: Packed<'a>,
    ) -> Cx<'a> {
        let schedule = kernel.schedule.clone().unwrap_or_default();
        let vector = schedule.vector.iter().copied().find(|(a, _)| stage.axes.contains(a));
        let values = SecondaryMap::new();
        Cx {
            kernel,
            stage,
            schedule,
            target,
            params,
            packed,
            vector,
            part: None,
            sums: None,
            matrix_sums: None,
            values,
        }
    }

    fn param(&self, access: &Access) -> ParamId {
        self.params[access.operand].expect("every operand is a parameter")
    }

    /// Where an access reads packed elements, if it does, and their order.
    fn packed(&self, access: &Access) -> Option<(ParamId, &'a Layout)> {
        let copy = copies::of_read(self.packed.copies, access).map(|c| (c.param, &c.layout));
        let constant = self.packed.layouts[access.operand].as_ref();
        copy.or_else(|| constant.map(|layout| (self.param(access), layout)))
    }

    fn shape(&self, access: &Access) -> &'a Shape {
        &self.kernel.operands[access.operand].ty.shape
    }

    /// The vector axis, if its lanes are combined by the reduction.
    fn reduced_lanes(&self) -> Option<(AxisId, u32)> {
        self.vector.filter(|(axis, _)| self.kernel.axes[*axis].kind == AxisKind::Reduce)
    }

    /// The part, if the tiles of an axis are divided among parts.
    fn part_of(&self, axis: AxisId) -> Option<Part> {
        self.part.filter(|_| self.schedule.divides(axis))
    }

    /// The same stage, one lane at a time.
    fn one_lane(&self) -> Cx<'a> {
        Cx { vector: None, ..self.clone() }
    }

    fn lanes(&self) -> u8 {
        self.vector.map_or(1, |(_, lanes)| lanes as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::lower;
    use crate::eqsat::rule::Class;
    use crate::form_kernels::form_kernels;
    use crate::plan::{ALIGN, check, plan};
    use crate::schedule::parts::{Division, divide};
    use crate::schedule::schedule;
    use edgecc_ir::graph::Graph;
    use edgecc_ir::graph::build::GraphBuilder;
    use edgecc_ir::graph::eval::eval;
    use edgecc_ir::graph::ops::{
        Broadcast, Concat, Conv, Gather, Layout, MatMul, Op, Pad, Pick, Pool, Transpose, Window,
    };
    use edgecc_ir::kernel;
    use edgecc_ir::loops::{interp, verify};
    use edgecc_ir::scalar::ScalarExpr;
    use edgecc_ir::scalar::func::ScalarFn;
    use edgecc_ir::target::CPUS;
    use edgecc_ir::tensor::{Scalar, Tensor};
    use edgecc_ir::types::{ElemType, Shape, TensorType};

    /// Small integers, so that every order of summation gives the same result.
    fn data(dims: &[usize], seed: usize) -> Tensor {
        let ty = TensorType::new(ElemType::F32, dims);
        Tensor::from_fn(ty, |i| Scalar::f32(((i * 31 + seed * 17) % 23) as f32 - 11.0))
    }

    /// Lowered for each CPU and interpreted, the graph gives what `eval` gives.
    fn check(graph: &Graph, inputs: &[Tensor]) {
        let expected = eval(graph, inputs);
        for cpu in CPUS {
            let target = cpu.target();
            let mut kernels = form_kernels(graph);
            schedule(&mut kernels, &target, Class::Reassoc);
            for parts in [1, 2, 3, 8] {
                divide(&mut kernels, &target, Division { parts, grain: 1 });
                assert_eq!(kernel::verify::verify(&kernels), Ok(()), "{parts} parts");
                let mut loops = lower(&kernels, &target);
                loops.plan = Some(plan(&loops, ALIGN));
                assert_eq!(check::check(&loops), Ok(()), "{parts} parts");
                assert_eq!(verify::verify(&loops, Some(&target)), Ok(()), "{parts} parts");
                assert_eq!(interp::run(&loops, inputs), expected, "{}, {parts} parts", cpu.name);
            }
        }
    }

    fn one_op(op: impl Into<Op>, inputs: &[Tensor], consts: &[Tensor]) -> Graph {
        let mut b = GraphBuilder::new("m");
        let mut args: Vec<_> = inputs
            .iter()
            .enumerate()
            .map(|(n, t)| b.input(&format!("x{n}"), t.ty.clone()))
            .collect();
        args.extend(consts.iter().map(|c| b.constant(c.clone())));
        let y = b.add(op, &args).expect("a well-typed op");
        b.output("y", y);
        b.finish()
    }

    fn conv(image: [usize; 4], weights: [usize; 4], groups: u32, window: Window) {
        let op = Conv::plain(window, groups, Layout::ChannelsLast);
        let (x, w) = (data(&image, 1), data(&weights, 2));
        check(&one_op(op, std::slice::from_ref(&x), &[w]), &[x]);
    }

    fn padded(strides: [u32; 2], pads: [u32; 2], dilation: u32) -> Window {
        Window {
            strides: strides.to_vec(),
            pads_begin: pads.to_vec(),
            pads_end: pads.to_vec(),
            dilations: vec![dilation; 2],
        }
    }

    #[test]
    fn convolutions_of_every_kind() {
        conv([1, 9, 9, 3], [16, 3, 3, 3], 1, padded([2, 2], [1, 1], 1));
        conv([2, 7, 13, 8], [30, 8, 3, 3], 1, padded([1, 1], [1, 1], 1));
        conv([1, 12, 12, 5], [6, 5, 3, 3], 1, padded([1, 1], [2, 2], 2));
        conv([1, 8, 8, 16], [13, 16, 1, 1], 1, Window::unit(2));
        conv([1, 8, 9, 16], [8, 16, 1, 1], 1, padded([2, 2], [0, 0], 1));
        conv([1, 6, 6, 8], [12, 4, 3, 3], 2, padded([1, 1], [1, 1], 1));
        conv([1, 4, 3, 9], [3, 9, 5, 5], 1, padded([1, 1], [2, 2], 1));
    }

    #[test]
    fn large_epilogues_at_borders() {
        let negated = |times| {
            ScalarExpr::build(1, |b| {
                let sum = b.param(0);
                (0..times).fold(sum, |x, _| b.call(ScalarFn::Neg, &[x]))
            })
        };
        for (image, outputs) in [([1, 1, 40, 5], 60), ([1, 9, 23, 3], 17)] {
            let window = padded([1, 1], [1, 1], 1);
            let plain = Conv::plain(window, 1, Layout::ChannelsLast);
            let op = Conv { epilogue: negated(65), ..plain };
            let (x, w) = (data(&image, 1), data(&[outputs, image[3], 3, 3], 2));
            check(&one_op(op, std::slice::from_ref(&x), &[w]), &[x]);
        }
    }

    #[test]
    fn depthwise_convolutions() {
        conv([1, 14, 14, 24], [24, 1, 3, 3], 24, padded([1, 1], [1, 1], 1));
        conv([1, 15, 14, 19], [19, 1, 3, 3], 19, padded([2, 2], [1, 1], 1));
        conv([1, 5, 5, 8], [8, 1, 5, 5], 8, padded([1, 1], [2, 2], 1));
        conv([1, 3, 40, 4], [4, 1, 1, 21], 4, padded([1, 1], [0, 10], 1));
    }

    #[test]
    fn matrix_products_of_constants_and_of_two_inputs() {
        for (m, n, k) in [(1, 10, 64), (7, 33, 5), (25, 24, 17)] {
            let (a, w) = (data(&[m, k], 1), data(&[k, n], 2));
            check(
                &one_op(MatMul::plain(), std::slice::from_ref(&a), std::slice::from_ref(&w)),
                std::slice::from_ref(&a),
            );
            let both = [a, w];
            check(&one_op(MatMul::plain(), &both, &[]), &both);
        }
    }

    #[test]
    fn products_of_many_rows_read_packed_copies() {
        let product = MatMul { transpose_b: true, ..MatMul::plain() };
        for (batch, m, n, k) in [(2, 9, 37, 19), (1, 70, 6, 9), (3, 8, 16, 8)] {
            let both = [data(&[batch, m, k], 1), data(&[batch, n, k], 2)];
            check(&one_op(product.clone(), &both, &[]), &both);
        }
        let x = data(&[2, 9, 11], 3);
        let mut b = GraphBuilder::new("m");
        let read = b.input("x", x.ty.clone());
        let y = b.add(product, &[read, read]).expect("a product of a value with itself");
        b.output("y", y);
        check(&b.finish(), &[x]);
    }

    #[test]
    fn pools_with_and_without_padding() {
        for (func, pads) in
            [(ScalarFn::Max, [1, 1]), (ScalarFn::Add, [0, 0]), (ScalarFn::Max, [0, 1])]
        {
            let layout = Layout::ChannelsLast;
            let op = Pool { func, kernel: vec![3, 3], window: padded([2, 2], pads, 1), layout };
            let x = data(&[1, 11, 11, 10], 3);
            check(&one_op(op, std::slice::from_ref(&x), &[]), &[x]);
        }
    }

    /// Indices that reach beyond a dimension of this extent on both sides.
    fn indices(dims: &[usize], extent: i64) -> Tensor {
        let ty = TensorType::new(ElemType::I64, dims);
        Tensor::from_fn(ty, |i| {
            Scalar::from_i64(ElemType::I64, (i as i64 * 5 + 3) % (extent + 4) - 2)
        })
    }

    #[test]
    fn gathers_of_rows_columns_and_points() {
        let table = data(&[9, 19], 6);
        for (dim, dims) in [(0, vec![2, 5]), (1, vec![7]), (0, vec![])] {
            let index = indices(&dims, 9);
            let op = Gather::along(dim, &table.ty.shape, &index.ty.shape);
            let both = [table.clone(), index];
            check(&one_op(op, &both, &[]), &both);
        }
        let image = data(&[2, 6, 5, 3], 7);
        let picks = vec![Pick::Dim(0), Pick::Index(vec![0, 1]), Pick::Index(vec![1]), Pick::Dim(2)];
        let all = [image, indices(&[2, 11], 6), indices(&[11], 5)];
        check(&one_op(Gather { picks, shape: Shape::new(&[2, 11, 3]) }, &all, &[]), &all);
    }

    #[test]
    fn moves_of_every_kind() {
        let x = data(&[2, 5, 7], 4);
        let inputs = std::slice::from_ref(&x);
        check(&one_op(Transpose { perm: vec![2, 0, 1] }, inputs, &[]), inputs);
        let pad = Pad { low: vec![0, 1, 2], high: vec![1, 0, 3], value: Scalar::f32(9.0) };
        check(&one_op(pad, inputs, &[]), inputs);
        let shape = Shape::new(&[3, 2, 5, 7]);
        check(&one_op(Broadcast { dims: vec![1, 2, 3], shape }, inputs, &[]), inputs);
        let both = [x.clone(), data(&[2, 4, 7], 5)];
        check(&one_op(Concat { dim: 1 }, &both, &[]), &both);
    }
}
