//! Lookups of every code, on every lane count, against the interpreter.

use super::functions::{COUNT, lane_counts, mapped};
use super::{check_with, param};
use edgecc_ir::affine::Affine;
use edgecc_ir::loops::build::LoopBuilder;
use edgecc_ir::loops::{LoopFn, ParamAccess, VType, ValueId};
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::scalar::table::Table;
use edgecc_ir::target::{Cpu, Target};
use edgecc_ir::tensor::{Scalar, Tensor};
use edgecc_ir::types::{ElemType, TensorType};

/// With vectors of 256 bits, of 512 bits, and with permutations of whole tables.
fn targets() -> [Target; 3] {
    ["x86-64-v3", "x86-64-v4", "znver4"].map(|name| Cpu::named(name).expect("a row").target())
}

fn table(elem: ElemType) -> Table {
    Table::new(elem, |bits| bits.wrapping_mul(89) ^ bits >> 2)
}

#[test]
fn every_code_is_looked_up() {
    for target in targets() {
        for from in [ElemType::U8, ElemType::I8] {
            for to in [ElemType::I8, ElemType::U8] {
                for lanes in lane_counts(&target, &[from]) {
                    // Windows of codes, so that each is in some lane.
                    for first in (0..256).step_by(COUNT) {
                        let func = mapped(&[from], to, lanes, |b, values| {
                            let moved = b.constant(Scalar::from_bits(from, first as u64), lanes);
                            let code = b.apply(ScalarFn::Add, &[values[0], moved]);
                            b.lookup(table(to), code)
                        });
                        let codes = |ty: &TensorType, _| {
                            Tensor::from_fn(ty.clone(), |i| Scalar::from_f64(ty.elem, i as f64))
                        };
                        check_with(&target, func, codes);
                    }
                }
            }
        }
    }
}

/// Stores what `rows` vectors of eight numbers become as codes, one after the other.
fn stored(to: ElemType, rows: i64, code: impl Fn(&mut LoopBuilder, ValueId) -> ValueId) -> LoopFn {
    let mut b = LoopBuilder::new("codes");
    let numbers = VType { elem: ElemType::F32, lanes: 8 };
    let x = param(&mut b, ElemType::F32, &[5, 8 * rows as usize], ParamAccess::Read);
    let y = param(&mut b, to, &[5, 8 * rows as usize], ParamAccess::Write);
    b.for_each(5, |b, i| {
        for row in 0..rows {
            let at = vec![Affine::var(i), Affine::constant(8 * row)];
            let number = b.load(numbers, x, at.clone(), 8);
            let rounded = b.apply(ScalarFn::Round, &[number]);
            let zero = b.constant(Scalar::f32(7.0), 8);
            let moved = b.apply(ScalarFn::Add, &[rounded, zero]);
            let stored = code(b, moved);
            b.store(y, at, stored, 8);
        }
    });
    b.finish()
}

#[test]
fn codes_of_numbers_are_looked_up_on_their_way_to_memory() {
    let numbers = |ty: &TensorType, _| {
        let at = |i: usize| if i == 5 { f32::NAN } else { i as f32 * 4.25 - 60.5 };
        Tensor::from_fn(ty.clone(), |i| Scalar::f32(at(i)))
    };
    for target in targets() {
        for (found, to) in [
            (ElemType::U8, ElemType::U8),
            (ElemType::U8, ElemType::I16),
            (ElemType::I8, ElemType::I16),
        ] {
            for rows in [1, 2, 3] {
                let func = stored(to, rows, |b, number| {
                    let code = b.cast(ElemType::U8, number);
                    let code = b.lookup(table(found), code);
                    if found == to { code } else { b.cast(to, code) }
                });
                check_with(&target, func, numbers);
            }
        }
    }
}
