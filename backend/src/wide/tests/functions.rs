//! Every function and every conversion, on every lane count, against the evaluator.

use super::{NARROW, check_with, param, widen};
use edgecc_ir::affine::Affine;
use edgecc_ir::loops::build::LoopBuilder;
use edgecc_ir::loops::verify::legal::is_legal;
use edgecc_ir::loops::{Expr, LoopFn, ParamAccess, ParamId, VType, ValueId};
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::target::Target;
use edgecc_ir::tensor::{Scalar, Tensor};
use edgecc_ir::types::{ElemType, TensorType};

pub(super) const COUNT: usize = 48;

/// Values at the edges of the type, in an order that pairs differently in each operand.
fn samples(ty: &TensorType, operand: usize) -> Tensor {
    let elem = ty.elem;
    let edges = [0.0, -0.0, 1.0, -1.0, 2.5, -3.5, 0.5, 1e-40, 7.0, 300.0, 3e9, -3e9, 1e19, -1e19];
    let value = |i: usize| match (elem.is_float(), i * (2 * operand + 3) % 17) {
        (true, 14) => Scalar::from_f64(elem, f64::NAN),
        (true, 15) => Scalar::from_f64(elem, f64::NEG_INFINITY),
        (true, 16) => Scalar::from_f64(elem, f64::INFINITY),
        (true, at) => Scalar::from_f64(elem, edges[at] * (1.0 + (i / 17) as f64)),
        (false, 0) => Scalar::from_bits(elem, u64::MAX >> (64 - 8 * elem.bytes())),
        (false, 1) => Scalar::from_i64(elem, elem.int_range().map_or(1, |r| r.0)),
        (false, 2) => Scalar::from_i64(elem, elem.int_range().map_or(1, |r| r.1)),
        (false, 3) => Scalar::from_i64(elem, 0),
        (false, at) => Scalar::from_i64(elem, at as i64 * 37 - 150 + i as i64),
    };
    Tensor::from_fn(ty.clone(), |i| match elem {
        ElemType::Bool => Scalar::bool((i >> operand) & 1 == 1),
        _ => value(i),
    })
}

/// Lane counts of which all these types fit a target's vectors.
pub(super) fn lane_counts<'a>(
    target: &'a Target,
    elems: &'a [ElemType],
) -> impl Iterator<Item = u8> + use<'a> {
    let bytes = target.vector_bits as usize / 8;
    let fits = move |lanes: &u8| {
        elems.iter().all(|&e| e == ElemType::Bool || e.bytes() * usize::from(*lanes) <= bytes)
    };
    [1, 2, 4, 8, 16].into_iter().filter(fits)
}

/// Maps whole buffers, vector after vector, each result through `one`.
pub(super) fn mapped(
    args: &[ElemType],
    result: ElemType,
    lanes: u8,
    one: impl Fn(&mut LoopBuilder, &[ValueId]) -> ValueId,
) -> LoopFn {
    let mut b = LoopBuilder::new("mapped");
    let reads: Vec<ParamId> =
        args.iter().map(|&elem| param(&mut b, elem, &[COUNT], ParamAccess::Read)).collect();
    let write = param(&mut b, result, &[COUNT], ParamAccess::Write);
    b.for_each(COUNT / usize::from(lanes), |b, i| {
        let at = vec![Affine::scaled(i, i64::from(lanes))];
        let load =
            |(&read, &elem): (_, &ElemType)| b.load(VType { elem, lanes }, read, at.clone(), lanes);
        let values: Vec<ValueId> = reads.iter().zip(args).map(load).collect();
        let value = one(b, &values);
        b.store(write, at, value, lanes);
    });
    widen(&mut b);
    b.finish()
}

fn operand_types(func: ScalarFn, elem: ElemType) -> Option<(Vec<ElemType>, ElemType)> {
    let mut args = vec![elem; func.info().arity];
    if func == ScalarFn::Select {
        args[0] = ElemType::Bool;
    }
    func.infer(&args).map(|result| (args, result))
}

#[test]
fn every_function_computes_what_its_row_says() {
    for target in super::targets() {
        for (&func, &elem) in
            ScalarFn::ALL.iter().flat_map(|f| ElemType::ALL.iter().map(move |e| (f, e)))
        {
            // The evaluator reads `u64` as signed here.
            let skipped = (func, elem) == (ScalarFn::Abs, ElemType::U64);
            let Some((args, result)) = operand_types(func, elem) else { continue };
            if skipped || !is_legal(func, elem, &target) {
                continue;
            }
            for lanes in lane_counts(&target, &[elem, result]) {
                let func = mapped(&args, result, lanes, |b, values| b.apply(func, values));
                check_with(&target, func, samples);
            }
        }
    }
}

/// Amounts of shifts and other operands that are constants.
#[test]
fn constants_are_operands() {
    for target in super::targets() {
        for &elem in ElemType::ALL {
            for func in [ScalarFn::Shl, ScalarFn::Shr, ScalarFn::Max, ScalarFn::Sub, ScalarFn::Lt] {
                let Some(result) = func.infer(&[elem, elem]) else { continue };
                if !is_legal(func, elem, &target) {
                    continue;
                }
                for lanes in lane_counts(&target, &[elem, result]) {
                    let func = mapped(&[elem], result, lanes, |b, values| {
                        let constant = b.constant(Scalar::from_i64(elem, 3), lanes);
                        b.apply(func, &[values[0], constant])
                    });
                    check_with(&target, func, samples);
                }
            }
        }
    }
}

#[test]
fn every_conversion_agrees_with_the_evaluator() {
    for target in super::targets() {
        for &from in ElemType::ALL {
            // What becomes a half goes through `f32`, as `legalize` makes it.
            for &to in
                ElemType::ALL.iter().filter(|&&to| to != ElemType::F16 || from == ElemType::F32)
            {
                for lanes in lane_counts(&target, &[from, to]) {
                    let func = mapped(&[from], to, lanes, |b, values| b.cast(to, values[0]));
                    check_with(&target, func, samples);
                }
            }
        }
    }
}

#[test]
fn lanes_are_taken_apart_and_put_together() {
    for target in super::targets() {
        for &elem in ElemType::ALL {
            for lanes in lane_counts(&target, &[elem]).filter(|&lanes| lanes > 1) {
                let ty = VType { elem, lanes };
                let func = mapped(&[elem], elem, lanes, |b, values| {
                    let mut scalars: Vec<ValueId> = (0..lanes)
                        .map(|n| b.define(VType::scalar(elem), Expr::Extract(values[0], n)))
                        .collect();
                    scalars.rotate_left(1);
                    b.define(ty, Expr::Pack(scalars.into_iter().collect()))
                });
                check_with(&target, func, samples);
                for lane in [0, lanes / 2, lanes - 1] {
                    let func = mapped(&[elem], elem, lanes, |b, values| {
                        b.define(ty, Expr::SplatLane(values[0], lane))
                    });
                    check_with(&target, func, samples);
                    let func = mapped(&[elem], elem, lanes, |b, values| {
                        let one = b.define(VType::scalar(elem), Expr::Extract(values[0], lane));
                        b.splat(one, lanes)
                    });
                    check_with(&target, func, samples);
                }
            }
        }
    }
}

#[test]
fn lanes_are_combined_by_halves() {
    for target in super::targets() {
        for &elem in ElemType::ALL {
            for func in [ScalarFn::Add, ScalarFn::Max, ScalarFn::Mul, ScalarFn::And] {
                if func.infer(&[elem, elem]) != Some(elem) || !is_legal(func, elem, &target) {
                    continue;
                }
                for lanes in lane_counts(&target, &[elem]).filter(|&lanes| lanes > 1) {
                    let func = mapped(&[elem], elem, lanes, |b, values| {
                        let one = VType::scalar(elem);
                        let all = b.define(one, Expr::ReduceLanes(func, values[0]));
                        b.splat(all, lanes)
                    });
                    check_with(&target, func, samples);
                }
            }
        }
    }
}

#[test]
fn partial_vectors_of_every_type_touch_only_their_elements() {
    for target in super::targets() {
        for &elem in ElemType::ALL {
            for lanes in lane_counts(&target, &[elem]) {
                let vector = VType { elem, lanes };
                let total: usize = (1..=usize::from(lanes)).sum();
                let mut b = LoopBuilder::new("parts");
                let x = param(&mut b, elem, &[total], ParamAccess::Read);
                let y = param(&mut b, elem, &[2, total], ParamAccess::Write);
                b.for_each(2, |b, i| {
                    let mut at = 0;
                    for part in 1..=lanes {
                        let value = b.load(vector, x, vec![Affine::constant(at)], part);
                        b.store(y, vec![Affine::var(i), Affine::constant(at)], value, part);
                        at += i64::from(part);
                    }
                });
                widen(&mut b);
                check_with(&target, b.finish(), samples);
            }
        }
    }
}

/// `y[i, j] = x[clamp(3·i - 2, 0, 4), j + 1]`, through values.
#[test]
fn computed_indices_are_clamped_and_lead_vectors() {
    for target in super::targets() {
        let mut b = LoopBuilder::new("rows");
        let x = param(&mut b, ElemType::F32, &[5, 6], ParamAccess::Read);
        let y = param(&mut b, ElemType::F32, &[4, 4], ParamAccess::Write);
        b.for_each(4, |b, i| {
            let at = b.index_value(Affine::scaled(i, 3).offset(-2));
            let narrow = b.cast(ElemType::I32, at);
            let row = b.index(5, narrow);
            b.for_each(2, |b, j| {
                let from = vec![Affine::var(row), Affine::scaled(j, 2).offset(1)];
                let value = b.load(NARROW, x, from, 2);
                b.store(y, vec![Affine::var(i), Affine::scaled(j, 2)], value, 2);
            });
        });
        widen(&mut b);
        check_with(&target, b.finish(), samples);
    }
}

/// Masks of several widths through loops, branches and logic.
#[test]
fn masks_are_carried_and_combined() {
    for target in super::targets() {
        for (first, second) in [(ElemType::F32, ElemType::I8), (ElemType::U16, ElemType::F32)] {
            let lanes = 8;
            let mut b = LoopBuilder::new("masks");
            let x = param(&mut b, first, &[4, 8], ParamAccess::Read);
            let z = param(&mut b, second, &[4, 8], ParamAccess::Read);
            let y = param(&mut b, ElemType::Bool, &[4, 8], ParamAccess::Write);
            let start = b.constant(Scalar::bool(true), lanes);
            b.for_carried(4, &[start], |b, i, carried| {
                let at = vec![Affine::var(i), Affine::constant(0)];
                let a = b.load(VType { elem: first, lanes }, x, at.clone(), lanes);
                let c = b.load(VType { elem: second, lanes }, z, at.clone(), lanes);
                let (zero, one) = (
                    b.constant(Scalar::from_i64(first, 1), lanes),
                    b.constant(Scalar::from_i64(second, 1), lanes),
                );
                let (p, q) = (b.apply(ScalarFn::Lt, &[a, zero]), b.apply(ScalarFn::Le, &[one, c]));
                let both = b.apply(ScalarFn::Xor, &[p, q]);
                let guard = edgecc_ir::loops::Guard { expr: Affine::var(i).offset(-1), extent: 2 };
                let kept = b.guarded(vec![guard], &[carried[0]], |b| {
                    vec![b.apply(ScalarFn::And, &[both, q])]
                });
                let chosen = b.apply(ScalarFn::Select, &[q, kept[0], p]);
                b.store(y, at, chosen, lanes);
                vec![b.apply(ScalarFn::Or, &[p, chosen])]
            });
            widen(&mut b);
            check_with(&target, b.finish(), samples);
        }
    }
}
