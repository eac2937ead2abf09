//! Sweeps of expanded functions against double precision.

use crate::loops::legalize::legalize;
use edgecc_ir::affine::Affine;
use edgecc_ir::loops::build::LoopBuilder;
use edgecc_ir::loops::interp::run_fn;
use edgecc_ir::loops::{LoopFn, Param, ParamAccess, VType, ValueId};
use edgecc_ir::scalar::func::{Accuracy, ScalarFn};
use edgecc_ir::target::{Arch, Target};
use edgecc_ir::tensor::{Scalar, Tensor};
use edgecc_ir::types::{ElemType, TensorType};

/// Every `STEP`-th bit pattern, a prime number: about 200,000 floats over all exponents.
const STEP: usize = 21_377;

/// The compiled function of each element.
pub(in crate::loops) fn eval(func: ScalarFn, xs: &[f32]) -> Vec<f32> {
    eval_with(func, &[xs], true)
}

/// The compiled function of each tuple of elements, with or without multiply-add.
pub(in crate::loops) fn eval_with(func: ScalarFn, args: &[&[f32]], fma: bool) -> Vec<f32> {
    let count = args[0].len();
    let target = Target { fma, ..Target::default_for(Arch::X86_64) };
    let inputs = args.iter().map(|xs| Tensor::from_f32s(&[count], xs)).collect();
    run(&call(func), inputs, &target).to_f32s()
}

/// The compiled function of each tuple of `f64` elements, with or without multiply-add.
pub(in crate::loops) fn eval_f64(func: ScalarFn, args: &[&[f64]], fma: bool) -> Vec<f64> {
    let target = Target { fma, ..Target::default_for(Arch::X86_64) };
    let ty = TensorType::new(ElemType::F64, &[args[0].len()]);
    let tensor =
        |xs: &&[f64]| Tensor::from_fn(ty.clone(), |i| Scalar::from_f64(ElemType::F64, xs[i]));
    let result = run(&call(func), args.iter().map(tensor).collect(), &target);
    result.iter().map(Scalar::as_f64).collect()
}

/// What code computes of its operands.
type Compute<'c> = &'c dyn Fn(&mut LoopBuilder, &[ValueId]) -> ValueId;

fn call(func: ScalarFn) -> impl Fn(&mut LoopBuilder, &[ValueId]) -> ValueId {
    move |b, args| b.apply(func, args)
}

fn run(compute: Compute<'_>, inputs: Vec<Tensor>, target: &Target) -> Tensor {
    let ty = inputs[0].ty.clone();
    let (code, diagnostics) = legalize(code(compute, inputs.len(), &ty), target);
    assert_eq!(diagnostics, []);
    let mut buffers = inputs;
    buffers.push(Tensor::zeros(ty));
    run_fn(&code, &mut buffers);
    buffers.pop().expect("the output")
}

fn code(compute: Compute<'_>, arity: usize, ty: &TensorType) -> LoopFn {
    let mut b = LoopBuilder::new("sweep");
    let (count, lane) = (ty.shape.numel(), VType::scalar(ty.elem));
    let ins: Vec<_> =
        (0..arity).map(|_| b.param(Param { ty: ty.clone(), access: ParamAccess::Read })).collect();
    let out = b.param(Param { ty: ty.clone(), access: ParamAccess::Write });
    b.for_each(count, |b, i| {
        let args: Vec<_> = ins.iter().map(|&p| b.load(lane, p, vec![Affine::var(i)], 1)).collect();
        let y = compute(b, &args);
        b.store(out, vec![Affine::var(i)], y, 1);
    });
    b.finish()
}

/// Asserts the accuracy class of a function of one argument, with and without multiply-add.
pub(in crate::loops) fn check_ulps(func: ScalarFn, exact: impl Fn(f64) -> f64) {
    check_ulps_of(&call(func), allowed(func), exact);
}

/// The same of what code computes of one argument.
pub(in crate::loops) fn check_ulps_of(
    compute: Compute<'_>,
    allowed: f64,
    exact: impl Fn(f64) -> f64,
) {
    let xs: Vec<f32> = (0..=u32::MAX).step_by(STEP).map(f32::from_bits).collect();
    for fma in [true, false] {
        let target = Target { fma, ..Target::default_for(Arch::X86_64) };
        let ys = run(compute, vec![Tensor::from_f32s(&[xs.len()], &xs)], &target).to_f32s();
        let wants = xs.iter().map(|&x| exact(f64::from(x)));
        let (at, error) = worst(ys.iter().copied().zip(wants)).expect("samples");
        assert!(error <= allowed, "of {:?} is {:?}: {error} ulp", xs[at], ys[at]);
    }
}

/// The error of the accuracy class in units in the last place.
pub(in crate::loops) fn allowed(func: ScalarFn) -> f64 {
    match func.info().accuracy {
        Accuracy::Exact => 0.5,
        Accuracy::Ulp(n) => f64::from(n),
    }
}

/// The position and size of the largest error of `(result, exact value)` pairs.
pub(in crate::loops) fn worst(results: impl Iterator<Item = (f32, f64)>) -> Option<(usize, f64)> {
    let errors = results.map(|(y, want)| ulps(y, want)).enumerate();
    errors.max_by(|a, b| a.1.total_cmp(&b.1))
}

/// Distance in units in the last place of `f32` at the exact value; infinite when only one of the
/// two is NaN. Infinity counts as 2¹²⁸.
fn ulps(y: f32, want: f64) -> f64 {
    let rounded = want as f32;
    if y.to_bits() == rounded.to_bits() || (y.is_nan() && want.is_nan()) {
        return 0.0;
    }
    if y.is_nan() || want.is_nan() || (y == 0.0 && rounded == 0.0) {
        return f64::INFINITY;
    }
    let finite = |x: f64| x.clamp(-(2f64.powi(128)), 2f64.powi(128));
    let size = finite(want).abs().max(f64::from(f32::MIN_POSITIVE));
    let ulp = 2f64.powi(size.log2().floor() as i32 - 23);
    (finite(f64::from(y)) - finite(want)).abs() / ulp
}
