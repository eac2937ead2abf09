//! Runs wide functions on this machine and compares them with the interpreter, bit by bit.

mod decoded;
mod functions;
mod lookups;
mod matrix;

use crate::testing::{program, run_for};
use edgecc_ir::affine::Affine;
use edgecc_ir::loops::build::LoopBuilder;
use edgecc_ir::loops::{Guard, LoopFn, Param, ParamAccess, ParamId, VType, ValueId, interp};
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::target::{Cpu, Target};
use edgecc_ir::tensor::{Scalar, Tensor};
use edgecc_ir::types::{ElemType, TensorType};

/// AVX2 and AVX-512 machines with their full vectors.
pub(super) fn targets() -> [Target; 2] {
    [("x86-64-v3", 256), ("znver4", 512)].map(|(name, vector_bits)| Target {
        vector_bits,
        ..Cpu::named(name).expect("a row").target()
    })
}

/// Numbers without pattern, some of them special.
fn noise(ty: &TensorType) -> Tensor {
    let special = [0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.5, -1.5, 1e-40];
    Tensor::from_fn(ty.clone(), |i| {
        let hash = (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        match hash % 11 {
            0 => Scalar::from_f64(ty.elem, special[hash as usize / 11 % special.len()]),
            _ => Scalar::from_f64(ty.elem, hash as f64 / (1 << 20) as f64 - 8.0),
        }
    })
}

/// Runs on every target that this machine has.
fn check(make: impl Fn(&Target) -> LoopFn) {
    for target in targets() {
        check_with(&target, make(&target), |ty, _| noise(ty));
    }
}

/// Runs where this machine has the target; `input` makes the content of each input. NaN equals NaN.
fn check_with(target: &Target, func: LoopFn, input: impl Fn(&TensorType, usize) -> Tensor) {
    assert!(super::is_wide(&func, target));
    decoded::compare(&func, target);
    let loops = program(func);
    let ports = loops.inputs.iter().enumerate();
    let inputs: Vec<Tensor> = ports.map(|(n, port)| input(&port.ty, n)).collect();
    let expected = interp::run(&loops, &inputs);
    let Some(outputs) = run_for(&loops, &inputs, target) else { return };
    for (expected, found) in expected.iter().zip(&outputs) {
        for i in 0..expected.numel() {
            let (e, f) = (expected.get(i), found.get(i));
            let both_nan = e.elem().is_float() && e.as_f64().is_nan() && f.as_f64().is_nan();
            assert!(
                e == f || both_nan,
                "{}: element {i}: {e:?}, compiled {f:?}\n{:?}",
                target.cpu,
                loops.funcs.values().next()
            );
        }
    }
}

/// A vector of 128 bits.
const NARROW: VType = VType { elem: ElemType::F32, lanes: 4 };

/// Adds a vector of 256 bits to the function.
fn widen(b: &mut LoopBuilder) {
    let x = param(b, ElemType::F32, &[8], ParamAccess::Read);
    let y = param(b, ElemType::F32, &[8], ParamAccess::Write);
    let at = vec![Affine::constant(0)];
    let value = b.load(VType { elem: ElemType::F32, lanes: 8 }, x, at.clone(), 8);
    b.store(y, at, value, 8);
}

fn param(b: &mut LoopBuilder, elem: ElemType, dims: &[usize], access: ParamAccess) -> ParamId {
    b.param(Param { ty: TensorType::new(elem, dims), access })
}

/// `y = max(a·w + bias, 0)` on a tile of rows × vectors, `unroll` steps at a time.
fn tile(elem: ElemType, lanes: u8, rows: usize, vectors: usize, unroll: i64) -> LoopFn {
    let (steps, width) = (24, usize::from(lanes) * vectors);
    let vector = VType { elem, lanes };
    let mut b = LoopBuilder::new("tile");
    let a = param(&mut b, elem, &[rows, steps], ParamAccess::Read);
    let w = param(&mut b, elem, &[steps, width], ParamAccess::Read);
    let bias = param(&mut b, elem, &[width], ParamAccess::Read);
    let y = param(&mut b, elem, &[rows, width], ParamAccess::Write);
    let zero = b.constant(Scalar::from_f64(elem, 0.0), lanes);
    let lane = |v: usize| Affine::constant((v * usize::from(lanes)) as i64);
    let sums = b.for_carried(steps / unroll as usize, &vec![zero; rows * vectors], |b, k, sums| {
        let mut sums = sums.to_vec();
        for step in 0..unroll {
            let at = Affine::scaled(k, unroll).offset(step);
            let weights: Vec<ValueId> =
                (0..vectors).map(|v| b.load(vector, w, vec![at.clone(), lane(v)], lanes)).collect();
            for row in 0..rows {
                let index = vec![Affine::constant(row as i64), at.clone()];
                let factor = b.load(VType::scalar(elem), a, index, 1);
                let factor = b.splat(factor, lanes);
                for v in 0..vectors {
                    let sum = &mut sums[row * vectors + v];
                    *sum = b.apply(ScalarFn::Fma, &[factor, weights[v], *sum]);
                }
            }
        }
        sums
    });
    for (n, sum) in sums.into_iter().enumerate() {
        let (row, v) = (n / vectors, n % vectors);
        let offset = b.load(vector, bias, vec![lane(v)], lanes);
        let sum = b.apply(ScalarFn::Add, &[sum, offset]);
        let sum = b.apply(ScalarFn::Max, &[sum, zero]);
        b.store(y, vec![Affine::constant(row as i64), lane(v)], sum, lanes);
    }
    b.finish()
}

fn lanes(target: &Target, elem: ElemType) -> u8 {
    target.lanes(elem.bytes()) as u8
}

#[test]
fn contractions_agree_with_the_interpreter() {
    for elem in [ElemType::F32, ElemType::F64] {
        for (rows, vectors, unroll) in [(1, 1, 1), (6, 2, 1), (4, 3, 2), (6, 4, 4), (14, 2, 3)] {
            check(|target| tile(elem, lanes(target, elem), rows, vectors, unroll));
        }
    }
}

/// The largest tiles: accumulators, one row of weights and one factor fill the registers.
#[test]
fn tiles_that_fit_the_registers_do_not_spill_in_their_loop() {
    for target in targets() {
        let registers = if target.vector_bits == 512 { 32 } else { 16 };
        for rows in 1..15 {
            for vectors in (1..7).filter(|vectors| (rows + 1) * vectors < registers) {
                let func = tile(ElemType::F32, lanes(&target, ElemType::F32), rows, vectors, 4);
                let compiled = super::compile(&func, &target).expect("the tile is legal");
                assert_eq!(compiled.spills, 0, "{} {rows}x{vectors}", target.cpu);
                let listing = super::listing(&func, &target).expect("the tile is legal");
                let found = innermost_loop(&listing).count();
                let work = 4 * (rows * vectors + rows + vectors);
                assert!(found <= work + LOOP_CONTROL, "{rows}x{vectors}\n{listing}");
            }
        }
    }
}

/// Two pointers, the counter and the jump.
const LOOP_CONTROL: usize = 4;

/// The instructions of the only loop.
fn innermost_loop(listing: &str) -> impl Iterator<Item = &str> {
    let mut blocks = listing.split("block");
    let is_loop = |block: &&str| block.contains(" dec ");
    let body = blocks.find_map(|block| Some(block).filter(is_loop)).expect("a loop");
    body.lines().filter(|line| line.starts_with(' '))
}

#[test]
fn what_is_behind_a_buffer_may_be_asked_for() {
    check(|target| {
        let mut b = LoopBuilder::new("ahead");
        let lanes = lanes(target, ElemType::F32);
        let size = [8 * usize::from(lanes)];
        let x = param(&mut b, ElemType::F32, &size, ParamAccess::Read);
        let y = param(&mut b, ElemType::F32, &size, ParamAccess::Write);
        b.for_each(8, |b, i| {
            let at = vec![Affine::scaled(i, i64::from(lanes))];
            b.prefetch(x, vec![at[0].clone().offset(1 << 28)]);
            let value = b.load(VType { elem: ElemType::F32, lanes }, x, at.clone(), lanes);
            b.store(y, at, value, lanes);
        });
        b.finish()
    });
}

#[test]
fn partial_vectors_touch_only_their_elements() {
    for elem in [ElemType::F32, ElemType::F64] {
        check(|target| {
            let lanes = lanes(target, elem);
            let vector = VType { elem, lanes };
            let total: usize = (1..=usize::from(lanes)).sum();
            let mut b = LoopBuilder::new("parts");
            let x = param(&mut b, elem, &[total], ParamAccess::Read);
            let y = param(&mut b, elem, &[2, total], ParamAccess::Write);
            b.for_each(2, |b, i| {
                let mut at = 0;
                for part in 1..=lanes {
                    let value = b.load(vector, x, vec![Affine::constant(at)], part);
                    let value = b.apply(ScalarFn::Add, &[value, value]);
                    b.store(y, vec![Affine::var(i), Affine::constant(at)], value, part);
                    at += i64::from(part);
                }
            });
            b.finish()
        });
    }
}

#[test]
fn every_function_of_floats_computes_what_its_row_says() {
    for &func in ScalarFn::ALL {
        for elem in [ElemType::F32, ElemType::F64] {
            let legal = edgecc_ir::loops::verify::legal::is_legal(func, elem, &targets()[0]);
            let args = vec![elem; func.info().arity];
            if !legal || func.infer(&args) != Some(elem) {
                continue;
            }
            check(|target| {
                let vector = VType { elem, lanes: lanes(target, elem) };
                let mut b = LoopBuilder::new("apply");
                let size = 3 * usize::from(vector.lanes);
                let x = param(&mut b, elem, &[size + 4], ParamAccess::Read);
                let y = param(&mut b, elem, &[size], ParamAccess::Write);
                b.for_each(3, |b, i| {
                    for (ty, at) in [(vector, 0), (VType::scalar(elem), 3)] {
                        let stride = i64::from(ty.lanes);
                        let operands: Vec<ValueId> = (0..args.len() as i64)
                            .map(|n| {
                                let at = Affine::scaled(i, stride).offset(n % 2 + at);
                                b.load(ty, x, vec![at], ty.lanes)
                            })
                            .collect();
                        let value = b.apply(func, &operands);
                        b.store(y, vec![Affine::scaled(i, stride).offset(at)], value, ty.lanes);
                    }
                });
                b.finish()
            });
        }
    }
}

#[test]
fn guards_keep_padding_out_of_sums() {
    check(|target| {
        let vector = VType { elem: ElemType::F32, lanes: lanes(target, ElemType::F32) };
        let width = usize::from(vector.lanes);
        let mut b = LoopBuilder::new("padded");
        let x = param(&mut b, ElemType::F32, &[5, 4, width], ParamAccess::Read);
        let y = param(&mut b, ElemType::F32, &[5, 4, width], ParamAccess::Write);
        b.for_each(5, |b, i| {
            b.for_each(4, |b, j| {
                let zero = b.constant(Scalar::f32(0.0), vector.lanes);
                let sum = b.for_carried(3, &[zero], |b, p, sum| {
                    b.for_carried(3, sum, |b, q, sum| {
                        let (row, column) = (
                            Affine::var(i).plus(p, 1).offset(-1),
                            Affine::var(j).plus(q, 2).offset(-2),
                        );
                        let guards = vec![
                            Guard { expr: row.clone(), extent: 5 },
                            Guard { expr: column.clone(), extent: 4 },
                        ];
                        b.guarded(guards, sum, |b| {
                            let at = vec![row, column, Affine::constant(0)];
                            let value = b.load(vector, x, at, vector.lanes);
                            vec![b.apply(ScalarFn::Sub, &[sum[0], value])]
                        })
                    })
                });
                let at = vec![Affine::var(i), Affine::var(j), Affine::constant(0)];
                b.store(y, at, sum[0], vector.lanes);
            });
        });
        b.finish()
    });
}

/// Ten parameters: four pointers arrive in memory.
#[test]
fn many_parameters_and_carried_scalars_work() {
    check(|target| {
        let vector = VType { elem: ElemType::F32, lanes: lanes(target, ElemType::F32) };
        let mut b = LoopBuilder::new("many");
        let size = [3, usize::from(vector.lanes)];
        let inputs: Vec<ParamId> =
            (0..8).map(|_| param(&mut b, ElemType::F32, &size, ParamAccess::Read)).collect();
        let y = param(&mut b, ElemType::F32, &size, ParamAccess::Write);
        let z = param(&mut b, ElemType::F32, &[1], ParamAccess::Write);
        let (one, two) = (b.constant(Scalar::f32(1.0), 1), b.constant(Scalar::f32(2.0), 1));
        let ends = b.for_carried(3, &[one, two], |b, i, pair| {
            let row = vec![Affine::var(i), Affine::constant(0)];
            let loads: Vec<ValueId> =
                inputs.iter().map(|&x| b.load(vector, x, row.clone(), vector.lanes)).collect();
            let factor = b.splat(pair[0], vector.lanes);
            let sum = loads[1..]
                .iter()
                .fold(loads[0], |sum, &x| b.apply(ScalarFn::Fma, &[sum, factor, x]));
            b.store(y, row, sum, vector.lanes);
            vec![pair[1], b.apply(ScalarFn::Add, &[pair[0], pair[1]])]
        });
        let last = b.apply(ScalarFn::Div, &[ends[0], ends[1]]);
        b.store(z, vec![Affine::constant(0)], last, 1);
        b.finish()
    });
}

/// Loads of what the function has stored itself stay behind the store.
#[test]
fn scratch_is_read_after_it_is_written() {
    check(|target| {
        let vector = VType { elem: ElemType::F32, lanes: lanes(target, ElemType::F32) };
        let mut b = LoopBuilder::new("scratch");
        let x = param(&mut b, ElemType::F32, &[2, usize::from(vector.lanes)], ParamAccess::Read);
        let y =
            param(&mut b, ElemType::F32, &[2, usize::from(vector.lanes)], ParamAccess::ReadWrite);
        let at = |row| vec![Affine::constant(row), Affine::constant(0)];
        let (first, second) =
            (b.load(vector, x, at(0), vector.lanes), b.load(vector, x, at(1), vector.lanes));
        b.store(y, at(0), first, vector.lanes);
        let before = b.load(vector, y, at(0), vector.lanes);
        b.store(y, at(0), second, vector.lanes);
        let after = b.load(vector, y, at(0), vector.lanes);
        let difference = b.apply(ScalarFn::Sub, &[before, after]);
        b.store(y, at(1), difference, vector.lanes);
        b.finish()
    });
}
