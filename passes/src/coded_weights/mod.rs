//! Constant factors of sums as the codes that they were decoded from: less memory, read back as
//! `f32` where they are multiplied.
//!
//! Purpose   keeps weights that a model states as codes small in the program.
//! In → Out  Kernels → Kernels whose constant factors are codes of 8 or 4 bits wherever all numbers of
//!           a channel of the result, or of each block of them, are whole multiples of one scale.
//! Owns      which constants that are, their codes and scales.
//! Never     rounds a number to a code; changes kernels that have schedules.
//! Tests     `mod tests`; `tests/models` runs the bundled model.
//!
//! Needs: kernels without schedules. It asks the numbers, not the operators that made them: they have
//! passed folding by then, which moves factors into them and their dimensions to where they are read.

mod recover;
mod rewrite;
mod site;

use cranelift_entity::EntityRef;
use edgecc_ir::kernel::{Buffer, BufferId, ConstId, Home, Kernel, KernelId, Kernels};
use edgecc_ir::program::{Call, Place, expand_calls, map_steps};
use edgecc_ir::tensor::Tensor;
use indexmap::{IndexMap, IndexSet};
use rewrite::rewrite;
use site::{Coded, Form, Site};
use std::mem::take;

/// Stores constant factors that are codes times scales as such.
pub fn use_codes(kernels: &mut Kernels) {
    let steps = take(&mut kernels.program.steps);
    let mut coding = Coding { kernels, known: IndexMap::new(), interned: IndexMap::new() };
    let steps = expand_calls(steps, &mut |call| vec![coding.call(call)]);
    let is_changed = !coding.interned.is_empty();
    kernels.program.steps = steps;
    if is_changed {
        keep_called(kernels);
    }
}

/// Drops kernels that nothing calls; the others are numbered by their first calls.
fn keep_called(kernels: &mut Kernels) {
    let calls = kernels.program.calls().into_iter();
    let called: IndexSet<KernelId> = calls.map(|(call, _)| call.callee).collect();
    kernels.kernels = called.iter().map(|&id| kernels.kernels[id].clone()).collect();
    let number = |id| called.get_index_of(&id).expect("each callee is called");
    let call = |(): &mut (), call: &Call<KernelId>| Call {
        callee: KernelId::new(number(call.callee)),
        ..call.clone()
    };
    let place = |(): &mut (), place: &Place| place.clone();
    kernels.program.steps = map_steps(&kernels.program.steps, &mut (), &call, &place);
}

/// How a constant is stored in codes, and the buffers of those and of its scales.
type Stored = (Form, [BufferId; 2]);

/// Constants and kernels made so far.
struct Coding<'k> {
    kernels: &'k mut Kernels,
    /// What became of a constant, where a site has codes for it.
    known: IndexMap<(ConstId, Site), Option<Stored>>,
    interned: IndexMap<Kernel, KernelId>,
}

impl Coding<'_> {
    /// The call with all its constants in codes that can be.
    fn call(&mut self, mut call: Call<KernelId>) -> Call<KernelId> {
        let mut kernel = self.kernels.kernels[call.callee].clone();
        if kernel.schedule.is_some() {
            return call;
        }
        let sites: Vec<Site> =
            (0..kernel.stages.len()).filter_map(|number| Site::of(&kernel, number)).collect();
        let mut is_changed = false;
        for site in sites {
            let weights = site.operand(&kernel).index();
            if let Some((form, constants)) = self.coded(&site, call.args[weights].buffer) {
                let types = constants.map(|buffer| self.kernels.buffers[buffer].ty.clone());
                let scales = rewrite(&mut kernel, &site, form, types);
                call.args[weights] = constants[0].into();
                call.args.insert(scales.index(), constants[1].into());
                is_changed = true;
            }
        }
        if is_changed {
            call.callee = self.intern(kernel);
        }
        call
    }

    fn intern(&mut self, kernel: Kernel) -> KernelId {
        let kernels = &mut self.kernels.kernels;
        *self.interned.entry(kernel).or_insert_with_key(|kernel| kernels.push(kernel.clone()))
    }

    /// A constant in codes, made once.
    fn coded(&mut self, site: &Site, buffer: BufferId) -> Option<Stored> {
        let Home::Const(id) = self.kernels.buffers[buffer].home else { return None };
        let kernels = &mut *self.kernels;
        *self.known.entry((id, site.clone())).or_insert_with(|| {
            let Coded { form, codes, scales } = site.coded(&kernels.consts[id])?;
            Some((form, [codes, scales].map(|tensor| constant(kernels, tensor))))
        })
    }
}

/// The buffer of a new constant.
fn constant(kernels: &mut Kernels, tensor: Tensor) -> BufferId {
    let ty = tensor.ty.clone();
    let home = Home::Const(kernels.consts.push(tensor));
    kernels.buffers.push(Buffer { ty, home })
}

#[cfg(test)]
mod tests {
    use super::use_codes;
    use crate::eqsat::rule::Class;
    use crate::form_kernels::form_kernels;
    use crate::lower_to_loops::lower;
    use crate::schedule::schedule;
    use edgecc_ir::graph::Graph;
    use edgecc_ir::graph::build::GraphBuilder;
    use edgecc_ir::graph::eval::eval;
    use edgecc_ir::graph::ops::{Conv, Layout, MatMul, Op, Window};
    use edgecc_ir::kernel::{self, Home, Kernels, Role};
    use edgecc_ir::loops::interp;
    use edgecc_ir::scalar::ScalarExpr;
    use edgecc_ir::scalar::func::ScalarFn;
    use edgecc_ir::target::CPUS;
    use edgecc_ir::tensor::{Scalar, Tensor};
    use edgecc_ir::types::{ElemType, TensorType};

    fn waves(dims: &[usize]) -> Tensor {
        let ty = TensorType::new(ElemType::F32, dims);
        Tensor::from_fn(ty, |i| Scalar::f32((i as f32 * 0.7).sin()))
    }

    /// Codes times the scale of their place in a dimension.
    fn decoded(dims: &[usize], channel: usize) -> Tensor {
        let inner: usize = dims[channel + 1..].iter().product();
        let scale = |i: usize| 0.013 * (1 + i / inner % dims[channel] * 7 % 10) as f32;
        let code = |i: usize| ((i * 89 + 3) % 255) as f32 - 127.0;
        let ty = TensorType::new(ElemType::F32, dims);
        Tensor::from_fn(ty, |i| Scalar::f32(code(i) * scale(i)))
    }

    /// Sums of products with these constants, one after the other, of what comes in.
    fn chain(op: impl Into<Op>, x: &Tensor, all: &[Tensor]) -> Graph {
        let op = op.into();
        let mut b = GraphBuilder::new("m");
        let input = b.input("x", x.ty.clone());
        let product = |b: &mut GraphBuilder, x, w: &Tensor| {
            let w = b.constant(w.clone());
            b.add(op.clone(), &[x, w]).expect("a well-typed op")
        };
        let y = all.iter().fold(input, |x, w| product(&mut b, x, w));
        b.output("y", y);
        b.finish()
    }

    fn check_close(found: &[Tensor], expected: &[Tensor], what: &str) {
        let scale = expected[0].iter().map(|v| v.as_f64().abs()).fold(0.0, f64::max);
        for (a, b) in found[0].iter().zip(expected[0].iter()) {
            let error = (a.as_f64() - b.as_f64()).abs();
            assert!(error <= 1e-5 * scale, "{what}: {a:?} for {b:?}");
        }
    }

    /// The kernels with codes, every level of which gives the graph's results.
    fn check(graph: &Graph, x: Tensor) -> Kernels {
        let inputs = [x];
        let expected = eval(graph, &inputs);
        let mut kernels = form_kernels(graph);
        use_codes(&mut kernels);
        assert_eq!(kernel::verify::verify(&kernels), Ok(()));
        check_close(&kernel::eval::eval(&kernels, &inputs), &expected, "kernels");
        for cpu in CPUS {
            let target = cpu.target();
            let mut planned = kernels.clone();
            schedule(&mut planned, &target, Class::Reassoc);
            check_close(&interp::run(&lower(&planned, &target), &inputs), &expected, cpu.name);
        }
        kernels
    }

    /// Bytes of the constants that calls read.
    fn bytes(kernels: &Kernels) -> usize {
        let calls = kernels.program.calls();
        let places = calls.iter().flat_map(|(call, _)| &call.args);
        let consts = places.filter_map(|place| match kernels.buffers[place.buffer].home {
            Home::Const(id) => Some(kernels.consts[id].bytes().len()),
            _ => None,
        });
        consts.sum()
    }

    #[test]
    fn products_keep_codes_and_a_scale_for_each_column() {
        for (transpose_b, columns) in [(false, 33), (true, 33), (false, 1), (true, 1)] {
            let op = MatMul { transpose_b, ..MatMul::plain() };
            let weights =
                if transpose_b { decoded(&[columns, 24], 0) } else { decoded(&[24, columns], 1) };
            let x = waves(&[5, 24]);
            let kernels = check(&chain(op, &x, &[weights]), x);
            assert_eq!(bytes(&kernels), 24 * columns + 4 * columns);
        }
    }

    #[test]
    fn convolutions_keep_codes_and_a_scale_for_each_channel() {
        let window = Window { pads_begin: vec![1; 2], ..Window::unit(2) };
        for (groups, weights) in [(1, [12, 8, 3, 3]), (2, [12, 4, 3, 3])] {
            let epilogue = ScalarExpr::call(ScalarFn::Neg);
            let op = Conv { epilogue, ..Conv::plain(window.clone(), groups, Layout::ChannelsLast) };
            let x = waves(&[1, 6, 7, 8]);
            let kernels = check(&chain(op, &x, &[decoded(&weights, 0)]), x);
            assert_eq!(bytes(&kernels), weights.iter().product::<usize>() + 4 * 12);
        }
    }

    #[test]
    fn equal_products_of_codes_and_of_numbers_become_different_kernels() {
        let weights = [decoded(&[32, 32], 1), waves(&[32, 32]), decoded(&[32, 32], 1)];
        let x = waves(&[3, 32]);
        let kernels = check(&chain(MatMul::plain(), &x, &weights), x);
        let consts = |k: &kernel::Kernel| {
            k.operands.values().filter(|o| o.role == Role::Const).map(|o| o.ty.elem).collect()
        };
        let all: Vec<Vec<ElemType>> = kernels.kernels.values().map(consts).collect();
        assert_eq!(all, [vec![ElemType::I8, ElemType::F32], vec![ElemType::F32]]);
    }

    /// Codes of 4 or 8 bits times the scale of their block of rows and their column.
    fn in_blocks([steps, columns]: [usize; 2], block: usize, most: usize) -> Tensor {
        let scale =
            |i: usize| 0.013 * 1.37f32.powi(((i / columns / block * 3 + i % columns) % 7) as i32);
        let code = |i: usize| ((i * 89 + 3) % (2 * most)) as f32 - most as f32;
        let ty = TensorType::new(ElemType::F32, &[steps, columns]);
        Tensor::from_fn(ty, |i| Scalar::f32(code(i) * scale(i)))
    }

    #[test]
    fn blocks_of_a_sum_have_scales_of_their_own() {
        for (most, [rows, steps, columns], block) in
            [(127, [5, 96, 33], 32), (8, [1, 64, 40], 16), (8, [19, 96, 17], 48)]
        {
            let x = waves(&[rows, steps]);
            let weights = in_blocks([steps, columns], block, most);
            let kernels = check(&chain(MatMul::plain(), &x, &[weights]), x);
            let codes = if most == 8 { steps * columns / 2 } else { steps * columns };
            assert_eq!(bytes(&kernels), codes + 4 * steps / block * columns);
        }
    }

    #[test]
    fn two_codes_of_four_bits_share_a_byte_where_steps_are_even() {
        for (steps, codes) in [(24, 24 * 33 / 2), (25, 25 * 33)] {
            let x = waves(&[3, steps]);
            let weights = in_blocks([steps, 33], steps, 8);
            let kernels = check(&chain(MatMul::plain(), &x, &[weights]), x);
            assert_eq!(bytes(&kernels), codes + 4 * 33);
        }
    }

    #[test]
    fn padded_convolutions_of_narrow_codes_skip_what_is_outside() {
        let window = Window { pads_begin: vec![1; 2], pads_end: vec![1; 2], ..Window::unit(2) };
        let op = Conv::plain(window, 1, Layout::ChannelsLast);
        let code = |i: usize| ((i * 5 + i / 144) % 16) as f32 - 8.0;
        let scale = |i: usize| 0.01 * (1 + i / 144 % 3) as f32;
        let ty = TensorType::new(ElemType::F32, &[20, 16, 3, 3]);
        let weights = Tensor::from_fn(ty, |i| Scalar::f32(code(i) * scale(i)));
        let x = waves(&[1, 6, 7, 16]);
        let kernels = check(&chain(op, &x, &[weights]), x);
        assert_eq!(bytes(&kernels), 20 * 144 / 2 + 4 * 20);
    }

    #[test]
    fn short_sums_keep_their_numbers() {
        let x = waves(&[5, 7]);
        let kernels = check(&chain(MatMul::plain(), &x, &[decoded(&[7, 33], 1)]), x);
        assert_eq!(bytes(&kernels), 4 * 7 * 33);
    }
}
