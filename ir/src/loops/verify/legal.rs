//! L3 and L4: what a target's emitter accepts. `legalize` rewrites a function until both hold.

use crate::diag::Violation;
use crate::loops::walk::each_stmt;
use crate::loops::{Expr, LoopFn, Stmt};
use crate::scalar::func::ScalarFn;
use crate::target::Target;
use crate::types::ElemType;

/// Whether the target computes `func` on operands whose first has type `elem`.
///
/// Half floats are only moved and cast, truth values are not shifted. Functions without an instruction are sequences of others.
#[must_use]
pub fn is_legal(func: ScalarFn, elem: ElemType, target: &Target) -> bool {
    let on_float = elem != ElemType::F16;
    match func {
        ScalarFn::Exp
        | ScalarFn::Log
        | ScalarFn::Tanh
        | ScalarFn::Erf
        | ScalarFn::Sin
        | ScalarFn::Cos
        | ScalarFn::Pow => false,
        ScalarFn::Fma => target.fma && on_float,
        ScalarFn::DotU8 | ScalarFn::DotI8 | ScalarFn::DotI8Narrow | ScalarFn::DotI16 => {
            target.dots.contains(&func)
        }
        ScalarFn::Shl | ScalarFn::Shr => on_float && elem != ElemType::Bool,
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
        | ScalarFn::Eq
        | ScalarFn::Lt
        | ScalarFn::Le
        | ScalarFn::Select
        | ScalarFn::Bitcast => on_float,
    }
}

pub(super) fn check(func: &LoopFn, target: &Target) -> Vec<Violation> {
    let mut found = Vec::new();
    each_stmt(&func.body, &mut |stmt| {
        if let Stmt::Matrix(sum) = stmt
            && !(target.matrix_tiles && target.dots.contains(&sum.dot))
        {
            let at = format!("{} {}", func.name, sum.to.param);
            let message = format!("a matrix sum by {} is not legal", sum.dot.info().mnemonic);
            found.push(Violation::new("L4", at, message));
        }
        let Stmt::Let { value, expr } = stmt else { return };
        let at = || format!("{} {value}", func.name);
        let ty = func.values[*value];
        let bits = 8 * ty.elem.bytes() as u32 * u32::from(ty.lanes);
        if ty.lanes > 1 && bits > target.vector_bits {
            let message = format!("{ty} is wider than {} bits", target.vector_bits);
            found.push(Violation::new("L3", at(), message));
        }
        if let Some((f, elem)) = applied(func, expr).filter(|&(f, e)| !is_legal(f, e, target)) {
            let message = format!("{} is not legal on {elem}", f.info().mnemonic);
            found.push(Violation::new("L4", at(), message));
        }
    });
    found
}

/// The function that an expression computes and its operands' type (of the choices of a select).
#[must_use]
pub fn applied(func: &LoopFn, expr: &Expr) -> Option<(ScalarFn, ElemType)> {
    match expr {
        Expr::Apply(f, args) => Some((*f, func.values[*args.last()?].elem)),
        Expr::ReduceLanes(f, v) => Some((*f, func.values[*v].elem)),
        Expr::Const(_)
        | Expr::Load { .. }
        | Expr::IndexValue(_)
        | Expr::Splat(_)
        | Expr::SplatLane(..)
        | Expr::Extract(..)
        | Expr::Pack(_)
        | Expr::Cast(_)
        | Expr::Lookup(..) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::loops::build::LoopBuilder;
    use crate::scalar::func::ScalarFn;
    use crate::target::{Arch, Cpu, Target};
    use crate::tensor::Scalar;
    use crate::types::ElemType;

    fn violations(target: &Target, value: Scalar, lanes: u8, func: ScalarFn) -> Vec<String> {
        let mut b = LoopBuilder::new("f");
        let x = b.constant(value, lanes);
        b.apply(func, &vec![x; func.info().arity]);
        check(&b.finish(), target).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn l3_vectors_fit_the_target() {
        let target = Target::default_for(Arch::Aarch64);
        assert!(violations(&target, Scalar::f32(1.0), 4, ScalarFn::Add).is_empty());
        let wide = violations(&target, Scalar::f32(1.0), 8, ScalarFn::Add);
        assert_eq!(wide[0], "L3 at f v0: f32x8 is wider than 128 bits");
    }

    #[test]
    fn l4_only_legal_functions_occur() {
        let target = Target::default_for(Arch::Aarch64);
        let exp = violations(&target, Scalar::f32(1.0), 4, ScalarFn::Exp);
        assert_eq!(exp, ["L4 at f v1: exp is not legal on f32"]);
        let half = Scalar::from_f64(ElemType::F16, 1.0);
        assert_eq!(violations(&target, half, 1, ScalarFn::Add).len(), 1);
    }

    #[test]
    fn l4_fused_multiply_add_needs_the_instruction() {
        let old = Cpu::named("x86-64-v2").expect("a row").target();
        let new = Target::default_for(Arch::X86_64);
        assert_eq!(violations(&old, Scalar::f32(1.0), 4, ScalarFn::Fma).len(), 1);
        assert!(violations(&new, Scalar::f32(1.0), 4, ScalarFn::Fma).is_empty());
    }
}
