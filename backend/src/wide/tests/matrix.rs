//! Matrix sums of every shape: the bytes mean what the listing says, and where this machine has the
//! tiles, code and interpreter agree.

use super::{check_with, param};
use edgecc_ir::affine::Affine;
use edgecc_ir::loops::build::LoopBuilder;
use edgecc_ir::loops::matrix::{MatrixSum, Place};
use edgecc_ir::loops::verify::verify_fn;
use edgecc_ir::loops::{IndexId, LoopFn, ParamAccess};
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::target::{Cpu, Target};
use edgecc_ir::tensor::{Scalar, Tensor};
use edgecc_ir::types::{ElemType, TensorType};

/// A block: tiles along the rows and the columns, rows of each.
#[derive(Clone, Copy)]
struct Shape {
    high: usize,
    wide: usize,
    rows: usize,
}

fn target() -> Target {
    Cpu::named("sapphirerapids").expect("a row").target()
}

/// Codes without a pattern.
fn codes(ty: &TensorType, seed: usize) -> Tensor {
    Tensor::from_fn(ty.clone(), |i| {
        let hash = ((i + 77 * seed) as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 29;
        Scalar::from_i64(ty.elem, hash as u32 as i32 as i64)
    })
}

/// `groups` blocks of sums over steps, the last of which are consecutive.
fn blocks(groups: usize, shape: Shape, steps: &[usize]) -> LoopFn {
    let (rows, columns) = (shape.high * shape.rows, 16 * shape.wide);
    let all: usize = steps.iter().product();
    let run = *steps.last().expect("a sum has steps");
    let mut b = LoopBuilder::new("f");
    let dims = [groups, rows, 4 * (all + 3)];
    let x = param(&mut b, ElemType::U8, &dims, ParamAccess::Read);
    let w = param(&mut b, ElemType::I32, &[all, columns], ParamAccess::Read);
    let y = param(&mut b, ElemType::I32, &[groups, rows, columns], ParamAccess::Write);
    b.for_each(groups, |b, group| {
        let row = b.own_index(rows);
        let own: Vec<IndexId> = steps.iter().map(|&extent| b.own_index(extent)).collect();
        let outer = own[..own.len() - 1].iter().rev();
        let runs = outer.zip(steps[..own.len() - 1].iter().rev());
        let (sum, _) = runs
            .fold((Affine::constant(0), run as i64), |(sum, by), (&step, &extent)| {
                (sum.plus(step, by), by * extent as i64)
            });
        let step = sum.plus(own[own.len() - 1], 1);
        let zero = Affine::constant(0);
        let (group, at_row) = (Affine::var(group), Affine::var(row));
        b.matrix(MatrixSum {
            row,
            tile_rows: shape.rows as u8,
            steps: own.into(),
            columns: columns as u8,
            dot: ScalarFn::DotU8,
            codes: Place { param: x, index: vec![group.clone(), at_row.clone(), step.times(4)] },
            words: Place { param: w, index: vec![step, zero.clone()] },
            to: Place { param: y, index: vec![group, at_row, zero] },
        });
    });
    b.finish()
}

fn check(shape: Shape, steps: &[usize]) {
    let func = blocks(3, shape, steps);
    assert_eq!(verify_fn(&func, Some(&target())), Ok(()));
    check_with(&target(), func, codes);
}

#[test]
fn blocks_of_every_shape() {
    for (high, wide) in [(1, 1), (1, 2), (1, 3), (1, 4), (2, 1), (2, 2), (3, 1), (4, 1)] {
        for rows in [1, 7, 16] {
            check(Shape { high, wide, rows }, &[32]);
            check(Shape { high, wide, rows }, &[23]);
        }
    }
}

#[test]
fn sums_of_every_length() {
    let shape = Shape { high: 2, wide: 2, rows: 13 };
    for steps in [&[1][..], &[15], &[16], &[17], &[33], &[160]] {
        check(shape, steps);
    }
    for steps in [&[3, 4][..], &[3, 20], &[2, 1, 16], &[3, 3, 18]] {
        check(shape, steps);
    }
}
