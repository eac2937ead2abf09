//! What the translation accepts; everything else is `legalize`'s to remove (L3, L4).

use crate::error::Code;
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::loops::verify::legal::{applied, is_legal};
use edgecc_ir::loops::{Block, Expr, LoopFn, Stmt, VType};
use edgecc_ir::target::Target;

/// Everything in a function that the translation cannot express.
pub(crate) fn check(func: &LoopFn, target: &Target) -> Vec<Diagnostic> {
    let wide = func.values.values().filter(|ty| !fits(**ty)).map(|ty| format!("a value of {ty}"));
    let mut reasons: Vec<String> = wide.collect();
    visit(func, target, &func.body, &mut reasons);
    reasons.sort();
    reasons.dedup();
    let at = |reason: String| {
        Code::NotLegal.error(format!("{reason} is not legal on {}", target.cpu)).at(&func.name)
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
            Stmt::Matrix(_) => reasons.push("a matrix sum".to_owned()),
            Stmt::Store { .. } | Stmt::Prefetch { .. } | Stmt::Index { .. } => {}
            Stmt::For { body, .. } => visit(func, target, body, reasons),
            Stmt::If { then, .. } => visit(func, target, then, reasons),
        }
    }
}

fn illegal(func: &LoopFn, target: &Target, expr: &Expr) -> Option<String> {
    let (called, elem) = applied(func, expr)?;
    let legal = is_legal(called, elem, target);
    (!legal).then(|| format!("`{}` on {elem}", called.info().mnemonic))
}
