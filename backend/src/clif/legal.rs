//! What the translation accepts; everything else is `legalize`'s to remove (L3, L4).

use crate::error::{Code, refuse};
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::loops::{Block, Expr, LoopFn, Stmt, VType};
use edgecc_ir::scalar::func::{Class, ScalarFn};
use edgecc_ir::target::Target;
use edgecc_ir::types::ElemType;

/// Everything in a function that the translation cannot express.
pub(crate) fn check(func: &LoopFn, target: &Target) -> Vec<Diagnostic> {
    let wide = func.values.values().filter(|ty| !fits(**ty)).map(|ty| format!("a value of {ty}"));
    let mut reasons: Vec<String> = wide.collect();
    visit(func, target, &func.body, &mut reasons);
    reasons.sort();
    reasons.dedup();
    let at = |reason: String| {
        refuse(Code::NotLegal, format!("{reason} is not legal on {}", target.cpu)).at(&func.name)
    };
    reasons.into_iter().map(at).collect()
}

/// Vectors have at most 128 bits; one lane of each 128-bit register is a mask's widest lane.
fn fits(ty: VType) -> bool {
    let lanes = usize::from(ty.lanes);
    lanes == 1 || lanes.is_power_of_two() && lanes * ty.elem.bytes() <= 16
}

fn visit(func: &LoopFn, target: &Target, block: &Block, reasons: &mut Vec<String>) {
    for stmt in block {
        match stmt {
            Stmt::Let { expr, .. } => reasons.extend(illegal(func, target, expr)),
            Stmt::Store { .. } => {}
            Stmt::For { body, .. } => visit(func, target, body, reasons),
            Stmt::If { then, .. } => visit(func, target, then, reasons),
        }
    }
}

fn illegal(func: &LoopFn, target: &Target, expr: &Expr) -> Option<String> {
    let (called, elem) = match expr {
        Expr::Apply(called, args) => (*called, func.values[*args.last()?].elem),
        Expr::ReduceLanes(called, vector) => (*called, func.values[*vector].elem),
        Expr::Const(_)
        | Expr::Load { .. }
        | Expr::Splat(_)
        | Expr::SplatLane(..)
        | Expr::Extract(..)
        | Expr::Pack(_)
        | Expr::Cast(_) => return None,
    };
    let legal = has_instructions(called, target) && takes(called, elem);
    (!legal).then(|| format!("`{}` on {elem}", called.info().mnemonic))
}

/// binary16 values are only converted and moved, truth values are not shifted.
fn takes(func: ScalarFn, elem: ElemType) -> bool {
    match elem {
        ElemType::F16 => func.info().class == Class::Select,
        ElemType::Bool => !matches!(func, ScalarFn::Shl | ScalarFn::Shr),
        _ => true,
    }
}

/// Whether a function is a few instructions on the target, without calling a library.
fn has_instructions(func: ScalarFn, target: &Target) -> bool {
    match func {
        ScalarFn::Exp
        | ScalarFn::Log
        | ScalarFn::Tanh
        | ScalarFn::Erf
        | ScalarFn::Sin
        | ScalarFn::Cos
        | ScalarFn::Pow => false,
        ScalarFn::Fma => target.fma,
        ScalarFn::Add
        | ScalarFn::Sub
        | ScalarFn::Mul
        | ScalarFn::Div
        | ScalarFn::Min
        | ScalarFn::Max
        | ScalarFn::Neg
        | ScalarFn::Abs
        | ScalarFn::Sqrt
        | ScalarFn::Floor
        | ScalarFn::Ceil
        | ScalarFn::Trunc
        | ScalarFn::Round
        | ScalarFn::And
        | ScalarFn::Or
        | ScalarFn::Xor
        | ScalarFn::Not
        | ScalarFn::Shl
        | ScalarFn::Shr
        | ScalarFn::Eq
        | ScalarFn::Lt
        | ScalarFn::Le
        | ScalarFn::Select
        | ScalarFn::Bitcast => true,
    }
}
