//! Rewrites scalar functions into what the target computes (establishes L4).

mod summands;

use super::expand::{Emit, exp_plus, expand_dot, expand_f32, expand_f64};
use crate::Code;
use cranelift_entity::PrimaryMap;
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::loops::verify::legal::{applied, is_legal};
use edgecc_ir::loops::{Block, Expr, LoopFn, Stmt, VType, ValueId};
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::target::Target;
use edgecc_ir::types::ElemType;
use smallvec::SmallVec;
use summands::Summands;

/// The same function with legal operations only, and one error for each that has no sequence.
///
/// Half floats are computed in `f32` and rounded after each operation. A power of e in a sum with a
/// literal is computed there, once more if it is stored as well.
#[must_use]
pub fn legalize(mut func: LoopFn, target: &Target) -> (LoopFn, Vec<Diagnostic>) {
    let body = std::mem::take(&mut func.body);
    let summands = Summands::of(&func, &body);
    let mut cx = Legalizer { func, target, summands, errors: Vec::new() };
    cx.func.body = cx.block(body);
    (cx.func, cx.errors)
}

struct Legalizer<'t> {
    func: LoopFn,
    target: &'t Target,
    summands: Summands,
    errors: Vec<Diagnostic>,
}

impl Legalizer<'_> {
    fn block(&mut self, block: Block) -> Block {
        let mut out = Block::with_capacity(block.len());
        for stmt in block {
            match stmt {
                Stmt::Let { value, expr } => self.define(&mut out, value, expr),
                Stmt::For { index, carried, body } => {
                    let body = self.block(body);
                    out.push(Stmt::For { index, carried, body });
                }
                Stmt::If { guards, then, results } => {
                    let then = self.block(then);
                    out.push(Stmt::If { guards, then, results });
                }
                Stmt::Store { .. }
                | Stmt::Prefetch { .. }
                | Stmt::Matrix(_)
                | Stmt::Index { .. } => out.push(stmt),
            }
        }
        out
    }

    fn define(&mut self, out: &mut Block, value: ValueId, expr: Expr) {
        if let Some(sum) = self.summands.sum(&expr) {
            let lanes = self.func.values[value].lanes;
            let mut e = Emit { values: &mut self.func.values, out, lanes, fma: self.target.fma };
            exp_plus(&mut e, sum.sign, sum.x, sum.literal);
            return name_last(out, value);
        }
        let illegal =
            applied(&self.func, &expr).filter(|&(func, elem)| !is_legal(func, elem, self.target));
        let Some((func, elem)) = illegal else { return out.push(Stmt::Let { value, expr }) };
        let before = out.len();
        if self.expand(out, &expr).is_some() {
            return name_last(out, value);
        }
        out.truncate(before);
        let message = format!("{} on {elem} has no code", func.info().mnemonic);
        let error = Code::UnsupportedScalarFunction.error(message);
        self.errors.push(error.at(self.func.name.clone()));
        out.push(Stmt::Let { value, expr });
    }

    /// Appends a sequence that ends with the expression's value.
    fn expand(&mut self, out: &mut Block, expr: &Expr) -> Option<ValueId> {
        let (fma, values) = (self.target.fma, &mut self.func.values);
        match expr {
            Expr::Apply(func, args) => {
                let lanes = values[args[0]].lanes;
                let mut emit = Emit { values, out, lanes, fma };
                apply(&mut emit, *func, args, self.target)
            }
            Expr::ReduceLanes(func, vector) => Some(reduce_half(values, out, *func, *vector)),
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
}

fn apply(e: &mut Emit<'_>, func: ScalarFn, args: &[ValueId], target: &Target) -> Option<ValueId> {
    let elem = e.values[*args.last()?].elem;
    if is_legal(func, elem, target) {
        return Some(e.apply(func, args));
    }
    match (func, elem) {
        (_, ElemType::F16) => through_f32(e, func, args, target),
        (_, ElemType::F32) => expand_f32(e, func, args),
        (_, ElemType::F64) => expand_f64(e, func, args),
        (_, ElemType::I32) => expand_dot(e, func, args),
        _ => None,
    }
}

fn through_f32(
    e: &mut Emit<'_>,
    func: ScalarFn,
    args: &[ValueId],
    target: &Target,
) -> Option<ValueId> {
    let wide: SmallVec<[ValueId; 3]> = args
        .iter()
        .map(|&a| if e.values[a].elem == ElemType::F16 { e.cast(ElemType::F32, a) } else { a })
        .collect();
    let result = apply(e, func, &wide, target)?;
    match e.values[result].elem {
        ElemType::F32 => Some(e.cast(ElemType::F16, result)),
        _ => Some(result),
    }
}

/// A reduction of half floats, rounded once at its end.
fn reduce_half(
    values: &mut PrimaryMap<ValueId, VType>,
    out: &mut Block,
    func: ScalarFn,
    vector: ValueId,
) -> ValueId {
    let lanes = values[vector].lanes;
    let mut define = |elem, lanes, expr| {
        let value = values.push(VType { elem, lanes });
        out.push(Stmt::Let { value, expr });
        value
    };
    let wide = define(ElemType::F32, lanes, Expr::Cast(vector));
    let sum = define(ElemType::F32, 1, Expr::ReduceLanes(func, wide));
    define(ElemType::F16, 1, Expr::Cast(sum))
}

/// Makes the last statement define `value`; nothing uses its own value yet.
fn name_last(out: &mut Block, value: ValueId) {
    if let Some(Stmt::Let { value: last, .. }) = out.last_mut() {
        *last = value;
    }
}

#[cfg(test)]
mod tests {
    use super::legalize;
    use edgecc_ir::affine::Affine;
    use edgecc_ir::loops::build::LoopBuilder;
    use edgecc_ir::loops::interp::run_fn;
    use edgecc_ir::loops::verify::verify_fn;
    use edgecc_ir::loops::{LoopFn, Param, ParamAccess, VType};
    use edgecc_ir::scalar::func::ScalarFn;
    use edgecc_ir::target::{Arch, Target};
    use edgecc_ir::tensor::{Scalar, Tensor};
    use edgecc_ir::types::{ElemType, TensorType};

    /// `out = func(x, x, …)` on one vector of four lanes.
    fn on_vector(elem: ElemType, func: ScalarFn) -> LoopFn {
        let mut b = LoopBuilder::new("f");
        let ty = TensorType::new(elem, &[4]);
        let x = b.param(Param { ty: ty.clone(), access: ParamAccess::Read });
        let out = b.param(Param { ty, access: ParamAccess::Write });
        let v = b.load(VType { elem, lanes: 4 }, x, vec![Affine::constant(0)], 4);
        let y = b.apply(func, &vec![v; func.info().arity]);
        b.store(out, vec![Affine::constant(0)], y, 4);
        b.finish()
    }

    fn run(func: &LoopFn, elem: ElemType) -> Vec<f32> {
        let ty = TensorType::new(elem, &[4]);
        let x = Tensor::from_fn(ty.clone(), |i| Scalar::from_f64(elem, 0.25 + i as f64));
        let mut buffers = [x, Tensor::zeros(ty)];
        run_fn(func, &mut buffers);
        buffers[1].to_f32s()
    }

    #[test]
    fn every_float_function_becomes_legal_on_vectors() {
        let floats =
            |f: &&ScalarFn| f.infer(&vec![ElemType::F32; f.info().arity]) == Some(ElemType::F32);
        for &func in ScalarFn::ALL.iter().filter(floats) {
            for (fma, elem) in [
                (false, ElemType::F32),
                (true, ElemType::F32),
                (false, ElemType::F64),
                (true, ElemType::F64),
            ] {
                let vector_bits = 256;
                let target = Target { fma, vector_bits, ..Target::default_for(Arch::X86_64) };
                let (legal, errors) = legalize(on_vector(elem, func), &target);
                assert_eq!((errors, verify_fn(&legal, Some(&target))), (Vec::new(), Ok(())));
            }
        }
    }

    #[test]
    fn half_floats_are_computed_in_single_precision() {
        let target = Target::default_for(Arch::Aarch64);
        for func in [ScalarFn::Add, ScalarFn::Exp, ScalarFn::Sqrt, ScalarFn::Max] {
            let before = on_vector(ElemType::F16, func);
            let want = run(&before, ElemType::F16);
            let (legal, _) = legalize(before, &target);
            assert_eq!(verify_fn(&legal, Some(&target)), Ok(()));
            assert_eq!(run(&legal, ElemType::F16), want, "{func:?}");
        }
    }
}
