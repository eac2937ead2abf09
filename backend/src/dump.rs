//! CLIF and machine code as text, for `--emit` and for tests.

use crate::isa::Effort;
use crate::{clif as translation, isa, wide};
use cranelift_codegen::Context;
use cranelift_codegen::control::ControlPlane;
use cranelift_frontend::FunctionBuilderContext;
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::loops::{LoopFn, Loops};
use edgecc_ir::target::Target;
use std::fmt::Write;

/// The CLIF of each function of a legal program that Cranelift compiles.
pub fn clif(loops: &Loops, target: &Target) -> Result<String, Vec<Diagnostic>> {
    each(loops, |func, scratch| {
        if wide::is_wide(func, target) {
            return Ok("; not through CLIF".to_owned());
        }
        let isa = isa::build(target, Effort::Verbatim)?;
        let code = translation::translate(func, target, isa.frontend_config(), scratch);
        Ok(code.display().to_string())
    })
}

/// The machine code of each function of a legal program, with mnemonics and registers.
pub fn disassembly(loops: &Loops, target: &Target) -> Result<String, Vec<Diagnostic>> {
    each(loops, |func, scratch| {
        if wide::is_wide(func, target) {
            return wide::listing(func, target).map_err(crate::error::internal);
        }
        let isa = isa::build(target, Effort::Verbatim)?;
        let code = translation::translate(func, target, isa.frontend_config(), scratch);
        let mut context = Context::for_function(code);
        context.set_disasm(true);
        let compiled = context.compile(&*isa, &mut ControlPlane::default());
        let compiled =
            compiled.map_err(|why| crate::error::internal(format!("{:?}", why.inner)))?;
        Ok(compiled.vcode.clone().unwrap_or_default())
    })
}

fn each(
    loops: &Loops,
    mut one: impl FnMut(&LoopFn, &mut FunctionBuilderContext) -> Result<String, Vec<Diagnostic>>,
) -> Result<String, Vec<Diagnostic>> {
    let mut text = String::new();
    let mut scratch = FunctionBuilderContext::new();
    for func in loops.funcs.values() {
        let body = one(func, &mut scratch)?;
        let _ = writeln!(text, "{}:\n{}", func.name, body.trim_end());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::{clif, disassembly};
    use crate::testing::program;
    use edgecc_ir::affine::Affine;
    use edgecc_ir::loops::build::LoopBuilder;
    use edgecc_ir::loops::{Expr, Param, ParamAccess, VType, ValueId};
    use edgecc_ir::loops::{LoopFn, Loops};
    use edgecc_ir::scalar::func::ScalarFn;
    use edgecc_ir::target::{Arch, Target};
    use edgecc_ir::tensor::Scalar;
    use edgecc_ir::types::{ElemType, TensorType};

    const STEPS: usize = 64;
    const UNROLL: i64 = 4;
    const V4: VType = VType { elem: ElemType::F32, lanes: 4 };

    /// `rows` × `vectors` accumulators over packed weights; `one` gives a row's factor of a step.
    fn tile(rows: usize, vectors: usize, one: fn(&mut LoopBuilder, Row) -> ValueId) -> LoopFn {
        let mut b = LoopBuilder::new("k0_tile");
        let param =
            |dims: &[usize], access| Param { ty: TensorType::new(ElemType::F32, dims), access };
        let a = b.param(param(&[rows, STEPS], ParamAccess::Read));
        let w = b.param(param(&[STEPS, 4 * vectors], ParamAccess::Read));
        let y = b.param(param(&[rows, 4 * vectors], ParamAccess::Write));
        let zero = b.constant(Scalar::f32(0.0), 4);
        let steps = STEPS / UNROLL as usize;
        let sums = b.for_carried(steps, &vec![zero; rows * vectors], |b, k, sums| {
            let mut sums = sums.to_vec();
            for step in 0..UNROLL {
                let at = Affine::scaled(k, UNROLL).offset(step);
                let factors: Vec<ValueId> = (0..rows)
                    .map(|row| one(b, Row { param: a, row: row as i64, at: at.clone(), step }))
                    .collect();
                for v in 0..vectors {
                    let index = vec![at.clone(), Affine::constant(4 * v as i64)];
                    let weights = b.load(V4, w, index, 4);
                    for row in 0..rows {
                        let sum = &mut sums[row * vectors + v];
                        *sum = b.apply(ScalarFn::Fma, &[factors[row], weights, *sum]);
                    }
                }
            }
            sums
        });
        for (n, sum) in sums.into_iter().enumerate() {
            let (row, v) = (n / vectors, n % vectors);
            let index = vec![Affine::constant(row as i64), Affine::constant(4 * v as i64)];
            b.store(y, index, sum, 4);
        }
        b.finish()
    }

    struct Row {
        param: edgecc_ir::loops::ParamId,
        row: i64,
        at: Affine<edgecc_ir::loops::IndexId>,
        step: i64,
    }

    fn broadcast(b: &mut LoopBuilder, row: Row) -> ValueId {
        let index = vec![Affine::constant(row.row), row.at];
        let scalar = b.load(VType::scalar(ElemType::F32), row.param, index, 1);
        b.splat(scalar, 4)
    }

    fn lane(b: &mut LoopBuilder, row: Row) -> ValueId {
        let index = vec![Affine::constant(row.row), row.at.offset(-row.step)];
        let vector = b.load(V4, row.param, index, 4);
        b.define(V4, Expr::SplatLane(vector, row.step as u8))
    }

    fn machine_code(func: LoopFn, arch: Arch) -> String {
        let loops: Loops = program(func);
        disassembly(&loops, &Target::default_for(arch)).expect("the tile is legal")
    }

    fn count(text: &str, word: &str) -> usize {
        text.lines().filter(|line| line.contains(word)).count()
    }

    #[test]
    fn x86_tiles_do_not_spill() {
        for (rows, vectors) in [(4, 2), (2, 4), (3, 3)] {
            let code = machine_code(tile(rows, vectors, broadcast), Arch::X86_64);
            assert_eq!(count(&code, "vfmadd"), rows * vectors * 4, "{code}");
            assert_eq!(count(&code, "(%rsp)"), 0, "{rows}x{vectors}\n{code}");
        }
    }

    #[test]
    fn aarch64_tiles_multiply_by_lane_without_spills_or_copies() {
        let code = machine_code(tile(8, 2, lane), Arch::Aarch64);
        assert_eq!(count(&code, "fmla"), 64, "{code}");
        assert_eq!(count(&code, ".s[") + count(&code, "fmla"), 128, "{code}");
        let spills = code.lines().filter(|l| l.contains("[sp, #") && l.contains(" q")).count();
        assert_eq!(spills, 0, "{code}");
    }

    #[test]
    fn clif_shows_one_pointer_per_stride() {
        let loops = program(tile(4, 2, broadcast));
        let text = clif(&loops, &Target::default_for(Arch::X86_64)).expect("the tile is legal");
        assert_eq!(count(&text, "brif"), 1);
        assert!(count(&text, "iadd") <= 3, "two pointers and a counter\n{text}");
    }
}
