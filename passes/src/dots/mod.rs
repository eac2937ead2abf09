//! Sums of products of codes, several products at once: as dot products of words.
//!
//! Purpose   lets a sum's steps be the words of codes that one instruction multiplies and adds.
//! In → Out  Kernels → Kernels of the same results, bit for bit, with weights in words, and what
//!           kernels before them copy, pack or sum.
//! Owns      which sums are computed so, the order of the weights' codes in words, the packing of
//!           values, and the room for words around codes.
//! Never     asks what a kernel is called; changes kernels that have schedules.
//! Tests     `mod tests`.
//!
//! Needs: interned kernels without schedules, codes that are not centred while they are summed,
//! unless both factors are values.

mod before;
mod floats;
mod packed;
mod pair;
mod room;
mod single;
mod site;
mod taps;
mod terms;
#[cfg(test)]
pub(crate) mod testing;

use crate::rebind::{bound_constants, rebind_constants};
use before::Makings;
use cranelift_entity::{EntityRef, SecondaryMap};
use edgecc_ir::kernel::{Kernel, KernelId, Kernels, OperandId};
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::target::Target;
use edgecc_ir::tensor::{Scalar, Tensor};
pub(crate) use packed::pays;
use site::{Site, Words};

/// Rewrites each sum for which the target has an instruction.
pub fn use_dots(kernels: &mut Kernels, target: &Target) {
    make_values(kernels, target);
    let mut stored: SecondaryMap<KernelId, Vec<(OperandId, Stored)>> = SecondaryMap::new();
    let plain = kernels.kernels.iter().filter(|(_, kernel)| kernel.schedule.is_none());
    let ids: Vec<KernelId> = plain.map(|(id, _)| id).collect();
    for id in ids {
        for number in 0..kernels.kernels[id].stages.len() {
            stored[id].extend(rewrite(kernels, id, number, target));
        }
    }
    rebind_constants(kernels, |kernel, operand, tensor| {
        let found = stored[kernel].iter().find(|(id, _)| id.index() == operand);
        found.map(|(_, stored)| stored.of(tensor))
    });
}

/// Lets sums read their codes in words that kernels before them make, where that pays.
fn make_values(kernels: &mut Kernels, target: &Target) {
    let mut makings = Makings::new();
    for (id, kernel) in kernels.kernels.iter_mut().filter(|(_, k)| k.schedule.is_none()) {
        for number in 0..kernel.stages.len() {
            makings[id].extend(room::copied(kernel, number, target));
            makings[id].extend(packed::rewrite(kernel, number, target));
        }
    }
    before::make_before(kernels, &makings);
}

/// How weights are stored.
#[derive(Clone, Debug)]
enum Stored {
    Words(Words),
    Halves,
    Numbers,
}

impl Stored {
    fn of(&self, tensor: &Tensor) -> Tensor {
        match self {
            Stored::Words(words) => words.of(tensor),
            Stored::Halves => single::halves(tensor),
            Stored::Numbers => floats::numbers(tensor),
        }
    }
}

/// Makes a stage use the target's instruction; says how its constants are to be stored for that.
fn rewrite(
    kernels: &mut Kernels,
    id: KernelId,
    number: usize,
    target: &Target,
) -> Vec<(OperandId, Stored)> {
    let kernel = &kernels.kernels[id];
    if let Some(site) = Site::of(kernel, number, target) {
        let weights = kernel.stages[number].reads[site.weights].operand;
        let has_narrow =
            site.dot == ScalarFn::DotI8 && target.dots.contains(&ScalarFn::DotI8Narrow);
        let dot = match has_narrow && is_narrow(kernels, id, weights) {
            true => ScalarFn::DotI8Narrow,
            false => site.dot,
        };
        let words = site.rewrite(&mut kernels.kernels[id], dot);
        return vec![(weights, Stored::Words(words))];
    }
    if pair::rewrite(&mut kernels.kernels[id], number, target).is_some() {
        return Vec::new();
    }
    if let Some(constants) = floats::rewrite(kernels, id, number, target) {
        return constants.into_iter().map(|constant| (constant, Stored::Numbers)).collect();
    }
    rewrite_single(&mut kernels.kernels[id], number, target).into_iter().collect()
}

/// Whether the products of any two codes of 8 bits with these weights fit 16 bits together.
fn is_narrow(kernels: &Kernels, kernel: KernelId, weights: OperandId) -> bool {
    let bound = bound_constants(kernels, kernel, weights);
    let fits = |code: Scalar| code.as_i64() > i64::from(i8::MIN);
    bound.is_some_and(|all| all.into_iter().all(|tensor| tensor.iter().all(fits)))
}

/// Makes a stage multiply single codes by the target's instruction.
fn rewrite_single(
    kernel: &mut Kernel,
    number: usize,
    target: &Target,
) -> Option<(OperandId, Stored)> {
    if let Some((weights, words)) = taps::rewrite(kernel, number, target) {
        return Some((weights, Stored::Words(words)));
    }
    Some((single::rewrite(kernel, number, target)?, Stored::Halves))
}

#[cfg(test)]
mod tests {
    use super::testing::{codes, contraction};
    use super::use_dots;
    use crate::eqsat::rule::Class;
    use crate::form_kernels::form_kernels;
    use crate::graph::zero_points;
    use crate::lower_to_loops::lower;
    use crate::manager::{PassCx, PassOptions, VerifyPolicy};
    use crate::schedule::parts::{Division, divide};
    use crate::schedule::schedule;
    use edgecc_ir::graph::Graph;
    use edgecc_ir::graph::build::GraphBuilder;
    use edgecc_ir::graph::eval::eval;
    use edgecc_ir::graph::ops::{Conv, Layout, MatMul, Op, Transpose, Window, Zeros};
    use edgecc_ir::kernel::verify::verify;
    use edgecc_ir::kernel::{self, Unit};
    use edgecc_ir::loops::{self, interp};
    use edgecc_ir::scalar::func::ScalarFn;
    use edgecc_ir::target::{CPUS, Cpu, Target};
    use edgecc_ir::tensor::{Scalar, Tensor};
    use edgecc_ir::types::ElemType;

    /// Every processor of the table, those with dot products first.
    fn targets() -> Vec<Target> {
        let mut all: Vec<Target> = CPUS.iter().map(Cpu::target).collect();
        all.sort_by_key(|t| t.dots.is_empty());
        all
    }

    /// The stages that read words on some target, whose results all levels agree on.
    fn check(op: impl Into<Op>, x: Tensor, weights: Tensor) -> usize {
        check_graph(&contraction(op, &x, weights), &[x])
    }

    /// The same for a graph.
    fn check_graph(graph: &Graph, inputs: &[Tensor]) -> usize {
        let expected = eval(graph, inputs);
        let mut most = 0;
        for target in targets() {
            let mut moved = graph.clone();
            let options =
                PassOptions { strict_float: false, opt_level: 2, verify: VerifyPolicy::Never };
            (zero_points::PASS.run)(&mut moved, &PassCx::new(&target, &options));
            assert_eq!(eval(&moved, inputs), expected, "{}", target.cpu);
            let mut kernels = form_kernels(&moved);
            use_dots(&mut kernels, &target);
            assert_eq!(verify(&kernels), Ok(()), "{}", target.cpu);
            assert_eq!(kernel::eval::eval(&kernels, inputs), expected, "{}", target.cpu);
            let stages = kernels.kernels.values().flat_map(|k| &k.stages);
            let words = stages.filter(|s| s.reads.iter().any(|r| r.unit == Unit::Word));
            most = most.max(words.count());
            schedule(&mut kernels, &target, Class::Reassoc);
            divide(&mut kernels, &target, Division { parts: 3, grain: 1 });
            let lowered = lower(&kernels, &target);
            assert_eq!(loops::verify::verify(&lowered, None), Ok(()), "{}", target.cpu);
            assert_eq!(interp::run(&lowered, inputs), expected, "{}", target.cpu);
        }
        most
    }

    fn conv(image: [usize; 4], weights: [usize; 4], pad: u32, zero: i32) -> usize {
        let window = Window { pads_begin: vec![pad; 2], pads_end: vec![pad; 2], ..Window::unit(2) };
        let groups = (image[3] / weights[1]) as u32;
        let op = Conv::plain(window, groups, Layout::ChannelsLast);
        let op = Conv { zeros: Zeros { x: zero, w: 0 }, ..op };
        check(op, codes(ElemType::U8, &image), codes(ElemType::I8, &weights))
    }

    #[test]
    fn convolutions_over_channels_read_words() {
        assert_eq!(conv([1, 5, 7, 8], [19, 8, 1, 1], 0, 130), 1);
        assert_eq!(conv([2, 6, 5, 4], [17, 4, 3, 3], 1, 0), 1);
        assert_eq!(conv([1, 6, 9, 12], [16, 12, 3, 3], 1, 3), 1);
        assert_eq!(conv([1, 4, 4, 8], [10, 4, 3, 3], 1, 7), 1);
    }

    #[test]
    fn sums_without_whole_words_read_words_of_a_copy() {
        assert_eq!(conv([1, 9, 9, 3], [16, 3, 3, 3], 1, 9), 1);
        assert_eq!(conv([1, 5, 5, 6], [33, 6, 1, 1], 0, 9), 1);
    }

    #[test]
    fn rows_of_few_channels_read_words_along_the_row() {
        let (image, weights) = (codes(ElemType::U8, &[1, 3, 8, 10]), [32, 3, 3, 3]);
        let window = Window { strides: vec![2, 2], pads_begin: vec![1; 2], ..Window::unit(2) };
        let conv = Conv::plain(window, 1, Layout::ChannelsLast);
        let mut b = GraphBuilder::new("m");
        let x = b.input("x", image.ty.clone());
        let pixels = b.add(Transpose { perm: vec![0, 2, 3, 1] }, &[x]).expect("a permutation");
        let weights = b.constant(codes(ElemType::I8, &weights));
        let conv = Conv { zeros: Zeros { x: 77, w: 0 }, ..conv };
        let y = b.add(conv, &[pixels, weights]).expect("a convolution");
        b.output("y", y);
        assert_eq!(check_graph(&b.finish(), &[image]), 1);
    }

    #[test]
    fn sums_of_few_columns_read_no_words() {
        assert_eq!(conv([1, 5, 5, 6], [4, 6, 1, 1], 0, 9), 0);
        assert_eq!(conv([1, 6, 6, 16], [16, 1, 3, 3], 1, 0), 0);
    }

    #[test]
    fn channels_apart_agree_for_every_window() {
        for taps in 1..=9 {
            assert_eq!(conv([1, 9, 10, 19], [19, 1, taps, 3], 1, 0), 0);
            assert_eq!(conv([1, 9, 10, 8], [8, 1, taps, 1], 1, 7), 0);
        }
    }

    #[test]
    fn products_of_codes_of_any_sign_read_words() {
        for transpose_b in [false, true] {
            let weights = if transpose_b { [21, 20] } else { [20, 21] };
            let op = MatMul { transpose_b, zeros: Zeros { x: -5, w: 0 }, ..MatMul::plain() };
            let weights = codes(ElemType::I8, &weights);
            assert_eq!(check(op, codes(ElemType::I8, &[13, 20]), weights), 1);
        }
    }

    #[test]
    fn products_with_weights_that_fit_16_bits_in_pairs_are_narrow() {
        let x = codes(ElemType::I8, &[13, 20]);
        let wide = codes(ElemType::I8, &[20, 21]);
        let code = |i| Scalar::from_i64(ElemType::I8, wide.get(i).as_i64().max(-127));
        let narrow = Tensor::from_fn(wide.ty.clone(), code);
        let target = Cpu::named("cortex-a72").expect("a row").target();
        for (weights, dot) in [(wide, ScalarFn::DotI8), (narrow, ScalarFn::DotI8Narrow)] {
            let graph = contraction(MatMul::plain(), &x, weights.clone());
            let mut kernels = form_kernels(&graph);
            use_dots(&mut kernels, &target);
            let stages = || kernels.kernels.values().flat_map(|k| &k.stages);
            let found: Vec<ScalarFn> = stages().filter_map(|s| Some(s.body.product()?.0)).collect();
            assert_eq!(found, [dot]);
            assert_eq!(check(MatMul::plain(), x.clone(), weights), 1);
        }
    }

    /// Products of a batch of two values, `rows × steps` codes and as many steps of 19 columns.
    fn values(elems: [ElemType; 2], [rows, steps]: [usize; 2], op: MatMul) -> usize {
        let right = if op.transpose_b { [2, 19, steps] } else { [2, steps, 19] };
        let inputs = [codes(elems[0], &[2, rows, steps]), codes(elems[1], &right)];
        let mut b = GraphBuilder::new("m");
        let factors = [0, 1].map(|n| b.input("x", inputs[n].ty.clone()));
        let y = b.add(op, &factors).expect("a product");
        b.output("y", y);
        check_graph(&b.finish(), &inputs)
    }

    #[test]
    fn products_of_two_values_read_packed_words() {
        use ElemType::{I8, U8};
        for elems in [[U8, U8], [U8, I8], [I8, I8], [I8, U8]] {
            for zeros in [[0, 0], [7, 0], [0, 9], [121, 124]] {
                let zeros = Zeros { x: zeros[0], w: zeros[1] };
                let op = MatMul { zeros, ..MatMul::plain() };
                assert!(values(elems, [13, 20], op.clone()) >= 1);
                assert!(values(elems, [13, 20], MatMul { transpose_b: true, ..op }) >= 2);
            }
        }
    }

    #[test]
    fn products_of_few_rows_or_parts_of_words_are_not_packed() {
        let elems = [ElemType::U8, ElemType::I8];
        assert_eq!(values(elems, [3, 20], MatMul::plain()), 0);
        assert_eq!(values(elems, [13, 19], MatMul::plain()), 0);
    }
}
