//! Convolutions by windows of 3 × 3 with fewer products (Winograd 1980; Lavin and Gray 2015).
//!
//! Purpose   sums over small tiles of a convolution's result at the points of a polynomial
//!           transform, which takes 2.25 to 4 times fewer products.
//! In → Out  Kernels → Kernels of the same meaning (class Reassoc), with transformed weights.
//! Owns      the transforms, the division into tiles and blocks, and their cost.
//! Never     asks what a kernel is called; changes kernels that have schedules.
//! Tests     `mod tests` in each file; `tests/passes/winograd`.
//!
//! Needs: interned kernels without schedules. A block's spectra and sums are locals, so that they
//! stay in a cache; each transform is two stages per point, one along each dimension.

mod points;
mod site;
mod stages;
mod tiling;
mod weights;

use crate::form_kernels::detach;
use crate::rebind::rebind_constants;
use cranelift_entity::{EntityRef, SecondaryMap};
use edgecc_ir::kernel::{Kernel, KernelId, Kernels};
use edgecc_ir::target::Target;
use site::Site;
use tiling::{Machine, Tiling};

/// Rewrites each convolution that is faster so on the target.
pub fn transform_convolutions(kernels: &mut Kernels, target: &Target) {
    let weights = kernels.consts.values().map(|tensor| tensor.ty.bytes()).sum();
    let machine = Machine::of(target, weights);
    let is_faster =
        |k: &Kernel| Site::of(k).is_some_and(|site| Tiling::of(k, &site, machine).is_some());
    detach(kernels, is_faster);
    rewrite(kernels, target, |kernel, site| Tiling::of(kernel, site, machine));
}

/// A convolution before it is rewritten, and how it is divided.
#[derive(Clone)]
struct Choice {
    kernel: Kernel,
    site: Site,
    tiling: Tiling,
}

fn rewrite(
    kernels: &mut Kernels,
    target: &Target,
    tiling: impl Fn(&Kernel, &Site) -> Option<Tiling>,
) {
    let mut choices: SecondaryMap<KernelId, Option<Choice>> = SecondaryMap::new();
    for (id, kernel) in &mut kernels.kernels {
        let Some(site) = Site::of(kernel).filter(|_| kernel.schedule.is_none()) else { continue };
        let Some(tiling) = tiling(kernel, &site) else { continue };
        let new = stages::tiled(kernel, &site, &tiling, target);
        let kernel = std::mem::replace(kernel, new);
        choices[id] = Some(Choice { kernel, site, tiling });
    }
    rebind_constants(kernels, |callee, argument, tensor| {
        let Choice { kernel, site, tiling } = choices[callee].as_ref()?;
        let is_weights = kernel.stages[0].reads[site.weights].operand.index() == argument;
        is_weights.then(|| weights::transformed(kernel, site, tiling, tensor))
    });
}

#[cfg(test)]
mod tests {
    use super::{rewrite, transform_convolutions};
    use crate::eqsat::rule::Class;
    use crate::form_kernels::form_kernels;
    use crate::lower_to_loops::lower;
    use crate::schedule::parts::{Division, divide};
    use crate::schedule::schedule;
    use crate::winograd::tiling::Tiling;
    use edgecc_ir::graph::Graph;
    use edgecc_ir::graph::build::GraphBuilder;
    use edgecc_ir::graph::eval::eval;
    use edgecc_ir::graph::ops::{Conv, Layout, Window};
    use edgecc_ir::kernel::verify::verify;
    use edgecc_ir::kernel::{self, Kernels};
    use edgecc_ir::loops::interp;
    use edgecc_ir::rng::Rng;
    use edgecc_ir::scalar::ScalarExpr;
    use edgecc_ir::scalar::func::ScalarFn;
    use edgecc_ir::target::{Arch, CPUS, Target};
    use edgecc_ir::tensor::{Scalar, Tensor};
    use edgecc_ir::types::{ElemType, TensorType};

    /// What `docs/numerics.md` allows, of the largest result.
    const BOUND: f64 = 1e-5;

    fn random(dims: &[usize], rng: &mut Rng) -> Tensor {
        let ty = TensorType::new(ElemType::F32, dims);
        Tensor::from_fn(ty, |_| Scalar::f32(rng.below(2001) as f32 / 1000.0 - 1.0))
    }

    /// A convolution of `[n, h, w, c]` to `k` channels, plus a value of the result's shape.
    fn conv([n, h, w, c]: [usize; 4], k: usize, pad: u32, rng: &mut Rng) -> (Graph, [Tensor; 2]) {
        let window = Window { pads_begin: vec![pad; 2], pads_end: vec![pad; 2], ..Window::unit(2) };
        let conv = Conv {
            epilogue: ScalarExpr::call(ScalarFn::Add),
            ..Conv::plain(window, 1, Layout::ChannelsLast)
        };
        let grow = 2 * pad as usize;
        let shapes = [vec![n, h, w, c], vec![n, h + grow - 2, w + grow - 2, k]];
        let inputs = shapes.map(|dims| random(&dims, rng));
        let mut b = GraphBuilder::new("m");
        let weights = random(&[k, c, 3, 3], rng);
        let [x, extra] = [0, 1].map(|n| b.input("x", inputs[n].ty.clone()));
        let weights = b.constant(weights);
        let y = b.add(conv, &[x, weights, extra]).expect("a convolution");
        b.output("y", y);
        (b.finish(), inputs)
    }

    fn check_close(found: &Tensor, expected: &Tensor) {
        let scale = expected.iter().map(|v| v.as_f64().abs()).fold(0.0, f64::max);
        for (a, b) in found.iter().zip(expected.iter()) {
            assert!((a.as_f64() - b.as_f64()).abs() <= BOUND * scale, "{a:?} for {b:?}");
        }
    }

    /// Every level of the kernels gives what the graph does.
    fn check(mut kernels: Kernels, inputs: &[Tensor], expected: &Tensor, target: &Target) {
        assert_eq!(verify(&kernels), Ok(()));
        check_close(&kernel::eval::eval(&kernels, inputs)[0], expected);
        schedule(&mut kernels, target, Class::Reassoc);
        divide(&mut kernels, target, Division { parts: 3, grain: 1 });
        assert_eq!(verify(&kernels), Ok(()));
        check_close(&interp::run(&lower(&kernels, target), inputs)[0], expected);
    }

    #[test]
    fn every_division_of_a_convolution_gives_its_results() {
        let rng = &mut Rng::new(1);
        for (image, k, pad) in [
            ([1, 7, 9, 5], 4, 1),
            ([2, 6, 8, 3], 8, 1),
            ([1, 10, 6, 4], 7, 0),
            ([1, 4, 5, 17], 13, 2),
        ] {
            let (graph, inputs) = conv(image, k, pad, rng);
            let expected = &eval(&graph, &inputs)[0];
            let plain = form_kernels(&graph);
            let mut count = 0;
            loop {
                let (mut kernels, cpu) = (plain.clone(), &CPUS[count % CPUS.len()]);
                let target = cpu.target();
                rewrite(&mut kernels, &target, |k, site| Tiling::all(k, site).nth(count));
                if kernels == plain {
                    break;
                }
                check(kernels, &inputs, expected, &target);
                count += 1;
            }
            assert!(count > 2, "{count} divisions of {image:?}");
        }
    }

    /// Whether the pass rewrites a convolution.
    fn is_rewritten(image: [usize; 4], k: usize) -> bool {
        let plain = form_kernels(&conv(image, k, 1, &mut Rng::new(0)).0);
        let mut kernels = plain.clone();
        transform_convolutions(&mut kernels, &Target::default_for(Arch::X86_64));
        kernels != plain
    }

    #[test]
    fn convolutions_of_many_channels_are_rewritten() {
        assert!(is_rewritten([1, 16, 16, 64], 64));
        assert!(!is_rewritten([1, 16, 16, 3], 64) && !is_rewritten([1, 3, 3, 64], 64));
    }

    #[test]
    fn sums_that_are_rounded_to_codes_keep_all_their_products() {
        let mut plain = form_kernels(&conv([1, 16, 16, 64], 64, 1, &mut Rng::new(0)).0);
        let stage = &mut plain.kernels.values_mut().next().expect("a convolution").stages[0];
        stage.epilogue = ScalarExpr::build(2, |b| {
            let [sum, extra] = [0, 1].map(|n| b.param(n));
            let sum = b.call(ScalarFn::Add, &[sum, extra]);
            b.call(ScalarFn::Round, &[sum])
        });
        let mut kernels = plain.clone();
        transform_convolutions(&mut kernels, &Target::default_for(Arch::X86_64));
        assert_eq!(kernels, plain);
    }
}
