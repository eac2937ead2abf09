//! Programs for tests: random step graphs whose functions add their operands.

use cranelift_entity::PrimaryMap;
use edgecc_ir::affine::Affine;
use edgecc_ir::kernel::{Buffer, BufferId, Home, Port};
use edgecc_ir::loc::{Loc, LocTable};
use edgecc_ir::loops::build::LoopBuilder;
use edgecc_ir::loops::{FuncId, LoopFn, Loops, Param, ParamAccess, VType};
use edgecc_ir::program::{Call, Place, Program, Step};
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::tensor::Scalar;
use edgecc_ir::types::{ElemType, TensorType};

/// A small deterministic generator (Marsaglia's xorshift64* on a mixed seed).
pub(super) struct Random(pub(super) u64);

impl Random {
    /// A number below `bound`.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x1234_5678_9abc_def1);
        let mixed = (self.0 ^ (self.0 >> 31)).wrapping_mul(0x2545_f491_4f6c_dd1d);
        (mixed >> 33) as usize % bound
    }
}

/// One buffer of `f32` per size; buffer 0 is the input, the last one the output, and each step
/// writes its last buffer from the others.
pub(super) fn chain(sizes: &[usize], steps: &[&[usize]]) -> Loops {
    let ty = |size: usize| TensorType::new(ElemType::F32, &[size]);
    let mut buffers = PrimaryMap::new();
    for (n, &size) in sizes.iter().enumerate() {
        let home = match n {
            0 => Home::Input(0),
            _ if n + 1 == sizes.len() => Home::Output(0),
            _ => Home::Arena,
        };
        buffers.push(Buffer { ty: ty(size), home });
    }
    let mut loops = Loops {
        name: "random".to_owned(),
        funcs: PrimaryMap::new(),
        buffers,
        consts: PrimaryMap::new(),
        inputs: vec![Port { name: "x".to_owned(), ty: ty(sizes[0]) }],
        outputs: vec![Port { name: "y".to_owned(), ty: ty(sizes[sizes.len() - 1]) }],
        program: Program::default(),
        plan: None,
        macs: 0,
        locs: LocTable::new(),
    };
    for step in steps {
        push_step(&mut loops, sizes, step);
    }
    loops
}

fn push_step(loops: &mut Loops, sizes: &[usize], step: &[usize]) {
    let func = function(loops, &step.iter().map(|&b| sizes[b]).collect::<Vec<_>>());
    let loc = loops.locs.push(Loc::Unknown);
    let args = step.iter().map(|&b| Place::from(BufferId::from_u32(b as u32))).collect();
    loops.program.steps.push(Step::Call(Call { callee: func, args, loc }));
}

/// `out[i] = Σ operand[i % …] + 1`: element-wise where an operand has the output's size, its first
/// element otherwise.
fn function(loops: &mut Loops, sizes: &[usize]) -> FuncId {
    let made = sum_function(sizes);
    let same = loops.funcs.iter().find(|(_, f)| **f == made).map(|(id, _)| id);
    same.unwrap_or_else(|| loops.funcs.push(made))
}

fn sum_function(sizes: &[usize]) -> LoopFn {
    let mut b = LoopBuilder::new("sum");
    let (&size, operands) = sizes.split_last().expect("an output");
    let param = |b: &mut LoopBuilder, size, access| {
        b.param(Param { ty: TensorType::new(ElemType::F32, &[size]), access })
    };
    let ins: Vec<_> = operands.iter().map(|&n| (param(&mut b, n, ParamAccess::Read), n)).collect();
    let out = param(&mut b, size, ParamAccess::Write);
    b.for_each(size, |b, i| {
        let mut sum = b.constant(Scalar::f32(1.0), 1);
        for &(p, n) in &ins {
            let at = if n == size { Affine::var(i) } else { Affine::constant(0) };
            let value = b.load(VType::scalar(ElemType::F32), p, vec![at], 1);
            sum = b.apply(ScalarFn::Add, &[sum, value]);
        }
        b.store(out, vec![Affine::var(i)], sum, 1);
    });
    b.finish()
}

/// A program of `count` steps, each reading one to three of the last few buffers; everything that
/// nobody reads goes into the last step.
pub(super) fn random_program(random: &mut Random, count: usize) -> Loops {
    let mut sizes = vec![8];
    let mut steps: Vec<Vec<usize>> = Vec::new();
    for n in 0..count {
        let mut step: Vec<usize> =
            (0..=random.below(3)).map(|_| n - random.below(n.min(6) + 1)).collect();
        step.sort_unstable();
        step.dedup();
        step.push(n + 1);
        steps.push(step);
        sizes.push([4, 8, 16, 16, 32, 64, 100][random.below(7)]);
    }
    let read: Vec<usize> = steps.iter().flat_map(|s| s[..s.len() - 1].to_vec()).collect();
    let mut last: Vec<usize> = (0..=count).filter(|b| !read.contains(b)).collect();
    last.push(count + 1);
    steps.push(last);
    sizes.push(4);
    let steps: Vec<&[usize]> = steps.iter().map(Vec::as_slice).collect();
    chain(&sizes, &steps)
}
