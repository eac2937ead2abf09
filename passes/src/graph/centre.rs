//! Constant factors of sums of products as signed codes around zero: what dot products multiply.

use super::canonicalize::canonical;
use super::rebuild::{Rebuild, rebuild};
use crate::manager::{Pass, PassCx};
use edgecc_ir::graph::ops::{Conv, MatMul, Op, Zeros};
use edgecc_ir::graph::{Graph, OpId};
use edgecc_ir::tensor::{Scalar, Tensor};
use edgecc_ir::types::ElemType;

/// The pass.
pub const PASS: Pass<Graph> = Pass {
    name: "centre",
    doc: "stores constant factors as signed codes around zero, where the target has dot products",
    run,
};

fn run(graph: &mut Graph, cx: &PassCx<'_>) {
    if cx.target.dots.is_empty() {
        return;
    }
    rebuild(graph, |new, data, args| {
        let mut args = args.to_vec();
        let op = match &data.op {
            Op::Conv(conv) => {
                let zeros = centred(new, conv.zeros, &mut args);
                Conv { zeros, ..conv.clone() }.into()
            }
            Op::MatMul(matmul) => {
                let zeros = centred(new, matmul.zeros, &mut args);
                MatMul { zeros, ..matmul.clone() }.into()
            }
            op => op.clone(),
        };
        canonical(new, &op, &args)
    });
}

/// Makes a constant second factor signed, and its code of zero 0 where all its codes allow that.
fn centred(new: &mut Rebuild, zeros: Zeros, args: &mut [OpId]) -> Zeros {
    let Some(codes) = new.graph().as_const(args[1]) else { return zeros };
    let elem = codes.ty.elem;
    let is_byte = matches!(elem, ElemType::I8 | ElemType::U8);
    if !is_byte || (elem == ElemType::I8 && zeros.w == 0) {
        return zeros;
    }
    let (lo, hi) = ElemType::I8.int_range().expect("an integer type");
    let fits = |by: i64| codes.iter().all(|code| (lo..=hi).contains(&(code.as_i64() - by)));
    let by = match elem {
        _ if fits(zeros.w.into()) => zeros.w,
        ElemType::U8 => 128,
        _ => return zeros,
    };
    let code = |i: usize| Scalar::from_i64(ElemType::I8, codes.get(i).as_i64() - i64::from(by));
    let signed = Tensor::from_fn(codes.ty.with_elem(ElemType::I8), code);
    args[1] = new.constant(signed);
    Zeros { w: zeros.w - by, ..zeros }
}
