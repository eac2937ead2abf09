//! `differential`: a random typed graph means the same at every level.

use crate::graphs::{Case, random_graph};
use crate::rng_of;
use edgecc::driver::{Ir, compile_graph};
use edgecc::options::OptLevel;
use edgecc::{Division, Options};
use edgecc_ir::graph::Graph;
use edgecc_ir::graph::eval::{eval, eval_ops};
use edgecc_ir::graph::ops::Op;
use edgecc_ir::scalar::func::Class;
use edgecc_ir::scalar::{ScalarExpr, ScalarNode};
use edgecc_ir::target::{Arch, CPUS, Cpu, Target};
use edgecc_ir::tensor::Tensor;
use edgecc_ir::{kernel, loops};
use edgecc_rt::error::Error;
use edgecc_rt::hooks::Hooks;
use edgecc_rt::load::{Library, LoadError};
use edgecc_rt::model::Buffers;
use edgecc_rt::pool::Pool;
use std::num::NonZero;

/// Share of the largest intermediate value by which results may differ: thousands of roundings of
/// `f32`, and never a wrong element.
const TOLERANCE: f32 = 1e-4;

/// Threads that share the parts of kernels.
const THREADS: NonZero<usize> = NonZero::new(3).expect("not zero");

/// Compiles and runs a random graph, comparing after every pass.
///
/// # Panics
/// When a level disagrees with the evaluator; the message names it.
pub fn run(data: &[u8]) {
    let mut rng = rng_of(data);
    let ops = rng.between(1, 8);
    let case = random_graph(&mut rng, ops);
    let division = Division { parts: 1 + rng.below(8) as u32, grain: 1 };
    let mut target = |arch| {
        let cpus: Vec<&Cpu> = CPUS.iter().filter(|cpu| cpu.arch == arch).collect();
        let cpu = cpus[rng.below(cpus.len())];
        cpu.target()
    };
    let targets = [target(Arch::X86_64), target(Arch::Aarch64)];
    // A transformed convolution is off by more than a rounding, which a jump makes any difference.
    let opt_level = if has_jumps(&case.graph) { OptLevel::Os } else { OptLevel::default() };
    check(&case, &targets, &Options { division, opt_level, ..Options::default() });
}

/// Whether a small change of a value may change a result by much: something is rounded, compared or
/// counted.
fn has_jumps(graph: &Graph) -> bool {
    let compares = |node: &ScalarNode| matches!(node, ScalarNode::Call(func, _) if func.info().class == Class::Compare);
    let jumps = |body: &ScalarExpr| body.rounds() || body.nodes().iter().any(compares);
    graph.order.iter().any(|&id| {
        let in_body = match &graph.ops[id].op {
            Op::Map(op) => jumps(&op.body),
            Op::Conv(op) => jumps(&op.epilogue),
            Op::MatMul(op) => jumps(&op.epilogue),
            _ => false,
        };
        in_body || !graph.ty(id).elem.is_float()
    })
}

fn check(case: &Case, targets: &[Target], options: &Options) {
    let expected = eval(&case.graph, &case.inputs);
    let bound = TOLERANCE * largest(case);
    for target in targets {
        let (graph, cpu) = (case.graph.clone(), &target.cpu);
        let compiled =
            compile_graph(graph, Vec::new(), target.clone(), options, &mut |pass, ir| {
                compare(&format!("{cpu} {pass}"), &expected, &level(ir, case), bound);
            });
        let compiled = compiled.unwrap_or_else(|failure| panic!("{failure:?}"));
        if edgecc_rt::abi::Arch::host().is_some_and(|host| host.name() == target.arch.name()) {
            let object = &compiled.code.object;
            let Some(outputs) = native(object, case, &Hooks::NONE) else { continue };
            compare(&format!("{cpu} native"), &expected, &outputs, bound);
            let pool = Pool::new(THREADS).expect("the system gives threads");
            let threaded = native(object, case, &pool.hooks());
            assert_eq!(threaded, Some(outputs), "threads change the result");
        }
    }
}

/// What a level computes, by its own interpreter.
fn level(ir: Ir<'_>, case: &Case) -> Vec<Tensor> {
    match ir {
        Ir::Graph(graph) => eval(graph, &case.inputs),
        Ir::Kernels(kernels) => kernel::eval::eval(kernels, &case.inputs),
        Ir::Loops(loops) => loops::interp::run(loops, &case.inputs),
    }
}

/// The largest finite magnitude of any value of the graph, at least 1.
fn largest(case: &Case) -> f32 {
    let mut largest = 1f32;
    eval_ops(&case.graph, &case.inputs, |_, value| {
        let magnitudes = value.iter().map(|v| v.as_f32().abs());
        largest = magnitudes.filter(|m| m.is_finite()).fold(largest, f32::max);
    });
    largest
}

/// Links, loads and runs an object, unless this machine lacks features that it needs.
fn native(object: &[u8], case: &Case, hooks: &Hooks<'_>) -> Option<Vec<Tensor>> {
    let shared = edgecc_backend::link::shared_object(object).expect("the object links");
    let library = Library::from_bytes(&shared).expect("the object loads");
    let model = match library.model(&case.graph.name) {
        Err(LoadError::Model(Error::Cpu(_))) => return None,
        model => model.expect("the model's symbols are there"),
    };
    let inputs: Vec<&[u8]> = case.inputs.iter().map(Tensor::bytes).collect();
    let types = case.graph.outputs.iter().map(|o| case.graph.ty(o.value).clone());
    let mut outputs: Vec<Vec<u8>> = types.clone().map(|ty| vec![0xff; ty.bytes()]).collect();
    let mut slices: Vec<&mut [u8]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
    let align = model.info().arena_align() as usize;
    let mut workspace = vec![0xff; model.info().arena_bytes() as usize + align];
    let start = workspace.as_ptr().align_offset(align);
    let end = start + model.info().arena_bytes() as usize;
    let buffers = Buffers {
        inputs: &inputs,
        outputs: &mut slices,
        state: &mut [],
        workspace: &mut workspace[start..end],
    };
    model.run_with(hooks, buffers).expect("valid buffers");
    Some(types.zip(outputs).map(|(ty, bytes)| Tensor::from_bytes(ty, bytes)).collect())
}

fn compare(level: &str, expected: &[Tensor], actual: &[Tensor], bound: f32) {
    for (n, (e, a)) in expected.iter().zip(actual).enumerate() {
        assert_eq!(e.ty, a.ty, "{level}: type of output {n}");
        for (at, (x, y)) in e.iter().zip(a.iter()).enumerate() {
            let (x, y) = (x.as_f32(), y.as_f32());
            let close = x == y || (x - y).abs() <= bound || (x.is_nan() && y.is_nan());
            assert!(close, "{level}: output {n} element {at} is {y}, the evaluator says {x}");
        }
    }
}
