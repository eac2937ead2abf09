//! What the translation accepts; everything else is `legalize`'s to remove (L3, L4).

use super::{has, has_avx512};
use crate::error::Code;
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::loops::verify::legal::{applied, is_legal};
use edgecc_ir::loops::walk::each_stmt;
use edgecc_ir::loops::{Expr, LoopFn, Stmt, VType};
use edgecc_ir::target::Target;
use edgecc_ir::types::ElemType;

/// Everything in a function that the translation cannot express.
pub(crate) fn check(func: &LoopFn, target: &Target) -> Vec<Diagnostic> {
    let mut reasons = Vec::new();
    if !has(target, &["avx2", "fma"]) {
        reasons.push("a vector of more than 128 bits without avx2 and fma".to_owned());
    }
    let strange = func.values.values().filter(|&&ty| !fits(ty, target));
    reasons.extend(strange.map(|ty| format!("a value of {ty}")));
    each_stmt(&func.body, &mut |stmt| reasons.extend(illegal(func, target, stmt)));
    reasons.sort();
    reasons.dedup();
    let at = |reason: String| {
        Code::NotLegal.error(format!("{reason} is not legal on {}", target.cpu)).at(&func.name)
    };
    reasons.into_iter().map(at).collect()
}

fn fits(ty: VType, target: &Target) -> bool {
    let bytes = match ty.elem {
        ElemType::Bool => 1,
        elem => elem.bytes(),
    } * usize::from(ty.lanes);
    let limit = if has_avx512(target) { 64 } else { 32 };
    ty.lanes.is_power_of_two() && ty.lanes <= 16 && bytes <= limit
}

fn illegal(func: &LoopFn, target: &Target, stmt: &Stmt) -> Option<String> {
    if let Stmt::Matrix(sum) = stmt {
        let legal = target.matrix_tiles && target.dots.contains(&sum.dot);
        return (!legal).then(|| format!("a matrix sum by `{}`", sum.dot.info().mnemonic));
    }
    let Stmt::Let { value, expr } = stmt else { return None };
    match expr {
        Expr::Cast(from) => {
            let types = [func.values[*value].elem, func.values[*from].elem];
            let halves = types.contains(&ElemType::F16) && types[0] != types[1];
            let has_halves = has_avx512(target) || has(target, &["f16c"]);
            (halves && !has_halves).then(|| "a conversion of f16".to_owned())
        }
        _ => {
            let (called, elem) = applied(func, expr)?;
            let legal = is_legal(called, elem, target);
            (!legal).then(|| format!("`{}` on {elem}", called.info().mnemonic))
        }
    }
}
